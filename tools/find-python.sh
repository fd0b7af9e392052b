#!/usr/bin/env bash
# Print the path of a Python that can make the virtual environment, or fail.
# Usage: tools/find-python.sh
set -euo pipefail

# Debian splits ensurepip from python3; without it a virtual environment has no pip.
readonly USABLE='import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))'

for name in python3.11 python3 python3.12 python3.13; do
    if command -v "$name" >/dev/null && "$name" -c "$USABLE" 2>/dev/null; then
        command -v "$name"
        exit
    fi
done
exit 1

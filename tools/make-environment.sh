#!/usr/bin/env bash
# Make the virtual environment, unless it is there already.
# Usage: tools/make-environment.sh FOLDER
set -euo pipefail

folder=$1

# Making one may be cut short: only one whose pip answers counts.
if "$folder/bin/python" -m pip --version >/dev/null 2>&1; then
    exit
fi
if ! python=$("$(dirname "$0")/find-python.sh"); then
    echo "No Python 3.11 or newer with its venv module was found. Install one, then try again." >&2
    exit 1
fi
"$python" -m venv --clear "$folder"

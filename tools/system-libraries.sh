#!/usr/bin/env bash
# Install the Debian or Ubuntu packages that the tests and the demo need:
# a virtual screen, the libraries that Qt loads for X11 and OpenGL, and Python.
# Where it may not install, it names what is missing and fails.
# Usage: tools/system-libraries.sh
set -euo pipefail

readonly PACKAGES=(
    xvfb xauth
    libgl1 libgl1-mesa-dri libegl1
    libxkbcommon-x11-0 libxcb-cursor0 libxcb-icccm4 libxcb-image0 libxcb-keysyms1
    libxcb-render-util0 libxcb-xinerama0 libxcb-shape0
    libdbus-1-3 libglib2.0-0
    libfontconfig1 fonts-dejavu-core
)

is_installed() {
    dpkg -s "$1" 2>/dev/null | grep -q '^Status: .* installed$'
}

# Print what is missing, one package a line.
missing_packages() {
    local package
    for package in "${PACKAGES[@]}"; do
        # Ubuntu 24.04 and Debian 13 renamed some libraries: libglib2.0-0t64.
        is_installed "$package" || is_installed "${package}t64" || echo "$package"
    done
    "$(dirname "$0")/find-python.sh" >/dev/null || echo python3-venv
}

# Run a command with the rights to install, or fail where there are none.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    else
        sudo -n "$@"
    fi
}

may_install() {
    command -v apt-get >/dev/null && as_root true 2>/dev/null
}

apt() {
    # env, because sudo does not hand the caller's variables on.
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq \
        -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 "$@"
}

if ! command -v dpkg >/dev/null; then
    echo "This is no Debian or Ubuntu: see that the counterparts of these packages are there:" >&2
    echo "  ${PACKAGES[*]} python3-venv" >&2
    exit 0
fi

mapfile -t missing < <(missing_packages)
[ "${#missing[@]}" -gt 0 ] || exit 0

if ! may_install; then
    echo "These system packages are missing and may not be installed from here:" >&2
    echo "  ${missing[*]}" >&2
    echo "Install them as the administrator, then try again:" >&2
    echo "  apt-get install ${missing[*]}" >&2
    # A desktop has a screen and mostly the libraries too, whatever its packages are called.
    if [ -n "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ] && "$(dirname "$0")/find-python.sh" >/dev/null; then
        echo "There is a screen, so this goes on without them." >&2
        exit 0
    fi
    exit 1
fi

echo "Installing system packages: ${missing[*]}"
# Package lists may be absent or stale on a fresh machine. A list that cannot be
# fetched is only a warning: the packages may still be known.
apt update || echo "The package lists could not be renewed; the known ones are used." >&2
apt install -y --no-install-recommends "${missing[@]}"

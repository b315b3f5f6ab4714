#!/bin/sh
# Prints the Python that `make install` builds the environment with: python3 if it is new enough, else the newest beside it.
# Without one, or when it cannot make environments, says the exact line that installs it and fails.
set -u

NEWEST="3.14 3.13 3.12 3.11" # what the project is tested on, newest first
CHECK='import sys; sys.exit(sys.version_info < (3, 11))'

sudo() { [ "$(id -u)" = 0 ] || printf 'sudo '; }
say() { printf '%s\n' "$*" >&2; }

# The line that installs Python, or on Debian and Ubuntu the part of it that makes environments ($1: its version, or nothing).
install_line() {
    if command -v apt-get >/dev/null; then
        if [ -n "$1" ]; then
            printf '%sapt-get install python%s-venv' "$(sudo)" "$1"
            return
        fi
        for version in $NEWEST; do
            if apt-cache show "python$version-venv" >/dev/null 2>&1; then
                printf '%sapt-get install python%s python%s-venv' "$(sudo)" "$version" "$version"
                return
            fi
        done
        printf '%sapt-get update && %sapt-get install python3 python3-venv' "$(sudo)" "$(sudo)"
    elif command -v dnf >/dev/null; then
        printf '%sdnf install python3.12' "$(sudo)"
    elif command -v apk >/dev/null; then
        printf '%sapk add python3 py3-pip' "$(sudo)"
    elif command -v pacman >/dev/null; then
        printf '%spacman -S python' "$(sudo)"
    elif command -v brew >/dev/null; then
        printf 'brew install python@3.13'
    else
        printf 'install Python 3.11 or newer from https://www.python.org, then: make install PYTHON=/path/to/python3'
    fi
}

# PYTHON=... on make's command line is taken as it is, or not at all.
if [ -n "${PYTHON:-}" ]; then
    candidates=$PYTHON
else
    candidates=python3
    for version in $NEWEST; do candidates="$candidates python$version"; done
fi

for candidate in $candidates; do
    path=$(command -v "$candidate") || continue
    "$path" -c "$CHECK" 2>/dev/null || continue
    if "$path" -c 'import ensurepip, venv' 2>/dev/null; then
        printf '%s\n' "$path"
        exit 0
    fi
    unable=${unable:-$("$path" -c 'import sys; print("%d.%d" % sys.version_info[:2])')}
done

if [ -n "${unable:-}" ]; then
    say "Python $unable is here, but cannot make virtual environments. This line installs what is missing:"
    say ""
    say "    $(install_line "$unable")"
else
    found=$(command -v "${PYTHON:-python3}" >/dev/null && "${PYTHON:-python3}" --version 2>&1 || echo "none")
    say "Lastro needs Python 3.11 or newer; found: $found. This line installs it:"
    say ""
    say "    $(install_line "")"
fi
say ""
say "Then run make again."
exit 1

#!/bin/sh
# Installs what the tests need from the system: only the commands that are missing, and only when that works without a question
# (as root, or with a sudo that asks for no password). Otherwise says loudly what to install; tests that need it then skip
# with their reason, or fail where CI=true.
set -eu

# command:package, as most systems name them
NEEDED="setfacl:acl getfacl:acl setfattr:attr getfattr:attr setpriv:util-linux unshare:util-linux mount:util-linux openssl:openssl chattr:e2fsprogs bwrap:bubblewrap chromium:chromium psql:postgresql firefox-esr:firefox-esr"

[ "$(uname -s)" = Linux ] || exit 0

packages=
for pair in $NEEDED; do
    command -v "${pair%%:*}" >/dev/null && continue
    package=${pair##*:}
    case " $packages " in *" $package "*) ;; *) packages="$packages $package" ;; esac
done
[ -n "$packages" ] || exit 0

if command -v apt-get >/dev/null; then
    install="env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends"
    refresh="apt-get update -q"
elif command -v dnf >/dev/null; then
    install="dnf install -y -q"
elif command -v apk >/dev/null; then
    install="apk add --quiet"
    case $packages in *util-linux*) packages="$packages setpriv" ;; esac # apart there
elif command -v pacman >/dev/null; then
    install="pacman -S --noconfirm --needed"
    refresh="pacman -Sy"
fi

loudly() {
    printf '\n*** %s\n*** Tests that need it are going to skip (or fail, where CI=true).\n\n' "$1" >&2
    exit 0
}

[ -n "${install:-}" ] || loudly "Missing from this system, and no known package manager:$packages"

if [ "$(id -u)" = 0 ]; then
    root=
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
    root="sudo -n"
else
    loudly "Missing from this system. Install with: sudo ${install#env DEBIAN_FRONTEND=noninteractive }$packages"
fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT
echo "installing from the system's packages:$packages"
# The words of the commands are meant to be split.
# shellcheck disable=SC2086
{ $root ${refresh:-true} && $root $install $packages; } >"$log" 2>&1 </dev/null || {
    cat "$log" >&2
    loudly "Could not install:$packages"
}

#!/bin/sh
# Put redis-server there where it is missing: the tests start their own on free loopback ports.
# The system's package manager does it; its service is neither wanted nor started.
set -eu

command -v redis-server >/dev/null 2>&1 && exit 0

need() {
  echo "redis-server is missing, and $1: install it with the system's package manager (Debian: apt-get install redis-server)" >&2
  exit 1
}

command -v apt-get >/dev/null 2>&1 || need "there is no apt-get to install it with"
if [ "$(id -u)" = 0 ]; then
  root=""
elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
  root="sudo"
else
  need "this user may not install packages (neither root nor sudo without a password)"
fi

# Debian's packages start their services unless this file says no; one that is there stays as it is.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' | $root tee "$policy" >/dev/null
  $root chmod 755 "$policy"
  trap '$root rm -f "$policy"' EXIT
fi
install() {
  $root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends redis-server >/dev/null 2>&1
}
echo "installing redis-server (its service is not started)" >&2
# The lists of a fresh image are empty, those of an old one name what is no longer there.
install || { $root apt-get update -qq >/dev/null 2>&1 && install; } || need "apt-get could not install it"

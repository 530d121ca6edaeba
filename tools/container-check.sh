#!/bin/sh
# Build and try the Dockerfile's images without a Docker engine: tools/container-check.sh [options] [TARGET...]
#
#   --python FILE   a CPython 3.12 with a prefix of its own (pyenv, uv, a source build); default: python3.12
#   --work DIR      keep base root, wheels and images in DIR, which makes the next run quicker;
#                   default: a temporary folder, removed at the end
#   TARGET          gateway, sandbox; default: both
#
# A minimal Debian from debootstrap with that CPython in its /usr/local stands in for the official
# python:3.12-slim, and buildah runs the Dockerfile's own steps on it. The locked wheels are fetched
# beforehand with this machine's pip settings; the build itself has no index. Then each image is
# looked at and run as process 1 of a process namespace: it must become healthy by its own
# HEALTHCHECK and end with status 0 on SIGTERM.
#
# Takes minutes and some 4 GB, and needs root on Debian with the packages debootstrap and buildah.
# Where that is not so it says what is missing and exits with 3: nothing was checked. 1: a check failed.
# It proves the steps and what the images do, not the official base image: `docker build` proves that.
set -eu
cd "$(dirname "$0")/.."

say() { printf 'container-check: %s\n' "$*" >&2; }
cannot() { say "cannot check here: $*"; exit 3; }
fail() { say "FAILED: $*"; exit 1; }

python=python3.12 kept='' targets=''
while [ $# -gt 0 ]; do
  case $1 in
    --python) python=${2:?--python needs a file}; shift 2 ;;
    --work) kept=${2:?--work needs a folder}; shift 2 ;;
    -h | --help) sed -n '2,/^set -eu/{/^set/d;s/^# \{0,1\}//p;}' tools/container-check.sh; exit 0 ;;
    gateway | sandbox) targets="$targets $1"; shift ;;
    *) say "unknown argument: $1 (see --help)"; exit 2 ;;
  esac
done

# ---- what is needed
[ "$(uname -s)" = Linux ] || cannot "this is not Linux"
[ "$(id -u)" = 0 ] || cannot "root is needed for chroot, mounts and file owners"
for tool in debootstrap buildah unshare; do
  command -v "$tool" >/dev/null || cannot "$tool is missing (Debian: apt-get install debootstrap buildah)"
done
[ "$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)" = 3.12 ] ||
  cannot "$python is no CPython 3.12 (name one with --python)"
prefix=$("$python" -c 'import sys; print(sys.base_prefix)')
[ "$prefix" != /usr ] || cannot "$python belongs to the system; one with a prefix of its own is needed"
unshare --fork --pid --mount true 2>/dev/null || cannot "process and mount namespaces are not allowed"

work=${kept:-$(mktemp -d)}
mkdir -p "$work"
work=$(cd "$work" && pwd)
mounted='' running=''
clean_up() {
  [ -z "$running" ] || kill -KILL "$running" 2>/dev/null || true
  for container in $mounted; do image_tool rm "$container" >/dev/null 2>&1 || true; done
  [ -n "$kept" ] || rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

image_tool() {
  buildah --root "$work/storage" --runroot "$work/run" --storage-driver "${STORAGE_DRIVER:-vfs}" "$@"
}

# ---- the stand-in for the official base image
make_base() {
  say "making a minimal Debian"
  rm -rf "$work/base"
  debootstrap --variant=minbase \
    --include=ca-certificates,libbz2-1.0,libexpat1,libffi8,liblzma5,libncursesw6,libreadline8,libsqlite3-0,libssl3,libuuid1,netbase,tzdata,zlib1g \
    bookworm "$work/base" >"$work/debootstrap.log" 2>&1 || fail "debootstrap, see $work/debootstrap.log"
  tar -C "$prefix" --exclude='lib/python3.12/site-packages/*' --exclude='lib/python3.12/test' \
    --exclude='__pycache__' -c bin/python bin/python3 bin/python3.12 lib | tar -C "$work/base/usr/local" -x
  chroot "$work/base" ldconfig
  chroot "$work/base" /usr/local/bin/python -m ensurepip >/dev/null 2>&1 || fail "ensurepip in the base"
  rm -rf "$work/base/var/cache/apt" "$work/base/var/lib/apt/lists"
  container=$(image_tool from scratch)
  tar -C "$work/base" -c . | tar -C "$(image_tool mount "$container")" -x
  image_tool config --env PATH=/usr/local/bin:/usr/local/sbin:/usr/bin:/usr/sbin:/bin:/sbin "$container"
  image_tool commit --quiet --format docker "$container" python:3.12-slim >/dev/null
  image_tool rm "$container" >/dev/null
  touch "$work/base/.ready"
}

# ---- one image, by the Dockerfile's steps
build() {
  say "fetching the wheels of locks/$1.txt"
  "$python" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
    --require-hashes -r "locks/$1.txt" -d "$work/wheels" >"$work/wheels-$1.log" 2>&1 ||
    { grep ERROR "$work/wheels-$1.log" >&2; fail "not every package could be had as a wheel"; }
  printf '[global]\nno-index = true\nfind-links = /wheels\n' >"$work/pip.conf"
  say "building $1"
  image_tool bud --quiet --format docker --isolation chroot --pull-never --target "$1" --tag "$1" \
    --volume "$work/wheels:/wheels:ro" --volume "$work/pip.conf:/etc/pip.conf:ro" \
    --file Dockerfile . >"$work/build-$1.log" 2>&1 || { tail -n 25 "$work/build-$1.log" >&2; fail "building $1"; }
}

# ---- what is in it, and how it is set up
configured() { image_tool inspect --type image --format "{{range .Docker.Config.$2}}{{println .}}{{end}}" "$1"; }
setting() { image_tool inspect --type image --format "{{.Docker.Config.$2}}" "$1"; }

look_at() {
  [ "$(setting "$1" User)" = 10001:10001 ] || fail "$1 does not run as its own numeric user"
  [ "$(setting "$1" StopSignal)" = SIGTERM ] || fail "$1 is not stopped by SIGTERM"
  [ "$(configured "$1" Entrypoint)" = voice-gateway ] || fail "$1 has another entry point"
  for found in "$root"/opt/venv/bin/pip "$root"/opt/venv/lib/python3*/site-packages/hatchling "$root"/src; do
    [ ! -e "$found" ] || fail "$1 ships ${found#"$root"}"
  done
  owned=$(find "$root" -xdev -uid 10001 | sed "s|^$root||")
  [ "$owned" = /data ] || fail "the user of $1 owns more or less than /data: $owned"
  [ -n "$(find "$root/opt/venv" -path '*/gateway/__pycache__/cli.*' -print -quit)" ] || fail "$1 is not compiled"
  engines=$(find "$root/opt/venv" -maxdepth 4 -iname 'ctranslate2' | wc -l)
  case $1 in
    gateway) [ "$engines" = 0 ] || fail "speech engines in the gateway's image" ;;
    sandbox) [ "$engines" = 1 ] || fail "no speech engines in the sandbox's image" ;;
  esac
  say "$1 is $(du -sm "$root/opt/venv" | cut -f1) MB of packages on $(du -sm "$work/base" | cut -f1) MB of base"
}

# ---- run it: `inside TARGET SETTING=VALUE... -- COMMAND...` as the image's user, in its environment
inside() {
  target=$1
  shift
  settings=$(configured "$target" Env)
  while [ "$1" != -- ]; do settings="$settings
$1"; shift; done
  shift
  # The settings hold no blanks; everything else of the environment stays outside.
  # shellcheck disable=SC2086,SC2016
  exec unshare --fork --pid --mount --kill-child sh -c '
    root=$1; shift
    mount --rbind /dev "$root/dev" && mount -t proc proc "$root/proc"
    exec chroot --userspec=10001:10001 "$root" /usr/bin/env -i --chdir=/data "$@"
  ' sh "$root" $settings "$@"
}

run() {
  target=$1 port=$2
  shift 2
  say "running $target"
  # shellcheck disable=SC2046 # the words of CMD hold no blanks
  (inside "$target" "$@" -- voice-gateway $(configured "$target" Cmd)) >"$work/run-$target.log" 2>&1 &
  running=$!
  healthcheck=$(image_tool inspect --type image "$target" | "$python" -c '
import json, sys
test = json.load(sys.stdin)["Docker"]["config"]["Healthcheck"]["Test"]
assert test[:3] == ["CMD", "python", "-c"], test
print(test[3])')
  tries=0
  until (inside "$target" "$@" -- python -c "$healthcheck") >/dev/null 2>&1; do
    tries=$((tries + 1))
    [ "$tries" -lt 60 ] || { tail -n 20 "$work/run-$target.log" >&2; fail "$target did not become healthy"; }
    kill -0 "$running" 2>/dev/null || { tail -n 20 "$work/run-$target.log" >&2; fail "$target ended by itself"; }
    sleep 0.5
  done
  first=$(cat "/proc/$running/task/$running/children")
  kill -TERM "${first% }"
  status=0
  wait "$running" || status=$?
  running=''
  [ "$status" = 0 ] || { tail -n 20 "$work/run-$target.log" >&2; fail "$target ended with $status on SIGTERM"; }
  say "$target was healthy on port $port and ended with 0 on SIGTERM"
}

[ -e "$work/base/.ready" ] || make_base
for target in ${targets:-gateway sandbox}; do
  build "$target"
  container=$(image_tool from --pull-never "$target")
  mounted="$mounted $container"
  root=$(image_tool mount "$container")
  look_at "$target"
  case $target in
    sandbox) run sandbox 8090 ;;
    gateway)
      # Nobody answers at this API address: the gateway must serve its health all the same.
      run gateway 8080 GATEWAY_PUBLIC_URL=https://gateway.example.com GATEWAY_HOST=127.0.0.1 \
        AMIGO_BASE_URL=http://127.0.0.1:9 AMIGO_ORGANIZATION_ID=check AMIGO_API_KEY=check \
        AMIGO_API_KEY_ID=check AMIGO_USER_ID=check AMIGO_SERVICE_ID=0123456789abcdef01234567 \
        TWILIO_ACCOUNT_SID=AC00000000000000000000000000000001 TWILIO_AUTH_TOKEN=check \
        TWILIO_API_BASE_URL=http://127.0.0.1:9
      ;;
  esac
done
say "all checks passed"

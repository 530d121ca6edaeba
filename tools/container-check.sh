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
# looked at and run as process 1, without any network but a loopback device: it must become healthy
# by its own HEALTHCHECK and end with status 0 on SIGTERM. In between, with both images, a simulated
# caller talks with the sandbox's agent through the gateway.
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
targets=${targets:-gateway sandbox}
for tool in debootstrap buildah unshare nsenter; do
  command -v "$tool" >/dev/null || cannot "$tool is missing (Debian: apt-get install debootstrap buildah)"
done
[ "$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)" = 3.12 ] ||
  cannot "$python is no CPython 3.12 (name one with --python)"
prefix=$("$python" -c 'import sys; print(sys.base_prefix)')
[ "$prefix" != /usr ] || cannot "$python belongs to the system; one with a prefix of its own is needed"
unshare --fork --pid --mount --net true 2>/dev/null || cannot "namespaces are not allowed"

work=${kept:-$(mktemp -d)}
mkdir -p "$work"
work=$(cd "$work" && pwd)
mounted='' running=''
clean_up() {
  for process in $running; do kill -KILL "$process" 2>/dev/null || true; done
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
  image_tool rmi --prune >/dev/null 2>&1 || true # what earlier runs with the same --work left
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

# ---- run them: in one network of their own, which is nothing but a loopback device
open_network() {
  unshare --net sleep 3600 &
  network=$!
  running=$network
  while [ "$(readlink "/proc/$network/ns/net")" = "$(readlink /proc/self/ns/net)" ]; do sleep 0.1; done
  # Interface flags up, loopback, running: `ip link set lo up` without needing iproute2.
  nsenter --target "$network" --net "$python" -c '
import fcntl, socket, struct
fcntl.ioctl(socket.socket(), 0x8914, struct.pack("16sh14x", b"lo", 0x49))'
}

# inside TARGET SETTING=VALUE... -- COMMAND...: as process 1, as the image's user, in its environment
inside() {
  target=$1
  shift
  settings=$(configured "$target" Env)
  while [ "$1" != -- ]; do settings="$settings $1"; shift; done
  shift
  # shellcheck disable=SC2016,SC2086 # expanded by the inner shell; the settings hold no blanks
  exec nsenter --target "$network" --net unshare --fork --pid --mount --kill-child sh -c '
    root=$1; shift
    mount --rbind /dev "$root/dev" && mount -t proc proc "$root/proc"
    exec chroot --userspec=10001:10001 "$root" /usr/bin/env -i --chdir=/data "$@"
  ' sh "$(cat "$work/$target.root")" $settings "$@"
}

give_up() { tail -n 25 "$work/$1.log" >&2; fail "$1 $2"; }

start() {
  say "running $1"
  # shellcheck disable=SC2046 # the words of CMD hold no blanks
  (inside "$@" -- voice-gateway $(configured "$1" Cmd)) >"$work/$1.log" 2>&1 &
  echo $! >"$work/$1.pid"
  running="$running $!"
  probe=$(image_tool inspect --type image "$1" | "$python" -c '
import json, sys
test = json.load(sys.stdin)["Docker"]["config"]["Healthcheck"]["Test"]
assert test[:3] == ["CMD", "python", "-c"], test
print(test[3])')
  tries=0
  until (inside "$@" -- python -c "$probe") >/dev/null 2>&1; do
    tries=$((tries + 1))
    [ "$tries" -lt 60 ] || give_up "$1" "did not become healthy"
    kill -0 "$(cat "$work/$1.pid")" 2>/dev/null || give_up "$1" "ended by itself"
    sleep 0.5
  done
  say "$1 is healthy"
}

stop() {
  outer=$(cat "$work/$1.pid")
  first=$(cat "/proc/$outer/task/$outer/children")
  kill -TERM "${first% }"
  status=0
  wait "$outer" || status=$?
  [ "$status" = 0 ] || give_up "$1" "ended with $status on SIGTERM"
  say "$1 ended with 0 on SIGTERM"
}

[ -e "$work/base/.ready" ] || make_base
for target in $targets; do
  build "$target"
  container=$(image_tool from --pull-never "$target")
  mounted="$mounted $container"
  root=$(image_tool mount "$container")
  echo "$root" >"$work/$target.root"
  look_at "$target"
done

# Credentials of the sandbox's defaults; the carrier's are made up and used on the loopback only.
carrier='TWILIO_ACCOUNT_SID=AC00000000000000000000000000000001 TWILIO_AUTH_TOKEN=container-check
  TWILIO_API_BASE_URL=http://127.0.0.1:8099 GATEWAY_PUBLIC_URL=https://gateway.example.com'
amigo='AMIGO_BASE_URL=http://127.0.0.1:8090 AMIGO_ORGANIZATION_ID=sandbox AMIGO_API_KEY=sandbox-key
  AMIGO_API_KEY_ID=sandbox-key-id AMIGO_USER_ID=sandbox-caller AMIGO_SERVICE_ID=5a9db0c55a9db0c55a9db0c5'
open_network
case $targets in *sandbox*) start sandbox ;; esac
# shellcheck disable=SC2086 # lists of settings
case $targets in *gateway*) start gateway $carrier $amigo ;; esac
# shellcheck disable=SC2086
case $targets in
  *gateway*sandbox* | *sandbox*gateway*)
    say "calling the gateway, with a phone out of the sandbox's image"
    speech=/opt/venv/lib/python3.12/site-packages/gateway/simulator/speech
    (inside sandbox $carrier -- voice-gateway call --gateway http://127.0.0.1:8080 \
      --wav $speech/one-moment-please.wav $speech/goodbye.wav) >"$work/call.log" 2>&1 || give_up call "failed"
    grep -E 'caller|agent' "$work/call.log" >&2 || true
    ;;
esac
for target in $targets; do stop "$target"; done
say "all checks passed"

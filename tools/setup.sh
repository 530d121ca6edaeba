#!/bin/sh
# Make the virtual environment and install the locked, hash-checked set into it: tools/setup.sh PYTHON VENV
set -eu
python=$1 venv=$2

"$python" - <<'CHECK' || exit 1
import sys
if sys.version_info < (3, 11):
    sys.exit(f"voice-gateway needs Python 3.11 or newer; {sys.executable} is {sys.version.split()[0]}")
try:
    import ensurepip, venv
except ImportError:
    sys.exit("Python's venv module is missing: on Debian, 'apt-get install python3-venv' puts it there")
CHECK

[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
echo "setting up $venv (first time only, about a minute)" >&2
# The lock is complete, so nothing is resolved: with dependencies on, an older pip would look at releases
# newer than the locked ones (coverage[toml] of pytest-cov) and refuse them for want of a hash.
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r locks/dev.txt
# The project itself: the build backend is in the locked set, nothing more is fetched.
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --no-index -e .
touch "$venv/.ready"

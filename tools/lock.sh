#!/bin/sh
# Renew the hash-checked locks from pyproject.toml: `make lock` (needs uv on PATH).
# dev.txt is the whole set; the other two are cut from it, so the three never disagree.
set -eu
cd "$(dirname "$0")/.."
compile() {
  uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
    --no-emit-index-url --no-emit-find-links --quiet "$@"
}
# hatchling builds the project itself, without build isolation, so it is locked like the rest
echo 'hatchling>=1.27
editables>=0.5' | compile - pyproject.toml --extra fast --extra silero --extra plot --extra sandbox --extra dev -o locks/dev.txt
echo 'hatchling>=1.27
editables>=0.5' | compile - pyproject.toml --extra fast --extra silero -c locks/dev.txt -o locks/gateway.txt
echo 'hatchling>=1.27
editables>=0.5' | compile - pyproject.toml --extra fast --extra silero --extra sandbox -c locks/dev.txt -o locks/sandbox.txt

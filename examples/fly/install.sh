#!/bin/sh
# Installs Catwalk from its source into a virtual environment of its own, with the versions that the source pins.
#
#   install.sh SOURCE PLACE control-plane|runner
#
# The images use it, and a test replays it, so that what is tested is what is shipped. uv comes first, because it builds
# the wheel, reads the pins, and is what the runner installs packages with.
set -eu

source=$1
place=$2
kind=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

python3 -m venv "$place"
"$place/bin/pip" install --quiet --no-cache-dir "uv==0.13.9"
uv="$place/bin/uv"
"$uv" build --quiet --wheel --out-dir "$work" "$source"
"$uv" export --quiet --project "$source" --no-default-groups --extra postgres --extra otel \
    --no-hashes --no-emit-project --no-header --no-annotate --output-file "$work/pins.txt"

case $kind in
control-plane)
    "$uv" pip install --quiet --no-cache --python "$place/bin/python" --requirement "$work/pins.txt"
    ;;
runner)
    # The adapter needs these alone; the rest of the wheel is never imported.
    "$uv" pip install --quiet --no-cache --python "$place/bin/python" --constraint "$work/pins.txt" \
        anyio uvicorn httptools uvloop uv
    ;;
*)
    echo "install.sh: $kind is neither control-plane nor runner" >&2
    exit 2
    ;;
esac
"$uv" pip install --quiet --no-cache --python "$place/bin/python" --no-deps "$work"/*.whl

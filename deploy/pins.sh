#!/bin/sh
# Writes requirements.txt and requirements-dev.txt from pyproject.toml: every version, with the hash of each of its files.
# Called by `make pins` with the path of uv. The files name no package index.
set -eu

uv=$1
header='# Every version that syncd PURPOSE, with the hashes of all its files (any platform, Python 3.11 or newer).
# Made from pyproject.toml by `make pins`; do not edit.
'

pin() { # PURPOSE FILE OPTIONS...
    purpose=$1 file=$2
    shift 2
    "$uv" pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
        --no-config "$@" pyproject.toml -o "$file.new"
    { printf '%s\n' "$header" | sed "s/PURPOSE/$purpose/"; cat "$file.new"; } > "$file"
    rm "$file.new"
}

pin 'runs with' requirements.txt
pin 'is tested and built with' requirements-dev.txt --group dev --constraints requirements.txt

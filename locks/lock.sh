#!/usr/bin/env bash
# Write gpu.txt, cpu.txt, sign.txt, dev.txt, build.txt and uv.txt from pyproject.toml, without index addresses; the same day, the same bytes.
set -euo pipefail
cd "$(dirname "$0")/.."
day=${LOCK_DAY:-2026-11-20} # packages younger than this are not looked at; move it to update
versions=${LOCK_VERSIONS:---upgrade} # --no-upgrade keeps those of the locks that are there, wherever they fit
compile() {
  .venv/bin/uv pip compile --quiet --python-version 3.11 --python-platform x86_64-manylinux_2_28 --generate-hashes \
    --no-emit-index-url --no-annotate --no-header --exclude-newer "$day" pyproject.toml --extra train --extra serve "$@"
}
without_cuda=(--excludes locks/cpu.excludes --constraint locks/gpu.txt --no-emit-package torch)
compile "$versions" --output-file locks/gpu.txt
compile "$versions" "${without_cuda[@]}" --output-file locks/cpu.txt
compile "$versions" "${without_cuda[@]}" --extra sign --output-file locks/sign.txt
compile "$versions" "${without_cuda[@]}" --constraint locks/sign.txt --extra sign --extra dev --output-file locks/dev.txt
awk '/^[^ ]/ { wanted = /^uv==/ } wanted' locks/dev.txt > locks/uv.txt # the image is installed with it
awk '/^[^ ]/ { wanted = /^(hatchling|packaging|pathspec|pluggy|tomlkit|trove-classifiers)==/ } wanted' locks/dev.txt > locks/build.txt

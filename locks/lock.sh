#!/usr/bin/env bash
# Write gpu.txt, liger.txt, cpu.txt, sign.txt, dev.txt, publish.txt, mutants.txt, build.txt and uv.txt from pyproject.toml, without
# index addresses; the same day, the same bytes. Only packages with wheels: an sdist would run code that no hash names.
set -euo pipefail
cd "$(dirname "$0")/.."
day=${LOCK_DAY:-2026-11-20} # packages younger than this are not looked at; move it to update
versions=${LOCK_VERSIONS:---upgrade} # --no-upgrade keeps those of the locks that are there, wherever they fit
lock() {
  .venv/bin/uv pip compile --quiet --python-version 3.11 --python-platform x86_64-manylinux_2_31 --generate-hashes \
    --only-binary :all: --no-emit-index-url --no-annotate --no-header --exclude-newer "$day" "$versions" "$@"
}
compile() { lock pyproject.toml --extra train --extra serve --extra search "$@"; }
without_cuda=(--excludes locks/cpu.excludes --constraint locks/gpu.txt --no-emit-package torch)
compile --output-file locks/gpu.txt
compile --extra liger --constraint locks/gpu.txt | awk '/^[^ ]/ { wanted = /^liger-kernel==/ } wanted' > locks/liger.txt # beside gpu.txt
compile "${without_cuda[@]}" --output-file locks/cpu.txt
compile "${without_cuda[@]}" --extra sign --output-file locks/sign.txt
compile "${without_cuda[@]}" --constraint locks/sign.txt --extra sign --extra dev --output-file locks/dev.txt
lock pyproject.toml --extra sign --constraint locks/dev.txt --output-file locks/publish.txt # no torch where the token is
lock --group mutants --constraint locks/dev.txt --output-file locks/mutants.txt
awk '/^[^ ]/ { wanted = /^uv==/ } wanted' locks/dev.txt > locks/uv.txt # the image is installed with it
awk '/^[^ ]/ { wanted = /^(hatchling|packaging|pathspec|pluggy|tomlkit|trove-classifiers)==/ } wanted' locks/dev.txt > locks/build.txt
# No index has the CPU build of torch, so torch-cpu.txt is written by hand: its page says the hash, and others' locks the same.
torch=$(sed -n 's/^torch==\([^ ]*\).*/\1/p' locks/gpu.txt)
grep -q "^torch==$torch+cpu " locks/torch-cpu.txt || {
  echo "locks/torch-cpu.txt is not of torch $torch: write its +cpu wheel for cp311, manylinux_2_28_x86_64, with its sha256." >&2
  exit 1
}

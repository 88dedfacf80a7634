#!/usr/bin/env bash
# Compiles pyproject.toml into pinned, hashed requirements for every platform and Python ≥ 3.11.
# `--upgrade` takes the newest versions; without it, what is pinned stays. No host is named.
set -eu -o pipefail
cd "$(dirname "$0")/../.."

compile() { # output file, then what to compile
  local output=$1
  shift
  "${UV:-uv}" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
    --no-emit-index-url --no-annotate --output-file "infra/requirements/$output" "$@"
}

# Everything once; the smaller files are parts of it and agree with it.
compile dev.txt pyproject.toml "$@" \
  --extra embedded --extra labels --extra training --extra tensorboard --extra tuning --group dev
part=(--constraint infra/requirements/dev.txt)
compile base.txt pyproject.toml "${part[@]}"
compile embedded.txt pyproject.toml --extra embedded "${part[@]}"
compile services.txt pyproject.toml --extra embedded --extra labels "${part[@]}"
printf 'uv\n' | compile uv.txt - "${part[@]}"
printf 'setuptools\n' | compile build.txt - "${part[@]}"

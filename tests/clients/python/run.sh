#!/usr/bin/env bash
# Usage: run.sh ADDRESS TOKENS_JSON – the scenario of ../README.md with grpcio.
source "$(dirname "$0")/../lib.sh"

[[ $# -eq 2 ]] || fail "usage: run.sh ADDRESS TOKENS_JSON"
build="$build_root/python"

lock "$build"
venv "$build/venv" "$clients_dir/python/requirements.txt"
id="$(stamp "$(<"$build/venv/.stamp")" "$proto_dir/$proto_file")"
mkdir -p "$build/gen"
if ! is_fresh "$build/gen" "$id"; then
  "$build/venv/bin/python" -m grpc_tools.protoc -I "$proto_dir" \
    --python_out="$build/gen" --pyi_out="$build/gen" --grpc_python_out="$build/gen" \
    "$proto_file"
  mark_fresh "$build/gen" "$id"
fi
unlock

PYTHONDONTWRITEBYTECODE=1 PYTHONPATH="$build/gen" \
  exec "$build/venv/bin/python" "$clients_dir/python/client.py" "$1" "$2"

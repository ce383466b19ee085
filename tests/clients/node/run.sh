#!/usr/bin/env bash
# Usage: run.sh ADDRESS TOKENS_JSON – the scenario of ../README.md with grpc-js.
source "$(dirname "$0")/../lib.sh"

[[ $# -eq 2 ]] || fail "usage: run.sh ADDRESS TOKENS_JSON"
build="$build_root/node"

lock "$build"
node_modules "$build" "$clients_dir/node"
unlock

exec node "$build/client.mjs" "$proto_dir" "$1" "$2"

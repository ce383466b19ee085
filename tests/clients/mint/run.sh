#!/usr/bin/env bash
# Usage: run.sh pyjwt|jose OUT.json – mints tokens for all clients with one of two libraries.
source "$(dirname "$0")/../lib.sh"

[[ $# -eq 2 ]] || fail "usage: run.sh pyjwt|jose OUT.json"
here="$clients_dir/mint"
build="$build_root/mint"

case "$1" in
  pyjwt)
    lock "$build/pyjwt"
    venv "$build/pyjwt/venv" "$here/requirements.txt"
    unlock
    exec "$build/pyjwt/venv/bin/python" "$here/mint.py" "$2"
    ;;
  jose)
    lock "$build/jose"
    node_modules "$build/jose" "$here"
    unlock
    exec node "$build/jose/mint.mjs" "$2"
    ;;
  *) fail "no minter \`$1\`; there are pyjwt and jose" ;;
esac

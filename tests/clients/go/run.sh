#!/usr/bin/env bash
# Usage: run.sh ADDRESS TOKENS_JSON – the scenario of ../README.md with grpc-go.
source "$(dirname "$0")/../lib.sh"

[[ $# -eq 2 ]] || fail "usage: run.sh ADDRESS TOKENS_JSON"
need go "Go 1.26 or newer, https://go.dev/dl"
here="$clients_dir/go"
build="$build_root/go"

lock "$build"
venv "$build/buf" "$here/requirements.txt"
id="$(stamp "$(go version)" "$(readlink -f "$0")" "$here"/{buf.gen.yaml,go.mod,go.sum,main.go} \
  "$repo_dir/buf.yaml" "$proto_dir/$proto_file")"
if ! is_fresh "$build" "$id"; then
  rm -rf "$build/gen"
  mkdir -p "$build/gen" "$build/bin"
  # go.mod's `replace` needs a module there, even before there is code in it.
  printf 'module rescind.dev/gen\n\ngo 1.26.0\n' >"$build/gen/go.mod"
  (cd "$here" && go build -buildvcs=false -o "$build/bin/" tool)
  (cd "$repo_dir" && PATH="$build/bin:$PATH" "$build/buf/bin/buf" generate \
    --template "$here/buf.gen.yaml" --output "$build/gen" --path "proto/$proto_file")
  (cd "$here" && go vet . && go build -buildvcs=false -o "$build/bin/client" .)
  mark_fresh "$build" "$id"
fi
unlock

exec "$build/bin/client" "$1" "$2"

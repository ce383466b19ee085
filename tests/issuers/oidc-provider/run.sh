#!/usr/bin/env bash
# Usage: run.sh LOGGED_OUT_URI CALLBACK_URI – npm's oidc-provider, as provider.mjs tells.
source "$(dirname "$0")/../../clients/lib.sh"

[[ $# -eq 2 ]] || fail "usage: run.sh LOGGED_OUT_URI CALLBACK_URI"
build="$repo_dir/target/issuers/oidc-provider"

lock "$build"
node_modules "$build" "$repo_dir/tests/issuers/oidc-provider"
unlock

cd "$build"
exec node provider.mjs "$@"

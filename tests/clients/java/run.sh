#!/usr/bin/env bash
# Usage: run.sh ADDRESS TOKENS_JSON – the scenario of ../README.md with grpc-java.
source "$(dirname "$0")/../lib.sh"

[[ $# -eq 2 ]] || fail "usage: run.sh ADDRESS TOKENS_JSON"
need javac "apt-get install openjdk-17-jdk-headless"
need mvn "apt-get install maven"
here="$clients_dir/java"
build="$build_root/java"

lock "$build"
id="$(stamp "$(javac -version 2>&1)" "$here/pom.xml" "$proto_dir/$proto_file" \
  "$here"/src/main/java/dev/rescind/clients/*.java)"
if ! is_fresh "$build" "$id"; then
  # Maven would keep what an earlier source or version left behind.
  rm -rf "$build/classes" "$build/lib"
  mvn --batch-mode --no-transfer-progress --quiet --file "$here/pom.xml" process-classes >&2 ||
    fail "Maven could not build the client"
  mark_fresh "$build" "$id"
fi
unlock

exec java -cp "$build/classes:$build/lib/*" dev.rescind.clients.Main "$1" "$2"

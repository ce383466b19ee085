#!/usr/bin/env bash
# Usage: run.sh – Keycloak in development mode on a free port of this machine, with nothing in it but
# the administrator `admin`, password `admin`. It says "Listening on: URL" on standard output and ends
# when its standard input does; what it held is then gone.
source "$(dirname "$0")/../../clients/lib.sh"

version=26.7.3
sha256=27a6535553c3cdcd083872ba40629efafb3475e3b758e0c6f691395561dd0f1f
build="$repo_dir/target/issuers/keycloak"
home="$build/keycloak-$version"
zip="$build/keycloak-quarkus-dist-$version.zip"

[[ $# -eq 0 ]] || fail "usage: run.sh"
need java "apt-get install openjdk-17-jdk-headless"
need jar "apt-get install openjdk-17-jdk-headless"
need mvn "apt-get install maven"
need setsid "apt-get install util-linux"

# Held to the end: Keycloak writes into its own directory when it starts.
lock "$build"
if ! is_fresh "$build" "$sha256"; then
  rm -rf "$home" "$zip"
  mvn --batch-mode --no-transfer-progress --quiet \
    org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy \
    -Dartifact="org.keycloak:keycloak-quarkus-dist:$version:zip" -DoutputDirectory="$build" >&2 ||
    fail "Maven could not fetch Keycloak $version"
  sha256sum --check --quiet <<<"$sha256  $zip" >&2 ||
    fail "this is not the Keycloak $version that was pinned; remove it from ~/.m2 too: $zip"
  (cd "$build" && jar xf "$zip")
  rm "$zip"
  mark_fresh "$build" "$sha256"
fi

export KC_BOOTSTRAP_ADMIN_USERNAME=admin KC_BOOTSTRAP_ADMIN_PASSWORD=admin
export JAVA_OPTS_KC_HEAP="-Xms256m -Xmx768m"
# It lives for a minute: the second compiler would not earn its time.
export JAVA_OPTS_APPEND="-XX:TieredStopAtLevel=1"

# A group of its own, since the script of Keycloak starts one Java after another.
setsid bash "$home/bin/kc.sh" start-dev --db=dev-mem --http-host=127.0.0.1 --http-port=0 </dev/null &
server=$!
trap 'kill -KILL -- -"$server" 2>/dev/null || true' EXIT
exec 3<&0
cat <&3 >/dev/null &
# Whichever is first: Keycloak fails, or whoever started it wants it no more.
wait -n "$server" "$!" || true

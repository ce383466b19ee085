# Sourced by every run.sh here: strict mode, places, locks, and messages that say what to install.
# shellcheck shell=bash
set -euo pipefail

clients_dir="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
repo_dir="$(cd "$clients_dir/../.." && pwd)"
proto_dir="$repo_dir/proto"
proto_file="rescind/v1/revocation.proto"
# Everything that is downloaded or generated goes here; git ignores it.
build_root="$repo_dir/target/clients"

# grpc-js and grpcio would send calls to this machine through a proxy of the environment.
export no_proxy="127.0.0.1,localhost${no_proxy:+,$no_proxy}"

fail() {
  printf '%s: %s\n' "$(basename "$(dirname "$0")")/$(basename "$0")" "$*" >&2
  exit 1
}

# need TOOL HOW: the tool is there, or the message says how to get it.
need() {
  command -v "$1" >/dev/null 2>&1 || fail "\`$1\` is missing; install it: $2"
}

# lock DIR: makes DIR and holds it until `unlock` (or exit), so that two runs of one language do
# not build over each other. Runs of different languages do not share a directory.
lock() {
  need flock "apt-get install util-linux"
  mkdir -p "$1"
  exec 9>"$1/.lock"
  flock -w 1200 9 || fail "another run has held $1/.lock for 20 minutes"
}

unlock() {
  exec 9>&-
}

# stamp NAME FILE…: the identity of what a build was made from, contents and names.
stamp() {
  local name="$1"
  shift
  { printf '%s\n' "$name"; sha256sum -- "$@"; } | sha256sum | cut -d' ' -f1
}

# is_fresh DIR STAMP / mark_fresh DIR STAMP: whether DIR was completely built from STAMP.
is_fresh() {
  [[ -f "$1/.stamp" && "$(<"$1/.stamp")" == "$2" ]]
}

mark_fresh() {
  printf '%s\n' "$2" >"$1/.stamp"
}

# venv DIR REQUIREMENTS: a Python environment with exactly these packages.
venv() {
  need python3 "apt-get install python3 python3-venv"
  local id
  id="$(stamp "$(python3 --version)" "$2")"
  is_fresh "$1" "$id" && return
  rm -rf "$1"
  python3 -m venv "$1" >&2 || fail "python3 cannot make an environment; install it: apt-get install python3-venv"
  "$1/bin/python" -m pip install --quiet --no-input --disable-pip-version-check -r "$2" >&2
  mark_fresh "$1" "$id"
}

# node_modules DIR SOURCE: DIR has SOURCE's programs with exactly the packages of its lock file.
# Node looks for packages beside the program, so the programs are copied there.
node_modules() {
  need node "Node 20 or newer, https://nodejs.org"
  need npm "it comes with Node"
  mkdir -p "$1"
  # Each in one step: a program that was started a moment ago, without the lock, may be reading them.
  local file
  for file in "$2"/*.mjs "$2/package.json" "$2/package-lock.json"; do
    cp -- "$file" "$1/.copied"
    mv -f -- "$1/.copied" "$1/${file##*/}"
  done
  local id
  id="$(stamp "$(node --version)" "$2/package-lock.json")"
  is_fresh "$1" "$id" && return
  # The packages used here are plain JavaScript: no install script needs to run.
  (cd "$1" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2)
  mark_fresh "$1" "$id"
}

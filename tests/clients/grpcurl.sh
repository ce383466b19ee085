#!/usr/bin/env bash
# Usage: grpcurl.sh ADDRESS – calls the service with nothing but what reflection tells.
source "$(dirname "$0")/lib.sh"

[[ $# -eq 1 ]] || fail "usage: grpcurl.sh ADDRESS"
address="$1"
version="v1.9.4"
bin="$build_root/bin"
service="rescind.v1.RevocationService"

lock "$bin"
if ! is_fresh "$bin" "$version"; then
  need go "Go 1.26 or newer, https://go.dev/dl"
  GOBIN="$bin" go install -buildvcs=false "github.com/fullstorydev/grpcurl/cmd/grpcurl@$version" >&2
  mark_fresh "$bin" "$version"
fi
unlock

failures=0

# grpcurl ARGUMENT…: its output, errors included; a call may be meant to fail.
grpcurl() {
  "$bin/grpcurl" -plaintext -max-time 10 "$@" 2>&1 || true
}

# call METHOD REQUEST_JSON
call() {
  grpcurl -format json -emit-defaults -d "$2" "$address" "$service/$1"
}

# expect WHAT OUTPUT PATTERN…: every extended regular expression is found in the output.
expect() {
  local what="$1" output="$2" pattern
  shift 2
  for pattern in "$@"; do
    if ! grep -Eq -- "$pattern" <<<"$output"; then
      failures=$((failures + 1))
      printf 'FAILED grpcurl: %s: no /%s/ in: %s\n' "$what" "$pattern" "$(tr -s '\n ' '  ' <<<"$output")"
    fi
  done
}

expect "services are listed" "$(grpcurl "$address" list)" \
  "^${service//./\\.}\$" '^grpc\.health\.v1\.Health$' '^grpc\.reflection\.v1(alpha)?\.ServerReflection$'
expect "methods are listed" "$(grpcurl "$address" list "$service")" \
  '\.Check$' '\.CheckBatch$' '\.CheckStream$' '\.Revoke$' '\.RevokeUser$' '\.Restore$' \
  '\.ListRevocations$' '\.WatchRevocations$' '\.GetStatus$'
expect "the service is described" "$(grpcurl "$address" describe "$service")" \
  'rpc Check \( \.rescind\.v1\.CheckRequest \) returns \( \.rescind\.v1\.CheckResponse \);' \
  'rpc WatchRevocations \( .* \) returns \( stream .* \);'
expect "a message is described" "$(grpcurl "$address" describe rescind.v1.TokenTarget)" \
  'string jti = 2;' 'bytes signing_input_sha256 = 5;'

for name in "" "$service"; do
  health="$(grpcurl -d "{\"service\": \"$name\"}" "$address" grpc.health.v1.Health/Check)"
  expect "health of \"$name\"" "$health" '"status": "SERVING"'
done

now="$(date +%s)"
iss="https://issuer.example"
jti="grpcurl/$now-$$-$RANDOM"
exp=$((now + 3600))
claims="{\"claims\": {\"iss\": \"$iss\", \"jti\": \"$jti\", \"kid\": \"grpcurl\", \"iat\": $((now - 10)), \"exp\": $exp}}"
target="{\"token\": {\"iss\": \"$iss\", \"jti\": \"$jti\", \"exp\": $exp}}"

expect "Check before" "$(call Check "$claims")" '"active": true' '"verdict": "VERDICT_ACTIVE"'
expect "Revoke" "$(call Revoke "{\"targets\": [$target], \"reason\": \"REASON_LOGOUT\", \"comment\": \"by grpcurl\"}")" \
  '"in_?[fF]orce": \[' '"rule": "RULE_KIND_ALL"' "\"jti\": \"$jti\""
expect "Check after" "$(call Check "$claims")" \
  '"active": false' '"verdict": "VERDICT_REVOKED"' '"reason": "REASON_LOGOUT"' '"comment": "by grpcurl"'
expect "Revoke without targets" "$(call Revoke '{"reason": "REASON_LOGOUT"}')" \
  'Code: InvalidArgument' 'google\.rpc\.ErrorInfo' 'google\.rpc\.BadRequest'

printf 'grpcurl: %d failed expectations\n' "$failures"
[[ "$failures" -eq 0 ]]

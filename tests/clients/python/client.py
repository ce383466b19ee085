"""The scenario of ../README.md with grpcio.

client.py ADDRESS TOKENS_JSON
"""

import hashlib
import json
import math
import re
import sys
import uuid

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from rescind.v1 import revocation_pb2 as pb
from rescind.v1 import revocation_pb2_grpc

LANG = "python"
RPC_TIMEOUT_S = 10
WATCH_TIMEOUT_S = 60

failures = 0


def expect(holds: bool, what: str) -> None:
    """Counts and prints what does not hold, and goes on: one run shows everything."""
    global failures
    if not holds:
        failures += 1
        print(f"FAILED {LANG}: {' '.join(what.split())}", flush=True)


def iss_of(token: dict) -> str:
    return token["claims"]["iss"]


def digest_of(token: dict) -> bytes:
    return hashlib.sha256(token["token"].rpartition(".")[0].encode()).digest()


def timestamp(seconds: float) -> Timestamp:
    whole = math.floor(seconds)
    return Timestamp(seconds=whole, nanos=round((seconds - whole) * 1e9))


def user_target(token: dict) -> pb.Target:
    return pb.Target(user=pb.UserTarget(iss=iss_of(token), sub=token["claims"]["sub"]))


def revocation_of(token: dict) -> pb.RevokeRequest | None:
    """How the token of each name is revoked; None: not by Revoke, but by RevokeUser."""
    iss, claims = iss_of(token), token["claims"]
    match token["name"]:
        case "jti":
            target = pb.TokenTarget(iss=iss, jti=claims["jti"], exp=claims["exp"])
            return pb.RevokeRequest(targets=[pb.Target(token=target)], reason=pb.REASON_LOGOUT)
        case "no-jti":
            target = pb.TokenTarget(jwt=token["token"])
            return pb.RevokeRequest(
                targets=[pb.Target(token=target)], reason=pb.REASON_CREDENTIAL_COMPROMISED
            )
        case "digest":
            target = pb.TokenTarget(iss=iss, signing_input_sha256=digest_of(token))
            return pb.RevokeRequest(targets=[pb.Target(token=target)], reason=pb.REASON_TOKEN_ROTATED)
        case "session":
            target = pb.SessionTarget(iss=iss, sid=claims["sid"])
            return pb.RevokeRequest(targets=[pb.Target(session=target)], reason=pb.REASON_ADMIN)
        case "fractional-iat":
            rules = pb.Rules(issued_before=timestamp(math.floor(claims["iat"]) + 0.5))
            return pb.RevokeRequest(
                targets=[user_target(token)], rules=rules, reason=pb.REASON_PASSWORD_CHANGED
            )
        case "numeric-sub":
            return pb.RevokeRequest(
                targets=[user_target(token)],
                rules=pb.Rules(all=True),
                reason=pb.REASON_ACCOUNT_DISABLED,
            )
        case "phone" | "laptop":
            return None
    raise ValueError(f"no such token name: {token['name']}")


def name_of(target: pb.Target) -> tuple:
    """What identifies a target: `exp` does not."""
    kind = target.WhichOneof("kind")
    value = getattr(target, kind)
    if kind == "token":
        return kind, value.iss, value.jti, value.signing_input_sha256
    return kind, value.SerializeToString(deterministic=True)


class Scenario:
    def __init__(self, stub: revocation_pb2_grpc.RevocationServiceStub, tokens: list[dict]):
        self.stub = stub
        self.tokens = tokens
        self.revoked: set[tuple] = set()

    def check(self, token: dict) -> pb.CheckResponse:
        return self.stub.Check(pb.CheckRequest(token=token["token"]), timeout=RPC_TIMEOUT_S)

    def expect_active(self, token: dict, when: str) -> None:
        got = self.check(token)
        expect(
            got.active and got.verdict == pb.VERDICT_ACTIVE,
            f"{token['alg']} {token['name']} is ACTIVE {when}; got {got}",
        )

    def expect_revoked(self, token: dict, reason: int, kind: str) -> None:
        got = self.check(token)
        what = f"{token['alg']} {token['name']}"
        expect(
            not got.active and got.verdict == pb.VERDICT_REVOKED,
            f"{what} is REVOKED after its revocation; got {got}",
        )
        expect(
            got.match.reason == reason,
            f"{what} says reason {pb.Reason.Name(reason)}; got {got.match}",
        )
        expect(
            got.match.target.WhichOneof("kind") == kind,
            f"{what} says that its {kind} was revoked; got {got.match}",
        )

    def expect_receipt(self, receipt: pb.Receipt, what: str) -> None:
        expect(len(receipt.in_force) > 0, f"the receipt for {what} has a rule in force; got {receipt}")
        if any(rule.HasField("before") for rule in receipt.in_force):
            expect(receipt.HasField("not_before"), f"the receipt for {what} says not_before")
        self.revoked.add(name_of(receipt.target))

    def revoke(self, request: pb.RevokeRequest, what: str) -> pb.Receipt:
        receipts = self.stub.Revoke(request, timeout=RPC_TIMEOUT_S).receipts
        expect(len(receipts) == 1, f"one receipt for {what}; got {len(receipts)}")
        self.expect_receipt(receipts[0], what)
        return receipts[0]

    def zero_targets_are_refused(self) -> None:
        try:
            self.stub.Revoke(pb.RevokeRequest(reason=pb.REASON_LOGOUT), timeout=RPC_TIMEOUT_S)
        except grpc.RpcError as error:
            expect(
                error.code() == grpc.StatusCode.INVALID_ARGUMENT,
                f"zero targets are INVALID_ARGUMENT; got {error.code()}",
            )
            status = rpc_status.from_call(error)
            expect(status is not None, "the error has status details")
            info, bad_request = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
            for detail in status.details if status else []:
                detail.Unpack(info)
                detail.Unpack(bad_request)
            expect(info.domain == "rescind", f"ErrorInfo's domain is rescind; got {info.domain!r}")
            expect(
                re.fullmatch("[A-Z][A-Z0-9_]*", info.reason) is not None,
                f"ErrorInfo's reason is UPPER_SNAKE; got {info.reason!r}",
            )
            fields = [violation.field for violation in bad_request.field_violations]
            expect("targets" in fields, f"BadRequest names `targets`; got {fields}")
        else:
            expect(False, "zero targets are INVALID_ARGUMENT; got an answer")

    def each_token_is_revoked_by_its_target(self) -> None:
        for token in self.tokens:
            what = f"{token['alg']} {token['name']}"
            self.expect_active(token, "at first")
            request = revocation_of(token)
            if request is None:
                continue
            if token["name"] == "fractional-iat":
                early = pb.RevokeRequest(
                    targets=[user_target(token)],
                    rules=pb.Rules(issued_before=timestamp(math.floor(token["claims"]["iat"]))),
                )
                self.revoke(early, f"{what} with an earlier cut-off")
                self.expect_active(token, "after a cut-off a quarter second before its iat")
            receipt = self.revoke(request, what)
            named = receipt.target.token
            if token["name"] in ("no-jti", "digest"):
                expect(
                    named.signing_input_sha256 == digest_of(token) and not named.jwt,
                    f"the receipt for {what} names it by its digest; got {receipt.target}",
                )
            if token["name"] == "jti":
                expect(named.jti == token["claims"]["jti"], f"the receipt for {what} names its jti")
            self.expect_revoked(token, request.reason, request.targets[0].WhichOneof("kind"))

    def a_user_is_logged_out_everywhere(self) -> None:
        for phone in (token for token in self.tokens if token["name"] == "phone"):
            iss, sub = iss_of(phone), phone["claims"]["sub"]
            answer = self.stub.RevokeUser(
                pb.RevokeUserRequest(iss=iss, sub=sub, reason=pb.REASON_SUSPICIOUS_ACTIVITY),
                timeout=RPC_TIMEOUT_S,
            )
            self.expect_receipt(answer.receipt, f"the user of {phone['alg']} phone")
            for token in self.tokens:
                if token["claims"]["sub"] == sub:
                    self.expect_revoked(token, pb.REASON_SUSPICIOUS_ACTIVITY, "user")

    def end_a_session(self) -> tuple:
        """Revokes something new and tells its name, as a watch will show it."""
        target = pb.SessionTarget(iss=iss_of(self.tokens[0]), sid=f"{LANG}/watch/{uuid.uuid4()}")
        request = pb.RevokeRequest(
            targets=[pb.Target(session=target)], rules=pb.Rules(all=True), reason=pb.REASON_POLICY
        )
        return name_of(self.revoke(request, "an ended session").target)

    def a_watch_is_resumed(self) -> None:
        watch = self.stub.WatchRevocations(
            pb.WatchRevocationsRequest(start=pb.START_BEGINNING, watcher=f"{LANG} client"),
            timeout=WATCH_TIMEOUT_S,
        )
        mode, seen, cursor = read_until_caught_up(watch)
        watch.cancel()
        expect(mode == pb.WATCH_MODE_BEGINNING, f"the first watch says BEGINNING; got {pb.WatchMode.Name(mode)}")
        expect(len(cursor) > 0, "the watch gives a cursor")
        missing = self.revoked - seen
        expect(not missing, f"the watch shows everything revoked here; missing {missing}")

        before = set(self.revoked)
        meanwhile = self.end_a_session()
        watch = self.stub.WatchRevocations(
            pb.WatchRevocationsRequest(cursor=cursor, watcher=f"{LANG} client"),
            timeout=WATCH_TIMEOUT_S,
        )
        mode, resumed, _ = read_until_caught_up(watch)
        expect(mode == pb.WATCH_MODE_RESUMED, f"the second watch says RESUMED; got {pb.WatchMode.Name(mode)}")
        expect(meanwhile in resumed, f"the resumed watch shows what is new; got {resumed}")
        again = before & resumed
        expect(not again, f"the resumed watch repeats nothing; got again {again}")

        live = self.end_a_session()
        arrived = any(
            live == name_of(revocation.target)
            for message in watch
            for revocation in message.records.revocations
        )
        watch.cancel()
        expect(arrived, "the open watch shows what is revoked while it is open")

    def restored_tokens_are_active_again(self) -> None:
        for token in (token for token in self.tokens if token["name"] == "jti"):
            target = pb.TokenTarget(iss=iss_of(token), jti=token["claims"]["jti"])
            answer = self.stub.Restore(
                pb.RestoreRequest(targets=[pb.Target(token=target)]), timeout=RPC_TIMEOUT_S
            )
            expect(
                len(answer.receipts) == 1 and not answer.receipts[0].in_force,
                f"nothing is in force after Restore of {token['alg']} jti; got {answer.receipts}",
            )
            self.expect_active(token, "after Restore")

    def a_batch_is_answered_in_order(self) -> None:
        session = next(token for token in self.tokens if token["name"] == "session")
        restored = next(token for token in self.tokens if token["name"] == "jti")
        checks = [
            pb.CheckRequest(token=session["token"]),
            pb.CheckRequest(claims=pb.Claims(**restored["claims"])),
        ]
        answer = self.stub.CheckBatch(pb.CheckBatchRequest(checks=checks), timeout=RPC_TIMEOUT_S)
        verdicts = [pb.Verdict.Name(result.verdict) for result in answer.results]
        expect(
            verdicts == ["VERDICT_REVOKED", "VERDICT_ACTIVE"],
            f"a batch of a revoked and a restored token is REVOKED, ACTIVE; got {verdicts}",
        )

    def run(self) -> None:
        self.zero_targets_are_refused()
        self.each_token_is_revoked_by_its_target()
        self.a_user_is_logged_out_everywhere()
        self.a_watch_is_resumed()
        self.restored_tokens_are_active_again()
        self.a_batch_is_answered_in_order()


def read_until_caught_up(watch) -> tuple[int, set[tuple], bytes]:
    """The mode of a watch, the names of what it showed, and its last cursor."""
    mode, seen, cursor = pb.WATCH_MODE_UNSPECIFIED, set(), b""
    for number, message in enumerate(watch):
        cursor = message.cursor
        event = message.WhichOneof("event")
        expect((number == 0) == (event == "hello"), f"hello comes first and once; got {event}")
        if event == "hello":
            mode = message.hello.mode
        elif event == "records":
            seen.update(name_of(revocation.target) for revocation in message.records.revocations)
        elif event == "caught_up":
            return mode, seen, cursor
    expect(False, "a watch does not end before CaughtUp")
    return mode, seen, cursor


def main() -> int:
    if len(sys.argv) != 3:
        print("usage: client.py ADDRESS TOKENS_JSON", file=sys.stderr)
        return 2
    with open(sys.argv[2], encoding="utf-8") as file:
        tokens = [token for token in json.load(file) if token["lang"] == LANG]
    if not tokens:
        print(f"FAILED {LANG}: {sys.argv[2]} has no token for {LANG}")
        return 1
    with grpc.insecure_channel(sys.argv[1]) as channel:
        try:
            Scenario(revocation_pb2_grpc.RevocationServiceStub(channel), tokens).run()
        except grpc.RpcError as error:
            expect(False, f"no call fails; got {error.code()}: {error.details()}")
    print(f"{LANG}: {len(tokens)} tokens, {failures} failed expectations")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())

package dev.rescind.clients;

import com.google.protobuf.ByteString;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import dev.rescind.v1.CheckBatchRequest;
import dev.rescind.v1.CheckRequest;
import dev.rescind.v1.CheckResponse;
import dev.rescind.v1.Claims;
import dev.rescind.v1.InForce;
import dev.rescind.v1.Reason;
import dev.rescind.v1.Receipt;
import dev.rescind.v1.RestoreRequest;
import dev.rescind.v1.RevocationServiceGrpc.RevocationServiceBlockingStub;
import dev.rescind.v1.RevokeRequest;
import dev.rescind.v1.RevokeUserRequest;
import dev.rescind.v1.Rules;
import dev.rescind.v1.Start;
import dev.rescind.v1.Target;
import dev.rescind.v1.Verdict;
import dev.rescind.v1.WatchMode;
import dev.rescind.v1.WatchRevocationsRequest;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.TimeUnit;
import java.util.regex.Pattern;

/** What ../README.md tells, in its order. */
final class Scenario {
  private static final int RPC_TIMEOUT_S = 10;
  private static final int WATCH_TIMEOUT_S = 60;
  private static final Pattern UPPER_SNAKE = Pattern.compile("[A-Z][A-Z0-9_]*");

  private final RevocationServiceBlockingStub stub;
  private final List<Token> tokens;
  private final Expect expect;
  private final Set<Target> revoked = new HashSet<>();

  Scenario(RevocationServiceBlockingStub stub, List<Token> tokens, Expect expect) {
    this.stub = stub;
    this.tokens = tokens;
    this.expect = expect;
  }

  void run() {
    zeroTargetsAreRefused();
    eachTokenIsRevokedByItsTarget();
    aUserIsLoggedOutEverywhere();
    aWatchIsResumed();
    restoredTokensAreActiveAgain();
    aBatchIsAnsweredInOrder();
  }

  private void zeroTargetsAreRefused() {
    try {
      rpc().revoke(RevokeRequest.newBuilder().setReason(Reason.REASON_LOGOUT).build());
      expect.that(false, "zero targets are INVALID_ARGUMENT; got an answer");
    } catch (StatusRuntimeException error) {
      Status.Code code = error.getStatus().getCode();
      expect.that(
          code == Status.Code.INVALID_ARGUMENT, "zero targets are INVALID_ARGUMENT; got %s", code);
      expectDetails(StatusProto.fromThrowable(error));
    }
  }

  private void expectDetails(com.google.rpc.Status status) {
    var info = ErrorInfo.getDefaultInstance();
    var badRequest = BadRequest.getDefaultInstance();
    try {
      for (var detail : status.getDetailsList()) {
        if (detail.is(ErrorInfo.class)) {
          info = detail.unpack(ErrorInfo.class);
        }
        if (detail.is(BadRequest.class)) {
          badRequest = detail.unpack(BadRequest.class);
        }
      }
    } catch (InvalidProtocolBufferException error) {
      expect.that(false, "the error's details can be decoded; got %s", error);
    }
    var domain = info.getDomain();
    expect.that(domain.equals("rescind"), "ErrorInfo's domain is rescind; got '%s'", domain);
    var reason = info.getReason();
    boolean upperSnake = UPPER_SNAKE.matcher(reason).matches();
    expect.that(upperSnake, "ErrorInfo's reason is UPPER_SNAKE; got '%s'", reason);
    var fields =
        badRequest.getFieldViolationsList().stream()
            .map(BadRequest.FieldViolation::getField)
            .toList();
    expect.that(fields.contains("targets"), "BadRequest names `targets`; got %s", fields);
  }

  private void eachTokenIsRevokedByItsTarget() {
    for (Token token : tokens) {
      expectActive(token, "at first");
      token.revocation().ifPresent(request -> revokeAndCheck(token, request));
    }
  }

  private void revokeAndCheck(Token token, RevokeRequest request) {
    if (token.name().equals("fractional-iat")) {
      var early =
          RevokeRequest.newBuilder()
              .addTargets(token.byUser())
              .setRules(Token.issuedBefore(Math.floor(token.claims().iat())));
      revoke(early.build(), token + " with an earlier cut-off");
      expectActive(token, "after a cut-off a quarter second before its iat");
    }
    Target target = revoke(request, token.toString()).getTarget();
    var named = target.getToken();
    switch (token.name()) {
      case "no-jti", "digest" ->
          expect.that(
              named.getSigningInputSha256().equals(token.digest()) && named.getJwt().isEmpty(),
              "the receipt for %s names it by its digest; got %s",
              token,
              target);
      case "jti" ->
          expect.that(
              named.getJti().equals(token.claims().jti()),
              "the receipt for %s names its jti; got %s",
              token,
              target);
      default -> {}
    }
    expectRevoked(token, request.getReason(), request.getTargets(0).getKindCase());
  }

  private void aUserIsLoggedOutEverywhere() {
    var reason = Reason.REASON_SUSPICIOUS_ACTIVITY;
    for (Token phone : named("phone")) {
      String sub = phone.claims().sub();
      var request =
          RevokeUserRequest.newBuilder().setIss(phone.claims().iss()).setSub(sub).setReason(reason);
      expectReceipt(rpc().revokeUser(request.build()).getReceipt(), "the user of " + phone);
      for (Token token : tokens) {
        if (token.claims().sub().equals(sub)) {
          expectRevoked(token, reason, Target.KindCase.USER);
        }
      }
    }
  }

  private void aWatchIsResumed() {
    Watch.Seen first;
    var fromTheBeginning = WatchRevocationsRequest.newBuilder().setStart(Start.START_BEGINNING);
    try (Watch watch = watch(fromTheBeginning)) {
      first = watch.readUntilCaughtUp();
    }
    boolean fromBeginning = first.mode() == WatchMode.WATCH_MODE_BEGINNING;
    expect.that(fromBeginning, "the first watch says BEGINNING; got %s", first.mode());
    expect.that(!first.cursor().isEmpty(), "the watch gives a cursor");
    var missing = new HashSet<>(revoked);
    missing.removeAll(first.targets());
    expect.that(
        missing.isEmpty(), "the watch shows everything revoked here; missing %s", missing);
    resume(first.cursor());
  }

  private void resume(ByteString cursor) {
    var again = new HashSet<>(revoked);
    Target meanwhile = endASession();
    try (Watch watch = watch(WatchRevocationsRequest.newBuilder().setCursor(cursor))) {
      Watch.Seen resumed = watch.readUntilCaughtUp();
      boolean isResumed = resumed.mode() == WatchMode.WATCH_MODE_RESUMED;
      expect.that(isResumed, "the second watch says RESUMED; got %s", resumed.mode());
      boolean hasNew = resumed.targets().contains(meanwhile);
      expect.that(hasNew, "the resumed watch shows what is new; got %s", resumed.targets());
      again.retainAll(resumed.targets());
      expect.that(again.isEmpty(), "the resumed watch repeats nothing; got again %s", again);

      Target live = endASession();
      boolean arrived = watch.readUntil(live);
      expect.that(arrived, "the open watch shows what is revoked while it is open");
    }
  }

  private void restoredTokensAreActiveAgain() {
    for (Token token : named("jti")) {
      var request = RestoreRequest.newBuilder().addTargets(token.byJti()).build();
      var receipts = rpc().restore(request).getReceiptsList();
      boolean lifted = receipts.size() == 1 && receipts.get(0).getInForceCount() == 0;
      expect.that(lifted, "nothing is in force after Restore of %s; got %s", token, receipts);
      expectActive(token, "after Restore");
    }
  }

  private void aBatchIsAnsweredInOrder() {
    var session = named("session").get(0).token();
    var restored = named("jti").get(0).claims();
    var claims =
        Claims.newBuilder()
            .setIss(restored.iss())
            .setJti(restored.jti())
            .setSub(restored.sub())
            .setKid(restored.kid())
            .setIat(restored.iat())
            .setExp(restored.exp());
    var request =
        CheckBatchRequest.newBuilder()
            .addChecks(CheckRequest.newBuilder().setToken(session))
            .addChecks(CheckRequest.newBuilder().setClaims(claims));
    var results = rpc().checkBatch(request.build()).getResultsList();
    var verdicts = results.stream().map(CheckResponse::getVerdict).toList();
    var want = List.of(Verdict.VERDICT_REVOKED, Verdict.VERDICT_ACTIVE);
    boolean inOrder = verdicts.equals(want);
    expect.that(
        inOrder, "a batch of a revoked and a restored token is %s; got %s", want, verdicts);
  }

  private RevocationServiceBlockingStub rpc() {
    return stub.withDeadlineAfter(RPC_TIMEOUT_S, TimeUnit.SECONDS);
  }

  private Watch watch(WatchRevocationsRequest.Builder request) {
    var call = stub.withDeadlineAfter(WATCH_TIMEOUT_S, TimeUnit.SECONDS);
    return new Watch(call, request.setWatcher(Expect.LANG + " client").build(), expect);
  }

  private List<Token> named(String name) {
    return tokens.stream().filter(token -> token.name().equals(name)).toList();
  }

  private CheckResponse check(Token token) {
    return rpc().check(CheckRequest.newBuilder().setToken(token.token()).build());
  }

  private void expectActive(Token token, String when) {
    CheckResponse got = check(token);
    boolean active = got.getActive() && got.getVerdict() == Verdict.VERDICT_ACTIVE;
    expect.that(active, "%s is ACTIVE %s; got %s", token, when, got);
  }

  private void expectRevoked(Token token, Reason reason, Target.KindCase kind) {
    CheckResponse got = check(token);
    boolean denied = !got.getActive() && got.getVerdict() == Verdict.VERDICT_REVOKED;
    expect.that(denied, "%s is REVOKED after its revocation; got %s", token, got);
    var match = got.getMatch();
    boolean sameReason = match.getReason() == reason;
    expect.that(sameReason, "%s says reason %s; got %s", token, reason, match);
    boolean sameKind = match.getTarget().getKindCase() == kind;
    expect.that(sameKind, "%s says that its %s was revoked; got %s", token, kind, match);
  }

  private Receipt revoke(RevokeRequest request, String of) {
    var receipts = rpc().revoke(request).getReceiptsList();
    expect.that(receipts.size() == 1, "one receipt for %s; got %d", of, receipts.size());
    if (receipts.isEmpty()) {
      return Receipt.getDefaultInstance();
    }
    expectReceipt(receipts.get(0), of);
    return receipts.get(0);
  }

  private void expectReceipt(Receipt receipt, String of) {
    var rules = receipt.getInForceList();
    expect.that(
        !rules.isEmpty(), "the receipt for %s has a rule in force; got %s", of, receipt);
    if (rules.stream().anyMatch(InForce::hasBefore)) {
      expect.that(receipt.hasNotBefore(), "the receipt for %s says not_before", of);
    }
    revoked.add(Watch.nameOf(receipt.getTarget()));
  }

  /** Revokes something new and tells its name, as a watch will show it. */
  private Target endASession() {
    String sid = Expect.LANG + "/watch/" + UUID.randomUUID();
    var request =
        RevokeRequest.newBuilder()
            .addTargets(Token.session(tokens.get(0).claims().iss(), sid))
            .setRules(Rules.newBuilder().setAll(true))
            .setReason(Reason.REASON_POLICY);
    return Watch.nameOf(revoke(request.build(), "an ended session").getTarget());
  }
}

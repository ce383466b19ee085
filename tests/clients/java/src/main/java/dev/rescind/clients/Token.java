package dev.rescind.clients;

import com.google.protobuf.ByteString;
import com.google.protobuf.Timestamp;
import dev.rescind.v1.Reason;
import dev.rescind.v1.RevokeRequest;
import dev.rescind.v1.Rules;
import dev.rescind.v1.SessionTarget;
import dev.rescind.v1.Target;
import dev.rescind.v1.TokenTarget;
import dev.rescind.v1.UserTarget;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Optional;

/** One entry of TOKENS_JSON. */
record Token(String lang, String name, String alg, String token, Claims claims) {
  /** What the token says, as dev.rescind.v1.Claims takes it; null: no such claim. */
  record Claims(String iss, String jti, String sub, String sid, String kid, double iat, double exp) {}

  @Override
  public String toString() {
    return alg + " " + name;
  }

  ByteString digest() {
    String signingInput = token.substring(0, token.lastIndexOf('.'));
    try {
      var sha256 = MessageDigest.getInstance("SHA-256");
      return ByteString.copyFrom(sha256.digest(signingInput.getBytes(StandardCharsets.US_ASCII)));
    } catch (NoSuchAlgorithmException error) {
      throw new IllegalStateException("every Java has SHA-256", error);
    }
  }

  Target byJti() {
    return target(TokenTarget.newBuilder().setIss(claims.iss).setJti(claims.jti));
  }

  Target byUser() {
    var user = UserTarget.newBuilder().setIss(claims.iss).setSub(claims.sub);
    return Target.newBuilder().setUser(user).build();
  }

  /** How the token of each name is revoked; empty: not by Revoke, but by RevokeUser. */
  Optional<RevokeRequest> revocation() {
    return switch (name) {
      case "jti" -> {
        var exact = TokenTarget.newBuilder(byJti().getToken()).setExp(claims.exp);
        yield revocation(target(exact), Reason.REASON_LOGOUT);
      }
      case "no-jti" ->
          revocation(
              target(TokenTarget.newBuilder().setJwt(token)), Reason.REASON_CREDENTIAL_COMPROMISED);
      case "digest" -> {
        var exact = TokenTarget.newBuilder().setIss(claims.iss).setSigningInputSha256(digest());
        yield revocation(target(exact), Reason.REASON_TOKEN_ROTATED);
      }
      case "session" -> revocation(session(claims.iss, claims.sid), Reason.REASON_ADMIN);
      case "fractional-iat" ->
          revocation(
              byUser(), Reason.REASON_PASSWORD_CHANGED, issuedBefore(Math.floor(claims.iat) + 0.5));
      case "numeric-sub" ->
          revocation(
              byUser(), Reason.REASON_ACCOUNT_DISABLED, Rules.newBuilder().setAll(true).build());
      case "phone", "laptop" -> Optional.empty();
      default -> throw new IllegalArgumentException("no such token name: " + name);
    };
  }

  static Target session(String iss, String sid) {
    return Target.newBuilder()
        .setSession(SessionTarget.newBuilder().setIss(iss).setSid(sid))
        .build();
  }

  static Rules issuedBefore(double seconds) {
    double whole = Math.floor(seconds);
    var time =
        Timestamp.newBuilder()
            .setSeconds((long) whole)
            .setNanos((int) Math.round((seconds - whole) * 1e9));
    return Rules.newBuilder().setIssuedBefore(time).build();
  }

  private static Target target(TokenTarget.Builder token) {
    return Target.newBuilder().setToken(token).build();
  }

  private static Optional<RevokeRequest> revocation(Target target, Reason reason) {
    return Optional.of(RevokeRequest.newBuilder().addTargets(target).setReason(reason).build());
  }

  private static Optional<RevokeRequest> revocation(Target target, Reason reason, Rules rules) {
    return revocation(target, reason)
        .map(request -> request.toBuilder().setRules(rules).build());
  }
}

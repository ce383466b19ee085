package dev.rescind.clients;

import com.google.protobuf.ByteString;
import dev.rescind.v1.RevocationServiceGrpc.RevocationServiceBlockingStub;
import dev.rescind.v1.Target;
import dev.rescind.v1.WatchMode;
import dev.rescind.v1.WatchRevocationsRequest;
import dev.rescind.v1.WatchRevocationsResponse;
import io.grpc.Context;
import java.util.HashSet;
import java.util.Iterator;
import java.util.Set;

/** One watch, cancelled when closed. */
final class Watch implements AutoCloseable {
  /** The mode of a watch, the names of what it showed, and its last cursor. */
  record Seen(WatchMode mode, Set<Target> targets, ByteString cursor) {}

  private final Context.CancellableContext context = Context.current().withCancellation();
  private final Iterator<WatchRevocationsResponse> messages;
  private final Expect expect;

  Watch(RevocationServiceBlockingStub stub, WatchRevocationsRequest request, Expect expect) {
    this.expect = expect;
    Context previous = context.attach();
    try {
      messages = stub.watchRevocations(request);
    } finally {
      context.detach(previous);
    }
  }

  /** What identifies a target: {@code exp} does not. */
  static Target nameOf(Target target) {
    if (!target.hasToken()) {
      return target;
    }
    return target.toBuilder().setToken(target.getToken().toBuilder().clearExp()).build();
  }

  Seen readUntilCaughtUp() {
    var mode = WatchMode.WATCH_MODE_UNSPECIFIED;
    var targets = new HashSet<Target>();
    var cursor = ByteString.EMPTY;
    for (boolean first = true; messages.hasNext(); first = false) {
      WatchRevocationsResponse message = messages.next();
      cursor = message.getCursor();
      boolean helloFirst = first == message.hasHello();
      expect.that(helloFirst, "hello comes first and once; got %s", message.getEventCase());
      switch (message.getEventCase()) {
        case HELLO -> mode = message.getHello().getMode();
        case RECORDS -> addTo(targets, message);
        case CAUGHT_UP -> {
          return new Seen(mode, targets, cursor);
        }
        default -> {}
      }
    }
    expect.that(false, "a watch does not end before CaughtUp");
    return new Seen(mode, targets, cursor);
  }

  boolean readUntil(Target target) {
    var targets = new HashSet<Target>();
    while (!targets.contains(target) && messages.hasNext()) {
      addTo(targets, messages.next());
    }
    return targets.contains(target);
  }

  private static void addTo(Set<Target> targets, WatchRevocationsResponse message) {
    for (var revocation : message.getRecords().getRevocationsList()) {
      targets.add(nameOf(revocation.getTarget()));
    }
  }

  @Override
  public void close() {
    context.cancel(null);
  }
}

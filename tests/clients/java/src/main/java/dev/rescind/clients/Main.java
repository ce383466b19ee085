package dev.rescind.clients;

import com.google.gson.Gson;
import com.google.gson.reflect.TypeToken;
import dev.rescind.v1.RevocationServiceGrpc;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.StatusRuntimeException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/** The scenario of ../README.md with grpc-java: {@code Main ADDRESS TOKENS_JSON}. */
public final class Main {
  private Main() {}

  public static void main(String[] args) throws IOException {
    if (args.length != 2) {
      System.err.println("usage: Main ADDRESS TOKENS_JSON");
      System.exit(2);
    }
    String json = Files.readString(Path.of(args[1]));
    List<Token> all = new Gson().fromJson(json, new TypeToken<List<Token>>() {}.getType());
    List<Token> tokens = all.stream().filter(token -> token.lang().equals(Expect.LANG)).toList();
    Expect expect = new Expect();
    expect.that(!tokens.isEmpty(), "%s has a token for %s", args[1], Expect.LANG);
    var channel = Grpc.newChannelBuilder(args[0], InsecureChannelCredentials.create()).build();
    try {
      if (!tokens.isEmpty()) {
        new Scenario(RevocationServiceGrpc.newBlockingStub(channel), tokens, expect).run();
      }
    } catch (StatusRuntimeException error) {
      expect.that(false, "no call fails; got %s", error.getMessage());
    } finally {
      channel.shutdownNow();
    }
    System.out.printf(
        "%s: %d tokens, %d failed expectations%n", Expect.LANG, tokens.size(), expect.failures());
    System.exit(expect.failures() > 0 ? 1 : 0);
  }
}

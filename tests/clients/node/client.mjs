// The scenario of ../README.md with grpc-js, whose usual way is to make the stubs from the .proto
// when the program starts (@grpc/proto-loader).
//
//     node client.mjs PROTO_DIR ADDRESS TOKENS_JSON
import { createHash, randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import grpc from "@grpc/grpc-js";
import protoLoader from "@grpc/proto-loader";
import { BadRequest, ErrorInfo } from "nice-grpc-error-details";
import { Status } from "nice-grpc-error-details/lib/proto/google/rpc/status.js";

const LANG = "node";
const RPC_TIMEOUT_MS = 10_000;
const WATCH_TIMEOUT_MS = 60_000;

let failures = 0;

// Counts and prints what does not hold, and goes on: one run shows everything.
function expect(holds, what) {
  if (holds) return;
  failures += 1;
  console.log(`FAILED ${LANG}: ${what}`);
}

const text = (value) =>
  JSON.stringify(value, (_, v) => (v?.type === "Buffer" ? Buffer.from(v.data).toString("hex") : v));
const what = (token) => `${token.alg} ${token.name}`;
const isUpperSnake = (reason) => /^[A-Z][A-Z0-9_]*$/.test(reason);

function digestOf(token) {
  const signingInput = token.token.slice(0, token.token.lastIndexOf("."));
  return createHash("sha256").update(signingInput).digest();
}

function timestamp(seconds) {
  const whole = Math.floor(seconds);
  return { seconds: whole, nanos: Math.round((seconds - whole) * 1e9) };
}

const userTarget = ({ claims }) => ({ user: { iss: claims.iss, sub: claims.sub } });

// How the token of each name is revoked; undefined: not by Revoke, but by RevokeUser.
function revocationOf(token) {
  const { iss, jti, exp, sid, iat } = token.claims;
  switch (token.name) {
    case "jti":
      return { targets: [{ token: { iss, jti, exp } }], reason: "REASON_LOGOUT" };
    case "no-jti":
      return { targets: [{ token: { jwt: token.token } }], reason: "REASON_CREDENTIAL_COMPROMISED" };
    case "digest": {
      const target = { token: { iss, signing_input_sha256: digestOf(token) } };
      return { targets: [target], reason: "REASON_TOKEN_ROTATED" };
    }
    case "session":
      return { targets: [{ session: { iss, sid } }], reason: "REASON_ADMIN" };
    case "fractional-iat": {
      const rules = { issued_before: timestamp(Math.floor(iat) + 0.5) };
      return { targets: [userTarget(token)], rules, reason: "REASON_PASSWORD_CHANGED" };
    }
    case "numeric-sub":
      return { targets: [userTarget(token)], rules: { all: true }, reason: "REASON_ACCOUNT_DISABLED" };
    case "phone":
    case "laptop":
      return undefined;
    default:
      throw new Error(`no such token name: ${token.name}`);
  }
}

// What identifies a target: `exp` does not.
function nameOf(target) {
  const { iss, jti, signing_input_sha256, sub, sid, client_id, kid, name, value } = target[target.kind];
  const digest = signing_input_sha256?.toString("hex");
  return text([target.kind, iss, jti, digest, sub, sid, client_id, kid, name, value]);
}

class Scenario {
  constructor(client, tokens) {
    this.client = client;
    this.tokens = tokens;
    this.revoked = new Set();
  }

  call(method, request) {
    const deadline = Date.now() + RPC_TIMEOUT_MS;
    return new Promise((resolve, reject) => {
      this.client[method](request, { deadline }, (error, answer) =>
        error ? reject(error) : resolve(answer),
      );
    });
  }

  watch(request) {
    const deadline = Date.now() + WATCH_TIMEOUT_MS;
    return this.client.WatchRevocations({ ...request, watcher: `${LANG} client` }, { deadline });
  }

  async expectActive(token, when) {
    const got = await this.call("Check", { token: token.token });
    expect(
      got.active && got.verdict === "VERDICT_ACTIVE",
      `${what(token)} is ACTIVE ${when}; got ${text(got)}`,
    );
  }

  async expectRevoked(token, reason, kind) {
    const got = await this.call("Check", { token: token.token });
    expect(
      !got.active && got.verdict === "VERDICT_REVOKED",
      `${what(token)} is REVOKED after its revocation; got ${text(got)}`,
    );
    expect(
      got.match?.reason === reason,
      `${what(token)} says reason ${reason}; got ${text(got.match)}`,
    );
    expect(
      got.match?.target?.kind === kind,
      `${what(token)} says that its ${kind} was revoked; got ${text(got.match)}`,
    );
  }

  expectReceipt(receipt, of) {
    const { in_force, not_before } = receipt;
    expect(in_force.length > 0, `the receipt for ${of} has a rule in force; got ${text(receipt)}`);
    if (in_force.some((rule) => rule.cut_off === "before")) {
      expect(not_before !== null, `the receipt for ${of} says not_before`);
    }
    this.revoked.add(nameOf(receipt.target));
  }

  async revoke(request, of) {
    const { receipts } = await this.call("Revoke", request);
    expect(receipts.length === 1, `one receipt for ${of}; got ${receipts.length}`);
    this.expectReceipt(receipts[0], of);
    return receipts[0];
  }

  async zeroTargetsAreRefused() {
    const error = await this.call("Revoke", { reason: "REASON_LOGOUT" }).then(
      () => undefined,
      (error) => error,
    );
    const code = grpc.status[error?.code];
    expect(code === "INVALID_ARGUMENT", `zero targets are INVALID_ARGUMENT; got ${code}`);
    const [bytes] = error?.metadata?.get("grpc-status-details-bin") ?? [];
    expect(bytes !== undefined, "the error has status details");
    const details = bytes === undefined ? [] : Status.decode(bytes).details;
    const detail = (type) => {
      const found = details.find(({ typeUrl }) => typeUrl.endsWith(`/${type.$type}`));
      return found && type.decode(found.value);
    };
    const info = detail(ErrorInfo);
    expect(info?.domain === "rescind", `ErrorInfo's domain is rescind; got ${info?.domain}`);
    expect(isUpperSnake(info?.reason), `ErrorInfo's reason is UPPER_SNAKE; got ${info?.reason}`);
    const fields = (detail(BadRequest)?.fieldViolations ?? []).map(({ field }) => field);
    expect(fields.includes("targets"), `BadRequest names \`targets\`; got ${text(fields)}`);
  }

  async eachTokenIsRevokedByItsTarget() {
    for (const token of this.tokens) {
      await this.expectActive(token, "at first");
      const request = revocationOf(token);
      if (request === undefined) continue;
      if (token.name === "fractional-iat") {
        const rules = { issued_before: timestamp(Math.floor(token.claims.iat)) };
        const early = { targets: [userTarget(token)], rules };
        await this.revoke(early, `${what(token)} with an earlier cut-off`);
        await this.expectActive(token, "after a cut-off a quarter second before its iat");
      }
      const receipt = await this.revoke(request, what(token));
      const named = receipt.target.token;
      if (["no-jti", "digest"].includes(token.name)) {
        expect(
          named?.signing_input_sha256?.equals(digestOf(token)) && named.jwt === "",
          `the receipt for ${what(token)} names it by its digest; got ${text(receipt.target)}`,
        );
      }
      if (token.name === "jti") {
        expect(named?.jti === token.claims.jti, `the receipt for ${what(token)} names its jti`);
      }
      await this.expectRevoked(token, request.reason, Object.keys(request.targets[0])[0]);
    }
  }

  async aUserIsLoggedOutEverywhere() {
    const reason = "REASON_SUSPICIOUS_ACTIVITY";
    for (const phone of this.tokens.filter(({ name }) => name === "phone")) {
      const { iss, sub } = phone.claims;
      const { receipt } = await this.call("RevokeUser", { iss, sub, reason });
      this.expectReceipt(receipt, `the user of ${what(phone)}`);
      for (const token of this.tokens.filter(({ claims }) => claims.sub === sub)) {
        await this.expectRevoked(token, reason, "user");
      }
    }
  }

  // Revokes something new and tells its name, as a watch will show it.
  async endASession() {
    const { iss } = this.tokens[0].claims;
    const session = { iss, sid: `${LANG}/watch/${randomUUID()}` };
    const request = { targets: [{ session }], rules: { all: true }, reason: "REASON_POLICY" };
    return nameOf((await this.revoke(request, "an ended session")).target);
  }

  async aWatchIsResumed() {
    const first = new WatchReader(this.watch({ start: "START_BEGINNING" }));
    const { mode, seen, cursor } = await first.readUntilCaughtUp();
    first.cancel();
    expect(mode === "WATCH_MODE_BEGINNING", `the first watch says BEGINNING; got ${mode}`);
    expect(cursor.length > 0, "the watch gives a cursor");
    const missing = [...this.revoked].filter((name) => !seen.has(name));
    expect(missing.length === 0, `the watch shows everything revoked here; missing ${missing}`);

    const before = [...this.revoked];
    const meanwhile = await this.endASession();
    const second = new WatchReader(this.watch({ cursor }));
    const resumed = await second.readUntilCaughtUp();
    expect(resumed.mode === "WATCH_MODE_RESUMED", `the second watch says RESUMED; got ${resumed.mode}`);
    expect(resumed.seen.has(meanwhile), `the resumed watch shows what is new; got ${[...resumed.seen]}`);
    const again = before.filter((name) => resumed.seen.has(name));
    expect(again.length === 0, `the resumed watch repeats nothing; got again ${again}`);

    const live = await this.endASession();
    expect(await second.readUntil(live), "the open watch shows what is revoked while it is open");
    second.cancel();
  }

  async restoredTokensAreActiveAgain() {
    for (const token of this.tokens.filter(({ name }) => name === "jti")) {
      const { iss, jti } = token.claims;
      const { receipts } = await this.call("Restore", { targets: [{ token: { iss, jti } }] });
      expect(
        receipts.length === 1 && receipts[0].in_force.length === 0,
        `nothing is in force after Restore of ${what(token)}; got ${text(receipts)}`,
      );
      await this.expectActive(token, "after Restore");
    }
  }

  async aBatchIsAnsweredInOrder() {
    const session = this.tokens.find(({ name }) => name === "session");
    const restored = this.tokens.find(({ name }) => name === "jti");
    const checks = [{ token: session.token }, { claims: restored.claims }];
    const { results } = await this.call("CheckBatch", { checks });
    const verdicts = results.map(({ verdict }) => verdict).join(", ");
    expect(
      verdicts === "VERDICT_REVOKED, VERDICT_ACTIVE",
      `a batch of a revoked and a restored token is REVOKED, ACTIVE; got ${verdicts}`,
    );
  }

  async run() {
    await this.zeroTargetsAreRefused();
    await this.eachTokenIsRevokedByItsTarget();
    await this.aUserIsLoggedOutEverywhere();
    await this.aWatchIsResumed();
    await this.restoredTokensAreActiveAgain();
    await this.aBatchIsAnsweredInOrder();
  }
}

class WatchReader {
  constructor(stream) {
    this.stream = stream;
    this.messages = stream[Symbol.asyncIterator]();
  }

  // The mode of a watch, the names of what it showed, and its last cursor.
  async readUntilCaughtUp() {
    let mode, cursor;
    const seen = new Set();
    for (let number = 0; ; number += 1) {
      const { value: message, done } = await this.messages.next();
      expect(!done, "a watch does not end before CaughtUp");
      if (done) return { mode, seen, cursor: Buffer.of() };
      const { event } = message;
      cursor = message.cursor;
      expect((number === 0) === (event === "hello"), `hello comes first and once; got ${event}`);
      if (event === "hello") mode = message.hello.mode;
      if (event === "records") {
        for (const { target } of message.records.revocations) seen.add(nameOf(target));
      }
      if (event === "caught_up") return { mode, seen, cursor };
    }
  }

  async readUntil(name) {
    for (;;) {
      const { value: message, done } = await this.messages.next();
      if (done) return false;
      const revocations = message.records?.revocations ?? [];
      if (revocations.some(({ target }) => nameOf(target) === name)) return true;
    }
  }

  cancel() {
    // Nobody reads on: the stream's CANCELLED is expected.
    this.stream.on("error", () => {});
    this.stream.cancel();
  }
}

async function main([protoDir, address, tokensJson]) {
  if (tokensJson === undefined) {
    console.error("usage: node client.mjs PROTO_DIR ADDRESS TOKENS_JSON");
    return 2;
  }
  const tokens = JSON.parse(readFileSync(tokensJson, "utf8")).filter(({ lang }) => lang === LANG);
  if (tokens.length === 0) {
    console.log(`FAILED ${LANG}: ${tokensJson} has no token for ${LANG}`);
    return 1;
  }
  const definition = protoLoader.loadSync("rescind/v1/revocation.proto", {
    includeDirs: [protoDir],
    keepCase: true,
    longs: String,
    enums: String,
    defaults: true,
    oneofs: true,
  });
  const { RevocationService } = grpc.loadPackageDefinition(definition).rescind.v1;
  const client = new RevocationService(address, grpc.credentials.createInsecure());
  try {
    await new Scenario(client, tokens).run();
  } catch (error) {
    if (error.code === undefined) throw error;
    expect(false, `no call fails; got ${grpc.status[error.code]}: ${error.details}`);
  } finally {
    client.close();
  }
  console.log(`${LANG}: ${tokens.length} tokens, ${failures} failed expectations`);
  return failures > 0 ? 1 : 0;
}

process.exit(await main(process.argv.slice(2)));

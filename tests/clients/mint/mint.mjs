// Mints the same tokens as mint.py, with npm's jose: a second opinion on what a JWT looks like.
//
//     node mint.mjs OUT.json
import { randomBytes, randomInt } from "node:crypto";
import { writeFileSync } from "node:fs";
import { SignJWT, generateKeyPair } from "jose";

const ISSUER = "https://issuer.example";
const LANGUAGES = ["python", "node", "go", "java"];

const keys = {
  ES256: (await generateKeyPair("ES256")).privateKey,
  RS256: (await generateKeyPair("RS256")).privateKey,
  HS256: randomBytes(32),
  EdDSA: (await generateKeyPair("EdDSA")).privateKey,
};

// One payload for each name. The prefix makes every identifier this language's own.
function payloads(prefix, now) {
  const times = { iss: ISSUER, iat: now - 10, exp: now + 3600 };
  const sub = (name) => ({ sub: `${prefix}/sub-${name}` });
  const jti = (name) => ({ jti: `${prefix}/jti-${name}` });
  return {
    jti: { ...times, ...sub("jti"), ...jti("jti") },
    "no-jti": { ...times, ...sub("no-jti") },
    digest: { ...times, ...sub("digest") },
    session: { ...times, ...sub("session"), ...jti("session"), sid: `${prefix}/sid` },
    "fractional-iat": { ...times, ...sub("fractional"), ...jti("fractional"), iat: now - 10 + 0.25 },
    // JavaScript's numbers are exact up to 2^53; mint.py goes beyond.
    "numeric-sub": { ...times, sub: 2 ** 48 + randomInt(2 ** 47), ...jti("numeric") },
    phone: { ...times, ...sub("user"), ...jti("phone") },
    laptop: { ...times, ...sub("user"), ...jti("laptop") },
  };
}

const [out] = process.argv.slice(2);
if (out === undefined) {
  console.error("usage: node mint.mjs OUT.json");
  process.exit(2);
}
const now = Math.floor(Date.now() / 1000);
const run = randomBytes(6).toString("hex");
const tokens = [];
for (const lang of LANGUAGES) {
  for (const [alg, key] of Object.entries(keys)) {
    const kid = `jose-${alg}-${run}`;
    for (const [name, payload] of Object.entries(payloads(`${lang}/jose/${alg}/${run}`, now))) {
      const token = await new SignJWT(payload).setProtectedHeader({ alg, kid, typ: "JWT" }).sign(key);
      tokens.push({ lang, name, alg, token, claims: { ...payload, sub: String(payload.sub), kid } });
    }
  }
}
writeFileSync(out, JSON.stringify(tokens, null, 1));

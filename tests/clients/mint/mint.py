"""Mints tokens with PyJWT, for clients that know nothing of Rescind's own token code.

    mint.py OUT.json

The file is a list of {lang, name, alg, token, claims}: for each language and algorithm one token of
each name below. `claims` are as rescind.v1.Claims takes them: `sub` is text even where the token
carries a number. README.md beside this directory says what the clients do with each.
"""

import json
import sys
import time
import uuid

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

ISSUER = "https://issuer.example"
LANGUAGES = ["python", "node", "go", "java"]
# RSA 2048 is the least that RFC 7518 section 3.3 allows.
KEYS = {
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "RS256": rsa.generate_private_key(public_exponent=65537, key_size=2048),
    "HS256": uuid.uuid4().bytes + uuid.uuid4().bytes,
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
}
# Beyond 2^53: a sub read through a float would be another user.
SNOWFLAKE_MIN = 2**60


def payloads(prefix: str, now: int):
    """Yields (name, payload). The prefix makes every identifier this language's own."""
    times = {"iss": ISSUER, "iat": now - 10, "exp": now + 3600}

    def sub(name: str) -> dict:
        return {"sub": f"{prefix}/sub-{name}"}

    def jti(name: str) -> dict:
        return {"jti": f"{prefix}/jti-{name}"}

    yield "jti", times | sub("jti") | jti("jti")
    yield "no-jti", times | sub("no-jti")
    yield "digest", times | sub("digest")
    yield "session", times | sub("session") | jti("session") | {"sid": f"{prefix}/sid"}
    yield "fractional-iat", times | sub("fractional") | jti("fractional") | {"iat": now - 10 + 0.25}
    number = SNOWFLAKE_MIN + uuid.uuid4().int % SNOWFLAKE_MIN
    yield "numeric-sub", times | {"sub": number} | jti("numeric")
    yield "phone", times | sub("user") | jti("phone")
    yield "laptop", times | sub("user") | jti("laptop")


def mint(now: int) -> list[dict]:
    tokens = []
    run = uuid.uuid4().hex[:12]
    for lang in LANGUAGES:
        for alg, key in KEYS.items():
            kid = f"pyjwt-{alg}-{run}"
            for name, payload in payloads(f"{lang}/pyjwt/{alg}/{run}", now):
                token = jwt.encode(payload, key, algorithm=alg, headers={"kid": kid})
                claims = payload | {"sub": str(payload["sub"]), "kid": kid}
                tokens.append(
                    {"lang": lang, "name": name, "alg": alg, "token": token, "claims": claims}
                )
    return tokens


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("usage: mint.py OUT.json")
    tokens = mint(int(time.time()))
    with open(sys.argv[1], "w", encoding="utf-8") as out:
        json.dump(tokens, out, indent=1)


if __name__ == "__main__":
    main()

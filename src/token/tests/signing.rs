//! Keys and tokens for the tests of verification.

use std::sync::{Arc, LazyLock};

use serde_json::{Value, json};

use super::super::{
    algorithm::Algorithm,
    keys::KeySet,
    sign::{RsaBits, SigningKey},
};
use super::*;

pub(super) const NOW: UnixNanos = UnixNanos::from_secs(1_750_000_000);
pub(super) const ISS: &str = "https://issuer.example";

/// One for all tests, since making one takes long.
static RSA: LazyLock<String> = LazyLock::new(|| {
    let key = SigningKey::generate(Algorithm::Rs256, RsaBits::B2048).unwrap();
    String::from_utf8(key.private().unwrap()).unwrap()
});

pub(super) fn all() -> impl Iterator<Item = Algorithm> {
    Algorithm::ALL.into_iter().map(|(algorithm, _)| algorithm)
}

/// A key for an algorithm; the same one each time for all of RSA.
pub(super) fn key(algorithm: Algorithm) -> SigningKey {
    if Algorithm::RSA.contains(&algorithm) {
        SigningKey::from_pem(algorithm, &RSA).unwrap()
    } else {
        SigningKey::generate(algorithm, RsaBits::B2048).unwrap()
    }
}

pub(super) fn jwks(keys: &[Value]) -> Vec<u8> {
    json!({ "keys": keys }).to_string().into_bytes()
}

pub(super) fn set(keys: &[Value], allowed: &[Algorithm]) -> KeySet {
    KeySet::from_jwks(&jwks(keys), allowed, true).unwrap()
}

pub(super) fn demands(algorithms: &[Algorithm]) -> Demands {
    Demands {
        algorithms: algorithms.to_vec(),
        audiences: Vec::new(),
        types: ["JWT", "at+jwt", ""].map(str::to_owned).to_vec(),
    }
}

pub(super) fn issuer(demands: Demands, keys: KeySet) -> Arc<Issuer> {
    Arc::new(Issuer::new(ISS.to_owned(), demands, keys))
}

pub(super) fn verifier(algorithms: &[Algorithm], keys: KeySet) -> Verifier {
    Verifier::new([issuer(demands(algorithms), keys)])
}

/// The header that a key's tokens have.
pub(super) fn header(key: &SigningKey, kid: Option<&str>) -> Value {
    let mut header = json!({"alg": key.algorithm().name()});
    if let Some(kid) = kid {
        header["kid"] = json!(kid);
    }
    header
}

pub(super) fn claims() -> Value {
    json!({"iss": ISS, "sub": "ada", "jti": "t1", "iat": 1_750_000_000, "exp": 1_750_003_600})
}

/// A token of `key`, naming `kid`.
pub(super) fn signed(key: &SigningKey, kid: Option<&str>) -> String {
    key.token(&header(key, kid), &claims()).unwrap()
}

/// What a verifier says of a token: the key that vouches for it, or why none does.
pub(super) fn look(verifier: &Verifier, token: &str) -> Result<Option<String>, Refusal> {
    look_at(verifier, token, NOW)
}

pub(super) fn look_at(
    verifier: &Verifier,
    token: &str,
    now: UnixNanos,
) -> Result<Option<String>, Refusal> {
    let mut buffer = Buffer::default();
    let semantics = Semantics {
        default_issuer: Some(ISS.to_owned()),
        ..Semantics::default()
    };
    let parts = Parts::decode(token, &mut buffer)?;
    let claims = parts.claims(&semantics, Wanted::default())?;
    let kid = verifier.verify(&parts, &claims.iss, claims.exp, now)?;
    Ok(kid.map(|kid| kid.to_string()))
}

/// Why a token is refused for good.
pub(super) fn why(verifier: &Verifier, token: &str) -> String {
    match look(verifier, token).unwrap_err() {
        Refusal::Invalid(invalid) | Refusal::NamedKeyMisfits(invalid) => {
            invalid.detail.into_owned()
        }
        other => panic!("not for good: {other:?}"),
    }
}

/// The token with one bit of its signature's bytes turned.
pub(super) fn with_bit_turned(token: &str, byte: usize) -> String {
    let (input, signature) = token.rsplit_once('.').unwrap();
    let mut bytes = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let byte = byte % bytes.len();
    bytes[byte] ^= 1;
    format!("{input}.{}", b64(bytes))
}

/// A verifier with the public half of one key, by a key set.
pub(super) fn knows(key: &SigningKey) -> Verifier {
    let algorithm = key.algorithm();
    verifier(&[algorithm], set(&[key.jwk(Some("k"))], &[algorithm]))
}

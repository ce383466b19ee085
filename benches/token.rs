//! What Check pays for a token before the decision: taking it apart, and verifying it, for the
//! first time and when its signature is known already.
//!
//! One token of about 600 bytes for each algorithm, as an access token of a usual issuer is.

use std::{hint::black_box, sync::Arc};

use criterion::{Criterion, criterion_group, criterion_main};
use rescind::{
    model::{Invalid, Semantics, UnixNanos},
    token::{
        Buffer, Demands, Issuer, Parts, Verifier, Wanted,
        algorithm::Algorithm,
        keys::KeySet,
        sign::{RsaBits, SigningKey},
    },
};
use serde_json::{Value, json};

const ISS: &str = "https://issuer.example/realms/main";
const NOW_S: u64 = 1_750_000_000;
const KID: &str = "2025-06-key-1";

type Prepared<T> = Result<T, Box<dyn std::error::Error>>;

/// Claims with a scope of so many characters more.
fn claims(more: usize) -> Value {
    json!({
        "iss": ISS,
        "jti": "6f1c2a3e-4f2a-4b6e-9a53-000000000042",
        "sub": "8d3c1b9e-77aa-4c1e-a0b5-000000000007",
        "sid": "b7e2d9a4-10f3-4d8e-8c6a-000000000001",
        "azp": "web-shop",
        "aud": "api",
        "scope": format!("openid profile orders {}", "x".repeat(more)),
        "iat": NOW_S,
        "exp": NOW_S + 3_600,
        "auth_time": NOW_S - 60,
    })
}

/// A key, its token, and an issuer that knows the key.
fn prepare(algorithm: Algorithm) -> Prepared<(String, Arc<Issuer>)> {
    let key = SigningKey::generate(algorithm, RsaBits::B2048)?;
    let header = json!({"alg": algorithm.name(), "kid": KID, "typ": "JWT"});
    // Filled up to the same length, whatever the signature's.
    let short = key.token(&header, &claims(0))?;
    let more = 600_usize.saturating_sub(short.len()) * 3 / 4;
    let token = key.token(&header, &claims(more))?;
    let set = json!({"keys": [key.jwk(Some(KID))]}).to_string();
    let keys = KeySet::from_jwks(set.as_bytes(), &[algorithm], true)?;
    let demands = Demands {
        algorithms: vec![algorithm],
        audiences: vec!["api".to_owned()],
        types: vec!["JWT".to_owned()],
    };
    Ok((token, Arc::new(Issuer::new(ISS.to_owned(), demands, keys))))
}

fn tokens(criterion: &mut Criterion) {
    let semantics = Semantics::default();
    let mut buffer = Buffer::default();
    let now = UnixNanos::from_secs(NOW_S);
    if let Ok((token, _)) = prepare(Algorithm::Es256) {
        let name = format!("decoded only, {} bytes", token.len());
        criterion.bench_function(&name, |bencher| {
            bencher.iter(|| {
                let parts = Parts::decode(black_box(&token), &mut buffer)?;
                let claims = parts.claims(&semantics, Wanted::default())?;
                Ok::<_, Invalid>(black_box(claims).exp)
            });
        });
    }
    for algorithm in [
        Algorithm::Es256,
        Algorithm::Rs256,
        Algorithm::EdDsa,
        Algorithm::Hs256,
    ] {
        let Ok((token, issuer)) = prepare(algorithm) else {
            return;
        };
        let verifier = Verifier::new([issuer]);
        let mut look = |exp: Option<UnixNanos>| {
            let parts = Parts::decode(black_box(&token), &mut buffer)?;
            let claims = parts.claims(&semantics, Wanted::default())?;
            verifier.verify(&parts, &claims.iss, exp.or(claims.exp), now)
        };
        // A signature is remembered until its token's `exp`: one that ended is verified each time.
        let ended = Some(UnixNanos::ZERO);
        for (name, exp) in [("for the first time", ended), ("known", None)] {
            assert!(look(exp).is_ok(), "{algorithm}");
            let name = format!("{algorithm}, {} bytes, {name}", token.len());
            criterion.bench_function(&name, |bencher| bencher.iter(|| look(exp)));
        }
    }
}

criterion_group!(benches, tokens);
criterion_main!(benches);

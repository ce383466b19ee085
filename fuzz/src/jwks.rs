//! Reading keys, and what they then verify.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rescind::{
    limits,
    model::UnixNanos,
    token::{
        Buffer, Demands, Issuer, Parts, Verifier, algorithm::Algorithm, explain, keys::KeySet,
    },
};

use super::minted::CANARY;

/// Bytes that begin like a PEM are one, others a key set.
pub fn run(bytes: &[u8]) {
    let all: Vec<Algorithm> = Algorithm::ALL.into_iter().map(|(of, _)| of).collect();
    if bytes.starts_with(b"-----") {
        match KeySet::from_pem(bytes, &all) {
            Ok(keys) => vouches_for_nobody(keys, &all),
            Err(why) => is_discreet(&why.to_string()),
        }
        return;
    }
    let public = KeySet::from_jwks(bytes, &all, false);
    let any = KeySet::from_jwks(bytes, &all, true);
    assert_eq!(
        public.is_ok(),
        any.is_ok(),
        "a set is one wherever it comes from"
    );
    let (public, any) = match (public, any) {
        (Ok(public), Ok(any)) => (public, any),
        (_, Err(why)) | (Err(why), _) => {
            is_discreet(&why.to_string());
            return;
        }
    };
    let count = |set: &KeySet| set.keys().len() + set.skipped().len();
    assert_eq!(count(&public), count(&any), "a key was lost");
    assert!(count(&any) <= limits::JWKS_KEYS_MAX);
    for why in public.skipped().iter().chain(any.skipped()) {
        is_discreet(why);
    }
    let is_secret = |of: &_| Algorithm::HMAC.iter().any(|hmac| may(of, *hmac));
    assert!(
        !public.keys().iter().any(is_secret),
        "a published secret was taken"
    );
    for key in any.keys() {
        assert!(all.iter().any(|of| may(key, *of)), "a key for nothing");
        let families = [&Algorithm::HMAC[..], &Algorithm::RSA, &[Algorithm::EdDsa]];
        let of = families
            .iter()
            .filter(|of| of.iter().any(|of| may(key, *of)));
        assert!(of.count() <= 1, "a key of two kinds");
    }
    let only = [Algorithm::Es256];
    let narrow = KeySet::from_jwks(bytes, &only, true).expect("it was one before");
    for key in narrow.keys() {
        assert!(
            all.iter()
                .all(|of| may(key, *of) == (*of == Algorithm::Es256))
        );
    }
    vouches_for_nobody(any, &all);
}

fn may(key: &rescind::token::keys::Key, algorithm: Algorithm) -> bool {
    key.may_verify(algorithm)
}

/// A reason shows no key: it goes into logs and status.
fn is_discreet(why: &str) {
    assert!(!why.is_empty() && !why.contains(CANARY), "told: {why}");
}

/// Whatever the keys, a signature that nobody made is nobody's.
fn vouches_for_nobody(keys: KeySet, all: &[Algorithm]) {
    let algorithms: Vec<Algorithm> = all
        .iter()
        .copied()
        .filter(|of| keys.keys().iter().any(|key| key.may_verify(*of)))
        .collect();
    let demands = Demands {
        algorithms: all.to_vec(),
        audiences: Vec::new(),
        types: vec![String::new()],
    };
    let issuer = Arc::new(Issuer::new("i".to_owned(), demands, keys));
    let verifier = Verifier::new([Arc::clone(&issuer)]);
    let claims = URL_SAFE_NO_PAD.encode(br#"{"iss":"i","jti":"t"}"#);
    for algorithm in algorithms {
        let header = URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"{algorithm}"}}"#));
        for (byte, len) in [(0, 64), (0, 132), (1, 256), (0x30, 72)] {
            let signature = URL_SAFE_NO_PAD.encode(vec![byte; len]);
            let token = format!("{header}.{claims}.{signature}");
            let mut buffer = Buffer::default();
            let parts = Parts::decode(&token, &mut buffer).expect("a token");
            let found = verifier.verify(&parts, "i", None, UnixNanos::ZERO);
            assert!(found.is_err(), "{algorithm}: {found:?}");
            let steps = explain(&parts, &issuer);
            assert!(steps.iter().any(|step| step.found.is_err()));
        }
    }
}

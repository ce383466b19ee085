//! Signatures that were found good before, and others of the same token.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use super::super::{algorithm::Algorithm, keys::KeySet, sign::SigningKey};
use super::signing::*;
use super::*;

/// The other signature that everybody can make of an ECDSA signature: (r, n − s).
fn malleated(token: &str) -> String {
    const N: &str = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
    let (input, signature) = token.rsplit_once('.').unwrap();
    let mut bytes = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let mut borrow = false;
    for at in (0..32).rev() {
        let n = u8::from_str_radix(&N[2 * at..2 * at + 2], 16).unwrap();
        let s = bytes[32 + at];
        let (difference, first) = n.overflowing_sub(s);
        let (difference, second) = difference.overflowing_sub(borrow.into());
        bytes[32 + at] = difference;
        borrow = first || second;
    }
    assert!(!borrow);
    format!("{input}.{}", b64(bytes))
}

#[test]
fn a_malleated_signature_fits_and_its_token_is_known_by_the_same_names() {
    let key = key(Algorithm::Es256);
    let verifier = knows(&key);
    for jti in [Some("t1"), None] {
        let mut claims = claims();
        if jti.is_none() {
            claims.as_object_mut().unwrap().remove("jti");
        }
        let token = key.token(&header(&key, Some("k")), &claims).unwrap();
        let other = malleated(&token);
        assert_ne!(token, other);
        assert!(look(&verifier, &token).is_ok());
        assert!(look(&verifier, &other).is_ok());
        let names = |token: &str| {
            let semantics = semantics();
            let mut buffer = Buffer::default();
            let claims = decode(token, &mut buffer, &semantics, Wanted::default()).unwrap();
            (claims.jti.into_owned(), claims.digest)
        };
        assert_eq!(names(&token), names(&other));
        assert_eq!(names(&token).1.is_some(), jti.is_none());
    }
}

#[test]
fn a_known_signature_ends_with_its_key_and_is_no_other_signature() {
    let (old, new) = (key(Algorithm::Es256), key(Algorithm::Es256));
    let of = |key: &SigningKey| set(&[key.jwk(Some("k"))], &[Algorithm::Es256]);
    let issuer = issuer(demands(&[Algorithm::Es256]), of(&old));
    let verifier = Verifier::new([std::sync::Arc::clone(&issuer)]);
    let token = signed(&old, Some("k"));
    for _ in 0..2 {
        assert!(look(&verifier, &token).is_ok());
        assert!(look(&verifier, &with_bit_turned(&token, 40)).is_err());
    }
    issuer.set_keys(of(&new));
    assert!(look(&verifier, &token).is_err());
    issuer.set_keys(KeySet::default());
    assert_eq!(look(&verifier, &token), Err(Refusal::UnknownKey));
    issuer.set_keys(of(&old));
    assert!(look(&verifier, &token).is_ok());
}

#[test]
fn a_known_signature_does_not_pass_over_what_is_demanded() {
    // The same verifier would not change its demands; two tokens with one signature cannot be.
    let key = key(Algorithm::Es256);
    let verifier = knows(&key);
    let token = signed(&key, Some("k"));
    assert!(look(&verifier, &token).is_ok());
    // Past `exp` the signature is looked at anew, and whether the token expired is not said here.
    for _ in 0..2 {
        let late = UnixNanos::from_secs(1_750_003_600);
        assert!(look_at(&verifier, &token, late).is_ok());
    }
    let (input, signature) = token.rsplit_once('.').unwrap();
    for text in [
        format!("{input}.{signature}="),
        format!("{input}.{signature}A"),
        format!("{input}.{}", &signature[..signature.len() - 1]),
        format!("{input}. {signature}"),
    ] {
        assert!(look(&verifier, &text).is_err(), "{text}");
    }
}

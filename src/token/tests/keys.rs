//! Keys that are read, and keys that are refused with the reason.
//!
//! The PEMs under `keys/` were made with OpenSSL 3.0 and are used nowhere else:
//! `openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:1024`, `-algorithm EC -pkeyopt
//! ec_paramgen_curve:secp256k1`, `-algorithm X25519`, `-algorithm ED448`, each through
//! `openssl pkey -pubout`; `rsa2048.pkcs1.pem` by `openssl rsa -RSAPublicKey_out`, its `.pub.pem` by
//! `-pubout`; `ed25519.pem` is a private key, `cert.pem` made by `openssl req -x509`.

use serde_json::json;

use super::super::{
    algorithm::Algorithm,
    keys::{KeyError, KeySet},
    sign::{SignError, SigningKey},
};
use super::signing::{all, jwks, key, set};

const RSA_WEAK: &[u8] = include_bytes!("keys/rsa1024.pub.pem");
const RSA_PKCS1: &[u8] = include_bytes!("keys/rsa2048.pkcs1.pem");
const RSA_SPKI: &[u8] = include_bytes!("keys/rsa2048.pub.pem");
const SECP256K1: &[u8] = include_bytes!("keys/secp256k1.pub.pem");
const X25519: &[u8] = include_bytes!("keys/x25519.pub.pem");
const ED448: &[u8] = include_bytes!("keys/ed448.pub.pem");
const PRIVATE: &[u8] = include_bytes!("keys/ed25519.pem");
const CERTIFICATE: &[u8] = include_bytes!("keys/cert.pem");

fn every() -> Vec<Algorithm> {
    all().collect()
}

/// What the only key of a set may verify, or why it was skipped.
fn only(jwk: serde_json::Value) -> Result<Vec<Algorithm>, String> {
    let set = set(&[jwk], &every());
    match (set.keys(), set.skipped()) {
        ([key], []) => Ok(all().filter(|of| key.may_verify(*of)).collect()),
        ([], [why]) => Err(why.clone()),
        other => panic!("{other:?}"),
    }
}

fn pem(pem: &[u8], allowed: &[Algorithm]) -> Result<Vec<Algorithm>, KeyError> {
    let set = KeySet::from_pem(pem, allowed)?;
    assert_eq!((set.keys().len(), set.skipped().len()), (1, 0));
    Ok(all().filter(|of| set.keys()[0].may_verify(*of)).collect())
}

#[test]
fn a_key_verifies_what_its_type_and_curve_can_and_its_alg_says() {
    for algorithm in all() {
        let mut jwk = key(algorithm).jwk(Some("k"));
        assert_eq!(only(jwk.clone()), Ok(vec![algorithm]));
        jwk.as_object_mut().unwrap().remove("alg");
        let family: Vec<Algorithm> = match jwk["kty"].as_str().unwrap() {
            "RSA" => Algorithm::RSA.to_vec(),
            // Too short for some, so that the set as a whole is not what was meant.
            "oct" if algorithm == Algorithm::Hs256 => {
                let why = only(jwk).unwrap_err();
                assert!(why.contains("keygen --alg"), "{why}");
                continue;
            }
            "oct" => Algorithm::HMAC.to_vec(),
            _ => vec![algorithm],
        };
        assert_eq!(only(jwk.clone()), Ok(family));
        for other in all().filter(|other| *other != algorithm) {
            jwk["alg"] = json!(other.name());
            let same_type = only(jwk.clone());
            assert!(
                same_type.is_err() || same_type == Ok(vec![other]),
                "{jwk}: {same_type:?}"
            );
        }
    }
}

#[test]
fn ed25519_is_eddsa_by_either_name() {
    let mut jwk = key(Algorithm::EdDsa).jwk(None);
    jwk["alg"] = json!("Ed25519");
    assert_eq!(only(jwk), Ok(vec![Algorithm::EdDsa]));
}

#[test]
fn a_key_that_is_for_something_else_is_skipped() {
    for (member, value, part) in [
        ("use", json!("enc"), "`use` is not sig"),
        ("use", json!("SIG"), "`use` is not sig"),
        ("use", json!(1), "not a key that can be read"),
        ("key_ops", json!(["sign"]), "lack verify"),
        ("key_ops", json!([]), "lack verify"),
        ("key_ops", json!("verify"), "not a key that can be read"),
        ("alg", json!("RSA-OAEP"), "fits none"),
        ("alg", json!("none"), "fits none"),
        ("alg", json!("es256"), "fits none"),
        ("alg", json!("ES256K"), "fits none"),
        ("alg", json!(""), "fits none"),
        ("alg", json!(7), "not a key that can be read"),
        ("kty", json!("EC2"), "not known here"),
        ("kty", json!("OKP"), ""),
        ("kty", json!("RSA"), ""),
        ("crv", json!("P-384"), "48 bytes"),
        ("crv", json!("P-521"), "66 bytes"),
        ("crv", json!("secp256k1"), ""),
        ("crv", json!("Ed25519"), ""),
        ("x", json!("AAAA"), "32 bytes"),
        ("x", json!("!"), "base64url"),
        ("y", json!("A".repeat(43)), "does not lie on the curve"),
        ("kid", json!(7), "not a key that can be read"),
    ] {
        let mut jwk = key(Algorithm::Es256).jwk(Some("k"));
        jwk[member] = value.clone();
        let why = only(jwk).unwrap_err();
        assert!(
            why.contains(part) && why.starts_with("keys[0]: "),
            "{member} {value}: {why}"
        );
    }
    for ops in [json!(["verify"]), json!(["sign", "verify", "new"])] {
        let mut jwk = key(Algorithm::Es256).jwk(None);
        jwk["key_ops"] = ops;
        only(jwk).unwrap();
    }
}

#[test]
fn what_is_not_understood_is_skipped_and_the_rest_is_used() {
    let mut encrypts = key(Algorithm::Rs256).jwk(Some("enc"));
    encrypts["use"] = json!("enc");
    let set = set(
        &[
            json!({"kty": "AKP", "alg": "ML-DSA-44", "pub": "AA"}),
            json!("no object"),
            json!(null),
            json!({}),
            encrypts,
            key(Algorithm::Es384).jwk(Some("good")),
        ],
        &every(),
    );
    assert_eq!((set.keys().len(), set.skipped().len()), (1, 5));
    assert_eq!(set.keys()[0].kid().map(|kid| &**kid), Some("good"));
}

#[test]
fn keys_that_a_configured_algorithm_does_not_need_are_skipped() {
    let keys = [
        key(Algorithm::Es256).jwk(None),
        key(Algorithm::Rs256).jwk(None),
    ];
    let set = set(&keys, &[Algorithm::Ps256]);
    assert!(set.keys().is_empty(), "{set:?}");
}

#[test]
fn a_secret_at_a_url_is_refused_since_whoever_reads_it_can_make_tokens() {
    let secret = key(Algorithm::Hs256).jwk(Some("k"));
    let set = KeySet::from_jwks(&jwks(&[secret]), &every(), false).unwrap();
    assert!(set.keys().is_empty());
    assert!(
        set.skipped()[0].contains("it is a secret"),
        "{:?}",
        set.skipped()
    );
}

#[test]
fn a_secret_is_as_long_as_its_hash_or_refused_with_how_to_make_one() {
    for algorithm in Algorithm::HMAC {
        let needed = algorithm.secret_bytes_min().unwrap();
        assert!(KeySet::from_secret(&vec![7; needed], &[algorithm]).is_ok());
        let why = KeySet::from_secret(&vec![7; needed - 1], &[algorithm]).unwrap_err();
        let command = format!("rescind token keygen --alg {algorithm}");
        assert!(why.to_string().contains(&command), "{why}");
        assert!(matches!(
            SigningKey::from_secret(algorithm, vec![7; needed - 1]),
            Err(SignError::SecretTooShort { .. })
        ));
    }
    // The longest hash counts: one key must do for all of them.
    assert!(KeySet::from_secret(&[7; 32], &Algorithm::HMAC).is_err());
    assert!(KeySet::from_secret(&[7; 64], &[Algorithm::Es256]).is_err());
}

#[test]
fn a_secret_that_ends_in_a_line_break_is_warned_of_and_kept_as_it_is() {
    let warnings = |end: &str| {
        let secret = format!("{}{end}", "s".repeat(32));
        let set = KeySet::from_secret(secret.as_bytes(), &[Algorithm::Hs256]).unwrap();
        set.warnings().to_vec()
    };
    for end in ["\n", "\r\n", "\n\n"] {
        let [warning] = &*warnings(end) else {
            panic!("{end:?}");
        };
        assert!(warning.contains("printf"), "{warning}");
    }
    assert!(warnings("").is_empty() && warnings(" ").is_empty());
}

#[test]
fn a_weak_rsa_key_is_refused_with_how_to_make_a_good_one() {
    let why = pem(RSA_WEAK, &[Algorithm::Rs256]).unwrap_err().to_string();
    assert!(
        why.contains("1024 bits") && why.contains("keygen --alg RS256"),
        "{why}"
    );
    let modulus = |bytes: usize, first: u8| {
        let mut n = vec![0xff; bytes];
        n[0] = first;
        super::b64(n)
    };
    for (n, e, part) in [
        (modulus(256, 0x7f), "AQAB", "2047 bits"),
        (modulus(1025, 0x01), "AQAB", "8193 bits"),
        (modulus(257, 0x00), "AQAB", ""),
        (modulus(256, 0xff), "AQ", "exponent is even or 1"),
        (modulus(256, 0xff), "AAAB", "exponent is even or 1"),
        (modulus(256, 0xff), "AQAA", "exponent is even or 1"),
        (modulus(256, 0xff), "", "exponent is even or 1"),
    ] {
        let found = only(json!({"kty": "RSA", "n": n, "e": e}));
        match found {
            Ok(_) => assert_eq!(part, "", "{e}"),
            Err(why) => assert!(!part.is_empty() && why.contains(part), "{why}"),
        }
    }
}

#[test]
fn a_byte_order_mark_and_an_empty_use_say_nothing() {
    let mut jwk = key(Algorithm::Es256).jwk(Some("k"));
    jwk["use"] = json!("");
    let marked = ["\u{feff}".as_bytes(), &*jwks(&[jwk])].concat();
    let set = KeySet::from_jwks(&marked, &every(), false).unwrap();
    assert_eq!((set.keys().len(), set.skipped().len()), (1, 0), "{set:?}");
    let twice = ["\u{feff}".as_bytes(), &*marked].concat();
    assert!(KeySet::from_jwks(&twice, &every(), false).is_err());
}

#[test]
fn an_rsa_key_with_the_roca_weakness_is_refused_and_others_are_not() {
    // Made as the chip made them: two primes, each k times the product of the first 126 primes and
    // a power of 65,537 modulo that product.
    let n = include_str!("keys/roca.n").trim();
    let why = only(json!({"kty": "RSA", "n": n, "e": "AQAB", "kid": "k"})).unwrap_err();
    assert!(why.contains("CVE-2017-15361"), "{why}");
    let pem = include_bytes!("keys/roca.pub.pem");
    let why = KeySet::from_pem(pem, &every()).unwrap_err().to_string();
    assert!(why.contains("CVE-2017-15361"), "{why}");
    for algorithm in Algorithm::RSA {
        only(key(algorithm).jwk(None)).unwrap();
    }
}

#[test]
fn two_keys_of_one_kid_count_and_are_warned_of() {
    let [a, b, c] = [(); 3].map(|()| key(Algorithm::EdDsa));
    let twins = [
        a.jwk(Some("twin")),
        b.jwk(Some("twin")),
        b.jwk(Some("twin")),
        c.jwk(Some("own")),
        c.jwk(None),
        a.jwk(None),
    ];
    let set = set(&twins, &every());
    assert_eq!(set.keys().len(), 6);
    assert_eq!(set.warnings().len(), 1, "{:?}", set.warnings());
    assert!(set.warnings()[0].contains("\"twin\""));
}

#[test]
fn a_set_that_is_none_or_too_much_is_refused_whole() {
    let read = |bytes: &[u8]| KeySet::from_jwks(bytes, &every(), true);
    let why = |bytes: &[u8]| read(bytes).unwrap_err().to_string();
    for text in [
        "",
        "<html>",
        "[]",
        "{}",
        r#"{"keys":{}}"#,
        r#"{"Keys":[]}"#,
        "null",
        "\u{feff}{}",
    ] {
        assert!(why(text.as_bytes()).contains("the key set"), "{text}");
    }
    let many = |count| vec![key(Algorithm::EdDsa).jwk(None); count];
    assert_eq!(read(&jwks(&many(100))).unwrap().keys().len(), 100);
    assert!(why(&jwks(&many(101))).contains("101 keys"));
    let mut padded = jwks(&many(1));
    padded.resize(512 * 1024, b' ');
    assert!(read(&padded).is_ok());
    padded.push(b' ');
    assert!(why(&padded).contains("524289 bytes"));
    let deep = "[".repeat(100_000);
    assert!(why(deep.as_bytes()).contains("not JSON"));
}

#[test]
fn a_public_key_in_pem_is_read_whatever_its_type() {
    for algorithm in all() {
        let Some(text) = key(algorithm).public_pem().unwrap() else {
            continue;
        };
        let family = if Algorithm::RSA.contains(&algorithm) {
            Algorithm::RSA.to_vec()
        } else {
            vec![algorithm]
        };
        assert_eq!(pem(text.as_bytes(), &every()), Ok(family), "{algorithm}");
        assert_eq!(pem(text.as_bytes(), &[algorithm]), Ok(vec![algorithm]));
        let other = if algorithm == Algorithm::EdDsa {
            Algorithm::Es256
        } else {
            Algorithm::EdDsa
        };
        let why = pem(text.as_bytes(), &[other]).unwrap_err().to_string();
        assert!(why.contains(algorithm.name()), "{why}");
    }
    for text in [RSA_PKCS1, RSA_SPKI] {
        assert_eq!(pem(text, &[Algorithm::Ps512]), Ok(vec![Algorithm::Ps512]));
    }
}

#[test]
fn a_certificate_is_read_for_its_key() {
    assert_eq!(pem(CERTIFICATE, &every()), Ok(vec![Algorithm::EdDsa]));
}

#[test]
fn what_is_not_one_public_key_in_pem_is_refused() {
    let two = [RSA_SPKI, RSA_SPKI].concat();
    let cut = &RSA_SPKI[..RSA_SPKI.len() / 2];
    for (text, part) in [
        (PRIVATE, "private key"),
        (&CERTIFICATE[..CERTIFICATE.len() / 2], "certificate"),
        (&*two, "exactly one"),
        (b"", "exactly one"),
        (b"\xff", "not PEM text"),
        (cut, "it is not an RSA"),
        (SECP256K1, "does not lie on the curve"),
        (X25519, "it is not an RSA"),
        (ED448, "it is not an RSA"),
    ] {
        let why = pem(text, &every()).unwrap_err().to_string();
        assert!(why.contains(part), "{part}: {why}");
    }
}

#[test]
fn a_private_key_of_openssl_signs_and_no_other_type_does() {
    let text = std::str::from_utf8(PRIVATE).unwrap();
    let key = SigningKey::from_pem(Algorithm::EdDsa, text).unwrap();
    assert_eq!(key.sign(b"x").unwrap().len(), 64);
    for other in all().filter(|other| *other != Algorithm::EdDsa) {
        assert!(SigningKey::from_pem(other, text).is_err(), "{other}");
    }
}

#[test]
fn nothing_shows_a_secret() {
    let secret = "s".repeat(64);
    let set = KeySet::from_secret(secret.as_bytes(), &Algorithm::HMAC).unwrap();
    let key = SigningKey::from_secret(Algorithm::Hs256, secret.clone().into_bytes()).unwrap();
    let shown = format!("{set:?} {key:?}");
    assert!(
        !shown.contains("sss") && !shown.contains("115, 115"),
        "{shown}"
    );
}

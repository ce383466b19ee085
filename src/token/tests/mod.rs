//! Tokens that are read, and tokens that are refused with the reason.

use std::collections::HashMap;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};

use super::*;
use crate::model::{ClaimNames, Claims, Invalid, IssuerSettings, Semantics, UnixNanos};

mod cookbook;
mod keys;
mod known_signatures;
mod properties;
mod refusals;
mod signing;
mod verify;

const HEADER: &str = r#"{"alg":"ES256","kid":"k1"}"#;

fn b64(text: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

fn token(header: &str, claims: &str) -> String {
    format!("{}.{}.{}", b64(header), b64(claims), b64("signature"))
}

/// Every claim has a name of its own here except those that are tested by their default.
fn semantics() -> Semantics {
    let tenants = IssuerSettings {
        revocable_claims: vec!["tenant".to_owned(), "aud".to_owned()],
        ..IssuerSettings::default()
    };
    let renamed = IssuerSettings {
        claims: ClaimNames {
            sub: "userId".to_owned(),
            client_id: "app".to_owned(),
            version: "ver".to_owned(),
            ..ClaimNames::default()
        },
        ..IssuerSettings::default()
    };
    Semantics {
        issuers: HashMap::from([
            ("tenants".to_owned(), tenants),
            ("renamed".to_owned(), renamed),
        ]),
        ..Semantics::default()
    }
}

/// Decodes and hands the claims, or the detail, to the caller as its own.
fn with<T>(token: &str, check: impl FnOnce(Result<Claims<'_>, Invalid>) -> T) -> T {
    let semantics = semantics();
    check(decode(
        token,
        &mut Buffer::default(),
        &semantics,
        Wanted::default(),
    ))
}

fn read<T>(claims: &str, check: impl FnOnce(Claims<'_>) -> T) -> T {
    with(&token(HEADER, claims), |claims| check(claims.unwrap()))
}

fn detail(token: &str) -> String {
    with(token, |result| result.unwrap_err().detail.into_owned())
}

#[test]
fn the_claims_of_a_usual_token_are_read_and_borrowed() {
    let text = token(
        HEADER,
        r#" { "iss" : "i", "jti":"j","sub":"s", "sid":"d","client_id":"c","azp":"z","iat":1.5,
            "exp":2e3,"nbf":0,"auth_time":7,"version":18446744073709551615,"deep":[{"a":[]},{}]} "#,
    );
    for text in [
        text.clone(),
        format!("Bearer {text}"),
        format!("bEARER   {text}"),
    ] {
        with(&text, |claims| {
            let claims = claims.unwrap();
            assert_eq!(
                claims,
                Claims {
                    iss: "i".into(),
                    jti: "j".into(),
                    sub: "s".into(),
                    sid: "d".into(),
                    client_id: "c".into(),
                    kid: "k1".into(),
                    iat: Some(UnixNanos::from_nanos(1_500_000_000)),
                    exp: Some(UnixNanos::from_secs(2000)),
                    nbf: Some(UnixNanos::ZERO),
                    auth_time: Some(UnixNanos::from_secs(7)),
                    version: Some(u64::MAX),
                    other: Vec::new(),
                    digest: None,
                }
            );
            assert!(matches!(claims.sub, std::borrow::Cow::Borrowed(_)));
        });
    }
}

#[test]
fn rfc_7515_a_1_and_rfc_7519_3_1_are_read() {
    // Both RFCs show the same token, with line breaks inside its JSON.
    let text = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9\
        .eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ\
        .dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    let mut buffer = Buffer::default();
    let parts = Parts::decode(text, &mut buffer).unwrap();
    assert_eq!((&*parts.header.alg, &*parts.header.typ), ("HS256", "JWT"));
    assert_eq!(parts.signature.len(), 32);
    assert_eq!(
        parts.members.get("http://example.com/is_root"),
        Some(&Value::Bool(true))
    );
    let semantics = semantics();
    let claims = parts.claims(&semantics, Wanted::default()).unwrap();
    assert_eq!(claims.iss, "joe");
    assert_eq!(claims.exp, Some(UnixNanos::from_secs(1_300_819_380)));
    let signing_input = text.rsplit_once('.').unwrap().0;
    assert_eq!(
        claims.digest,
        Some(Sha256::digest(signing_input.as_bytes()).into())
    );
}

#[test]
fn a_whole_number_and_its_text_are_one_identifier() {
    for (json, id) in [
        ("42", "42"),
        (r#""42""#, "42"),
        (r#""\u0034\u0032""#, "42"),
        ("12345678901234567890123", "12345678901234567890123"),
        ("-7", "-7"),
        ("-0", "0"),
        (r#""""#, ""),
        (r#""42.0""#, "42.0"),
    ] {
        read(&format!(r#"{{"iss":"i","sub":{json}}}"#), |claims| {
            assert_eq!(claims.sub, id, "{json}");
        });
    }
}

#[test]
fn the_client_is_client_id_else_azp_unless_the_claim_is_renamed() {
    for (claims, client) in [
        (r#"{"iss":"i","azp":"z"}"#, "z"),
        (r#"{"iss":"i","azp":"z","client_id":""}"#, "z"),
        (r#"{"iss":"i","azp":{},"client_id":"c"}"#, "c"),
        (r#"{"iss":"renamed","azp":"z","client_id":"c"}"#, ""),
        (r#"{"iss":"renamed","app":"a"}"#, "a"),
    ] {
        read(claims, |read| {
            assert_eq!(read.client_id, client, "{claims}");
        });
    }
    read(
        r#"{"iss":"renamed","sub":"x","userId":8,"version":"1.0","ver":3}"#,
        |claims| {
            assert_eq!((&*claims.sub, claims.version), ("8", Some(3)));
        },
    );
}

#[test]
fn a_token_without_iss_belongs_to_the_default_issuer() {
    let semantics = Semantics {
        default_issuer: Some("renamed".to_owned()),
        ..semantics()
    };
    for claims in [r#"{"userId":"u"}"#, r#"{"iss":"","userId":"u"}"#] {
        let text = token(HEADER, claims);
        let mut buffer = Buffer::default();
        let claims = decode(&text, &mut buffer, &semantics, Wanted::default()).unwrap();
        assert_eq!((&*claims.iss, &*claims.sub), ("renamed", "u"));
    }
}

#[test]
fn every_value_of_a_configured_or_wanted_claim_is_read() {
    let semantics = semantics();
    let text = token(
        HEADER,
        r#"{"iss":"tenants","jti":"j","tenant":[1,"1","",2],"aud":"a","azp":"z","plan":"p"}"#,
    );
    let mut buffer = Buffer::default();
    let wanted = Wanted {
        claims: &["tenant", "azp", "missing"],
        digest: true,
    };
    let claims = decode(&text, &mut buffer, &semantics, wanted).unwrap();
    let other: Vec<(&str, &str)> = claims.other.iter().map(|(a, b)| (&**a, &**b)).collect();
    assert_eq!(
        other,
        [
            ("tenant", "1"),
            ("tenant", "1"),
            ("tenant", "2"),
            ("aud", "a"),
            ("azp", "z")
        ]
    );
    assert!(claims.digest.is_some());
}

#[test]
fn an_escaped_name_is_the_same_claim() {
    read(r#"{"\u0069ss":"i","s\u0075b":"u"}"#, |claims| {
        assert_eq!((&*claims.iss, &*claims.sub), ("i", "u"));
    });
}

#[test]
fn equal_names_in_different_objects_are_no_duplicates() {
    read(
        r#"{"iss":"i","a":{"iss":1,"a":{"a":1}},"b":[{"x":1},{"x":1}],"c":{"x":{"y":1},"y":2}}"#,
        |claims| assert_eq!(claims.iss, "i"),
    );
}

//! Reading a token.

use rescind::{
    limits,
    model::{ClaimNames, IssuerSettings, Semantics},
    token::{Buffer, Parts, Value, Wanted, decode, inspect},
};

use super::minted::{CANARY, bare, read, token_of};

/// Bytes that begin like base64url or a scheme are a token's text, others a header and claims.
pub fn run(bytes: &[u8]) {
    if bytes.first().is_none_or(u8::is_ascii_alphanumeric) {
        if let Ok(token) = std::str::from_utf8(bytes) {
            judge(token);
        }
    } else {
        judge(&token_of(bytes));
    }
}

fn semantics() -> Semantics {
    let tenants = IssuerSettings {
        revocable_claims: vec!["tenant".to_owned(), "aud".to_owned()],
        claims: ClaimNames {
            sub: "userId".to_owned(),
            ..ClaimNames::default()
        },
        ..IssuerSettings::default()
    };
    Semantics {
        default_issuer: Some("https://default.example".to_owned()),
        issuers: [("tenants".to_owned(), tenants)].into(),
        ..Semantics::default()
    }
}

fn judge(token: &str) {
    let semantics = semantics();
    let wanted = Wanted {
        claims: &["plan", "azp"],
        digest: true,
    };
    // A buffer that other tokens were in must make no difference.
    let mut used = Buffer::default();
    drop(Parts::decode(&"A".repeat(300), &mut used));
    let mut fresh = Buffer::default();
    let first = format!("{:?}", decode(token, &mut used, &semantics, wanted));
    let claims = decode(token, &mut fresh, &semantics, wanted);
    assert_eq!(first, format!("{claims:?}"), "a used buffer shows");
    drop(inspect(token, &semantics));
    match claims {
        Err(invalid) => {
            assert!(!invalid.detail.is_empty(), "refused without a reason");
            assert!(!invalid.detail.contains(CANARY), "told: {}", invalid.detail);
        }
        Ok(claims) => {
            assert!(bare(token).len() <= limits::TOKEN_BYTES_MAX);
            let mut texts = vec![&claims.jti, &claims.sub, &claims.sid, &claims.client_id];
            texts.extend(claims.other.iter().map(|(_, value)| value));
            texts.extend([&claims.iss, &claims.kid]);
            let long = texts
                .iter()
                .find(|of| of.len() > limits::IDENTIFIER_BYTES_MAX);
            assert_eq!(long, None);
            assert!(!claims.iss.is_empty(), "taken without an issuer");
            assert!(claims.digest.is_some());
            as_others_read(token, &semantics);
        }
    }
}

/// What another reader sees is what is seen here.
fn as_others_read(token: &str, semantics: &Semantics) {
    let mut buffer = Buffer::default();
    let parts = Parts::decode(token, &mut buffer).expect("it was taken before");
    let rebuilt = format!("{}.{}", parts.signing_input, parts.signature_text);
    assert_eq!(rebuilt, bare(token), "the signing input is not the token's");
    let Some(reading) = read(token) else {
        return;
    };
    for (members, others) in [
        (&parts.header.members, &reading.header),
        (&parts.members, &reading.claims),
    ] {
        assert_eq!(members.members().count(), others.len(), "members were lost");
        for (name, other) in others {
            let own = members
                .get(name)
                .unwrap_or_else(|| panic!("{name:?} is lost"));
            match (own, other) {
                (Value::Text(own), serde_json::Value::String(other)) => assert_eq!(own, other),
                (Value::Bool(own), serde_json::Value::Bool(other)) => assert_eq!(own, other),
                (Value::Number(own), serde_json::Value::Number(_)) => {
                    assert_eq!(serde_json::from_str(own).ok().as_ref(), Some(other));
                }
                (Value::Array(own), serde_json::Value::Array(other)) => {
                    assert_eq!(own.elements().count(), other.len());
                }
                (own, other) => assert_eq!(own.kind(), kind(other), "{name:?}"),
            }
        }
    }
    let alg = reading
        .header
        .get("alg")
        .and_then(serde_json::Value::as_str);
    assert!(alg.is_some_and(|alg| !alg.is_empty() && !alg.eq_ignore_ascii_case("none")));
    assert!(
        !reading.header.contains_key("crit"),
        "crit is not understood"
    );
    let claims = parts
        .claims(semantics, Wanted::default())
        .expect("it was taken before");
    let name = &semantics.of(&claims.iss).claims.sub;
    let sub = reading.identifier(name);
    // The other reader takes -0 and whole numbers beyond 64 bits for floats.
    assert!(
        claims.sub == sub || sub.is_empty(),
        "{} is not {sub}",
        claims.sub
    );
    if let (Some(own), Some(other)) = (claims.exp, reading.number("exp")) {
        let own_s = own.nanos() as f64 / 1e9;
        let is_same = (own_s - other).abs() <= 1.0 || own.is_forever() && other > own_s;
        assert!(is_same, "exp {own_s} is not {other}");
    }
}

/// As [`Value::kind`] names it.
fn kind(value: &serde_json::Value) -> &'static str {
    match value {
        serde_json::Value::Null => "null",
        serde_json::Value::Object(_) => "an object",
        _ => "of another kind",
    }
}

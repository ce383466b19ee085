//! Tokens made of text, and tokens read by somebody else than the crate.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value};

/// Stands in seeds where only the token says so: no detail may repeat it.
pub const CANARY: &str = "canary";

/// The first line is a header, everything after it the claims: a fuzzer that had to mend base64
/// after each change would never get to either.
pub fn token_of(bytes: &[u8]) -> String {
    let mut lines = bytes.splitn(2, |byte| *byte == b'\n');
    let mut part = || URL_SAFE_NO_PAD.encode(lines.next().unwrap_or_default());
    let (header, claims) = (part(), part());
    format!("{header}.{claims}.c2lnbmF0dXJl")
}

/// A token as `serde_json` reads it, which is lenient where Rescind is strict.
#[derive(Debug)]
pub struct Reading {
    /// The header's members.
    pub header: Map<String, Value>,
    /// The claims.
    pub claims: Map<String, Value>,
}

/// The token without `Bearer`.
pub fn bare(token: &str) -> &str {
    match token.get(..7) {
        Some(scheme) if scheme.eq_ignore_ascii_case("bearer ") => {
            token[6..].trim_start_matches(' ')
        }
        _ => token,
    }
}

/// Reads a token that Rescind took for one. `None`: its numbers are beyond `serde_json`.
///
/// # Panics
/// When it is none, or has more than one text.
pub fn read(token: &str) -> Option<Reading> {
    let parts: Vec<&str> = bare(token).split('.').collect();
    assert_eq!(parts.len(), 3, "taken, and not of three parts");
    assert!(!parts[2].is_empty(), "taken without a signature");
    let decoded = parts.iter().map(|part| {
        let bytes = URL_SAFE_NO_PAD
            .decode(part)
            .expect("taken, and not base64url");
        assert_eq!(
            URL_SAFE_NO_PAD.encode(&bytes),
            **part,
            "this part has two texts"
        );
        bytes
    });
    let mut members = decoded.take(2).map(|bytes| object(&bytes));
    let (header, claims) = (members.next()?, members.next()?);
    Some(Reading {
        header: header?,
        claims: claims?,
    })
}

fn object(bytes: &[u8]) -> Option<Map<String, Value>> {
    match serde_json::from_slice(bytes) {
        Ok(members) => Some(members),
        // 1e999 stands in a claim that means nothing here.
        Err(error) if error.to_string().contains("number out of range") => None,
        Err(error) => panic!("taken, and not a JSON object: {error}"),
    }
}

impl Reading {
    /// What an identifier is known by: 42 and "42" are one user.
    pub fn identifier(&self, name: &str) -> String {
        match self.claims.get(name) {
            Some(value) => text(value),
            None => String::new(),
        }
    }

    /// A time or a version.
    pub fn number(&self, name: &str) -> Option<f64> {
        self.claims.get(name).and_then(Value::as_f64)
    }
}

/// A text, or a whole number's text; empty for everything else.
pub fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) if number.is_i64() || number.is_u64() => number.to_string(),
        _ => String::new(),
    }
}

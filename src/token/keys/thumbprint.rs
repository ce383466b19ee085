//! The name that a key has whatever its `kid` says (RFC 7638, RFC 9278).

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;

use super::decoded;

const PREFIX: &str = "urn:ietf:params:oauth:jwk-thumbprint:sha-256:";

/// Of a public key of a set; `None` for secrets, whose digest is nobody's business.
pub(super) fn of(jwk: &Value) -> Option<Arc<str>> {
    let text = |name: &str| jwk.get(name)?.as_str();
    let bytes = |name: &str| decoded(text(name)?).ok();
    // Leading zeros make no other number.
    let integer = |name: &str| {
        let bytes = bytes(name)?;
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        Some(URL_SAFE_NO_PAD.encode(bytes.get(zeros..)?))
    };
    let fixed = |name: &str| Some(URL_SAFE_NO_PAD.encode(bytes(name)?));
    // Members in the order of their names, and without a space: RFC 7638 section 3.
    let canonical = match text("kty")? {
        "RSA" => {
            let (e, n) = (integer("e")?, integer("n")?);
            format!(r#"{{"e":"{e}","kty":"RSA","n":"{n}"}}"#)
        }
        "EC" => {
            let (crv, x, y) = (text("crv")?, fixed("x")?, fixed("y")?);
            format!(r#"{{"crv":"{crv}","kty":"EC","x":"{x}","y":"{y}"}}"#)
        }
        "OKP" => {
            let (crv, x) = (text("crv")?, fixed("x")?);
            format!(r#"{{"crv":"{crv}","kty":"OKP","x":"{x}"}}"#)
        }
        _ => return None,
    };
    let digest = URL_SAFE_NO_PAD.encode(digest(&SHA256, canonical.as_bytes()));
    Some(format!("{PREFIX}{digest}").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_thumbprint_of_rfc_8037_is_ours() {
        let jwk = serde_json::json!({
            "kty": "OKP", "crv": "Ed25519", "kid": "any",
            "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
        });
        let expected = format!("{PREFIX}kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
        assert_eq!(of(&jwk).as_deref(), Some(&*expected));
    }

    #[test]
    fn leading_zeros_make_no_other_key_and_a_secret_has_no_thumbprint() {
        let rsa = |n: &str, e: &str| of(&serde_json::json!({"kty": "RSA", "n": n, "e": e}));
        assert!(rsa("AQAB", "AQAB").is_some());
        assert_eq!(rsa("AQAB", "AQAB"), rsa("AAEAAQ", "AAEAAQ"));
        assert_ne!(rsa("AQAB", "AQAB"), rsa("AQAC", "AQAB"));
        assert_eq!(of(&serde_json::json!({"kty": "oct", "k": "AQAB"})), None);
    }
}

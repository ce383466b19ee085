//! Tokens and keys for trying things out. Rescind itself issues none.

use std::fmt;

use aws_lc_rs::{
    encoding::{AsDer as _, PublicKeyX509Der},
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::Value;

use super::sign::pem;

/// HS256 wants a secret at least as long as its hash (RFC 7518 section 3.2).
pub const HS256_SECRET_BYTES_MIN: usize = 32;

/// What a token is signed with.
#[derive(Clone)]
pub enum MintKey {
    /// HS256, with the bytes of a secret.
    Hs256(Vec<u8>),
    /// ES256, with a private key as PKCS#8 PEM.
    Es256(String),
}

impl fmt::Debug for MintKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hs256(_) => "Hs256(..)",
            Self::Es256(_) => "Es256(..)",
        })
    }
}

impl MintKey {
    fn for_signing(&self) -> Result<(Algorithm, EncodingKey), MintError> {
        Ok(match self {
            Self::Hs256(secret) if secret.len() < HS256_SECRET_BYTES_MIN => {
                return Err(MintError::SecretTooShort(secret.len()));
            }
            Self::Hs256(secret) => (Algorithm::HS256, EncodingKey::from_secret(secret)),
            Self::Es256(pem) => (
                Algorithm::ES256,
                EncodingKey::from_ec_pem(pem.as_bytes()).map_err(MintError::Key)?,
            ),
        })
    }
}

/// What stands in the header beside `alg`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MintHeader {
    /// The key's name.
    pub kid: Option<String>,
    /// The token's type; `None` leaves it out.
    pub typ: Option<String>,
}

/// Why no token, or no key, could be made.
#[derive(Debug, thiserror::Error)]
pub enum MintError {
    /// A token's claims are an object.
    #[error("the claims are not a JSON object")]
    ClaimsNotAnObject,
    /// See [`HS256_SECRET_BYTES_MIN`].
    #[error(
        "the secret has {0} bytes; HS256 wants at least {HS256_SECRET_BYTES_MIN} (RFC 7518 section \
         3.2), made for example by `openssl rand 32`"
    )]
    SecretTooShort(usize),
    /// The PEM could not be read.
    #[error(
        "the key is not a P-256 private key as PKCS#8 PEM; `openssl genpkey -algorithm EC -pkeyopt \
         ec_paramgen_curve:P-256` makes one"
    )]
    Key(#[source] jsonwebtoken::errors::Error),
    /// The claims could not be signed.
    #[error("the token could not be signed; ES256 wants a key on P-256")]
    Sign(#[source] jsonwebtoken::errors::Error),
    /// The system gave no key.
    #[error("no key could be made")]
    Generate(#[source] aws_lc_rs::error::Unspecified),
    /// The system gave no random bytes.
    #[error("the system gave no random bytes")]
    Random(#[source] getrandom::Error),
}

/// Signs `claims`, which are taken as they are, be they sensible or not.
///
/// # Errors
/// When the claims are not an object or the key cannot sign.
pub fn mint(claims: &Value, header: MintHeader, key: &MintKey) -> Result<String, MintError> {
    if !claims.is_object() {
        return Err(MintError::ClaimsNotAnObject);
    }
    let (algorithm, key) = key.for_signing()?;
    let mut jose = jsonwebtoken::Header::new(algorithm);
    jose.kid = header.kid;
    jose.typ = header.typ;
    jsonwebtoken::encode(&jose, claims, &key).map_err(MintError::Sign)
}

/// Signs a header and claims that are taken byte for byte, be they JSON or not: how malformed
/// tokens are made.
///
/// # Errors
/// When the key cannot sign.
pub fn sign(header: &str, claims: &str, key: &MintKey) -> Result<String, MintError> {
    let (algorithm, key) = key.for_signing()?;
    let mut token = URL_SAFE_NO_PAD.encode(header);
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(claims, &mut token);
    let signature =
        jsonwebtoken::crypto::sign(token.as_bytes(), &key, algorithm).map_err(MintError::Sign)?;
    token.push('.');
    token.push_str(&signature);
    Ok(token)
}

/// A fresh key pair for ES256.
#[derive(Clone)]
pub struct Es256KeyPair {
    /// The private key, as PKCS#8 PEM.
    pub private_pem: String,
    /// The public key, as SPKI PEM.
    pub public_pem: String,
}

impl fmt::Debug for Es256KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Es256KeyPair")
            .field("public_pem", &self.public_pem)
            .finish_non_exhaustive()
    }
}

impl Es256KeyPair {
    /// Makes one.
    ///
    /// # Errors
    /// When the cryptographic library cannot.
    pub fn generate() -> Result<Self, MintError> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)
            .map_err(MintError::Generate)?;
        let private = pair.to_pkcs8v1().map_err(MintError::Generate)?;
        let public: PublicKeyX509Der<'_> =
            pair.public_key().as_der().map_err(MintError::Generate)?;
        Ok(Self {
            private_pem: pem("PRIVATE KEY", private.as_ref()),
            public_pem: pem("PUBLIC KEY", public.as_ref()),
        })
    }
}

/// A fresh secret for HS256.
///
/// # Errors
/// When the system gives no random bytes.
pub fn generate_hs256_secret() -> Result<[u8; HS256_SECRET_BYTES_MIN], MintError> {
    let mut secret = [0; HS256_SECRET_BYTES_MIN];
    getrandom::fill(&mut secret).map_err(MintError::Random)?;
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{DecodingKey, Validation};
    use serde_json::json;

    use crate::{
        model::Semantics,
        token::{Buffer, Parts, Wanted},
    };

    use super::*;

    fn header() -> MintHeader {
        MintHeader {
            kid: Some("k1".to_owned()),
            typ: Some("at+jwt".to_owned()),
        }
    }

    #[test]
    fn minted_tokens_verify_and_are_read() {
        let claims = json!({"iss": "i", "sub": 42, "exp": 4_000_000_000_u64});
        let pair = Es256KeyPair::generate().unwrap();
        let secret = generate_hs256_secret().unwrap();
        for (key, algorithm, verifier) in [
            (
                MintKey::Es256(pair.private_pem),
                Algorithm::ES256,
                DecodingKey::from_ec_pem(pair.public_pem.as_bytes()).unwrap(),
            ),
            (
                MintKey::Hs256(secret.to_vec()),
                Algorithm::HS256,
                DecodingKey::from_secret(&secret),
            ),
        ] {
            let token = mint(&claims, header(), &key).unwrap();
            let validation = Validation::new(algorithm);
            jsonwebtoken::decode::<Value>(&token, &verifier, &validation).unwrap();

            let mut buffer = Buffer::default();
            let parts = Parts::decode(&token, &mut buffer).unwrap();
            assert_eq!((&*parts.header.kid, &*parts.header.typ), ("k1", "at+jwt"));
            assert!(
                jsonwebtoken::crypto::verify(
                    parts.signature_text,
                    parts.signing_input.as_bytes(),
                    &verifier,
                    algorithm
                )
                .unwrap()
            );
            let semantics = Semantics::default();
            let claims = parts.claims(&semantics, Wanted::default()).unwrap();
            assert_eq!((&*claims.iss, &*claims.sub), ("i", "42"));
        }
    }

    #[test]
    fn bad_claims_and_keys_are_refused() {
        let key = MintKey::Hs256(vec![7; HS256_SECRET_BYTES_MIN]);
        assert!(matches!(
            mint(&json!([]), header(), &key),
            Err(MintError::ClaimsNotAnObject)
        ));
        let short = MintKey::Hs256(vec![7; HS256_SECRET_BYTES_MIN - 1]);
        assert!(matches!(
            mint(&json!({}), header(), &short),
            Err(MintError::SecretTooShort(31))
        ));
        for pem in ["", "not a key", "-----BEGIN PRIVATE KEY-----\n"] {
            assert!(matches!(
                mint(&json!({}), header(), &MintKey::Es256(pem.to_owned())),
                Err(MintError::Key(_))
            ));
        }
    }

    #[test]
    fn a_public_key_cannot_sign() {
        let pair = Es256KeyPair::generate().unwrap();
        let key = MintKey::Es256(pair.public_pem);
        assert!(mint(&json!({}), header(), &key).is_err());
    }

    #[test]
    fn debug_output_shows_no_secret() {
        let pair = Es256KeyPair::generate().unwrap();
        let shown = format!("{pair:?} {:?}", MintKey::Es256(pair.private_pem.clone()));
        assert!(!shown.contains("PRIVATE"));
        assert_eq!(format!("{:?}", MintKey::Hs256(vec![7; 32])), "Hs256(..)");
    }
}

//! Keys that sign, for trying things out: a fresh one, or one from a file.

use std::fmt;

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der},
    hmac,
    rand::SystemRandom,
    rsa::{KeyPair as RsaKeyPair, KeySize},
    signature::{
        self, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING,
        ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair,
        KeyPair as _, RsaEncoding,
    },
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use serde_json::{Value, json};

use super::{algorithm::Algorithm, keys::pem::rsa_numbers};

/// Why there is no key, or no signature; never shows the key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// The secret is too short for its hash.
    #[error(
        "the secret has {has} bytes, and {algorithm} needs at least {needs} (RFC 7518 section \
         3.2): `rescind token keygen --alg {algorithm}` makes one"
    )]
    SecretTooShort {
        /// For which algorithm.
        algorithm: Algorithm,
        /// How long it is.
        has: usize,
        /// How long it must be.
        needs: usize,
    },
    /// The PEM is not what the algorithm needs.
    #[error(
        "it is not a private key for {0} as PKCS#8 PEM (BEGIN PRIVATE KEY): `rescind token keygen \
         --alg {0}` makes one"
    )]
    NotAKey(Algorithm),
    /// The cryptographic library, or the system's randomness, failed.
    #[error("the system made no key or no signature")]
    Failed,
}

/// A key that signs with one algorithm.
pub struct SigningKey {
    algorithm: Algorithm,
    material: Material,
}

enum Material {
    Secret(Vec<u8>),
    Rsa(RsaKeyPair),
    Ecdsa(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

/// The sizes of fresh RSA keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RsaBits {
    /// Good for years to come, and fast.
    #[default]
    B2048,
    /// As strong as the other algorithms.
    B3072,
    /// More.
    B4096,
}

impl SigningKey {
    /// A fresh key. A secret is text, so that it survives copying: base64url of as many random
    /// bytes as the hash has.
    ///
    /// # Errors
    /// When the system cannot make one.
    pub fn generate(algorithm: Algorithm, rsa: RsaBits) -> Result<Self, SignError> {
        let failed = |_| SignError::Failed;
        let material = match kind(algorithm) {
            Kind::Secret(_) => {
                let mut random = vec![0; algorithm.secret_bytes_min().unwrap_or(64)];
                getrandom::fill(&mut random).map_err(|_| SignError::Failed)?;
                Material::Secret(URL_SAFE_NO_PAD.encode(random).into_bytes())
            }
            Kind::Rsa(_) => {
                let size = match rsa {
                    RsaBits::B2048 => KeySize::Rsa2048,
                    RsaBits::B3072 => KeySize::Rsa3072,
                    RsaBits::B4096 => KeySize::Rsa4096,
                };
                Material::Rsa(RsaKeyPair::generate(size).map_err(failed)?)
            }
            Kind::Ecdsa(curve) => Material::Ecdsa(EcdsaKeyPair::generate(curve).map_err(failed)?),
            Kind::Ed => Material::Ed(Ed25519KeyPair::generate().map_err(failed)?),
        };
        Ok(Self {
            algorithm,
            material,
        })
    }

    /// The bytes of a secret, exactly as they stand.
    ///
    /// # Errors
    /// When they are fewer than the hash has, or the algorithm needs no secret.
    pub fn from_secret(algorithm: Algorithm, secret: Vec<u8>) -> Result<Self, SignError> {
        match algorithm.secret_bytes_min() {
            None => Err(SignError::NotAKey(algorithm)),
            Some(needs) if secret.len() < needs => Err(SignError::SecretTooShort {
                algorithm,
                has: secret.len(),
                needs,
            }),
            Some(_) => Ok(Self {
                algorithm,
                material: Material::Secret(secret),
            }),
        }
    }

    /// A private key as PKCS#8 PEM.
    ///
    /// # Errors
    /// When it is none, or not of the type that the algorithm needs.
    pub fn from_pem(algorithm: Algorithm, pem: &str) -> Result<Self, SignError> {
        let refused = SignError::NotAKey(algorithm);
        let der = private_der(pem).ok_or_else(|| refused.clone())?;
        let material = match kind(algorithm) {
            Kind::Secret(_) => return Err(refused),
            Kind::Rsa(_) => RsaKeyPair::from_pkcs8(&der).map(Material::Rsa),
            Kind::Ecdsa(curve) => EcdsaKeyPair::from_pkcs8(curve, &der).map(Material::Ecdsa),
            // OpenSSL writes the version without the public key.
            Kind::Ed => Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der).map(Material::Ed),
        };
        Ok(Self {
            algorithm,
            material: material.map_err(|_| refused)?,
        })
    }

    /// What it signs with.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The secret, or the private key as PKCS#8 PEM.
    ///
    /// # Errors
    /// When the cryptographic library fails.
    pub fn private(&self) -> Result<Vec<u8>, SignError> {
        let failed = |_| SignError::Failed;
        let der = match &self.material {
            Material::Secret(secret) => return Ok(secret.clone()),
            Material::Rsa(pair) => {
                let der: Pkcs8V1Der<'_> = pair.as_der().map_err(failed)?;
                der.as_ref().to_vec()
            }
            Material::Ecdsa(pair) => pair.to_pkcs8v1().map_err(failed)?.as_ref().to_vec(),
            Material::Ed(pair) => pair.to_pkcs8v1().map_err(failed)?.as_ref().to_vec(),
        };
        Ok(pem("PRIVATE KEY", &der).into_bytes())
    }

    /// The public key as PEM; `None` for a secret.
    ///
    /// # Errors
    /// When the cryptographic library fails.
    pub fn public_pem(&self) -> Result<Option<String>, SignError> {
        let der: Result<PublicKeyX509Der<'_>, _> = match &self.material {
            Material::Secret(_) => return Ok(None),
            Material::Rsa(pair) => pair.public_key().as_der(),
            Material::Ecdsa(pair) => pair.public_key().as_der(),
            Material::Ed(pair) => pair.public_key().as_der(),
        };
        let der = der.map_err(|_| SignError::Failed)?;
        Ok(Some(pem("PUBLIC KEY", der.as_ref())))
    }

    /// The key for those who verify, as a JWK (RFC 7517). That of a secret is the secret.
    pub fn jwk(&self, kid: Option<&str>) -> Value {
        let text = |bytes: &[u8]| Value::from(URL_SAFE_NO_PAD.encode(bytes));
        let mut jwk = match &self.material {
            Material::Secret(secret) => json!({"kty": "oct", "k": text(secret)}),
            Material::Rsa(pair) => {
                let (n, e) = rsa_numbers(pair.public_key().as_ref()).unwrap_or_default();
                // DER keeps the sign apart with a zero byte, and JWK does not.
                let n = n.strip_prefix(&[0]).unwrap_or(n);
                json!({"kty": "RSA", "n": text(n), "e": text(e)})
            }
            Material::Ecdsa(pair) => {
                let point = pair.public_key().as_ref();
                let coordinates = point.get(1..).unwrap_or_default();
                let (x, y) = coordinates.split_at(coordinates.len() / 2);
                let crv = match self.algorithm {
                    Algorithm::Es256 => "P-256",
                    Algorithm::Es384 => "P-384",
                    _ => "P-521",
                };
                json!({"kty": "EC", "crv": crv, "x": text(x), "y": text(y)})
            }
            Material::Ed(pair) => {
                json!({"kty": "OKP", "crv": "Ed25519", "x": text(pair.public_key().as_ref())})
            }
        };
        if let Some(members) = jwk.as_object_mut() {
            members.insert("use".to_owned(), json!("sig"));
            members.insert("alg".to_owned(), json!(self.algorithm.name()));
            if let Some(kid) = kid {
                members.insert("kid".to_owned(), json!(kid));
            }
        }
        jwk
    }

    /// The signature over some bytes.
    ///
    /// # Errors
    /// When the cryptographic library fails.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let failed = |_| SignError::Failed;
        match (&self.material, kind(self.algorithm)) {
            (Material::Secret(secret), Kind::Secret(hash)) => {
                let key = hmac::Key::new(hash, secret);
                Ok(hmac::sign(&key, message).as_ref().to_vec())
            }
            (Material::Rsa(pair), Kind::Rsa(padding)) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(padding, &SystemRandom::new(), message, &mut signature)
                    .map_err(failed)?;
                Ok(signature)
            }
            (Material::Ecdsa(pair), Kind::Ecdsa(_)) => {
                let signature = pair.sign(&SystemRandom::new(), message).map_err(failed)?;
                Ok(signature.as_ref().to_vec())
            }
            (Material::Ed(pair), Kind::Ed) => Ok(pair.sign(message).as_ref().to_vec()),
            _ => Err(SignError::NotAKey(self.algorithm)),
        }
    }

    /// A compact JWS with this header and these claims, which are taken as they are.
    ///
    /// # Errors
    /// When the cryptographic library fails.
    pub fn token(&self, header: &Value, claims: &Value) -> Result<String, SignError> {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let mut token = [&*part(header), ".", &*part(claims)].concat();
        let signature = self.sign(token.as_bytes())?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Ok(token)
    }
}

/// What an algorithm signs with.
enum Kind {
    Secret(hmac::Algorithm),
    Rsa(&'static dyn RsaEncoding),
    Ecdsa(&'static EcdsaSigningAlgorithm),
    Ed,
}

fn kind(algorithm: Algorithm) -> Kind {
    match algorithm {
        Algorithm::Hs256 => Kind::Secret(hmac::HMAC_SHA256),
        Algorithm::Hs384 => Kind::Secret(hmac::HMAC_SHA384),
        Algorithm::Hs512 => Kind::Secret(hmac::HMAC_SHA512),
        Algorithm::Rs256 => Kind::Rsa(&signature::RSA_PKCS1_SHA256),
        Algorithm::Rs384 => Kind::Rsa(&signature::RSA_PKCS1_SHA384),
        Algorithm::Rs512 => Kind::Rsa(&signature::RSA_PKCS1_SHA512),
        Algorithm::Ps256 => Kind::Rsa(&signature::RSA_PSS_SHA256),
        Algorithm::Ps384 => Kind::Rsa(&signature::RSA_PSS_SHA384),
        Algorithm::Ps512 => Kind::Rsa(&signature::RSA_PSS_SHA512),
        Algorithm::Es256 => Kind::Ecdsa(&ECDSA_P256_SHA256_FIXED_SIGNING),
        Algorithm::Es384 => Kind::Ecdsa(&ECDSA_P384_SHA384_FIXED_SIGNING),
        Algorithm::Es512 => Kind::Ecdsa(&ECDSA_P521_SHA512_FIXED_SIGNING),
        Algorithm::EdDsa => Kind::Ed,
    }
}

fn private_der(pem: &str) -> Option<Vec<u8>> {
    let (_, rest) = pem.split_once("-----BEGIN PRIVATE KEY-----")?;
    let (body, _) = rest.split_once("-----END PRIVATE KEY-----")?;
    let body: String = body.split_ascii_whitespace().collect();
    STANDARD.decode(body).ok()
}

/// The textual encoding of RFC 7468: lines of 64 characters.
pub(super) fn pem(label: &str, der: &[u8]) -> String {
    let mut text = format!("-----BEGIN {label}-----\n");
    // 48 bytes are 64 characters.
    for line in der.chunks(48) {
        STANDARD.encode_string(line, &mut text);
        text.push('\n');
    }
    text.push_str("-----END ");
    text.push_str(label);
    text.push_str("-----\n");
    text
}

//! Keys that verify, and sets of them: JWKS (RFC 7517), PEM, HMAC secrets.
//!
//! What a key may verify is settled when it is read: by its type and curve, by its own `alg`,
//! `use` and `key_ops`, and by the algorithms that the issuer is configured with. A token's header
//! then only picks from that; it never widens it.

use std::{collections::HashMap, fmt, sync::Arc};

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED,
    EcdsaVerificationAlgorithm, ParsedPublicKey, UnparsedPublicKey,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{
    DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse},
};
use serde_json::Value;

use crate::limits;

use super::algorithm::Algorithm;

/// Why a key, or a whole set, cannot be used; never shows the key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct KeyError(String);

fn wrong(why: impl Into<String>) -> KeyError {
    KeyError(why.into())
}

/// One key, and what it may verify.
pub struct Key {
    kid: Option<Arc<str>>,
    /// What it is called whatever its `kid`; of those that stand alone and of secrets, nothing.
    thumbprint: Option<Arc<str>>,
    algorithms: Vec<Algorithm>,
    material: Material,
}

enum Material {
    Known(DecodingKey),
    /// An uncompressed point of P-521, which jsonwebtoken does not know.
    P521(Vec<u8>),
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Secrets are keys too.
        f.debug_struct("Key")
            .field("kid", &self.kid)
            .field("algorithms", &self.algorithms)
            .finish_non_exhaustive()
    }
}

impl Key {
    /// Its `kid`, if it has one.
    pub fn kid(&self) -> Option<&Arc<str>> {
        self.kid.as_ref()
    }

    /// Whether it may verify this algorithm.
    pub fn may_verify(&self, algorithm: Algorithm) -> bool {
        self.algorithms.contains(&algorithm)
    }

    /// Whether the signature is this key's.
    pub(super) fn verifies(
        &self,
        algorithm: Algorithm,
        signing_input: &str,
        signature: &[u8],
        signature_text: &str,
    ) -> bool {
        match (&self.material, algorithm.of_jsonwebtoken()) {
            (Material::Known(key), Some(algorithm)) => jsonwebtoken::crypto::verify(
                signature_text,
                signing_input.as_bytes(),
                key,
                algorithm,
            )
            .unwrap_or(false),
            (Material::P521(point), None) => {
                UnparsedPublicKey::new(&ECDSA_P521_SHA512_FIXED, point)
                    .verify(signing_input.as_bytes(), signature)
                    .is_ok()
            }
            _ => false,
        }
    }
}

/// The keys of one issuer at one time.
#[derive(Debug, Default)]
pub struct KeySet {
    keys: Vec<Key>,
    skipped: Vec<String>,
    /// The `kid` of keys that are published and not used, and why.
    unused: Vec<(String, KeyError)>,
    warnings: Vec<String>,
}

impl KeySet {
    /// A JWKS. Keys that are not for this are skipped, and it is said why (RFC 7517 section 5);
    /// `may_be_secret`: it comes from a place where secrets may be kept.
    ///
    /// # Errors
    /// When it is not a JWKS, or too large. A set without one usable key is no error here.
    pub fn from_jwks(
        bytes: &[u8],
        allowed: &[Algorithm],
        may_be_secret: bool,
    ) -> Result<Self, KeyError> {
        if bytes.len() > limits::JWKS_BYTES_MAX {
            return Err(wrong(format!(
                "the key set has {} bytes, and at most {} are read",
                bytes.len(),
                limits::JWKS_BYTES_MAX
            )));
        }
        // RFC 8259 section 8.1 lets a reader ignore the mark that some editors and servers put first.
        let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
        let set: Value = serde_json::from_slice(bytes)
            .map_err(|error| wrong(format!("the key set is not JSON: {error}")))?;
        let keys = set
            .get("keys")
            .and_then(Value::as_array)
            .ok_or_else(|| wrong("the key set has no array `keys` (RFC 7517 section 5)"))?;
        if keys.len() > limits::JWKS_KEYS_MAX {
            return Err(wrong(format!(
                "the key set has {} keys, and at most {} are read",
                keys.len(),
                limits::JWKS_KEYS_MAX
            )));
        }
        let mut read = Self::default();
        for (place, key) in keys.iter().enumerate() {
            match from_jwk(key, allowed, may_be_secret) {
                Ok(key) => read.keys.push(key),
                Err(why) => {
                    read.skipped.push(format!("keys[{place}]: {why}"));
                    if let Some(kid) = key.get("kid").and_then(Value::as_str) {
                        read.unused.push((kid.to_owned(), why));
                    }
                }
            }
        }
        read.warn_of_twins();
        Ok(read)
    }

    /// A public key in PEM: `PUBLIC KEY` (RFC 5480, RFC 8410), `RSA PUBLIC KEY` or `CERTIFICATE`.
    ///
    /// # Errors
    /// When it is no such key, too weak, or not of a type that a configured algorithm needs.
    pub fn from_pem(pem: &[u8], allowed: &[Algorithm]) -> Result<Self, KeyError> {
        pem::one(pem, allowed).map(|key| Self {
            keys: vec![key],
            ..Self::default()
        })
    }

    /// By which thumbprints the keys of this name are known, whatever name they have.
    pub fn thumbprints_of(&self, kid: &str) -> Vec<Arc<str>> {
        let named = self
            .keys
            .iter()
            .filter(|key| key.kid.as_deref() == Some(kid));
        named.filter_map(|key| key.thumbprint.clone()).collect()
    }

    /// Under which names a key with this thumbprint is known.
    pub fn kids_of(&self, thumbprint: &str) -> impl Iterator<Item = &Arc<str>> {
        let same = move |key: &&Key| key.thumbprint.as_deref() == Some(thumbprint);
        self.keys.iter().filter(same).filter_map(Key::kid)
    }

    /// The same keys; those without a `kid` are called `kid`.
    #[must_use]
    pub fn called(mut self, kid: Option<&str>) -> Self {
        if let Some(kid) = kid {
            for key in &mut self.keys {
                key.kid.get_or_insert_with(|| kid.into());
            }
        }
        self
    }

    /// An HMAC secret, as its raw bytes.
    ///
    /// # Errors
    /// When it is shorter than the hash of a configured algorithm.
    pub fn from_secret(secret: &[u8], allowed: &[Algorithm]) -> Result<Self, KeyError> {
        let algorithms = long_enough(secret, allowed)?;
        let warnings = if secret.ends_with(b"\n") {
            vec![
                "the secret ends in a line break, which is part of it: where the issuer's does not, \
                 strip it with `printf %s \"$(cat FILE)\" > NEW`"
                    .to_owned(),
            ]
        } else {
            Vec::new()
        };
        Ok(Self {
            warnings,
            keys: vec![Key {
                kid: None,
                thumbprint: None,
                algorithms,
                material: Material::Known(DecodingKey::from_secret(secret)),
            }],
            ..Self::default()
        })
    }

    /// Why a set has no key that can be used, for people.
    pub fn has_none_because(&self) -> String {
        if self.skipped.is_empty() {
            return "it is empty".to_owned();
        }
        self.skipped.join("; ")
    }

    /// The keys.
    pub fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// Why the key that has this `kid` is not used, if the set has one that is not.
    pub(super) fn why_unused(&self, kid: &str) -> Option<&KeyError> {
        let (_, why) = self.unused.iter().find(|(of, _)| of == kid)?;
        Some(why)
    }

    /// What a person should know of the keys that are used.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Each key of one `kid` is tried, so whoever reads that name cannot tell by it which key he sees.
    fn warn_of_twins(&mut self) {
        let mut seen = HashMap::<&str, usize>::new();
        let mut twins = Vec::new();
        for kid in self.keys.iter().filter_map(|key| key.kid.as_deref()) {
            let count = seen.entry(kid).or_default();
            *count += 1;
            if *count == 2 {
                twins.push(format!(
                    "more than one key has the `kid` {kid:?}: each counts, and a revocation of that \
                     name meets all of them; have the issuer give every key a name of its own (RFC \
                     7517 section 4.5)"
                ));
            }
        }
        self.warnings = twins;
    }

    /// Which keys were skipped, and why.
    pub fn skipped(&self) -> &[String] {
        &self.skipped
    }
}

/// RFC 7518 section 3.2: a secret at least as long as the hash.
fn long_enough(secret: &[u8], allowed: &[Algorithm]) -> Result<Vec<Algorithm>, KeyError> {
    let hmac: Vec<Algorithm> = allowed
        .iter()
        .copied()
        .filter(|algorithm| algorithm.secret_bytes_min().is_some())
        .collect();
    for algorithm in &hmac {
        let needed = algorithm.secret_bytes_min().unwrap_or_default();
        if secret.len() < needed {
            return Err(wrong(format!(
                "the secret has {} bytes, and {algorithm} needs at least {needed} (RFC 7518 \
                 section 3.2): make a good one with `rescind token keygen --alg {algorithm}`",
                secret.len()
            )));
        }
    }
    if hmac.is_empty() {
        return Err(wrong(
            "it is a secret, and no HS algorithm is configured for this issuer",
        ));
    }
    Ok(hmac)
}

fn from_jwk(value: &Value, allowed: &[Algorithm], may_be_secret: bool) -> Result<Key, KeyError> {
    // An algorithm that jsonwebtoken does not know must not make the whole key unreadable, and
    // must not be forgotten either.
    let said = value.get("alg").and_then(Value::as_str).map(str::to_owned);
    let mut value = value.clone();
    // An empty `use` says nothing, as an empty text does elsewhere.
    if let Some(members) = value.as_object_mut() {
        members.retain(|name, said| name != "use" || said.as_str() != Some(""));
    }
    let thumbprint = thumbprint::of(&value);
    let jwk: Jwk = serde_json::from_value(value)
        .map_err(|_| wrong("it is not a key that can be read (RFC 7517 section 4)"))?;
    is_for_verifying(&jwk)?;
    let (possible, material) = material(&jwk, may_be_secret)?;
    let mut algorithms: Vec<Algorithm> = possible
        .iter()
        .copied()
        .filter(|algorithm| allowed.contains(algorithm))
        .collect();
    if let Some(said) = &said {
        algorithms.retain(|algorithm| algorithm.is_named(said));
    }
    if algorithms.is_empty() {
        return Err(wrong(
            "its type, curve or `alg` fits none of the algorithms configured for this issuer",
        ));
    }
    if let Material::Known(_) = &material
        && let AlgorithmParameters::OctetKey(secret) = &jwk.algorithm
    {
        long_enough(&decoded(&secret.value)?, &algorithms)?;
    }
    Ok(Key {
        kid: jwk.common.key_id.map(Arc::from),
        thumbprint,
        algorithms,
        material,
    })
}

fn is_for_verifying(jwk: &Jwk) -> Result<(), KeyError> {
    match &jwk.common.public_key_use {
        None | Some(PublicKeyUse::Signature) => {}
        Some(_) => return Err(wrong("its `use` is not sig (RFC 7517 section 4.2)")),
    }
    match &jwk.common.key_operations {
        Some(operations) if !operations.contains(&KeyOperations::Verify) => {
            Err(wrong("its `key_ops` lack verify (RFC 7517 section 4.3)"))
        }
        _ => Ok(()),
    }
}

fn material(jwk: &Jwk, may_be_secret: bool) -> Result<(&'static [Algorithm], Material), KeyError> {
    let known = || {
        DecodingKey::from_jwk(jwk)
            .map(Material::Known)
            .map_err(|_| wrong("its numbers cannot be read (RFC 7518 section 6)"))
    };
    match &jwk.algorithm {
        AlgorithmParameters::RSA(rsa) => {
            let (n, e) = (decoded(&rsa.n)?, decoded(&rsa.e)?);
            let (n, e) = (without_zeros(&n), without_zeros(&e));
            rsa_is_strong(n, e)?;
            // Whoever checks signatures takes numbers of the shortest form alone, so a key with a
            // leading zero would fit none.
            let key = DecodingKey::from_rsa_raw_components(n, e);
            Ok((&Algorithm::RSA, Material::Known(key)))
        }
        AlgorithmParameters::EllipticCurve(ec) => {
            let (algorithm, len) = match ec.curve {
                EllipticCurve::P256 => (Algorithm::Es256, 32),
                EllipticCurve::P384 => (Algorithm::Es384, 48),
                EllipticCurve::P521 => (Algorithm::Es512, 66),
                _ => return Err(wrong("its curve is not one for ES256, ES384 or ES512")),
            };
            let (x, y) = (decoded(&ec.x)?, decoded(&ec.y)?);
            if x.len() != len || y.len() != len {
                return Err(wrong(format!(
                    "its coordinates have not the {len} bytes of its curve (RFC 7518 section \
                     6.2.1.2)"
                )));
            }
            of_point([&[4], &*x, &*y].concat(), algorithm)
        }
        AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => {
            if decoded(&pair.x)?.len() != 32 {
                return Err(wrong("its `x` has not the 32 bytes of Ed25519"));
            }
            Ok((&[Algorithm::EdDsa], known()?))
        }
        AlgorithmParameters::OctetKey(_) if may_be_secret => Ok((&Algorithm::HMAC, known()?)),
        AlgorithmParameters::OctetKey(_) => Err(wrong(
            "it is a secret, which a published key set must not hold: whoever can read it can \
             make tokens",
        )),
        _ => Err(wrong("its type or curve is not known here")),
    }
}

fn decoded(text: &str) -> Result<Vec<u8>, KeyError> {
    URL_SAFE_NO_PAD
        .decode(text.trim_end_matches('='))
        .map_err(|_| wrong("one of its numbers is not base64url"))
}

/// A number without leading zeros (RFC 7518 section 2, Base64urlUInt): some issuers write the sign
/// byte of DER.
fn without_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeros..).unwrap_or_default()
}

/// NIST SP 800-131A, RFC 7518 section 3.3: 2,048 bits or more. With the exponent 1 everything is
/// its own signature.
fn rsa_is_strong(modulus: &[u8], exponent: &[u8]) -> Result<(), KeyError> {
    let (last, before) = exponent.split_last().unwrap_or((&0, &[]));
    if last % 2 == 0 || (*last == 1 && before.iter().all(|byte| *byte == 0)) {
        return Err(wrong(
            "the RSA key's public exponent is even or 1: it protects nothing",
        ));
    }
    let modulus = without_zeros(modulus);
    let spare = modulus.first().map_or(0, |first| first.leading_zeros());
    let bits = modulus.len() * 8 - spare as usize;
    if (limits::RSA_BITS_MIN..=limits::RSA_BITS_MAX).contains(&bits) {
        if roca::is_weak(modulus) {
            return Err(wrong(
                "the RSA key has the ROCA weakness (CVE-2017-15361): its private half can be \
                 computed from it. Have the issuer make a new one with other software",
            ));
        }
        return Ok(());
    }
    Err(wrong(format!(
        "the RSA key has {bits} bits, and {} to {} are accepted (RFC 7518 section 3.3): make a \
         good one with `rescind token keygen --alg RS256`",
        limits::RSA_BITS_MIN,
        limits::RSA_BITS_MAX
    )))
}

/// An uncompressed point 04 ‖ x ‖ y, which must lie on the algorithm's curve.
fn of_point(
    point: Vec<u8>,
    algorithm: Algorithm,
) -> Result<(&'static [Algorithm], Material), KeyError> {
    let (possible, rule): (&[_], &EcdsaVerificationAlgorithm) = match algorithm {
        Algorithm::Es256 => (&[Algorithm::Es256], &ECDSA_P256_SHA256_FIXED),
        Algorithm::Es384 => (&[Algorithm::Es384], &ECDSA_P384_SHA384_FIXED),
        _ => (&[Algorithm::Es512], &ECDSA_P521_SHA512_FIXED),
    };
    ParsedPublicKey::new(rule, &point)
        .map_err(|_| wrong("its point does not lie on the curve P-256, P-384 or P-521"))?;
    let material = match algorithm {
        Algorithm::Es512 => Material::P521(point),
        _ => Material::Known(DecodingKey::from_ec_der(&point)),
    };
    Ok((possible, material))
}

pub(super) mod pem;
mod roca;
mod thumbprint;

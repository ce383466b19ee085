//! One public key in PEM (RFC 7468).

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jsonwebtoken::DecodingKey;

use crate::token::algorithm::Algorithm;

use super::{Key, KeyError, Material, of_point, rsa_is_strong, wrong};

/// The key in a PEM text.
pub(super) fn one(pem: &[u8], allowed: &[Algorithm]) -> Result<Key, KeyError> {
    let text = std::str::from_utf8(pem).map_err(|_| wrong("it is not PEM text"))?;
    if text.contains("PRIVATE KEY") {
        return Err(wrong(
            "it holds a private key, which nobody but the issuer should have: give the public one \
             (openssl pkey -in private.pem -pubout)",
        ));
    }
    if text.matches("-----BEGIN").count() != 1 {
        return Err(wrong("it does not hold exactly one key in PEM"));
    }
    let (possible, material) = if text.contains("-----BEGIN CERTIFICATE-----") {
        read(&public_half(text)?)?
    } else {
        read(pem)?
    };
    let algorithms: Vec<Algorithm> = possible
        .iter()
        .copied()
        .filter(|algorithm| allowed.contains(algorithm))
        .collect();
    if algorithms.is_empty() {
        let names: Vec<&str> = possible.iter().map(|algorithm| algorithm.name()).collect();
        return Err(wrong(format!(
            "it is a key for {}, and none of these is among the algorithms of this issuer",
            names.join(", ")
        )));
    }
    Ok(Key {
        kid: None,
        thumbprint: None,
        algorithms,
        material,
    })
}

/// The public key of an X.509 certificate (RFC 5280 section 4.1), as a PEM of its own. Who signed the
/// certificate and when it ends is not looked at: whoever configures it vouches for it, as for a key.
fn public_half(text: &str) -> Result<Vec<u8>, KeyError> {
    let unreadable = || wrong("its certificate cannot be read (RFC 5280 section 4.1)");
    let body: String = text
        .lines()
        .map(str::trim)
        .skip_while(|line| *line != "-----BEGIN CERTIFICATE-----")
        .skip(1)
        .take_while(|line| !line.starts_with("-----"))
        .collect();
    let der = STANDARD.decode(body).map_err(|_| unreadable())?;
    let key = subject_public_key(&der).ok_or_else(unreadable)?;
    let key = STANDARD.encode(key);
    Ok(format!("-----BEGIN PUBLIC KEY-----\n{key}\n-----END PUBLIC KEY-----\n").into_bytes())
}

/// The `SubjectPublicKeyInfo` of a certificate, with its tag and length.
fn subject_public_key(der: &[u8]) -> Option<&[u8]> {
    let (_, certificate, _) = element(der)?;
    let (_, mut rest, _) = element(certificate)?;
    // The version is left out in the oldest ones.
    if let (0xa0, _, after) = element(rest)? {
        rest = after;
    }
    // Serial number, signature, issuer, validity, subject.
    for _ in 0..5 {
        (_, _, rest) = element(rest)?;
    }
    let (0x30, _, after) = element(rest)? else {
        return None;
    };
    rest.get(..rest.len() - after.len())
}

fn read(pem: &[u8]) -> Result<(&'static [Algorithm], Material), KeyError> {
    if let Ok(key) = DecodingKey::from_rsa_pem(pem) {
        let der = key.try_get_as_bytes().unwrap_or_default();
        let (modulus, exponent) =
            rsa_numbers(der).ok_or_else(|| wrong("its RSA numbers cannot be read"))?;
        rsa_is_strong(modulus, exponent)?;
        return Ok((&Algorithm::RSA, Material::Known(key)));
    }
    if let Ok(key) = DecodingKey::from_ec_pem(pem) {
        let point = key.try_get_as_bytes().unwrap_or_default().to_vec();
        // An uncompressed point is 04 ‖ x ‖ y: its length tells the curve.
        return match point.len() {
            65 => of_point(point, Algorithm::Es256),
            97 => of_point(point, Algorithm::Es384),
            133 => of_point(point, Algorithm::Es512),
            _ => Err(wrong(
                "its curve is not P-256, P-384 or P-521, or its point is compressed",
            )),
        };
    }
    match DecodingKey::from_ed_pem(pem) {
        Ok(key) if key.try_get_as_bytes().is_ok_and(|bytes| bytes.len() == 32) => {
            Ok((&[Algorithm::EdDsa], Material::Known(key)))
        }
        _ => Err(wrong(
            "it is not an RSA, P-256, P-384, P-521 or Ed25519 public key in PEM",
        )),
    }
}

/// The two INTEGERs of the SEQUENCE that an `RSAPublicKey` is (RFC 8017 appendix A.1.1): modulus
/// and exponent.
pub(in crate::token) fn rsa_numbers(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (0x30, sequence, _) = element(der)? else {
        return None;
    };
    let (0x02, modulus, rest) = element(sequence)? else {
        return None;
    };
    let (0x02, exponent, _) = element(rest)? else {
        return None;
    };
    Some((modulus, exponent))
}

/// The first element of DER: its tag, its contents and what follows it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = der.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (len, rest) = if *first < 0x80 {
        (usize::from(*first), rest)
    } else {
        let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
        if bytes.len() > 4 {
            return None;
        }
        let len = bytes
            .iter()
            .fold(0, |len, byte| (len << 8) | usize::from(*byte));
        (len, rest)
    };
    let (contents, rest) = rest.split_at_checked(len)?;
    Some((*tag, contents, rest))
}

//! The tokens of a case: made, and made differently.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use crate::{
    limits,
    model::UnixNanos,
    proto::v1,
    token::{
        algorithm::Algorithm,
        sign::{RsaBits, SignError, SigningKey},
    },
};

use super::{
    case::{Alter, Alteration, Key, Members, Mint},
    text::{Frame, seconds_text},
};

/// The claims that are times.
const TIMES: [&str; 4] = ["iat", "exp", "nbf", "auth_time"];

/// What tokens are signed with.
#[derive(Debug)]
pub(super) struct Keys {
    hs256: SigningKey,
    es256: SigningKey,
}

impl Keys {
    pub(super) fn generate() -> Result<Self, SignError> {
        Ok(Self {
            hs256: SigningKey::generate(Algorithm::Hs256, RsaBits::default())?,
            es256: SigningKey::generate(Algorithm::Es256, RsaBits::default())?,
        })
    }

    /// A key set with one of them, under the name that cases know it by.
    pub(super) fn jwks(&self, key: Key) -> String {
        let kid = match key {
            Key::Hs256 => "hs256",
            Key::Es256 => "es256",
        };
        serde_json::json!({"keys": [self.of(key).jwk(Some(kid))]}).to_string()
    }

    /// What it signs with.
    pub(super) fn algorithm(&self, key: Key) -> Algorithm {
        self.of(key).algorithm()
    }

    fn of(&self, key: Key) -> &SigningKey {
        match key {
            Key::Hs256 => &self.hs256,
            Key::Es256 => &self.es256,
        }
    }
}

/// Signs a header and claims that are taken byte for byte, be they JSON or not.
fn sign(header: &str, claims: &str, key: &SigningKey) -> Result<String, SignError> {
    let mut token = URL_SAFE_NO_PAD.encode(header);
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(claims, &mut token);
    let signature = key.sign(token.as_bytes())?;
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut token);
    Ok(token)
}

/// A token of a case.
#[derive(Clone, Debug)]
pub(super) struct Token {
    /// Its text.
    pub(super) text: String,
    /// Claims that say the same, where the API has a way to say it.
    pub(super) claims: Option<v1::Claims>,
}

impl Token {
    /// SHA-256 of its signing input.
    pub(super) fn digest(&self) -> Vec<u8> {
        let input = self.text.rsplit_once('.').map_or("", |(input, _)| input);
        Sha256::digest(input.as_bytes()).to_vec()
    }
}

/// Makes a token. With `only_token` no claims stand for it; `revocable` are the claims by which the
/// node revokes.
pub(super) fn mint(
    mint: &Mint,
    keys: &Keys,
    frame: &Frame,
    only_token: bool,
    revocable: &[String],
) -> Result<Token, String> {
    let mut header = base_header(mint.key);
    overlay(&mut header, &mint.header, frame)?;
    let mut claims = base_claims(&mint.name, frame);
    overlay(&mut claims, &mint.claims, frame)?;
    let header_text = match &mint.raw_header {
        Some(raw) => frame.expand(raw)?,
        None => object(&header),
    };
    let claims_text = match &mint.raw_claims {
        Some(raw) => frame.expand(raw)?,
        None => object(&claims),
    };
    let text =
        sign(&header_text, &claims_text, keys.of(mint.key)).map_err(|error| format!("{error}"))?;
    let mut token = Token { text, claims: None };
    let is_raw = mint.raw_header.is_some() || mint.raw_claims.is_some();
    // The bound on a token's text says nothing of its claims.
    let is_long = token.text.len() > limits::TOKEN_BYTES_DEFAULT;
    if !is_raw && !only_token && !is_long {
        token.claims = as_claims(&header, &claims, revocable).map(|claims| v1::Claims {
            signing_input_sha256: token.digest(),
            ..claims
        });
    }
    Ok(token)
}

/// The members of a token in JSON text.
type Texts = BTreeMap<String, String>;

fn base_header(key: Key) -> Texts {
    let alg = match key {
        Key::Hs256 => "\"HS256\"",
        Key::Es256 => "\"ES256\"",
    };
    [("alg", alg), ("typ", "\"JWT\"")]
        .map(|(name, text)| (name.to_owned(), text.to_owned()))
        .into()
}

/// The claims that every token has unless the case says otherwise.
pub(super) fn base_claims(name: &str, frame: &Frame) -> Texts {
    const NANOS_PER_HOUR: i128 = 3_600_000_000_000;
    [
        ("iss", quoted(&frame.iss)),
        ("sub", quoted("ada")),
        ("jti", quoted(&format!("jti-of-{name}"))),
        ("iat", seconds_text(frame.start)),
        ("exp", seconds_text(frame.start + NANOS_PER_HOUR)),
    ]
    .map(|(name, text)| (name.to_owned(), text))
    .into()
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Puts members over others: `null` takes one away, times are worked out, and placeholders are
/// filled in.
pub(super) fn overlay(base: &mut Texts, over: &Members, frame: &Frame) -> Result<(), String> {
    for (name, raw) in over {
        let name = frame.expand(name)?;
        if raw.get() == "null" {
            base.remove(&name);
            continue;
        }
        base.insert(name.clone(), value(&name, raw, frame)?);
    }
    Ok(())
}

fn value(name: &str, raw: &RawValue, frame: &Frame) -> Result<String, String> {
    let Ok(text) = serde_json::from_str::<String>(raw.get()) else {
        // Numbers, arrays and objects stand as they are written.
        return Ok(raw.get().to_owned());
    };
    if TIMES.contains(&name)
        && let Some(time) = frame.time(&text)
    {
        return Ok(seconds_text(time));
    }
    Ok(quoted(&frame.expand(&text)?))
}

fn object(members: &Texts) -> String {
    let members: Vec<String> = members
        .iter()
        .map(|(name, text)| format!("{}:{text}", quoted(name)))
        .collect();
    // A text whose length is no multiple of three has spare bits at its end.
    let text = format!("{{{}}}", members.join(","));
    if text.len() % 3 == 0 {
        text + " "
    } else {
        text
    }
}

/// The claims of the API that say what these members say; `None` when there is no way to.
pub(super) fn as_claims(
    header: &Texts,
    members: &Texts,
    revocable: &[String],
) -> Option<v1::Claims> {
    let mut claims = v1::Claims::default();
    for (name, text) in members {
        match name.as_str() {
            "iss" => claims.iss = serde_json::from_str(text).ok()?,
            "jti" => claims.jti = id(text)?,
            "sub" => claims.sub = id(text)?,
            "sid" => claims.sid = id(text)?,
            "client_id" => claims.client_id = id(text)?,
            "iat" => claims.iat = Some(date(text)?),
            "exp" => claims.exp = Some(date(text)?),
            "nbf" => claims.nbf = Some(date(text)?),
            "auth_time" => claims.auth_time = Some(date(text)?),
            "version" => claims.version = Some(text.parse().ok()?),
            other => {
                // What nobody revokes by may be of any type and size.
                if revocable.iter().any(|name| name == other) {
                    let values = values(text)?;
                    claims.other.insert(other.to_owned(), v1::Values { values });
                }
            }
        }
    }
    if claims.client_id.is_empty()
        && let Some(azp) = members.get("azp")
    {
        claims.client_id = id(azp)?;
    }
    if let Some(kid) = header.get("kid") {
        claims.kid = serde_json::from_str(kid).ok()?;
    }
    Some(claims)
}

fn id(text: &str) -> Option<String> {
    if let Ok(text) = serde_json::from_str(text) {
        return Some(text);
    }
    let digits = text.strip_prefix('-').unwrap_or(text);
    let is_whole = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_whole.then(|| if digits == "0" { "0" } else { text }.to_owned())
}

fn date(text: &str) -> Option<f64> {
    let seconds: f64 = text.parse().ok()?;
    // A double may be too coarse for what the text says.
    let same = UnixNanos::from_numeric_date(seconds)? == UnixNanos::from_numeric_date_text(text)?;
    same.then_some(seconds)
}

fn values(text: &str) -> Option<Vec<String>> {
    if let Some(one) = id(text) {
        return Some(vec![one]);
    }
    let elements: Vec<&RawValue> = serde_json::from_str(text).ok()?;
    elements.into_iter().map(|raw| id(raw.get())).collect()
}

/// Makes another text of a token.
pub(super) fn alter(alter: &Alter, token: &Token) -> Result<Token, String> {
    let text = &token.text;
    let (input, signature) = text
        .rsplit_once('.')
        .ok_or("the token has no signature to alter")?;
    let (header, claims) = input.split_once('.').ok_or("the token has no claims")?;
    let with = |signature: &str| format!("{input}.{signature}");
    let altered = match alter.how {
        Alteration::NegateEs256S => with(&negate_s(signature)?),
        Alteration::OtherSignature => with(&URL_SAFE_NO_PAD.encode([7_u8; 64])),
        Alteration::SignatureTailBits => with(&set_tail_bits(signature)?),
        Alteration::ClaimsTailBits => {
            format!("{header}.{}.{signature}", set_tail_bits(claims)?)
        }
        Alteration::Pad => {
            let missing = (4 - signature.len() % 4) % 4;
            with(&format!("{signature}{}", "=".repeat(missing.max(1))))
        }
        Alteration::StandardAlphabet => {
            let standard = text.replace('-', "+").replace('_', "/");
            if standard == *text {
                return Err("the token has no character that the alphabets differ in".to_owned());
            }
            standard
        }
        Alteration::NoSignature => with(""),
        Alteration::TwoParts => input.to_owned(),
        Alteration::FourParts => format!("{text}.e30"),
        Alteration::FiveParts => format!("{text}.e30.e30"),
        Alteration::SpaceAfter => format!("{text} "),
        Alteration::LineBreak => format!("{header}.\n{claims}.{signature}"),
        Alteration::CutShort => text.get(..text.len() - 1).unwrap_or_default().to_owned(),
        Alteration::Bearer => format!("Bearer {text}"),
        Alteration::BearerInOtherCase => format!("bEARER  {text}"),
    };
    if altered == *text {
        return Err("the alteration changed nothing".to_owned());
    }
    Ok(Token {
        text: altered,
        claims: None,
    })
}

/// The order of the group that P-256 signatures are made in (FIPS 186-4 D.1.2.3).
const P256_ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

/// (r, s) and (r, n − s) both verify: that is why no signature names a token.
fn negate_s(signature: &str) -> Result<String, String> {
    let bytes = URL_SAFE_NO_PAD
        .decode(signature)
        .map_err(|error| error.to_string())?;
    let (r, s) = bytes
        .split_at_checked(32)
        .filter(|(_, s)| s.len() == 32)
        .ok_or("the signature is not one of ES256")?;
    let mut borrow = 0_i16;
    let mut negated: Vec<u8> = P256_ORDER
        .iter()
        .zip(s)
        .rev()
        .map(|(order, s)| {
            let difference = i16::from(*order) - i16::from(*s) - borrow;
            borrow = i16::from(difference < 0);
            u8::try_from(difference.rem_euclid(256)).unwrap_or_default()
        })
        .collect();
    negated.reverse();
    Ok(URL_SAFE_NO_PAD.encode([r, &negated].concat()))
}

/// Sets the bits of the last character that no byte is made of.
fn set_tail_bits(part: &str) -> Result<String, String> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    if part.len().is_multiple_of(4) {
        return Err("this part has no spare bits".to_owned());
    }
    let (rest, last) = part.split_at(part.len() - 1);
    let at = ALPHABET
        .iter()
        .position(|c| last.as_bytes() == [*c])
        .ok_or("not base64url")?;
    let other = ALPHABET
        .get(at + 1)
        .ok_or("the spare bits are set already")?;
    Ok(format!("{rest}{}", char::from(*other)))
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::DecodingKey;

    use super::*;

    #[test]
    fn a_negated_signature_verifies_too() {
        let key = SigningKey::generate(Algorithm::Es256, RsaBits::default()).unwrap();
        let public = key.public_pem().unwrap().unwrap();
        let verifier = DecodingKey::from_ec_pem(public.as_bytes()).unwrap();
        let token = sign("{}", "{}", &key).unwrap();
        let (input, signature) = token.rsplit_once('.').unwrap();
        let negated = negate_s(signature).unwrap();
        assert_ne!(negated, signature);
        for signature in [signature, &negated] {
            let verified = jsonwebtoken::crypto::verify(
                signature,
                input.as_bytes(),
                &verifier,
                jsonwebtoken::Algorithm::ES256,
            );
            assert!(verified.unwrap());
        }
    }

    #[test]
    fn claims_say_what_the_token_says_or_nothing() {
        let members = |pairs: &[(&str, &str)]| -> Texts {
            pairs
                .iter()
                .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
                .collect()
        };
        let header = members(&[("kid", "\"k\"")]);
        let said = members(&[("sub", "42"), ("azp", "\"web\""), ("iat", "1.5")]);
        let claims = as_claims(&header, &said, &[]).unwrap();
        assert_eq!(
            (claims.sub.as_str(), claims.client_id.as_str()),
            ("42", "web")
        );
        assert_eq!((claims.iat, claims.kid.as_str()), (Some(1.5), "k"));
        for (name, text) in [
            ("sub", "1.5"),
            ("iat", "\"1\""),
            ("iat", "-1"),
            ("tenant", "{}"),
        ] {
            let unsayable = members(&[(name, text)]);
            assert!(
                as_claims(&header, &unsayable, &["tenant".to_owned()]).is_none(),
                "{name}"
            );
        }
    }
}

//! The second stage: the claims that a decision needs, by the issuer's settings.

use std::borrow::Cow;

use crate::{
    limits,
    model::{ClaimNames, Claims, Invalid, Semantics, UnixNanos},
};

use super::{
    Parts,
    json::{Object, Value, is_whole},
};

/// What the caller wants beyond what the settings name.
#[derive(Debug)]
pub struct Wanted<'a, N = String> {
    /// Further claims to read: those that live revocations **of the token's issuer** name
    /// ([`Parts::iss`]), each once. Under another issuer the same name may mean anything, and a
    /// type that cannot be revoked would make the token INVALID for nothing.
    pub claims: &'a [N],
    /// Whether the digest is wanted of tokens that have a `jti` too.
    pub digest: bool,
}

impl Default for Wanted<'_> {
    fn default() -> Self {
        Self {
            claims: &[],
            digest: false,
        }
    }
}

impl<N> Clone for Wanted<'_, N> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<N> Copy for Wanted<'_, N> {}

pub(super) fn iss<'a>(
    members: &Object<'a>,
    semantics: &'a Semantics,
) -> Result<Cow<'a, str>, Invalid> {
    match members.get("iss") {
        Some(Value::Text(iss)) if !iss.is_empty() => {
            check_size("claim `iss`", iss)?;
            Ok(iss.clone())
        }
        None | Some(Value::Text(_) | Value::Null) => match semantics.default_issuer.as_deref() {
            Some(default) if !default.is_empty() => Ok(Cow::Borrowed(default)),
            _ => Err(Invalid::new(
                "the token has no `iss`, so nobody's revocations apply to it; say whose it is by \
                 the setting `default_issuer`",
            )),
        },
        Some(other) => Err(Invalid::new(format!(
            "claim `iss` is {}; RFC 7519 section 4.1.1 wants a text",
            other.kind()
        ))),
    }
}

pub(super) fn read<'a, N: AsRef<str>>(
    parts: &Parts<'a>,
    semantics: &'a Semantics,
    wanted: Wanted<'a, N>,
) -> Result<Claims<'a>, Invalid> {
    let members = &parts.members;
    let iss = iss(members, semantics)?;
    let settings = semantics.of(&iss);
    let names = &settings.claims;
    let jti = identifier(members, &names.jti, "jti")?;
    let digest = (wanted.digest || jti.is_empty()).then(|| parts.digest());

    let mut other = Vec::new();
    let configured = &settings.revocable_claims;
    for name in configured {
        values(members, name, &mut other)?;
    }
    for name in wanted.claims.iter().map(AsRef::as_ref) {
        if !configured.iter().any(|known| known == name) {
            values(members, name, &mut other)?;
        }
    }
    Ok(Claims {
        sub: identifier(members, &names.sub, "sub")?,
        sid: identifier(members, &names.sid, "sid")?,
        client_id: client(members, names)?,
        kid: parts.header.kid.clone(),
        iat: date(members, "iat", None)?,
        exp: date(members, "exp", None)?,
        nbf: date(members, "nbf", None)?,
        // Zero is what issuers write for a login that never was.
        auth_time: date(members, &names.auth_time, Some("auth_time"))?
            .filter(|time| *time != UnixNanos::ZERO),
        version: version(members, &names.version)?,
        iss,
        jti,
        other,
        digest,
    })
}

/// The client, which OpenID Connect calls `azp`; a name that somebody chose is taken at its word.
fn client<'a>(members: &Object<'a>, names: &ClaimNames) -> Result<Cow<'a, str>, Invalid> {
    let client = identifier(members, &names.client_id, "client_id")?;
    if client.is_empty() && names.client_id == "client_id" {
        return identifier(members, "azp", "client_id");
    }
    Ok(client)
}

/// A text or a whole number, empty when absent. `setting` is the key of its name in `claims`.
fn identifier<'a>(
    members: &Object<'a>,
    name: &str,
    setting: &str,
) -> Result<Cow<'a, str>, Invalid> {
    let Some(value) = members.find(name) else {
        return Ok(Cow::Borrowed(""));
    };
    let Some(text) = identifier_text(&value) else {
        return Err(Invalid::new(format!(
            "claim `{name}` is {}; only a text or a whole number without fraction or exponent can \
             be revoked by; have the issuer write it so, or leave it out, or name another claim \
             in the setting `claims.{setting}`",
            value.kind()
        )));
    };
    check_claim_size(name, &text)?;
    Ok(text)
}

/// What an identifier is known by: 42 and "42" are one user.
fn identifier_text<'a>(value: &Value<'a>) -> Option<Cow<'a, str>> {
    match value {
        Value::Text(text) => Some(text.clone()),
        // The one whole number with two texts.
        Value::Number("-0") => Some(Cow::Borrowed("0")),
        Value::Number(number) if is_whole(number) => Some(Cow::Borrowed(*number)),
        _ => None,
    }
}

pub(super) fn check_size(what: &str, text: &str) -> Result<(), Invalid> {
    if text.len() <= limits::IDENTIFIER_BYTES_MAX {
        return Ok(());
    }
    Err(Invalid::new(format!(
        "{what} has {} bytes; at most {} are accepted",
        text.len(),
        limits::IDENTIFIER_BYTES_MAX
    )))
}

fn check_claim_size(name: &str, text: &str) -> Result<(), Invalid> {
    if text.len() <= limits::IDENTIFIER_BYTES_MAX {
        return Ok(());
    }
    check_size(&format!("claim `{name}`"), text)
}

/// A NumericDate. `setting` is the key of its name in `claims` where it can be renamed.
fn date(
    members: &Object<'_>,
    name: &str,
    setting: Option<&str>,
) -> Result<Option<UnixNanos>, Invalid> {
    let problem = match members.find(name) {
        None => return Ok(None),
        Some(Value::Number(number)) => match UnixNanos::from_numeric_date_text(number) {
            Some(date) => return Ok(Some(date)),
            None => "negative or too large",
        },
        Some(other) => other.kind(),
    };
    let mut detail = format!(
        "claim `{name}` is {problem}; RFC 7519 section 2 wants a number of seconds since 1970"
    );
    if let Some(setting) = setting {
        detail.push_str("; if it means something else here, name another claim in the setting `");
        detail.push_str("claims.");
        detail.push_str(setting);
        detail.push('`');
    }
    Err(Invalid::new(detail))
}

fn version(members: &Object<'_>, name: &str) -> Result<Option<u64>, Invalid> {
    let problem = match members.find(name) {
        None => return Ok(None),
        Some(Value::Number("-0")) => return Ok(Some(0)),
        Some(Value::Number(number)) => match number.parse() {
            Ok(version) => return Ok(Some(version)),
            Err(_) if is_whole(number) && number.starts_with('-') => "negative",
            Err(_) if is_whole(number) => "greater than 2^64 - 1",
            Err(_) => Value::Number(number).kind(),
        },
        Some(other) => other.kind(),
    };
    Err(Invalid::new(format!(
        "claim `{name}` is {problem}; a version is a whole number from 0 to 2^64 - 1; if it means \
         something else here, name another claim in the setting `claims.version`"
    )))
}

/// Adds each value of a revocable claim.
fn values<'a>(
    members: &Object<'a>,
    name: &'a str,
    to: &mut Vec<(Cow<'a, str>, Cow<'a, str>)>,
) -> Result<(), Invalid> {
    let mut add = |value: &Value<'a>, place: &str| {
        let Some(text) = identifier_text(value) else {
            return Err(Invalid::new(format!(
                "claim `{name}`{place} is {}; a claim to revoke by is a text, a whole number or an \
                 array of those",
                value.kind()
            )));
        };
        check_claim_size(name, &text)?;
        if !text.is_empty() {
            to.push((Cow::Borrowed(name), text));
        }
        Ok(())
    };
    match members.find(name) {
        None => Ok(()),
        Some(Value::Array(array)) => {
            for (place, element) in array.elements().enumerate() {
                if place == limits::CLAIM_VALUES_MAX {
                    return Err(Invalid::new(format!(
                        "claim `{name}` has {} values; at most {} are accepted",
                        array.elements().count(),
                        limits::CLAIM_VALUES_MAX
                    )));
                }
                let element = element
                    .map_err(|fault| Invalid::new(format!("the values of `{name}` {fault}")))?;
                if element != Value::Null {
                    add(&element, " has an element that")?;
                }
            }
            Ok(())
        }
        Some(value) => add(&value, ""),
    }
}

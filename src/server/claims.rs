//! Claims that a caller has verified itself, from their message.

use std::borrow::Cow;

use crate::{
    limits,
    model::{Claims, Invalid, NamedValue, Semantics, UnixNanos},
    proto::v1,
};

/// Claims that the caller has verified itself.
pub(super) fn read<'a>(
    claims: &'a v1::Claims,
    semantics: &'a Semantics,
) -> Result<Claims<'a>, Invalid> {
    let iss = match (claims.iss.as_str(), &semantics.default_issuer) {
        ("", Some(default)) => default.as_str(),
        ("", None) => {
            return Err(Invalid::new(
                "claims.iss is empty and no default_issuer is configured: send the token's iss, \
                 or set default_issuer for tokens that have none",
            ));
        }
        (iss, _) => iss,
    };
    let digest = match claims.signing_input_sha256.as_slice() {
        [] => None,
        bytes => Some(bytes.try_into().map_err(|_| {
            Invalid::new(format!(
                "claims.signing_input_sha256 has {} bytes, and a SHA-256 has 32",
                bytes.len()
            ))
        })?),
    };
    Ok(Claims {
        iss: short(iss, "iss")?,
        jti: short(&claims.jti, "jti")?,
        sub: short(&claims.sub, "sub")?,
        sid: short(&claims.sid, "sid")?,
        client_id: short(&claims.client_id, "client_id")?,
        kid: short(&claims.kid, "kid")?,
        iat: date(claims.iat, "iat")?,
        exp: date(claims.exp, "exp")?,
        nbf: date(claims.nbf, "nbf")?,
        // Zero is what issuers write for a login that never was.
        auth_time: date(claims.auth_time, "auth_time")?.filter(|time| *time != UnixNanos::ZERO),
        version: claims.version,
        other: other(claims)?,
        digest,
    })
}

fn other(claims: &v1::Claims) -> Result<Vec<NamedValue<'_>>, Invalid> {
    if claims.other.len() > limits::OTHER_CLAIMS_MAX {
        return Err(Invalid::new(format!(
            "claims.other has {} entries, and at most {} are allowed",
            claims.other.len(),
            limits::OTHER_CLAIMS_MAX
        )));
    }
    let mut other = Vec::new();
    for (name, values) in &claims.other {
        if values.values.len() > limits::CLAIM_VALUES_MAX {
            return Err(Invalid::new(format!(
                "an entry of claims.other has {} values, and at most {} are allowed",
                values.values.len(),
                limits::CLAIM_VALUES_MAX
            )));
        }
        let name = short(name, "other")?;
        for value in values.values.iter().filter(|value| !value.is_empty()) {
            other.push((name.clone(), short(value, "other")?));
        }
    }
    Ok(other)
}

fn short<'a>(text: &'a str, claim: &str) -> Result<Cow<'a, str>, Invalid> {
    if text.len() > limits::IDENTIFIER_BYTES_MAX {
        return Err(Invalid::new(format!(
            "claims.{claim} has {} bytes, and at most {} are allowed",
            text.len(),
            limits::IDENTIFIER_BYTES_MAX
        )));
    }
    Ok(Cow::Borrowed(text))
}

fn date(seconds: Option<f64>, claim: &str) -> Result<Option<UnixNanos>, Invalid> {
    let Some(seconds) = seconds else {
        return Ok(None);
    };
    UnixNanos::from_numeric_date(seconds).map(Some).ok_or_else(|| {
        Invalid::new(format!(
            "claims.{claim} is negative or not a finite number: it is seconds since 1970 (RFC 7519 \
             section 2)"
        ))
    })
}

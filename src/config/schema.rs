//! The names of all settings, and what to say about a name that is none.

use std::path::Path;

use config::{Map, Value, ValueKind};

use super::ConfigError;

/// The settings at the top of the file. Each is also a flag and an environment variable, but for
/// `issuers`, which only the file can hold.
pub(super) const SETTINGS: &[&str] = &[
    "listen",
    "ops_listen",
    "data_dir",
    "ephemeral",
    "address_file",
    "insecure",
    "peer",
    "hub",
    "expected_peers",
    "join",
    "join_timeout",
    "max_staleness",
    "sweep_interval",
    "sweep_settle",
    "max_live",
    "max_token_bytes",
    "log_format",
    "log_filter",
    "default_issuer",
    "leeway",
    "max_token_lifetime",
    "max_session_lifetime",
    "forget_grace",
    "clock_skew",
    "missing_kid",
    "jti",
    "revocable_claims",
    "claims",
    "issuers",
];

/// Those that are lists: separated by commas where they come as one text.
pub(super) const LISTS: &[&str] = &["listen", "peer", "hub", "revocable_claims"];

/// What an entry of `issuers` may say.
pub(super) const ISSUER_SETTINGS: &[&str] = &[
    "iss",
    "leeway",
    "max_token_lifetime",
    "max_session_lifetime",
    "forget_grace",
    "clock_skew",
    "missing_kid",
    "jti",
    "revocable_claims",
    "claims",
    "algorithms",
    "audiences",
    "types",
    "jwks_url",
    "jwks_ca_file",
    "jwks_authorization_file",
    "jwks_file",
    "public_key_file",
    "secret_file",
    "kid",
    "require_keys",
];

/// The claims that may go by another name.
pub(super) const CLAIMS: &[&str] = &["jti", "sub", "sid", "client_id", "auth_time", "version"];

/// Variables that are read, but not as settings of `serve`.
pub(super) const CLIENT_VARIABLES: &[&str] = &["RESCIND_CONFIG", "RESCIND_ADDRESS"];

/// The known name that `key` was most likely meant to be, if one is near enough to say so.
pub(super) fn nearest<'a>(key: &str, known: &[&'a str]) -> Option<&'a str> {
    let key = key.to_ascii_lowercase().replace('-', "_");
    known
        .iter()
        .map(|name| {
            // One slip of the finger in a short name looks quite unlike it to Jaro and Winkler.
            let one_slip = strsim::damerau_levenshtein(&key, name) == 1;
            let likeness = strsim::jaro_winkler(&key, name);
            (if one_slip { 1.0 } else { likeness }, *name)
        })
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .filter(|(likeness, _)| *likeness > 0.75)
        .map(|(_, name)| name)
}

/// An error for the first key, in the order of the alphabet, that means nothing.
pub(super) fn refuse_unknown_keys(
    path: &Path,
    values: &Map<String, Value>,
) -> Result<(), ConfigError> {
    refuse(path, "", values, SETTINGS)?;
    if let Some(ValueKind::Table(claims)) = values.get("claims").map(|value| &value.kind) {
        refuse(path, "claims.", claims, CLAIMS)?;
    }
    let Some(ValueKind::Array(issuers)) = values.get("issuers").map(|value| &value.kind) else {
        return Ok(());
    };
    for (place, issuer) in issuers.iter().enumerate() {
        let ValueKind::Table(issuer) = &issuer.kind else {
            continue;
        };
        let within = issuer_name(place, issuer);
        refuse(path, &format!("{within}."), issuer, ISSUER_SETTINGS)?;
        if let Some(ValueKind::Table(claims)) = issuer.get("claims").map(|value| &value.kind) {
            refuse(path, &format!("{within}.claims."), claims, CLAIMS)?;
        }
    }
    Ok(())
}

/// How messages call an entry of `issuers`: by its `iss`, else by its place.
pub(super) fn issuer_name(place: usize, issuer: &Map<String, Value>) -> String {
    match issuer.get("iss").map(|iss| &iss.kind) {
        Some(ValueKind::String(iss)) => format!("issuers[{iss}]"),
        _ => format!("issuers[{}]", place + 1),
    }
}

fn refuse(
    path: &Path,
    within: &str,
    table: &Map<String, Value>,
    known: &[&str],
) -> Result<(), ConfigError> {
    let Some(key) = table
        .keys()
        .filter(|key| !known.contains(&key.as_str()))
        .min()
    else {
        return Ok(());
    };
    let hint = match nearest(key, known) {
        _ if ["accept_changed_meaning", "accept_empty_journal"].contains(&key.as_str()) => {
            "it is only a flag, so that it is accepted once and not for ever".to_owned()
        }
        Some(near) => format!("did you mean {near:?}?"),
        None => format!("known here are: {}", known.join(", ")),
    };
    Err(ConfigError::UnknownKey {
        path: path.to_owned(),
        key: format!("{within}{key}"),
        hint,
    })
}

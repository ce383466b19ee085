//! `rescind token inspect --verify`: why a token does or does not verify.

use std::sync::Arc;

use serde::Serialize;

use crate::{
    clock::SystemClock,
    config::Config,
    model::{Semantics, UnixNanos},
    token::{Buffer, Parts, Step, Wanted, explain},
    verification::Verification,
};

use super::super::{failure::Failure, verification::fetch};

/// One step as it is shown.
#[derive(Debug, Serialize)]
pub(super) struct Shown {
    pub(super) step: &'static str,
    pub(super) ok: bool,
    pub(super) found: String,
}

fn shown(step: &'static str, found: Result<String, String>) -> Shown {
    let ok = found.is_ok();
    let found = found.unwrap_or_else(|why| why);
    Shown { step, ok, found }
}

/// Every step; keys at a URL are fetched for it.
pub(super) fn steps(token: &str, config: &Config, now: UnixNanos) -> Result<Vec<Shown>, Failure> {
    let mut buffer = Buffer::default();
    let parts = match Parts::decode(token, &mut buffer) {
        Ok(parts) => parts,
        Err(why) => return Ok(vec![shown("form", Err(why.detail.into_owned()))]),
    };
    let mut steps = vec![shown("form", Ok("a compact JWS".to_owned()))];
    let iss = match parts.iss(&config.semantics) {
        Ok(iss) => iss,
        Err(why) => {
            steps.push(shown("issuer", Err(why.detail.into_owned())));
            return Ok(steps);
        }
    };
    let Some(keys) = config.issuer_keys.iter().find(|of| of.iss == iss) else {
        let known: Vec<&str> = config
            .issuer_keys
            .iter()
            .map(|of| of.iss.as_str())
            .collect();
        let known = match &*known {
            [] => "no issuer with keys is configured, so nothing is verified".to_owned(),
            known => format!("configured with keys: {}", known.join(", ")),
        };
        let why = format!("\"{iss}\" is not among the configured ones with keys; {known}");
        steps.push(shown("issuer", Err(why)));
        return Ok(steps);
    };
    steps.push(shown("issuer", Ok(iss.to_string())));
    let keys = std::slice::from_ref(keys);
    let verification = match Verification::open(keys, None, Arc::new(SystemClock)) {
        Ok(verification) => verification,
        Err(error) => {
            steps.push(shown("keys", Err(error.to_string())));
            return Ok(steps);
        }
    };
    fetch(&verification)?;
    for state in verification.states() {
        let place = format!("{} {}", state.source, state.place);
        let error = state.last_error;
        let found = if error.is_empty() {
            Ok(place)
        } else {
            Err(format!("{place}: {error}"))
        };
        steps.push(shown("key source", found));
    }
    if let Some(issuer) = verification.issuer(&iss) {
        let explained = explain(&parts, issuer).into_iter();
        steps.extend(
            explained.map(|Step { name, found }| {
                shown(name, found.map_err(std::borrow::Cow::into_owned))
            }),
        );
    }
    steps.push(shown("times", times(&parts, &config.semantics, now)));
    Ok(steps)
}

fn times(parts: &Parts<'_>, semantics: &Semantics, now: UnixNanos) -> Result<String, String> {
    let claims = parts.claims(semantics, Wanted::<String>::default());
    let claims = claims.map_err(|why| why.detail.into_owned())?;
    match super::inspect::by_the_clock(&claims, semantics, now) {
        Some(why) => Err(why),
        None => Ok("it is in force".to_owned()),
    }
}

//! What is wrong with an order, before anybody waits for it.

use crate::{
    limits,
    model::{NEVER, Semantics, Target, TargetKind, UnixNanos, What},
};

use super::order::{AskedRules, Restore, Revoke, WriteError};

/// Checks everything that does not need the journal.
pub(super) fn revoke(
    order: &Revoke,
    semantics: &Semantics,
    now: UnixNanos,
) -> Result<(), WriteError> {
    count(order.targets.len())?;
    let has_rules = order.rules != AskedRules::default();
    if has_rules && order.targets.iter().all(|named| named.target.is_token()) {
        return Err(WriteError::invalid(
            "rules",
            "all targets are tokens, and a token is always revoked whole: leave rules out",
        ));
    }
    exceptions(&order.rules)?;
    cut_offs(&order.rules)?;
    for (number, named) in order.targets.iter().enumerate() {
        is_configured(number, &named.target, semantics)?;
        let settings = semantics.of(&named.target.iss);
        needs_rules(number, &named.target, &order.rules)?;
        if let What::Claim { name, .. } = &named.target.what
            && !settings.revocable_claims.contains(name)
        {
            return Err(WriteError::invalid(
                format!("targets[{number}].claim.name"),
                format!(
                    "this claim is not configured as revocable for this issuer, so nothing would \
                     be denied: add it to revocable_claims (configured: {})",
                    listed(&settings.revocable_claims)
                ),
            ));
        }
        if named.target.is_token() {
            continue;
        }
        let latest = now.plus(settings.leeway);
        for (field, cut_off) in [
            ("issued_before", order.rules.issued_before),
            ("authenticated_before", order.rules.authenticated_before),
        ] {
            if cut_off.is_some_and(|cut_off| cut_off > latest) {
                return Err(WriteError::invalid(
                    format!("rules.{field}"),
                    format!(
                        "lies further in the future than leeway ({} s): everybody would be locked \
                         out until then; to end tokens at a later time, revoke at that time",
                        settings.leeway.as_secs()
                    ),
                ));
            }
        }
    }
    Ok(())
}

/// Checks the end that was asked for, once it is known that this is no repeat: between a request
/// and its repeat an end may pass.
pub(super) fn end(order: &Revoke, now: UnixNanos) -> Result<(), WriteError> {
    if order.expires_at.is_some_and(|end| end <= now) {
        return Err(WriteError::invalid(
            "expires_at",
            "lies in the past: give a time to come, or leave it out",
        ));
    }
    Ok(())
}

/// Checks everything that does not need the journal.
pub(super) fn restore(order: &Restore) -> Result<(), WriteError> {
    count(order.targets.len())?;
    let all_tokens = order.targets.iter().all(Target::is_token);
    if order.kinds.is_empty() && !all_tokens {
        return Err(WriteError::invalid(
            "rules",
            "name the kinds of rule to lift: unbanning (ALL) does not undo a password change \
             (ISSUED_BEFORE)",
        ));
    }
    if all_tokens
        && order
            .kinds
            .iter()
            .any(|kind| *kind != crate::model::RuleKind::All)
    {
        return Err(WriteError::invalid(
            "rules",
            "all targets are tokens, which have only ALL: leave rules out",
        ));
    }
    Ok(())
}

/// With verification on, a revocation under an issuer that is not configured can hit nothing.
fn is_configured(number: usize, target: &Target, semantics: &Semantics) -> Result<(), WriteError> {
    if !semantics.verifies || semantics.issuers.contains_key(&target.iss) {
        return Ok(());
    }
    let nearest = semantics
        .issuers
        .keys()
        .max_by(|a, b| likeness(a, &target.iss).total_cmp(&likeness(b, &target.iss)));
    let hint = nearest.map_or_else(String::new, |iss| format!(" (the nearest is \"{iss}\")"));
    Err(WriteError::invalid(
        format!("targets[{number}].{}.iss", target.kind().as_str()),
        format!(
            "this issuer is not configured{hint}, so all of its tokens are INVALID here and nothing \
             would be denied: correct it, or add it under [[issuers]]"
        ),
    ))
}

fn likeness(a: &str, b: &str) -> f64 {
    strsim::jaro_winkler(a, b)
}

fn count(targets: usize) -> Result<(), WriteError> {
    if targets == 0 {
        return Err(WriteError::invalid(
            "targets",
            "none is given: name 1 to 1000",
        ));
    }
    if targets > limits::BATCH_MAX {
        return Err(WriteError::invalid(
            "targets",
            format!(
                "{targets} are given, and at most {} fit one request: send several",
                limits::BATCH_MAX
            ),
        ));
    }
    Ok(())
}

/// A cut-off of zero would deny nothing, and of two it is not clear which is meant.
fn cut_offs(rules: &AskedRules) -> Result<(), WriteError> {
    for (field, is_now, cut_off) in [
        (
            "issued_before",
            rules.issued_before_now,
            rules.issued_before,
        ),
        (
            "authenticated_before",
            rules.authenticated_before_now,
            rules.authenticated_before,
        ),
    ] {
        if is_now && cut_off.is_some() {
            return Err(WriteError::invalid(
                format!("rules.{field}_now"),
                format!("is given together with {field}: give one of the two"),
            ));
        }
    }
    for (field, cut_off) in [
        ("issued_before", rules.issued_before.map(UnixNanos::nanos)),
        ("version_below", rules.version_below),
        (
            "authenticated_before",
            rules.authenticated_before.map(UnixNanos::nanos),
        ),
    ] {
        if cut_off == Some(NEVER) {
            return Err(WriteError::invalid(
                format!("rules.{field}"),
                "is 0, which denies nothing: give a greater one, or leave it out",
            ));
        }
    }
    Ok(())
}

fn exceptions(rules: &AskedRules) -> Result<(), WriteError> {
    let given = rules.except.len();
    if given > limits::EXCEPTIONS_MAX {
        return Err(WriteError::invalid(
            "rules.except_sid",
            format!(
                "{given} exceptions are given (except_sid and except_jti together), and at most {} \
                 are allowed",
                limits::EXCEPTIONS_MAX
            ),
        ));
    }
    if given > 0 && rules.all {
        return Err(WriteError::invalid(
            "rules.all",
            "`all` spares nobody: use issued_before or authenticated_before with except_sid and \
             except_jti",
        ));
    }
    Ok(())
}

/// Logging a user or a session out has an obvious meaning; nothing else has.
fn needs_rules(number: usize, target: &Target, rules: &AskedRules) -> Result<(), WriteError> {
    match target.kind() {
        TargetKind::Token | TargetKind::User | TargetKind::Session => Ok(()),
        kind if rules.has_no_cut_off() => Err(WriteError::invalid(
            "rules",
            format!(
                "targets[{number}] is a {}, which needs a rule: `all` for every token of it, or \
                 issued_before for those issued so far",
                kind.as_str()
            ),
        )),
        _ => Ok(()),
    }
}

fn listed(names: &[String]) -> String {
    if names.is_empty() {
        return "none".to_owned();
    }
    names.join(", ")
}

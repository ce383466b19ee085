//! From values to messages.

use std::time::Duration;

use prost_types::Timestamp;

use crate::{
    fleet::Propagation,
    ledger::Receipt,
    model::{Entry, Exception, Match, Record, Rule, RuleKind, UnixNanos, Verdict},
    proto::v1,
    wire::target_out,
};

use super::check::Unable;

/// An instant; `None` for ever.
pub(super) fn time(instant: UnixNanos) -> Option<Timestamp> {
    if instant.is_forever() {
        return None;
    }
    Some(Timestamp {
        seconds: i64::try_from(instant.secs_floor()).ok()?,
        nanos: i32::try_from(instant.subsec_nanos()).ok()?,
    })
}

/// How stale a node is; `None`: it has never been level with those it follows.
pub(super) fn staleness(staleness: Option<Duration>) -> Option<prost_types::Duration> {
    staleness.and_then(|staleness| prost_types::Duration::try_from(staleness).ok())
}

/// How far a write has spread.
pub(super) fn propagation(spread: Propagation) -> v1::Propagation {
    v1::Propagation {
        expected: spread.expected,
        applied: spread.applied,
        pending: spread.pending,
    }
}

/// What now holds.
pub(super) fn receipt(receipt: Receipt) -> v1::Receipt {
    let rules = receipt.rules.iter();
    v1::Receipt {
        target: Some(target_out(&receipt.target)),
        in_force: rules
            .flat_map(|(kind, rule)| in_force(*kind, rule))
            .collect(),
        not_before: receipt
            .not_before_s
            .and_then(|seconds| time(UnixNanos::from_secs(seconds))),
        warnings: receipt.warnings,
    }
}

/// The state of a target.
pub(super) fn revocation(record: &Record) -> v1::Revocation {
    let lifted: Vec<_> = record.lifted().collect();
    let latest = lifted.iter().map(|(_, note)| *note).max();
    v1::Revocation {
        target: Some(target_out(&record.target)),
        in_force: record
            .rules
            .iter()
            .flat_map(|(kind, rule)| in_force(*kind, rule))
            .collect(),
        lifted: lifted.iter().map(|(kind, _)| *kind as i32).collect(),
        lifted_by: latest.map(|note| note.actor.clone()).unwrap_or_default(),
        changed_at: time(record.changed_at()),
        lifted_comment: latest.map(|note| note.comment.clone()).unwrap_or_default(),
        state: None,
    }
}

fn in_force(kind: RuleKind, rule: &Rule) -> impl Iterator<Item = v1::InForce> {
    rule.in_force().map(move |entry| one_in_force(kind, entry))
}

fn one_in_force(kind: RuleKind, entry: &Entry) -> v1::InForce {
    use v1::in_force::CutOff;
    let cut_off = UnixNanos::from_nanos(entry.cut_off);
    let spared = |of: fn(&Exception) -> Option<&String>| {
        let floors = entry.floors.iter();
        floors.filter_map(|floor| of(&floor.of).cloned()).collect()
    };
    v1::InForce {
        rule: kind as i32,
        cut_off: match kind {
            RuleKind::All => None,
            RuleKind::VersionBelow => Some(CutOff::Below(entry.cut_off)),
            RuleKind::IssuedBefore | RuleKind::AuthenticatedBefore => {
                time(cut_off).map(CutOff::Before)
            }
        },
        expires_at: match kind {
            // A suspension is remembered a little longer than it denies.
            RuleKind::All if !cut_off.is_forever() => time(cut_off),
            _ => time(entry.until),
        },
        reason: entry.note.reason as i32,
        comment: entry.note.comment.clone(),
        actor: entry.note.actor.clone(),
        revoked_at: time(entry.note.at),
        except_sid: spared(|of| match of {
            Exception::Sid(sid) => Some(sid),
            Exception::Jti(_) => None,
        }),
        except_jti: spared(|of| match of {
            Exception::Jti(jti) => Some(jti),
            Exception::Sid(_) => None,
        }),
    }
}

/// What Check answers, its match's comment aside.
pub(super) fn verdict(verdict: &Verdict) -> v1::CheckResponse {
    let (kind, found, detail) = match verdict {
        Verdict::Active => (v1::Verdict::Active, None, String::new()),
        Verdict::Revoked(found) => {
            let detail = format!(
                "revoked by {} of its {}",
                found.rule.as_str(),
                found.target.kind().as_str()
            );
            (v1::Verdict::Revoked, Some(matched(found)), detail)
        }
        Verdict::Expired => (
            v1::Verdict::Expired,
            None,
            "exp has passed, leeway included".to_owned(),
        ),
        Verdict::NotYetValid => (
            v1::Verdict::NotYetValid,
            None,
            "nbf lies in the future, beyond leeway".to_owned(),
        ),
        Verdict::Invalid(invalid) => (v1::Verdict::Invalid, None, invalid.detail.to_string()),
    };
    v1::CheckResponse {
        active: kind == v1::Verdict::Active,
        verdict: kind.into(),
        r#match: found,
        detail,
        staleness_ms: 0,
        signature_verified: false,
    }
}

/// Of a batch, where one call answers several: the node cannot tell.
pub(super) fn unavailable(why: &Unable) -> v1::CheckResponse {
    v1::CheckResponse {
        verdict: v1::Verdict::Unavailable.into(),
        detail: why.to_string(),
        staleness_ms: u32::MAX,
        ..v1::CheckResponse::default()
    }
}

/// Of a batch, which waits for no keys.
pub(super) fn keys_asked_for(staleness_ms: u32) -> v1::CheckResponse {
    v1::CheckResponse {
        verdict: v1::Verdict::Unavailable.into(),
        detail: "no key at hand has the token's `kid`, and newer ones of its issuer are being \
                 fetched, which a batch or a stream does not wait for: send this check again in a \
                 second, or as a Check of its own, which waits"
            .to_owned(),
        staleness_ms,
        ..v1::CheckResponse::default()
    }
}

fn matched(found: &Match) -> v1::Match {
    v1::Match {
        target: Some(target_out(&found.target)),
        rule: found.rule as i32,
        reason: found.reason as i32,
        revoked_at: time(found.revoked_at),
        comment: String::new(),
    }
}

/// What somebody wrote down when they made the rule that denied.
pub(super) fn comment_of(record: &Record, rule: RuleKind) -> Option<String> {
    let rule = record.rules.get(&rule)?;
    let strongest = rule.in_force().max_by_key(|entry| entry.cut_off)?;
    Some(strongest.note.comment.clone())
}

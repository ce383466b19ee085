//! Which records a list or a watch shows.

use crate::{
    limits,
    model::{Reason, Record, Rule, TargetKind, UnixNanos, What},
    proto::v1,
};

use super::{inward, status::BadField};

/// What is shown; an empty filter shows everything.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Filter {
    kinds: Vec<TargetKind>,
    issuers: Vec<String>,
    sub: String,
    reasons: Vec<Reason>,
    changed_after: Option<UnixNanos>,
}

impl Filter {
    /// Of a list.
    pub(super) fn of_list(request: &v1::ListRevocationsRequest) -> Result<Self, BadField> {
        let short = |text: &String, field| {
            inward::bounded(text.clone(), field, limits::IDENTIFIER_BYTES_MAX)
        };
        let mut kinds = distinct(inward::target_kinds(&request.kinds)?);
        let sub = short(&request.sub, "sub")?;
        if !sub.is_empty() {
            if kinds.iter().any(|kind| *kind != TargetKind::User) {
                return Err(BadField::new(
                    "kinds",
                    "sub is given, which only users have: leave kinds out",
                ));
            }
            kinds = vec![TargetKind::User];
        }
        let iss = short(&request.iss, "iss")?;
        let reasons = request
            .reasons
            .iter()
            .enumerate()
            .map(|(at, number)| inward::reason(*number, &format!("reasons[{at}]")));
        Ok(Self {
            kinds,
            issuers: Some(iss)
                .filter(|iss| !iss.is_empty())
                .into_iter()
                .collect(),
            sub,
            reasons: distinct(reasons.collect::<Result<_, _>>()?),
            changed_after: inward::time(request.revoked_after, "revoked_after")?,
        })
    }

    /// Of a watch.
    pub(super) fn of_watch(request: &v1::WatchRevocationsRequest) -> Result<Self, BadField> {
        if request.issuers.len() > limits::WATCH_ISSUERS_MAX {
            return Err(BadField::new(
                "issuers",
                format!(
                    "{} are given, and at most {} are allowed: watch all, and filter what comes",
                    request.issuers.len(),
                    limits::WATCH_ISSUERS_MAX
                ),
            ));
        }
        let issuers = request.issuers.clone();
        for (at, iss) in issuers.iter().enumerate() {
            if iss.is_empty() {
                return Err(BadField::new(format!("issuers[{at}]"), "is empty"));
            }
            inward::bounded(
                iss.clone(),
                &format!("issuers[{at}]"),
                limits::IDENTIFIER_BYTES_MAX,
            )?;
        }
        Ok(Self {
            kinds: distinct(inward::target_kinds(&request.kinds)?),
            issuers: distinct(issuers),
            ..Self::default()
        })
    }

    /// Whether a record is shown.
    pub(super) fn shows(&self, record: &Record) -> bool {
        let target = &record.target;
        let is_of_user = || matches!(&target.what, What::User(sub) if *sub == self.sub);
        (self.kinds.is_empty() || self.kinds.contains(&target.kind()))
            && (self.issuers.is_empty() || self.issuers.contains(&target.iss))
            && (self.sub.is_empty() || is_of_user())
            && (self.reasons.is_empty() || self.has_reason(record))
            && self
                .changed_after
                .is_none_or(|after| record.changed_at() > after)
    }

    fn has_reason(&self, record: &Record) -> bool {
        record
            .rules
            .values()
            .flat_map(Rule::in_force)
            .any(|entry| self.reasons.contains(&entry.note.reason))
    }

    /// 64 bits that two filters share only when they show the same.
    pub(super) fn digest(&self) -> u64 {
        let text = format!("{self:?}");
        let digest = inward::short_digest(&[text.as_bytes()]);
        digest
            .first_chunk()
            .map_or(0, |first| u64::from_be_bytes(*first))
    }
}

/// Each once, in one order: what is asked for again and again is looked for once.
fn distinct<T: Ord>(mut values: Vec<T>) -> Vec<T> {
    values.sort_unstable();
    values.dedup();
    values
}

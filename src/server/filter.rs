//! Which records a list or a watch shows.

use crate::{
    limits,
    model::{KEY_RANGES, Reason, Record, Rule, TargetKind, UnixNanos, What},
    proto::v1,
};

use super::{inward, status::BadField};

/// What is shown; an empty filter shows everything.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Filter {
    kinds: Vec<TargetKind>,
    issuers: Vec<String>,
    /// The one user, token or session.
    one: Option<What>,
    reasons: Vec<Reason>,
    changed_after: Option<UnixNanos>,
    /// Sorted.
    ranges: Vec<u16>,
}

impl Filter {
    /// Of a list.
    pub(super) fn of_list(request: &v1::ListRevocationsRequest) -> Result<Self, BadField> {
        let short = |text: &String, field| {
            inward::bounded(text.clone(), field, limits::IDENTIFIER_BYTES_MAX)
        };
        let mut kinds = distinct(inward::target_kinds(&request.kinds)?);
        let one = one_of(request)?;
        if let Some((field, kind, _)) = &one {
            if kinds.iter().any(|asked| asked != kind) {
                let problem = format!(
                    "{field} is given, which only a {} has: leave kinds out",
                    kind.as_str()
                );
                return Err(BadField::new("kinds", problem));
            }
            kinds = vec![*kind];
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
            one: one.map(|(_, _, what)| what),
            reasons: distinct(reasons.collect::<Result<_, _>>()?),
            changed_after: inward::time(request.revoked_after, "revoked_after")?,
            ranges: Vec::new(),
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
            ranges: distinct(ranges(&request.ranges)?),
            ..Self::default()
        })
    }

    /// Whether it leaves out what a node that follows this one must have.
    pub(super) fn is_of_people(&self) -> bool {
        !self.kinds.is_empty() || !self.issuers.is_empty()
    }

    /// Whether a record is shown.
    pub(super) fn shows(&self, record: &Record) -> bool {
        let target = &record.target;
        (self.kinds.is_empty() || self.kinds.contains(&target.kind()))
            && (self.issuers.is_empty() || self.issuers.contains(&target.iss))
            && self.one.as_ref().is_none_or(|one| *one == target.what)
            && (self.reasons.is_empty() || self.has_reason(record))
            && (self.ranges.is_empty() || self.ranges.binary_search(&target.key().range()).is_ok())
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
    ///
    /// Cursors are kept for years, and this stands in them: a field that is not given adds nothing,
    /// so that a filter by something new leaves the cursors of older builds as they are.
    pub(super) fn digest(&self) -> u64 {
        let mut parts = Vec::new();
        let mut add = |field: u8, value: &[u8]| parts.push([&[field], value].concat());
        for kind in &self.kinds {
            add(b'k', &[*kind as u8]);
        }
        for iss in &self.issuers {
            add(b'i', iss.as_bytes());
        }
        match &self.one {
            Some(What::User(sub)) => add(b's', sub.as_bytes()),
            Some(What::Jti(jti)) => add(b'j', jti.as_bytes()),
            Some(What::Session(sid)) => add(b'S', sid.as_bytes()),
            _ => {}
        }
        for reason in &self.reasons {
            add(b'r', &[*reason as u8]);
        }
        if let Some(after) = self.changed_after {
            add(b'a', &after.nanos().to_be_bytes());
        }
        for range in &self.ranges {
            add(b'g', &range.to_be_bytes());
        }
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        let digest = inward::short_digest(&parts);
        digest
            .first_chunk()
            .map_or(0, |first| u64::from_be_bytes(*first))
    }
}

type OfText = fn(String) -> What;

/// The one user, token or session that a list asks for: its field, its kind, and what it is.
fn one_of(
    request: &v1::ListRevocationsRequest,
) -> Result<Option<(&'static str, TargetKind, What)>, BadField> {
    let fields: [(_, _, _, OfText); 3] = [
        ("sub", &request.sub, TargetKind::User, What::User),
        ("jti", &request.jti, TargetKind::Token, What::Jti),
        ("sid", &request.sid, TargetKind::Session, What::Session),
    ];
    let mut given = fields.into_iter().filter(|(_, text, ..)| !text.is_empty());
    let Some((field, text, kind, of)) = given.next() else {
        return Ok(None);
    };
    if let Some((second, ..)) = given.next() {
        let problem = format!("is given together with {field}: nothing is both");
        return Err(BadField::new(second, problem));
    }
    let text = inward::bounded(text.clone(), field, limits::IDENTIFIER_BYTES_MAX)?;
    Ok(Some((field, kind, of(text))))
}

fn ranges(asked: &[u32]) -> Result<Vec<u16>, BadField> {
    let ranges = asked.iter().enumerate().map(|(at, range)| {
        let range = u16::try_from(*range).ok();
        range.filter(|range| *range < KEY_RANGES).ok_or_else(|| {
            let problem = format!("is no range: 0 to {}", KEY_RANGES - 1);
            BadField::new(format!("ranges[{at}]"), problem)
        })
    });
    ranges.collect()
}

/// Each once, in one order: what is asked for again and again is looked for once.
fn distinct<T: Ord>(mut values: Vec<T>) -> Vec<T> {
    values.sort_unstable();
    values.dedup();
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(set: impl FnOnce(&mut v1::ListRevocationsRequest)) -> Filter {
        let mut request = v1::ListRevocationsRequest::default();
        set(&mut request);
        Filter::of_list(&request).unwrap()
    }

    fn every() -> [Filter; 8] {
        let after = |seconds| {
            list(|ask| ask.revoked_after = Some(prost_types::Timestamp { seconds, nanos: 0 }))
        };
        [
            list(|_| {}),
            list(|ask| ask.kinds = vec![2, 1]),
            list(|ask| ask.kinds = vec![2]),
            list(|ask| "a".clone_into(&mut ask.iss)),
            list(|ask| "a".clone_into(&mut ask.sub)),
            list(|ask| ask.reasons = vec![1]),
            after(1),
            after(2),
        ]
    }

    #[test]
    fn filters_that_differ_have_other_digests_and_repetition_is_no_difference() {
        let digests: std::collections::BTreeSet<_> = every().iter().map(Filter::digest).collect();
        assert_eq!(digests.len(), every().len());
        let repeated = list(|ask| ask.kinds = vec![1, 2, 1, 2]);
        assert_eq!(repeated, every()[1]);
        assert_eq!(list(|ask| ask.reasons = vec![1; 9_999]), every()[5]);
    }

    /// The digest was once of the filter's debug text: a new field, or a new name of an old one,
    /// would have made every cursor in the world one "of a watch with other kinds or issuers".
    #[test]
    fn the_digests_of_older_builds_stay() {
        let digests = every().map(|filter| format!("{:016x}", filter.digest()));
        assert_eq!(
            digests,
            [
                "af1349b9f5f9a1a6",
                "5b7f3fde1c0a13ec",
                "f3e15084befefdd9",
                "3518fc6966f97efa",
                "22de5ad4d51c9e3a",
                "b747e0e927ad0d23",
                "d0bf5bd555fb92b4",
                "27ed62327f1a2464"
            ]
        );
    }
}

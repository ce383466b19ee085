//! The rules of one target, as Check evaluates them.

use crate::model::{
    Claims, CutOff, Entry, Exception, Floor, Reason, Record, RuleKind, UnixNanos, denies,
};

/// What is in force for one target.
#[derive(Clone, Debug)]
pub struct RuleSet {
    /// Where the journal has the record.
    pub seq: u64,
    rules: Box<[StandingRule]>,
}

/// One entry in force: what a decision needs of it, and no more, since there may be millions.
#[derive(Clone, Debug)]
pub struct StandingRule {
    /// Of which kind.
    pub kind: RuleKind,
    /// Why.
    pub reason: Reason,
    /// Whether somebody wrote a comment, which the journal has.
    pub has_comment: bool,
    at_s: u32,
    cut_off: CutOff,
    floors: Box<[Floor]>,
}

impl StandingRule {
    fn of(kind: RuleKind, entry: &Entry) -> Self {
        Self {
            kind,
            reason: entry.note.reason,
            has_comment: !entry.note.comment.is_empty(),
            at_s: u32::try_from(entry.note.at.secs_floor()).unwrap_or(u32::MAX),
            cut_off: entry.cut_off,
            floors: entry.floors.clone().into(),
        }
    }

    /// When, to the second.
    pub fn at(&self) -> UnixNanos {
        UnixNanos::from_secs(u64::from(self.at_s))
    }

    fn denies(&self, claims: &Claims<'_>, wall: UnixNanos) -> bool {
        let value = match self.kind {
            // A suspension ends at its cut-off: until then it denies as if for ever.
            RuleKind::All => Some(wall.nanos()),
            RuleKind::IssuedBefore => claims.iat.map(UnixNanos::nanos),
            RuleKind::VersionBelow => claims.version,
            RuleKind::AuthenticatedBefore => claims.auth_time.map(UnixNanos::nanos),
        };
        denies(self.cut_off, &self.floors, value, |spared| match spared {
            Exception::Sid(sid) => !claims.sid.is_empty() && *sid == claims.sid,
            Exception::Jti(jti) => !claims.jti.is_empty() && *jti == claims.jti,
        })
    }
}

impl RuleSet {
    /// What is in force of a record.
    pub fn of(record: &Record, seq: u64) -> Self {
        let rules = record
            .rules
            .iter()
            .flat_map(|(kind, rule)| rule.in_force().map(|entry| StandingRule::of(*kind, entry)))
            .collect();
        Self { seq, rules }
    }

    /// The first rule that denies a token.
    pub fn denies(&self, claims: &Claims<'_>, wall: UnixNanos) -> Option<&StandingRule> {
        self.rules.iter().find(|rule| rule.denies(claims, wall))
    }
}

//! The rules of one target, as Check evaluates them.

use crate::model::{Claims, Entry, Exception, Reason, Record, RuleKind, UnixNanos};

/// What is in force for one target.
#[derive(Clone, Debug)]
pub struct RuleSet {
    /// Where the journal has the record.
    pub seq: u64,
    rules: Box<[StandingRule]>,
}

/// One entry in force.
#[derive(Clone, Debug)]
pub struct StandingRule {
    /// Of which kind.
    pub kind: RuleKind,
    /// What holds, and who said so.
    entry: Entry,
}

impl StandingRule {
    /// Why.
    pub fn reason(&self) -> Reason {
        self.entry.note.reason
    }

    /// When, to the second.
    pub fn at(&self) -> UnixNanos {
        UnixNanos::from_secs(self.entry.note.at.secs_floor())
    }

    /// Whether somebody wrote a comment, which the journal has.
    pub fn has_comment(&self) -> bool {
        !self.entry.note.comment.is_empty()
    }

    fn denies(&self, claims: &Claims<'_>, wall: UnixNanos) -> bool {
        let value = match self.kind {
            // A suspension ends at its cut-off: until then it denies as if for ever.
            RuleKind::All => Some(wall.nanos()),
            RuleKind::IssuedBefore => claims.iat.map(UnixNanos::nanos),
            RuleKind::VersionBelow => claims.version,
            RuleKind::AuthenticatedBefore => claims.auth_time.map(UnixNanos::nanos),
        };
        self.entry.denies(value, |spared| match spared {
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
            .flat_map(|(kind, rule)| {
                rule.in_force().map(|entry| StandingRule {
                    kind: *kind,
                    entry: entry.clone(),
                })
            })
            .collect();
        Self { seq, rules }
    }

    /// The first rule that denies a token.
    pub fn denies(&self, claims: &Claims<'_>, wall: UnixNanos) -> Option<&StandingRule> {
        self.rules.iter().find(|rule| rule.denies(claims, wall))
    }
}

//! What was written and lifted, as those who asked for it know it.

use std::{borrow::Cow, collections::BTreeMap, time::Duration};

use rescind::model::{Claims, CutOff, Dot, Record, Rule, RuleKind, Target, UnixNanos, What};

use crate::node::LIFETIME;

/// The issuer of everything here.
pub(crate) const ISS: &str = "i";

/// A revocation that was acknowledged.
#[derive(Clone, Debug)]
pub(crate) struct Write {
    pub(crate) target: Target,
    pub(crate) kind: RuleKind,
    /// The name of the write, and what it had seen and states again.
    pub(crate) dot: Dot,
    pub(crate) seen: Rule,
    /// Its place in the history.
    pub(crate) number: usize,
    pub(crate) cut_off: CutOff,
    /// Where it stood in its node's journal, until its record was superseded.
    pub(crate) seq: u64,
    /// True time.
    pub(crate) at: Duration,
    /// By which node, and on which of its disks.
    pub(crate) node: usize,
    pub(crate) disk: u64,
    pub(crate) is_by_leaf: bool,
    /// A token that it is to deny.
    pub(crate) victim: Victim,
    /// No disk has it any more: nobody can be expected to know it.
    pub(crate) excused: bool,
}

/// A token that a revocation is to deny.
#[derive(Clone, Debug)]
pub(crate) enum Victim {
    /// Any token of this user, as old as it likes.
    Any(String),
    /// This user's token, issued then.
    Issued(String, UnixNanos),
    /// This token.
    Token(String, UnixNanos),
}

impl Victim {
    /// Its claims; `wall` is the time of the node that is asked.
    pub(crate) fn claims(&self, wall: UnixNanos) -> Claims<'_> {
        let (sub, jti, iat) = match self {
            Self::Any(sub) => (sub.as_str(), "any", wall),
            Self::Issued(sub, iat) => (sub.as_str(), "issued", *iat),
            Self::Token(jti, iat) => ("nobody", jti.as_str(), *iat),
        };
        Claims {
            iss: Cow::Borrowed(ISS),
            sub: Cow::Borrowed(sub),
            jti: Cow::Borrowed(jti),
            iat: Some(iat),
            exp: Some(iat.plus(LIFETIME)),
            ..Claims::default()
        }
    }

    /// Whether no clock that is at most that far off can take it for alive.
    pub(crate) fn is_dead(&self, wall: UnixNanos, off: Duration) -> bool {
        match self {
            Self::Any(_) => false,
            Self::Issued(_, iat) | Self::Token(_, iat) => iat.plus(LIFETIME).plus(off) < wall,
        }
    }
}

/// A lift, and what it had seen.
#[derive(Clone, Debug)]
pub(crate) struct Lift {
    pub(crate) target: Target,
    pub(crate) kind: RuleKind,
    pub(crate) seen: Rule,
    pub(crate) dot: Dot,
    /// No disk has it any more.
    pub(crate) excused: bool,
}

/// Everything that was asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    pub(crate) writes: Vec<Write>,
    pub(crate) lifts: Vec<Lift>,
    /// Cut-offs that were ever asked for, acknowledged or not.
    pub(crate) asked: BTreeMap<(Target, RuleKind), Vec<CutOff>>,
}

impl History {
    /// Whether somebody lifted a write having seen it, or a later write that states it again.
    pub(crate) fn is_lifted(&self, write: &Write) -> bool {
        let is_seen = self.lifts.iter().any(|lift| {
            lift.target == write.target && lift.kind == write.kind && lift.seen.knows(write.dot)
        });
        is_seen
            || self.writes[write.number + 1..].iter().any(|later| {
                later.target == write.target
                    && later.kind == write.kind
                    && later.seen.knows(write.dot)
                    && self.is_lifted(later)
            })
    }
}

pub(crate) fn user(sub: &str) -> Target {
    Target {
        iss: ISS.to_owned(),
        what: What::User(sub.to_owned()),
    }
}

pub(crate) fn token(jti: &str) -> Target {
    Target {
        iss: ISS.to_owned(),
        what: What::Jti(jti.to_owned()),
    }
}

/// What a node holds.
pub(crate) type State = BTreeMap<Target, Record>;

/// Whether a state has taken a write in.
pub(crate) fn knows(state: &State, target: &Target, kind: RuleKind, dot: Dot) -> bool {
    let rule = state.get(target).and_then(|record| record.rules.get(&kind));
    rule.is_some_and(|rule| rule.knows(dot))
}

//! What Check answers.

use std::borrow::Cow;

use super::{Reason, RuleKind, Target, UnixNanos};

/// Check's answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// It may be used.
    Active,
    /// A revocation applies.
    Revoked(Box<Match>),
    /// `exp` has passed.
    Expired,
    /// `nbf` has not come.
    NotYetValid,
    /// It cannot be judged safely.
    Invalid(Invalid),
}

/// The revocation that denied.
#[derive(Clone, Debug, PartialEq)]
pub struct Match {
    /// What was revoked.
    pub target: Target,
    /// Which of its rules applied.
    pub rule: RuleKind,
    /// Why it was revoked.
    pub reason: Reason,
    /// When, to the second.
    pub revoked_at: UnixNanos,
    /// Where the journal keeps the rest of it, when somebody wrote a comment.
    pub comment_at: Option<u64>,
}

/// Why a token cannot be judged: what is wrong and what to do, without the token's text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Invalid {
    /// For people.
    pub detail: Cow<'static, str>,
}

impl Invalid {
    /// With this detail.
    pub fn new(detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            detail: detail.into(),
        }
    }
}

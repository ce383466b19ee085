//! What a case wants to be answered. What is left out may be anything.

use serde::Deserialize;

use super::case::{KindName, RuleName, Target};

/// A verdict.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(super) enum VerdictWanted {
    /// It may be used.
    Active,
    /// A revocation applies.
    Revoked,
    /// `exp` has passed.
    Expired,
    /// `nbf` has not come.
    NotYetValid,
    /// It cannot be judged safely.
    Invalid,
}

/// Which revocation denied; what is left out may be anything.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct By {
    /// What was revoked.
    pub(super) target: Option<Target>,
    /// Its kind.
    pub(super) kind: Option<KindName>,
    /// Which rule.
    pub(super) rule: Option<RuleName>,
    /// Why.
    pub(super) reason: Option<String>,
    /// What was written down.
    pub(super) comment: Option<String>,
}

/// What a receipt says; what is left out may be anything.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ReceiptWanted {
    /// The target.
    pub(super) target: Option<Target>,
    /// The rules in force, all of them.
    pub(super) in_force: Option<Vec<InForceWanted>>,
    /// From when a fresh token is safe; `"unset"`.
    pub(super) not_before: Option<String>,
    /// Texts that stand in some warning.
    pub(super) warnings: Vec<String>,
    /// Texts that stand in no warning.
    pub(super) no_warnings: Vec<String>,
}

/// A rule in force; what is left out may be anything.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct InForceWanted {
    /// Its kind.
    pub(super) rule: RuleName,
    /// Its cut-off by time.
    pub(super) before: Option<String>,
    /// Its cut-off by version.
    pub(super) below: Option<u64>,
    /// Its end; `"unset"`: until lifted.
    pub(super) expires_at: Option<String>,
    /// Why.
    pub(super) reason: Option<String>,
    /// What was written down.
    pub(super) comment: Option<String>,
    /// Whom it spares.
    pub(super) except_sid: Option<Vec<String>>,
    /// Whom it spares.
    pub(super) except_jti: Option<Vec<String>>,
}

/// How a request is refused; what is left out may be anything.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ErrorWanted {
    /// The gRPC code.
    pub(super) code: CodeName,
    /// The field that is wrong.
    pub(super) field: Option<String>,
    /// The reason in the `ErrorInfo`.
    pub(super) reason: Option<String>,
    /// What the message must hold.
    #[serde(default)]
    pub(super) message: Vec<String>,
    /// What the message must not hold.
    #[serde(default)]
    pub(super) message_hides: Vec<String>,
}

/// A gRPC code.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum CodeName {
    InvalidArgument,
    ResourceExhausted,
    FailedPrecondition,
    Unavailable,
}

/// The state of a target; what is left out may be anything.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RevocationWanted {
    /// Of which.
    pub(super) target: Target,
    /// The rules in force, all of them.
    pub(super) in_force: Option<Vec<InForceWanted>>,
    /// The kinds that were lifted.
    pub(super) lifted: Option<Vec<RuleName>>,
    /// What the author of the lift wrote down.
    pub(super) lifted_comment: Option<String>,
}

/// What the status says; what is left out may be anything.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StatusWanted {
    /// Records held.
    pub(super) records: Option<u64>,
    /// Of these, kept free.
    pub(super) live_reserved: Option<u64>,
    /// Whether the wall clock is trusted.
    pub(super) clock_trusted: Option<bool>,
}

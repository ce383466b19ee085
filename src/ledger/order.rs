//! What callers ask of the ledger, and what they are told.

use crate::model::{Exception, Reason, Record, Rule, RuleKind, Target, UnixNanos};

/// Until when a token could be used, as far as its revoker knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenEnd {
    /// Its `exp`.
    At(UnixNanos),
    /// It has none.
    Never,
    /// Nobody said.
    Unknown,
}

/// A target as a caller named it.
#[derive(Clone, Debug, PartialEq)]
pub struct Named {
    /// The target.
    pub target: Target,
    /// Of a token, its end.
    pub end: TokenEnd,
}

/// The rules asked for; none at all means the default of the target's kind.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AskedRules {
    /// Every token.
    pub all: bool,
    /// By `iat`.
    pub issued_before: Option<UnixNanos>,
    /// By version.
    pub version_below: Option<u64>,
    /// By `auth_time`.
    pub authenticated_before: Option<UnixNanos>,
    /// By `iat`, from now on: this node's clock and the lead of the issuer's.
    pub issued_before_now: bool,
    /// By `auth_time`, from now on likewise.
    pub authenticated_before_now: bool,
    /// Whom to spare.
    pub except: Vec<Exception>,
}

impl AskedRules {
    /// Whether no cut-off is given: then a user's or session's is now.
    pub fn has_no_cut_off(&self) -> bool {
        !self.all
            && self.issued_before.is_none()
            && self.version_below.is_none()
            && self.authenticated_before.is_none()
            && !self.issued_before_now
            && !self.authenticated_before_now
    }
}

/// What makes a request the same as an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestId {
    /// A digest of the caller and the id.
    pub key: [u8; 16],
    /// A digest of the request.
    pub digest: [u8; 16],
}

/// Who writes, and how.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    /// Who.
    pub actor: String,
    /// What they wrote down.
    pub comment: String,
    /// For repeats.
    pub request_id: Option<RequestId>,
    /// Answer as if, and change nothing.
    pub validate_only: bool,
}

/// Revoke these.
#[derive(Clone, Debug)]
pub struct Revoke {
    /// What.
    pub targets: Vec<Named>,
    /// By which rules, of the targets that are not tokens.
    pub rules: AskedRules,
    /// Keep it at least that long; of `all`, the end of the suspension.
    pub expires_at: Option<UnixNanos>,
    /// Why.
    pub reason: Reason,
    /// Who, and how.
    pub terms: Terms,
}

/// Lift these.
#[derive(Clone, Debug)]
pub struct Restore {
    /// Of what.
    pub targets: Vec<Target>,
    /// Which kinds; of tokens, always `all`.
    pub kinds: Vec<RuleKind>,
    /// Who, and how.
    pub terms: Terms,
}

/// Take in what another node sent.
#[derive(Clone, Debug, Default)]
pub struct Merge {
    /// What it sent.
    pub records: Vec<Record>,
    /// To be kept with it, under a name of the caller's: where to go on.
    pub place: Option<(String, Vec<u8>)>,
    /// A follower handed it up, and nobody else may have it: it is refused when it cannot be made
    /// durable (what an upstream sent is then enforced from memory), and told to peers at once.
    pub handed_up: bool,
    /// Do not rely on what was merged before: something was lost.
    pub afresh: bool,
}

/// What became of records from another node.
#[derive(Clone, Debug, Default)]
pub struct Merged {
    /// How many changed something.
    pub changed: u64,
    /// For each record, the seq here at which exactly that is held, if it is.
    pub held: Vec<Option<u64>>,
    /// Everything taken in stands at or before this seq.
    pub head: u64,
    /// Whether it is on disk.
    pub durable: bool,
    /// Whether any of it was left out, since it has run out by the clock of this node.
    pub left_out: bool,
}

/// What now holds of one target.
#[derive(Clone, Debug)]
pub struct Receipt {
    /// The target.
    pub target: Target,
    /// Its state.
    pub rules: Vec<(RuleKind, Rule)>,
    /// The first whole second from which a fresh token is safe.
    pub not_before_s: Option<u64>,
    /// What a person should know.
    pub warnings: Vec<String>,
}

/// Why a write was not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The request is wrong.
    #[error("{field}: {problem}")]
    Invalid {
        /// Which field.
        field: String,
        /// What is wrong with it, and what to do.
        problem: String,
    },
    /// A quota is full.
    #[error(
        "max_live is {live_max} records and {held} are held{reserved}: nothing was revoked; raise \
         max_live, or restore what need not be revoked"
    )]
    QuotaFull {
        /// The quota.
        live_max: u64,
        /// What is held.
        held: u64,
        /// What is kept free, in words.
        reserved: &'static str,
    },
    /// The journal cannot write.
    #[error("nothing was acknowledged: {0}")]
    Unavailable(String),
    /// The node is shutting down.
    #[error("nothing was acknowledged: the node is shutting down")]
    Stopping,
}

impl WriteError {
    /// A field is wrong.
    pub fn invalid(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Invalid {
            field: field.into(),
            problem: problem.into(),
        }
    }
}

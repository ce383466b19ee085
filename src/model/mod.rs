//! The values that Rescind speaks of: no clock, no task, no I/O.

mod claims;
mod reason;
mod settings;
mod target;
mod time;
mod verdict;

pub use claims::Claims;
pub use reason::Reason;
pub use settings::{ClaimNames, IssuerSettings, Lifetime, MissingKid, Semantics};
pub use target::{KeyKind, Target, TargetKey, TargetKind, What};
pub use time::{UnixNanos, nanos_of};
pub use verdict::{Invalid, Match, Verdict};

/// The kinds of rule. The numbers are those of the API and of the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum RuleKind {
    /// Every token.
    All = 1,
    /// By `iat`.
    IssuedBefore = 2,
    /// By version.
    VersionBelow = 3,
    /// By `auth_time`.
    AuthenticatedBefore = 4,
}

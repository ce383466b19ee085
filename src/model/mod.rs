//! The values that Rescind speaks of: no clock, no task, no I/O.

mod bounds;
mod claims;
mod clock_lead;
mod reason;
mod record;
mod rule;
mod settings;
mod target;
mod time;
mod verdict;

#[cfg(test)]
mod laws;
#[cfg(test)]
pub(crate) mod sample;

pub use bounds::{Bounds, Horizon, IssuerBounds};
pub use claims::{Claims, NamedValue};
pub use clock_lead::ClockLead;
pub use reason::Reason;
pub use record::Record;
pub use rule::{
    Boot, CutOff, Dot, Entry, Exception, Floor, KeptBy, NEVER, Note, Request, Rule, RuleKind, Seen,
    denies,
};
pub use settings::{ClaimNames, IssuerSettings, JtiUse, Lifetime, MissingKid, Semantics};
pub use target::{KEY_RANGES, KeyKind, Target, TargetKey, TargetKind, What};
pub use time::{UnixNanos, nanos_of};
pub use verdict::{Invalid, Match, Verdict};

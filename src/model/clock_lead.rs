//! Issuers whose clocks are ahead of ours.

use std::time::Duration;

/// How far the clock of an issuer was seen ahead, as nodes tell it to each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClockLead {
    /// The issuer.
    pub iss: String,
    /// The number of the window of 24 hours, counted from 1970.
    pub window: u64,
    /// Its greatest lead.
    pub lead: Duration,
    /// The greatest lead of the window before.
    pub lead_before: Duration,
}

//! What `rescind status` shows of other nodes.

use std::{io::Write, time::Duration};

use serde::Serialize;

use crate::proto::v1;

use super::{failure::Failure, output, time::rfc3339, view::clean};

/// A node that is followed.
#[derive(Debug, Serialize)]
pub(super) struct Upstream {
    address: String,
    kind: String,
    state: String,
    node_id: String,
    /// How long ago it was known to be level; null: never.
    age_ms: Option<u64>,
    lag: u64,
    /// Where this node goes on in its journal, and where that ends.
    seq: u64,
    head: u64,
    /// How stale it says to be itself; null: it has not said, or was never level.
    staleness_ms: Option<u64>,
    #[serde(skip_serializing_if = "String::is_empty")]
    last_error: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    connected_at: Option<String>,
    received: u64,
    changed: u64,
    refused: u64,
    settings_differ: bool,
    ranges_healed: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    compared_at: Option<String>,
    ranges_differing: u32,
    #[serde(skip_serializing_if = "String::is_empty")]
    not_compared_because: String,
    outbox: u64,
}

/// A node that follows.
#[derive(Debug, Serialize)]
pub(super) struct Follower {
    node_id: String,
    role: String,
    address: String,
    connected: bool,
    lag: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    seen_at: Option<String>,
}

/// As whole milliseconds; `None`: never level.
pub(super) fn millis(age: Option<prost_types::Duration>) -> Option<u64> {
    let age = Duration::try_from(age?).ok()?;
    u64::try_from(age.as_millis()).ok()
}

/// An age for people.
pub(super) fn age(millis: Option<u64>) -> String {
    match millis {
        None => "NEVER LEVEL".to_owned(),
        Some(millis) if millis < 10_000 => format!("{millis} ms"),
        Some(millis) => humantime::format_duration(Duration::from_secs(millis / 1_000)).to_string(),
    }
}

impl From<v1::UpstreamStatus> for Upstream {
    fn from(upstream: v1::UpstreamStatus) -> Self {
        Self {
            address: upstream.address,
            kind: upstream.kind,
            state: upstream.state,
            node_id: upstream.node_id,
            age_ms: millis(upstream.age),
            lag: upstream.lag,
            seq: upstream.seq,
            head: upstream.head,
            staleness_ms: millis(upstream.staleness),
            last_error: upstream.last_error,
            connected_at: upstream.connected_at.as_ref().map(rfc3339),
            received: upstream.received,
            changed: upstream.changed,
            refused: upstream.refused,
            settings_differ: upstream.settings_differ,
            ranges_healed: upstream.ranges_healed,
            compared_at: upstream.compared_at.as_ref().map(rfc3339),
            ranges_differing: upstream.ranges_differing,
            not_compared_because: upstream.not_compared_because,
            outbox: upstream.outbox,
        }
    }
}

impl Upstream {
    fn row(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if !self.last_error.is_empty() {
            notes.push(clean(&self.last_error));
        }
        if self.settings_differ {
            notes.push("its settings differ".to_owned());
        }
        if self.refused > 0 {
            notes.push(format!("{} records refused", self.refused));
        }
        if self.ranges_healed > 0 {
            notes.push(format!("{} ranges healed", self.ranges_healed));
        }
        if self.compared_at.is_some() {
            notes.push(self.comparison());
        }
        if self.outbox > 0 {
            notes.push(format!("{} to hand up", self.outbox));
        }
        let is_self = self.state == "self";
        vec![
            self.kind.clone(),
            clean(&self.address),
            self.state.clone(),
            if is_self {
                String::new()
            } else {
                age(self.age_ms)
            },
            self.lag.to_string(),
            notes.join("; "),
        ]
    }
}

impl Upstream {
    fn comparison(&self) -> String {
        match (self.not_compared_because.as_str(), self.ranges_differing) {
            ("", 0) => "holds the same".to_owned(),
            ("", 1) => "1 RANGE DIFFERS".to_owned(),
            ("", differing) => format!("{differing} RANGES DIFFER"),
            (because, _) => format!("not compared: {}", clean(because)),
        }
    }
}

impl From<v1::FollowerStatus> for Follower {
    fn from(follower: v1::FollowerStatus) -> Self {
        Self {
            node_id: follower.node_id,
            role: follower.role,
            address: follower.address,
            connected: follower.connected,
            lag: follower.lag,
            seen_at: follower.seen_at.as_ref().map(rfc3339),
        }
    }
}

impl Follower {
    fn row(&self) -> Vec<String> {
        let seen = match (&self.seen_at, self.connected) {
            (_, true) => "now".to_owned(),
            (Some(at), false) => at.clone(),
            (None, false) => "NEVER".to_owned(),
        };
        vec![
            self.role.clone(),
            self.node_id.clone(),
            clean(&self.address),
            seen,
            self.lag.to_string(),
        ]
    }
}

/// The tables, where there is anything to show.
pub(super) fn write(
    out: &mut dyn Write,
    upstreams: &[Upstream],
    followers: &[Follower],
) -> Result<(), Failure> {
    if !upstreams.is_empty() {
        writeln!(out)?;
        let header = [
            "FOLLOWS",
            "ADDRESS",
            "STATE",
            "LEVEL",
            "RECORDS BEHIND",
            "NOTES",
        ];
        output::table(out, &header, upstreams.iter().map(Upstream::row))?;
    }
    if !followers.is_empty() {
        writeln!(out)?;
        let header = ["FOLLOWED BY", "NODE", "FROM", "SEEN", "RECORDS BEHIND"];
        output::table(out, &header, followers.iter().map(Follower::row))?;
    }
    Ok(())
}

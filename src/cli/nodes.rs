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
    handed_up: u64,
}

/// A node that follows.
#[derive(Debug, Serialize)]
pub(super) struct Follower {
    node_id: String,
    role: String,
    address: String,
    connected: bool,
    state: String,
    /// How long ago it was level; null: never in this run.
    age_ms: Option<u64>,
    lag: u64,
    acked: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    seen_at: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    last_error: String,
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
            handed_up: upstream.handed_up,
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
            state: follower.state,
            age_ms: millis(follower.age),
            lag: follower.lag,
            acked: follower.acked,
            seen_at: follower.seen_at.as_ref().map(rfc3339),
            last_error: follower.last_error,
        }
    }
}

impl Follower {
    fn row(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if !self.last_error.is_empty() {
            notes.push(clean(&self.last_error));
        }
        if let (false, Some(at)) = (self.connected, &self.seen_at) {
            notes.push(format!("last seen {at}"));
        }
        vec![
            self.role.clone(),
            self.node_id.clone(),
            clean(&self.address),
            self.state.clone(),
            age(self.age_ms),
            self.lag.to_string(),
            notes.join("; "),
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
        let header = [
            "FOLLOWED BY",
            "NODE",
            "FROM",
            "STATE",
            "LEVEL",
            "RECORDS BEHIND",
            "NOTES",
        ];
        output::table(out, &header, followers.iter().map(Follower::row))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_follower_is_understood_at_a_glance_and_whole_as_json() {
        let follower = |follower: v1::FollowerStatus| Follower::from(follower);
        let level = follower(v1::FollowerStatus {
            node_id: "7".to_owned(),
            role: "leaf".to_owned(),
            address: "ip:::1".to_owned(),
            connected: true,
            lag: 3,
            seen_at: Some(prost_types::Timestamp::default()),
            state: "following".to_owned(),
            acked: 9,
            age: Some(prost_types::Duration {
                seconds: 0,
                nanos: 5_000_000,
            }),
            last_error: String::new(),
        });
        assert_eq!(
            level.row(),
            ["leaf", "7", "ip:::1", "following", "5 ms", "3", ""]
        );
        let json = serde_json::to_value(&level).unwrap();
        let shown = ["state", "age_ms", "lag", "acked"].map(|name| json[name].to_string());
        assert_eq!(shown, ["\"following\"", "5", "3", "9"]);
        let away = follower(v1::FollowerStatus {
            state: "away".to_owned(),
            seen_at: Some(prost_types::Timestamp::default()),
            last_error: "it left".to_owned(),
            ..v1::FollowerStatus::default()
        });
        assert_eq!(
            away.row()[3..],
            [
                "away",
                "NEVER LEVEL",
                "0",
                "it left; last seen 1970-01-01T00:00:00Z"
            ]
        );
    }
}

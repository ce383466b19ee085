//! `rescind status`.

use std::{io::Write, time::Duration};

use serde::Serialize;

use crate::{
    model::UnixNanos,
    proto::v1::{self, TargetKind},
};

use super::{
    Context, compare,
    connect::ConnectArgs,
    failure::{self, Failure},
    nodes::{self, Follower, Upstream},
    output::{self, Format, OutputArgs},
    time::rfc3339,
    view::clean,
    words::{KINDS, word},
};

/// Shows what a node is, holds and may hold, whom it follows and who follows and watches it
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  rescind status
  rescind status --output json | jq .journal.healthy
  rescind status --compare      do this node and those it follows hold the same?

Nodes compare what they hold every 10 minutes by themselves, and read again what silently differs. With
--compare they do now; then exit code 1 says that something differs or could not be compared.")]
pub(super) struct StatusArgs {
    /// First compare what this node holds with each node it follows, by digests
    #[arg(long)]
    compare: bool,

    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connect: ConnectArgs,
}

#[derive(Debug, Serialize)]
struct Status {
    node_id: String,
    boot: String,
    version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<String>,
    ready: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    not_ready_because: String,
    verifies_signatures: bool,
    /// Null: it follows others and has never been level with them.
    staleness_ms: Option<u64>,
    live: Vec<Live>,
    journal: Journal,
    clock: Clock,
    limits: Limits,
    watchers: Vec<Watcher>,
    issuers: Vec<Issuer>,
    upstreams: Vec<Upstream>,
    followers: Vec<Follower>,
}

#[derive(Debug, Serialize)]
struct Live {
    kind: &'static str,
    count: u64,
}

#[derive(Debug, Serialize)]
struct Journal {
    head: u64,
    records: u64,
    durable: bool,
    healthy: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    failure: String,
}

#[derive(Debug, Serialize)]
struct Clock {
    trusted: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    swept_until: Option<String>,
}

#[derive(Debug, Serialize)]
struct Limits {
    live_max: u64,
    live_reserved: u64,
    batch_max: u32,
    token_bytes_max: u32,
    identifier_bytes_max: u32,
}

#[derive(Debug, Serialize)]
struct Issuer {
    iss: String,
    key_source: String,
    keys: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    keys_fetched_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    keys_age_s: Option<u64>,
    #[serde(skip_serializing_if = "String::is_empty")]
    last_error: String,
    skipped_keys: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    key_warnings: Vec<String>,
}

impl From<v1::IssuerStatus> for Issuer {
    fn from(issuer: v1::IssuerStatus) -> Self {
        Self {
            iss: issuer.iss,
            key_source: issuer.key_source,
            keys: issuer.keys,
            keys_fetched_at: issuer.keys_fetched_at.as_ref().map(rfc3339),
            keys_age_s: issuer
                .keys_age
                .and_then(|age| u64::try_from(age.seconds).ok()),
            last_error: issuer.last_error,
            skipped_keys: issuer.skipped_keys,
            key_warnings: issuer.key_warnings,
        }
    }
}

impl Issuer {
    fn row(&self) -> Vec<String> {
        let age = match self.keys_age_s {
            Some(age) => humantime::format_duration(Duration::from_secs(age)).to_string(),
            None if self.key_source == "jwks_url" => "NEVER FETCHED".to_owned(),
            None => "from a file".to_owned(),
        };
        vec![
            clean(&self.iss),
            self.keys.to_string(),
            age,
            self.skipped_keys.len().to_string(),
            clean(&self.last_error),
        ]
    }
}

#[derive(Debug, Serialize)]
struct Watcher {
    watch_id: u64,
    #[serde(rename = "watcher")]
    name: String,
    actor: String,
    lag: u64,
}

pub(super) async fn run(args: StatusArgs, context: &mut Context<'_>) -> Result<u8, Failure> {
    let mut client = args.connect.client(context.environment).await?;
    let request = v1::GetStatusRequest {
        compare: args.compare,
    };
    let call = client.rpc.get_status(request);
    let mut response = client.server.answer(call).await?;
    if args.compare {
        response = compare::until_done(&mut client, response, context.err).await?;
    }
    let is_equal = !args.compare || compare::is_equal(&response);
    let uptime = response.started_at.and_then(|start| {
        let start = Duration::new(
            u64::try_from(start.seconds).ok()?,
            u32::try_from(start.nanos).ok()?,
        );
        Some(context.now.since(UnixNanos::ZERO.plus(start)))
    });
    let status = Status::from(response);
    match args.output.output {
        Format::Json => output::json(context.out, &status)?,
        Format::Table => status.write(context.out, uptime)?,
    }
    Ok(if is_equal {
        failure::OK
    } else {
        failure::FAILED
    })
}

impl From<v1::GetStatusResponse> for Status {
    fn from(status: v1::GetStatusResponse) -> Self {
        let journal = status.journal.unwrap_or_default();
        let clock = status.clock.unwrap_or_default();
        let limits = status.limits.unwrap_or_default();
        Self {
            node_id: status.node_id,
            boot: status.boot,
            version: status.version,
            started_at: status.started_at.as_ref().map(rfc3339),
            ready: status.ready,
            verifies_signatures: status.verifies_signatures,
            staleness_ms: nodes::millis(status.staleness),
            live: all_kinds(&status.live),
            journal: Journal {
                head: journal.head,
                records: journal.records,
                durable: journal.durable,
                healthy: journal.healthy,
                failure: journal.failure,
            },
            clock: Clock {
                trusted: clock.trusted,
                detail: clock.detail,
                swept_until: clock.swept_until.as_ref().map(rfc3339),
            },
            limits: Limits {
                live_max: limits.live_max,
                live_reserved: limits.live_reserved,
                batch_max: limits.batch_max,
                token_bytes_max: limits.token_bytes_max,
                identifier_bytes_max: limits.identifier_bytes_max,
            },
            watchers: status
                .watchers
                .into_iter()
                .map(|watcher| Watcher {
                    watch_id: watcher.watch_id,
                    name: watcher.watcher,
                    actor: watcher.actor,
                    lag: watcher.lag,
                })
                .collect(),
            issuers: status.issuers.into_iter().map(Issuer::from).collect(),
            upstreams: status.upstreams.into_iter().map(Upstream::from).collect(),
            followers: status.followers.into_iter().map(Follower::from).collect(),
            not_ready_because: status.not_ready_because,
        }
    }
}

/// Every kind, also one that the server left out because there is none of it.
fn all_kinds(counts: &[v1::KindCount]) -> Vec<Live> {
    let count = |kind: TargetKind| {
        counts
            .iter()
            .filter(|count| count.kind() == kind)
            .map(|count| count.count)
            .sum()
    };
    KINDS
        .iter()
        .map(|(_, kind)| Live {
            kind: word(&KINDS, (*kind).into()),
            count: count(*kind),
        })
        .collect()
}

impl Status {
    fn write(&self, out: &mut dyn Write, uptime: Option<Duration>) -> Result<(), Failure> {
        let total: u64 = self.live.iter().map(|live| live.count).sum();
        let kinds: Vec<String> = self
            .live
            .iter()
            .filter(|live| live.count > 0)
            .map(|live| format!("{} {}", live.count, live.kind))
            .collect();
        let mut live = total.to_string();
        if !kinds.is_empty() {
            live.push_str(&[" (", &kinds.join(", "), ")"].concat());
        }
        let used = self.journal.records.saturating_mul(100) / self.limits.live_max.max(1);
        let uptime = uptime.map_or_else(String::new, |up| {
            let seconds = Duration::from_secs(up.as_secs());
            format!(", up {}", humantime::format_duration(seconds))
        });
        let rows = [
            (
                "node",
                format!("{} (version {}{uptime})", self.node_id, self.version),
            ),
            ("ready", self.ready_line()),
            ("revoked", live),
            (
                "records",
                format!(
                    "{} of {} ({used} %); {} kept free for emergencies",
                    self.journal.records, self.limits.live_max, self.limits.live_reserved
                ),
            ),
            ("journal", self.journal_line()),
            ("clock", self.clock_line()),
            (
                "signatures",
                if self.verifies_signatures {
                    "verified here".to_owned()
                } else {
                    "not verified here: callers must".to_owned()
                },
            ),
            ("staleness", nodes::age(self.staleness_ms)),
            ("watchers", self.watchers.len().to_string()),
        ];
        let rows = rows.map(|(name, value)| vec![name.to_owned(), value]);
        output::table(out, &[], rows)?;
        if !self.issuers.is_empty() {
            writeln!(out)?;
            let header = ["ISSUER", "KEYS", "AGE", "SKIPPED", "LAST ERROR"];
            output::table(out, &header, self.issuers.iter().map(Issuer::row))?;
        }
        nodes::write(out, &self.upstreams, &self.followers)?;
        if self.watchers.is_empty() {
            return Ok(());
        }
        writeln!(out)?;
        let rows = self.watchers.iter().map(|watcher| {
            vec![
                watcher.watch_id.to_string(),
                clean(&watcher.name),
                clean(&watcher.actor),
                watcher.lag.to_string(),
            ]
        });
        output::table(out, &["WATCH", "NAME", "CALLER", "RECORDS BEHIND"], rows)?;
        Ok(())
    }

    fn ready_line(&self) -> String {
        match (self.ready, self.not_ready_because.as_str()) {
            (true, _) => "yes".to_owned(),
            (false, "") => "NO".to_owned(),
            (false, why) => format!("NO: {}", clean(why)),
        }
    }

    fn journal_line(&self) -> String {
        let Journal {
            head,
            durable,
            healthy,
            failure,
            ..
        } = &self.journal;
        if !healthy {
            return format!("FAILED, takes no writes: {}", clean(failure));
        }
        let kept = if *durable {
            "on disk"
        } else {
            "in memory only: lost when the process ends"
        };
        format!("healthy, {kept}, head {head}")
    }

    fn clock_line(&self) -> String {
        let detail = clean(&self.clock.detail);
        match (self.clock.trusted, detail.as_str()) {
            (true, "") => "trusted".to_owned(),
            (true, detail) => format!("trusted; {detail}"),
            (false, detail) => format!("NOT TRUSTED, nothing is forgotten: {detail}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status() -> Status {
        Status::from(v1::GetStatusResponse {
            node_id: "00000000000000aa".to_owned(),
            boot: "00000000000000bb".to_owned(),
            version: "0.1.0".to_owned(),
            ready: true,
            live: vec![v1::KindCount {
                kind: TargetKind::User.into(),
                count: 3,
            }],
            journal: Some(v1::JournalStatus {
                head: 9,
                records: 4,
                durable: true,
                healthy: false,
                failure: "disk full".to_owned(),
            }),
            clock: Some(v1::ClockStatus {
                trusted: false,
                detail: "settling".to_owned(),
                swept_until: None,
            }),
            limits: Some(v1::Limits {
                live_max: 100,
                live_reserved: 10,
                ..v1::Limits::default()
            }),
            issuers: vec![v1::IssuerStatus {
                iss: "https://i".to_owned(),
                key_source: "jwks_url".to_owned(),
                keys: 2,
                keys_age: Some(prost_types::Duration {
                    seconds: 90,
                    nanos: 7,
                }),
                last_error: "the issuer answered 503".to_owned(),
                ..v1::IssuerStatus::default()
            }],
            watchers: vec![v1::WatcherStatus {
                watch_id: 1,
                watcher: "siem".to_owned(),
                actor: "tcp".to_owned(),
                lag: 2,
            }],
            ..v1::GetStatusResponse::default()
        })
    }

    #[test]
    fn for_machines_every_kind_and_limit_is_there() {
        let json = serde_json::to_value(status()).unwrap();
        assert_eq!(json["live"].as_array().unwrap().len(), 7);
        assert_eq!(json["live"][1]["kind"], "user");
        assert_eq!(json["live"][1]["count"], 3);
        assert_eq!(json["journal"]["failure"], "disk full");
        assert_eq!(json["watchers"][0]["lag"], 2);
        assert_eq!(json["issuers"][0]["keys_age_s"], 90);
    }

    #[test]
    fn for_people_what_is_wrong_stands_out() {
        let mut out = Vec::new();
        let day = Duration::from_secs(86_400);
        status().write(&mut out, Some(day)).unwrap();
        let out = String::from_utf8(out).unwrap();
        for part in [
            "up 1day",
            "3 (3 user)",
            "4 of 100 (4 %)",
            "FAILED, takes no writes: disk full",
            "NOT TRUSTED, nothing is forgotten: settling",
            "siem",
            "1m 30s",
            "the issuer answered 503",
        ] {
            assert!(out.contains(part), "{part} is not in:\n{out}");
        }
    }
}

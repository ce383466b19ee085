//! What a node is and holds, as Prometheus reads it.
//!
//! Names and labels are an interface (docs/metrics.md). No user data stands in labels: issuers and
//! addresses are configured, kinds are fixed.

use crate::{model::TargetKind, proto::v1::GetStatusResponse};

/// One metric: its name, what it says, and its values with their labels.
struct Metric<'a> {
    name: &'static str,
    help: &'static str,
    values: Vec<(Vec<(&'static str, &'a str)>, f64)>,
}

fn one<'a>(name: &'static str, help: &'static str, value: f64) -> Metric<'a> {
    Metric {
        name,
        help,
        values: vec![(Vec::new(), value)],
    }
}

/// The metrics of a node with this status.
pub(super) fn of(status: &GetStatusResponse) -> String {
    let mut text = String::new();
    let all = [node(status), issuers(status), upstreams(status)];
    for metric in all.into_iter().flatten() {
        write(&mut text, &metric);
    }
    text
}

#[expect(
    clippy::cast_precision_loss,
    reason = "Prometheus knows no other numbers, and none of these comes near 2^53"
)]
fn count(number: u64) -> f64 {
    number as f64
}

fn yes(is_so: bool) -> f64 {
    if is_so { 1.0 } else { 0.0 }
}

/// An age; what never was is infinitely old.
fn age(age: Option<prost_types::Duration>) -> f64 {
    let age = age.and_then(|age| std::time::Duration::try_from(age).ok());
    age.map_or(f64::INFINITY, |age| age.as_secs_f64())
}

fn node(status: &GetStatusResponse) -> Vec<Metric<'_>> {
    let journal = status.journal.clone().unwrap_or_default();
    let clock = status.clock.clone().unwrap_or_default();
    let limits = status.limits.unwrap_or_default();
    let kinds = TargetKind::ALL.iter().zip(&status.live);
    let connected = status
        .followers
        .iter()
        .filter(|follower| follower.connected);
    vec![
        one(
            "rescind_ready",
            "Whether the node answers: 1 or 0.",
            yes(status.ready),
        ),
        one(
            "rescind_staleness_seconds",
            "How old its knowledge of the nodes that it follows may be; +Inf: never level.",
            age(status.staleness),
        ),
        Metric {
            name: "rescind_live_revocations",
            help: "Targets that are revoked, by kind.",
            values: kinds
                .map(|(kind, live)| (vec![("kind", kind.as_str())], count(live.count)))
                .collect(),
        },
        one(
            "rescind_records",
            "Records held, lifted ones included.",
            count(journal.records),
        ),
        one("rescind_records_max", "max_live.", count(limits.live_max)),
        one(
            "rescind_journal_head",
            "The seq of the newest record.",
            count(journal.head),
        ),
        one(
            "rescind_journal_healthy",
            "Whether the journal takes writes: 1 or 0.",
            yes(journal.healthy),
        ),
        one(
            "rescind_clock_trusted",
            "Whether the sweeper trusts the clock: 1 or 0.",
            yes(clock.trusted),
        ),
        one(
            "rescind_shared_jtis_total",
            "Revocations kept longer, as a token that shares their jti was met.",
            count(status.shared_jtis),
        ),
        one(
            "rescind_watchers",
            "Watches that are open.",
            count(status.watchers.len() as u64),
        ),
        one(
            "rescind_followers",
            "Nodes that follow this one now.",
            count(connected.count() as u64),
        ),
    ]
}

fn issuers(status: &GetStatusResponse) -> Vec<Metric<'_>> {
    let fetched = || {
        status
            .issuers
            .iter()
            .filter(|issuer| issuer.key_source == "jwks_url")
    };
    let keys = status.issuers.iter();
    vec![
        Metric {
            name: "rescind_issuer_keys",
            help: "Keys of an issuer that can be used.",
            values: keys
                .map(|issuer| {
                    (
                        vec![("issuer", issuer.iss.as_str())],
                        f64::from(issuer.keys),
                    )
                })
                .collect(),
        },
        Metric {
            name: "rescind_issuer_keys_age_seconds",
            help: "How long ago the key set of a jwks_url was fetched; +Inf: never.",
            values: fetched()
                .map(|issuer| (vec![("issuer", issuer.iss.as_str())], age(issuer.keys_age)))
                .collect(),
        },
        Metric {
            name: "rescind_issuer_keys_failing",
            help: "Whether the last try to fetch or read an issuer's keys failed: 1 or 0.",
            values: status
                .issuers
                .iter()
                .map(|issuer| {
                    let failing = yes(!issuer.last_error.is_empty());
                    (vec![("issuer", issuer.iss.as_str())], failing)
                })
                .collect(),
        },
    ]
}

fn upstreams(status: &GetStatusResponse) -> Vec<Metric<'_>> {
    let metric = |name, help, value: fn(&crate::proto::v1::UpstreamStatus) -> f64| Metric {
        name,
        help,
        values: status
            .upstreams
            .iter()
            .map(|upstream| {
                let labels = vec![
                    ("kind", upstream.kind.as_str()),
                    ("address", upstream.address.as_str()),
                ];
                (labels, value(upstream))
            })
            .collect(),
    };
    vec![
        metric(
            "rescind_upstream_following",
            "Whether an upstream has sent all it had and is followed: 1 or 0.",
            |upstream| yes(upstream.state == "following"),
        ),
        metric(
            "rescind_upstream_age_seconds",
            "How long ago this node was level with an upstream; +Inf: never.",
            |upstream| age(upstream.age),
        ),
        metric(
            "rescind_upstream_lag_records",
            "Records of an upstream that are still to come.",
            |upstream| count(upstream.lag),
        ),
        metric(
            "rescind_upstream_ranges_healed_total",
            "Ranges of keys that silently differed and were read again.",
            |upstream| count(upstream.ranges_healed),
        ),
        metric(
            "rescind_upstream_refused_total",
            "Records of an upstream that could not be taken in.",
            |upstream| count(upstream.refused),
        ),
        metric(
            "rescind_upstream_outbox_records",
            "Records that have yet to be handed up to a hub.",
            |upstream| count(upstream.outbox),
        ),
    ]
}

fn write(text: &mut String, metric: &Metric<'_>) {
    let kind = if metric.name.ends_with("_total") {
        "counter"
    } else {
        "gauge"
    };
    let name = metric.name;
    text.extend(["# HELP ", name, " ", metric.help, "\n"]);
    text.extend(["# TYPE ", name, " ", kind, "\n"]);
    for (labels, value) in &metric.values {
        let labels: Vec<String> = labels
            .iter()
            .map(|(name, value)| format!("{name}=\"{}\"", escaped(value)))
            .collect();
        let labels = match labels.as_slice() {
            [] => String::new(),
            labels => format!("{{{}}}", labels.join(",")),
        };
        let value = if value.is_infinite() {
            "+Inf".to_owned()
        } else {
            value.to_string()
        };
        text.extend([name, &labels, " ", &value, "\n"]);
    }
}

fn escaped(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::v1;

    #[test]
    fn every_metric_is_in_the_docs() {
        let docs = include_str!("../../docs/metrics.md");
        let page = of(&GetStatusResponse::default());
        let names = page
            .lines()
            .filter_map(|line| line.strip_prefix("# HELP ")?.split(' ').next());
        for name in names {
            assert!(
                docs.contains(&format!("`{name}`")),
                "{name} is not in docs/metrics.md"
            );
        }
    }

    #[test]
    fn the_page_reads_as_prometheus_reads_it() {
        let status = GetStatusResponse {
            ready: true,
            live: vec![v1::KindCount { kind: 1, count: 7 }],
            issuers: vec![v1::IssuerStatus {
                iss: "https://i\"\\".to_owned(),
                key_source: "jwks_url".to_owned(),
                keys: 2,
                keys_age: Some(prost_types::Duration {
                    seconds: 90,
                    nanos: 500_000_000,
                }),
                ..v1::IssuerStatus::default()
            }],
            ..GetStatusResponse::default()
        };
        let page = of(&status);
        for line in [
            "# TYPE rescind_ready gauge",
            "rescind_ready 1",
            "rescind_staleness_seconds +Inf",
            "rescind_live_revocations{kind=\"token\"} 7",
            "rescind_issuer_keys_age_seconds{issuer=\"https://i\\\"\\\\\"} 90.5",
            "# TYPE rescind_upstream_refused_total counter",
        ] {
            assert!(
                page.lines().any(|shown| shown == line),
                "{line} is not in:\n{page}"
            );
        }
    }
}

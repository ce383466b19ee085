//! GetStatus.

use crate::{
    fleet::{Fleet, Role},
    ledger::{Ledger, Trust},
    limits,
    model::{TargetKind, UnixNanos},
    proto::v1,
    verification::{IssuerState, Verification},
};

use super::{check::Judge, outward, watchers::Watchers};

/// What a node is, holds and may hold.
pub(super) fn status(
    judge: &Judge,
    watchers: &Watchers,
    started_at: UnixNanos,
    ready: bool,
) -> v1::GetStatusResponse {
    let Judge {
        ledger,
        fleet,
        verification,
    } = judge;
    let condition = ledger.condition();
    let number = |size: usize| u32::try_from(size).unwrap_or(u32::MAX);
    v1::GetStatusResponse {
        node_id: format!("{:016x}", ledger.node()),
        boot: format!("{:016x}", ledger.boot().0),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started_at: outward::time(started_at),
        ready,
        live: (1..)
            .zip(TargetKind::ALL)
            .map(|(number, kind)| v1::KindCount {
                kind: number,
                count: ledger.count(kind),
            })
            .collect(),
        journal: Some(v1::JournalStatus {
            head: condition.head,
            records: condition.held,
            durable: condition.durable,
            healthy: condition.failure.is_none(),
            failure: condition.failure.unwrap_or_default(),
        }),
        clock: Some(v1::ClockStatus {
            trusted: condition.trust == Trust::Trusted,
            detail: condition.trust.detail(),
            swept_until: Some(condition.swept)
                .filter(|swept| *swept != UnixNanos::ZERO)
                .and_then(outward::time),
        }),
        limits: Some(v1::Limits {
            live_max: condition.live_max,
            live_reserved: condition.live_max / limits::LIVE_RESERVE_DIVISOR,
            batch_max: number(limits::BATCH_MAX),
            token_bytes_max: number(judge.ledger.semantics().token_bytes_max),
            identifier_bytes_max: number(limits::IDENTIFIER_BYTES_MAX),
        }),
        watchers: watchers
            .list()
            .into_iter()
            .map(|(watch_id, place)| v1::WatcherStatus {
                watch_id,
                watcher: place.watcher.clone(),
                actor: place.actor.clone(),
                lag: condition.head.saturating_sub(place.seq()),
            })
            .collect(),
        staleness: outward::staleness(fleet.staleness()),
        verifies_signatures: verification.is_some(),
        issuers: verification
            .iter()
            .flat_map(|verification| verification.states())
            .map(|state| issuer(state, ledger.wall()))
            .collect(),
        upstreams: upstreams(fleet),
        followers: followers(fleet, ledger, condition.head),
        not_ready_because: not_ready_because(fleet, verification.as_deref()),
        shared_jtis: condition.shared_jtis,
    }
}

fn not_ready_because(fleet: &Fleet, verification: Option<&Verification>) -> String {
    let because = fleet.not_ready_because();
    let waits_for = verification.map_or(Vec::new(), Verification::waits_for);
    if because.is_empty() && !waits_for.is_empty() {
        return format!("it waits for the keys of {}", waits_for.join(", "));
    }
    because
}

fn upstreams(fleet: &Fleet) -> Vec<v1::UpstreamStatus> {
    let steady = fleet.steady();
    let upstreams = fleet.upstreams.list().into_iter();
    upstreams
        .map(|(upstream, view)| {
            let compared = view.compared;
            let (ranges_differing, not_compared_because) =
                match compared.as_ref().map(|last| &last.differing) {
                    Some(Ok(differing)) => (*differing, String::new()),
                    Some(Err(because)) => (0, because.clone()),
                    None => (0, String::new()),
                };
            v1::UpstreamStatus {
                address: upstream.address.clone(),
                kind: upstream.kind.as_str().to_owned(),
                state: view.phase.as_str().to_owned(),
                node_id: view.run.map(|run| run.node.to_string()).unwrap_or_default(),
                age: outward::staleness(view.heard_at.map(|at| steady.saturating_sub(at))),
                lag: view.head.saturating_sub(view.seq),
                last_error: view.last_error,
                connected_at: view.connected_at.and_then(outward::time),
                received: view.received,
                changed: view.changed,
                settings_differ: view.settings_differ,
                ranges_healed: view.ranges_healed,
                outbox: view.outbox,
                handed_up: view.handed_up,
                refused: view.refused,
                compared_at: compared.as_ref().and_then(|last| outward::time(last.at)),
                ranges_differing,
                not_compared_because,
                seq: view.seq,
                head: view.head,
                staleness: outward::staleness(view.staleness),
            }
        })
        .collect()
}

fn followers(fleet: &Fleet, ledger: &Ledger, head: u64) -> Vec<v1::FollowerStatus> {
    let (known, steady) = (fleet.followers.list(ledger.wall()), fleet.steady());
    let met = known.iter().map(|(id, follower)| v1::FollowerStatus {
        node_id: id.to_string(),
        role: follower.role.as_str().to_owned(),
        address: follower.address.clone(),
        connected: follower.watches > 0,
        lag: head.saturating_sub(follower.reached),
        seen_at: outward::time(follower.seen_at),
        state: follower.state().to_owned(),
        acked: follower.acked,
        age: outward::staleness(follower.level_at.map(|at| steady.saturating_sub(at))),
        last_error: follower.last_error.clone(),
    });
    let is_known = |id| known.iter().any(|(known, _)| *known == id);
    let unknown = fleet.upstreams.unknown_peers(&is_known);
    let unmet = unknown.into_iter().map(|address| v1::FollowerStatus {
        role: Role::Peer.as_str().to_owned(),
        address,
        lag: head,
        state: "never-met".to_owned(),
        ..v1::FollowerStatus::default()
    });
    met.chain(unmet).collect()
}

fn issuer(state: IssuerState, wall: UnixNanos) -> v1::IssuerStatus {
    let fetches = state.fetches.unwrap_or_default();
    v1::IssuerStatus {
        iss: state.iss,
        key_source: state.source.to_owned(),
        keys: u32::try_from(state.keys).unwrap_or(u32::MAX),
        keys_fetched_at: fetches.fetched_at.and_then(outward::time),
        keys_age: fetches
            .fetched_at
            .and_then(|at| prost_types::Duration::try_from(wall.since(at)).ok()),
        last_error: state.last_error,
        skipped_keys: state.skipped,
        key_warnings: state.warnings,
    }
}

//! GetStatus.

use crate::{
    ledger::Trust,
    limits,
    model::{TargetKind, UnixNanos},
    proto::v1,
    verification::IssuerState,
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
            token_bytes_max: number(limits::TOKEN_BYTES_MAX),
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
        staleness: Some(prost_types::Duration::default()),
        verifies_signatures: verification.is_some(),
        issuers: verification
            .iter()
            .flat_map(|verification| verification.states())
            .map(|state| issuer(state, ledger.wall()))
            .collect(),
    }
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
    }
}

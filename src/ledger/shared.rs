//! What the ledger's writer and its readers share.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::sync::watch;

use crate::{
    clock::{Clock, Rewind},
    index::{Index, RuleSet, Sightings, TokenSlot},
    journal::{BootSpan, Journal},
    model::{
        Boot, Bounds, Entry, KeyKind, Record, Rule, RuleKind, Semantics, TargetKey, UnixNanos,
    },
};

use super::{feed::Feed, known::Known, seqs::Seqs, shared_jti::Found, trust::Trust};

/// What the writer changes and everybody else reads.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) semantics: Arc<Semantics>,
    pub(super) bounds: ArcSwap<Bounds>,
    pub(super) journal: Journal,
    pub(super) index: Index,
    pub(super) sightings: Sightings,
    pub(super) rewind: Rewind,
    pub(super) feed: Feed,
    pub(super) known: Known,
    /// What Check found of tokens that share a `jti`.
    pub(super) jtis: Found,
    pub(super) node: u64,
    pub(super) boot: Boot,
    pub(super) boots: Vec<BootSpan>,
    pub(super) live_max: u64,
    /// How far the journal may be: never less than what a reader has seen, since it is set before
    /// a commit, and the feed is told after it.
    pub(super) reserved: AtomicU64,
    /// Records held, lifted ones included.
    pub(super) held: AtomicU64,
    /// The seq of the newest record that came to this run first, or that it found when it began.
    pub(super) first_head: AtomicU64,
    /// Where the records were written that came to this run first.
    pub(super) first: Mutex<Seqs>,
    /// Changes whenever the wall clock is found to be below the greatest time that a sweep used: in
    /// this run, or already when it began.
    pub(super) rewound: watch::Sender<bool>,
    /// Why no writes are taken.
    pub(super) failure: ArcSwapOption<String>,
    pub(super) trust: ArcSwap<Trust>,
    pub(super) swept: AtomicU64,
    /// When this run began, if the one before did not end in order: it may have called a token ACTIVE
    /// a moment before, and not have written down how far that was ahead.
    pub(super) began_after_crash: Option<UnixNanos>,
}

impl Shared {
    pub(super) fn swept(&self) -> UnixNanos {
        UnixNanos::from_nanos(self.swept.load(Ordering::Relaxed))
    }

    /// Whether a lead may be missing that still counts: no token is ACTIVE further ahead than leeway,
    /// so once that has gone by every "now" is later than all of those.
    pub(super) fn may_lack_lead(&self, now: UnixNanos, leeway: Duration) -> bool {
        self.began_after_crash
            .is_some_and(|began| now < began.plus(leeway))
    }

    pub(super) fn first(&self) -> MutexGuard<'_, Seqs> {
        self.first.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the index needs of a token's record; all zero when nothing is in force.
pub(super) fn slot_of(record: &Record, seq: u64) -> [u8; 16] {
    token_slot(record, seq).map_or([0; 16], TokenSlot::to_bytes)
}

fn token_slot(record: &Record, seq: u64) -> Option<TokenSlot> {
    if !record.target.is_token() {
        return None;
    }
    let all = record.rules.get(&RuleKind::All)?;
    // Two entries stand side by side only after a merge; the one kept longest speaks for both.
    let entry: &Entry = Rule::in_force(all).max_by_key(|entry| entry.until)?;
    Some(TokenSlot::new(
        seq,
        entry.until,
        entry.note.at,
        entry.note.reason,
        !entry.note.comment.is_empty(),
    ))
}

/// Makes the index say what a record says.
pub(super) fn apply(index: &Index, key: TargetKey, record: &Record, seq: u64) {
    if let Some(slot) = token_slot(record, seq) {
        index.put_token(record.target.key_kind(), key, slot);
    } else if !record.target.is_token() && record.is_in_force() {
        index.put_rules(&record.target, key, RuleSet::of(record, seq));
    } else {
        index.remove(&record.target, key, seq);
    }
}

/// Whether a write counts against the reserve too: what ends an emergency does.
pub(super) fn is_emergency(kind: KeyKind, record: &Record) -> bool {
    match kind {
        KeyKind::Key | KeyKind::Issuer | KeyKind::Client | KeyKind::Claim => true,
        KeyKind::User => record.rules.contains_key(&RuleKind::All),
        KeyKind::Jti | KeyKind::Digest | KeyKind::Session => false,
    }
}

//! Rows of this node's log of which a hub is known to have exactly that, and how level the two are.
//!
//! A leaf hands up whatever stands in its log, whoever wrote it. What a hub sent itself, in its
//! running boot, need not go back to it: should that boot's disk be lost or rolled back, the outbox
//! position does not hold any more, and everything is handed up again. So it pays to let a hub send
//! what it has before anything that others wrote goes up to it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::ledger::Seqs;

/// How level this node is with a hub, by this connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    /// It sends what this node has missed.
    #[default]
    CatchingUp,
    /// It has sent all that it had, and may lack what it is yet to hear from others.
    CaughtUp,
    /// And it was itself ready by then.
    Ready,
}

/// What one boot of one hub has.
#[derive(Debug)]
pub(super) struct Held {
    known: Mutex<Known>,
    level: watch::Sender<Level>,
}

impl Default for Held {
    fn default() -> Self {
        Self {
            known: Mutex::default(),
            level: watch::Sender::new(Level::CatchingUp),
        }
    }
}

#[derive(Debug, Default)]
struct Known {
    /// What is not noted is handed up once more, which is harmless.
    seqs: Seqs,
    /// The hub's cursor with the last of them: it had them all by then.
    cursor: Vec<u8>,
}

impl Held {
    /// The hub's cursor came with records, of which some are held here exactly so, each at its seq.
    pub(super) fn add(&self, records: &[Option<u64>], cursor: &[u8]) {
        let mut known = self.lock();
        cursor.clone_into(&mut known.cursor);
        for seq in records.iter().flatten() {
            known.seqs.insert(*seq);
        }
        drop(known);
        // As long as records come there is reason to wait; a mere sign of life is none.
        if !records.is_empty() {
            self.level.send_if_modified(|level| *level < Level::Ready);
        }
    }

    /// The hub has sent what it had, and it is noted.
    pub(super) fn reached(&self, level: Level) {
        self.level.send_if_modified(|now| {
            let is_more = level > *now;
            *now = level.max(*now);
            is_more
        });
    }

    /// Changes when this node has come nearer to the hub, by what it sent or by its level.
    pub(super) fn level(&self) -> watch::Receiver<Level> {
        self.level.subscribe()
    }

    pub(super) fn has(&self, seq: u64) -> bool {
        self.lock().seqs.has(seq)
    }

    /// By which cursor the hub had all that was noted so far; empty: nothing came yet.
    pub(super) fn cursor(&self) -> Vec<u8> {
        self.lock().cursor.clone()
    }

    /// What stands before the outbox position is never asked for again.
    pub(super) fn forget_up_to(&self, seq: u64) {
        self.lock().seqs.forget_up_to(seq);
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Signs of life of a hub that would never be level were taken for records, so that what others
    /// wrote never went up; and records that came after CaughtUp were taken for nothing, so that all
    /// leaves handed everything up to a hub that was still reading it from another.
    #[test]
    fn records_are_a_reason_to_wait_and_signs_of_life_are_none() {
        let held = Held::default();
        let mut level = held.level();
        let mut is_told = || {
            let is_told = level.has_changed().unwrap();
            level.mark_unchanged();
            is_told
        };
        held.add(&[Some(1), None], b"c");
        assert!(is_told() && held.has(1));
        held.add(&[], b"d");
        assert!(!is_told());
        held.reached(Level::CaughtUp);
        assert!(is_told());
        held.add(&[None], b"e");
        assert!(is_told());
        held.reached(Level::Ready);
        assert!(is_told());
        held.add(&[Some(2)], b"f");
        assert!(!is_told() && held.has(2));
    }
}

//! Rows of this node's log of which a hub is known to have exactly that.
//!
//! A leaf hands up whatever stands in its log, whoever wrote it. What a hub sent itself, in its
//! running boot, need not go back to it: should that boot's disk be lost or rolled back, the outbox
//! position does not hold any more, and everything is handed up again.

use std::{
    collections::HashSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::limits;

/// What one boot of one hub has.
#[derive(Debug, Default)]
pub(super) struct Held {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    seqs: HashSet<u64>,
    /// The hub's cursor with the last of them: it had them all by then.
    cursor: Vec<u8>,
}

impl Held {
    /// The hub's cursor came with rows that are held here exactly so.
    pub(super) fn add(&self, seqs: impl Iterator<Item = u64>, cursor: &[u8]) {
        let mut known = self.lock();
        cursor.clone_into(&mut known.cursor);
        for seq in seqs {
            // What is not noted is handed up once more, which is harmless.
            if known.seqs.len() >= limits::OUTBOX_HELD_MAX {
                return;
            }
            known.seqs.insert(seq);
        }
    }

    pub(super) fn has(&self, seq: u64) -> bool {
        self.lock().seqs.contains(&seq)
    }

    /// By which cursor the hub had all that was noted so far; empty: nothing came yet.
    pub(super) fn cursor(&self) -> Vec<u8> {
        self.lock().cursor.clone()
    }

    /// What stands before the outbox position is never asked for again.
    pub(super) fn forget_up_to(&self, seq: u64) {
        self.lock().seqs.retain(|held| *held > seq);
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

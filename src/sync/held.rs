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
    /// The hub's cursor came with rows that are held here exactly so.
    pub(super) fn add(&self, seqs: impl Iterator<Item = u64>, cursor: &[u8]) {
        let mut known = self.lock();
        cursor.clone_into(&mut known.cursor);
        for seq in seqs {
            known.seqs.insert(seq);
        }
        drop(known);
        if *self.level.borrow() == Level::CatchingUp {
            self.level.send_replace(Level::CatchingUp);
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

    /// Changes when this node has come nearer to the hub.
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

//! Forgetting what has run out, and only then.
//!
//! **Invariant:** the greatest time that a sweep used is journaled with what it forgot, and known
//! to Check before anything leaves the index.

use std::sync::{Arc, atomic::Ordering};

use crate::{
    journal::{JournalError, Tables},
    limits,
    model::UnixNanos,
};

use super::{
    shared::Shared,
    trust::{ClockTrust, Trust},
    writer::{self, Change},
};

/// The things of which the journal has one, by name.
pub(super) const SWEPT: &str = "swept";
pub(super) const REWOUND: &str = "rewound";
pub(super) const LAST_TIME: &str = "last_time";
pub(super) const SIGHTINGS: &str = "sightings";
pub(super) const BOUNDS: &str = "bounds";
/// The boot that ended in order: everything that it knew is on disk.
pub(super) const ENDED: &str = "ended";

/// What a sweep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// How many records it forgot, or parts of them.
    pub count: usize,
    /// Whether there is more to forget now.
    pub more: bool,
}

/// What the sweeper keeps between its turns.
#[derive(Debug)]
pub(super) struct Sweeper {
    trust: ClockTrust,
    last_time: UnixNanos,
    swept: UnixNanos,
    rewound: UnixNanos,
    is_dirty: bool,
    /// The version of the sightings that is on disk, and the one that is being written.
    sightings: (u64, u64),
}

impl Sweeper {
    pub(super) fn new(trust: ClockTrust, last_time: UnixNanos, swept: UnixNanos) -> Self {
        Self {
            trust,
            last_time,
            swept,
            rewound: UnixNanos::ZERO,
            is_dirty: false,
            sightings: (0, 0),
        }
    }

    pub(super) fn rewound_at(mut self, rewound: UnixNanos) -> Self {
        self.rewound = rewound;
        self
    }

    /// Something beside records is to be written.
    pub(super) fn touch(&mut self) {
        self.is_dirty = true;
    }

    /// Something was forgotten, or never taken in, by this time: should the clock be set back, tokens
    /// from before are judged by it.
    pub(super) fn used(&mut self, time: UnixNanos) {
        if time > self.swept {
            self.swept = time;
        }
        self.touch();
    }

    pub(super) fn is_dirty(&self) -> bool {
        self.is_dirty
    }

    /// The latest time that was believed: it is later than `wall` when the clock was set back.
    pub(super) fn latest(&self, wall: UnixNanos) -> UnixNanos {
        wall.max(self.last_time).max(self.swept)
    }

    pub(super) fn accept_clock(&mut self, shared: &Shared) {
        let (wall, steady) = (shared.clock.wall(), shared.clock.steady());
        self.trust.accept(wall, steady);
        tracing::warn!(time = %wall, "the new time was accepted");
        self.opine(shared);
    }

    /// A clock that jumped is believed again when another node's says the same.
    pub(super) fn hear_of(&mut self, theirs: UnixNanos, shared: &Shared) {
        let (wall, steady) = (shared.clock.wall(), shared.clock.steady());
        let apart = wall.since(theirs).max(theirs.since(wall));
        if self.opine(shared).is_believed() || apart > limits::CLOCK_JUMP_MAX {
            return;
        }
        self.trust.accept(wall, steady);
        tracing::warn!(time = %wall, "the new time is that of another node too: accepted");
        self.opine(shared);
    }

    /// Forgets a slice of what has run out, if the clock is trusted.
    pub(super) fn sweep(
        &mut self,
        shared: &Shared,
        tables: &mut Tables<'_>,
        changes: &mut Vec<Change>,
    ) -> Result<Swept, JournalError> {
        let wall = shared.clock.wall();
        let trust = self.opine(shared);
        self.notice_rewind(wall, shared);
        let is_due = wall.since(self.last_time) >= limits::CLOCK_JOURNAL_INTERVAL;
        if is_due && trust.is_believed() {
            self.touch();
        }
        self.notice_sightings(shared);
        if trust != Trust::Trusted {
            return Ok(Swept::default());
        }
        // One more than a slice tells whether there is more.
        let mut expired = tables.expired(wall, limits::SWEEP_SLICE_MAX + 1)?;
        let more = expired.len() > limits::SWEEP_SLICE_MAX;
        expired.truncate(limits::SWEEP_SLICE_MAX);
        for seq in &expired {
            forget(tables, *seq, wall, changes)?;
        }
        if !expired.is_empty() {
            self.used(wall);
        }
        Ok(Swept {
            count: expired.len(),
            more,
        })
    }

    /// How far an issuer's clock is ahead must survive a crash: without it the next logout would spare
    /// tokens that were issued a moment before.
    pub(super) fn notice_sightings(&mut self, shared: &Shared) {
        if *shared.sightings.versions().borrow() != self.sightings.0 {
            self.touch();
        }
    }

    /// Writes what must be known after a restart. The time is that of every commit, so that the
    /// next start knows how long this node was away.
    pub(super) fn save(
        &mut self,
        tables: &mut Tables<'_>,
        shared: &Shared,
    ) -> Result<(), JournalError> {
        // Never with a time that is not believed: a start would take it for the past. The clock
        // may have jumped since the last sweep, so it is looked at here too.
        let wall = shared.clock.wall();
        if self.opine(shared).is_believed() {
            self.last_time = wall;
        }
        for (name, time) in [
            (SWEPT, self.swept),
            (REWOUND, self.rewound),
            (LAST_TIME, self.last_time),
        ] {
            tables.set_meta(name, &time.nanos().to_be_bytes())?;
        }
        if self.is_dirty {
            self.sightings.1 = *shared.sightings.versions().borrow();
            let sightings = serde_json::to_vec(&shared.sightings.save()).unwrap_or_default();
            tables.set_meta(SIGHTINGS, &sightings)?;
            let bounds = serde_json::to_vec(&**shared.bounds.load()).unwrap_or_default();
            tables.set_meta(BOUNDS, &bounds)?;
        }
        Ok(())
    }

    /// What was saved is durable: Check may know it.
    pub(super) fn committed(&mut self, shared: &Shared) {
        if self.is_dirty {
            self.sightings.0 = self.sightings.1;
        }
        self.is_dirty = false;
        shared.rewind.set(self.swept, self.rewound);
        shared.swept.store(self.swept.nanos(), Ordering::Relaxed);
    }

    pub(super) fn opine(&mut self, shared: &Shared) -> Trust {
        let trust = self
            .trust
            .observe(shared.clock.wall(), shared.clock.steady());
        let before = **shared.trust.load();
        if std::mem::discriminant(&before) != std::mem::discriminant(&trust) {
            match trust {
                Trust::Trusted => tracing::info!("the wall clock is trusted: sweeping"),
                Trust::Settling { .. } => tracing::info!("{}", trust.detail()),
                Trust::Jumped { .. } | Trust::Gap { .. } => tracing::warn!("{}", trust.detail()),
            }
        }
        shared.trust.store(Arc::new(trust));
        trust
    }

    /// The wall clock is below the greatest time that a sweep used: from now on people may log in
    /// again by it, while older tokens are judged by the greater time.
    fn notice_rewind(&mut self, wall: UnixNanos, shared: &Shared) {
        if wall >= self.swept {
            if self.rewound != UnixNanos::ZERO {
                self.rewound = UnixNanos::ZERO;
                self.touch();
            }
        } else if self.rewound == UnixNanos::ZERO || wall < self.rewound {
            tracing::warn!(
                swept = %self.swept,
                wall = %wall,
                "the wall clock was set back: tokens from before are judged by the greater time"
            );
            self.rewound = wall;
            self.touch();
            shared.known.clear();
            shared.rewound.send_replace(true);
        }
    }
}

fn forget(
    tables: &mut Tables<'_>,
    seq: u64,
    now: UnixNanos,
    changes: &mut Vec<Change>,
) -> Result<(), JournalError> {
    // The row may be older than the record: whatever stands at its target now decides.
    let Some(record) = tables.record(seq)? else {
        return Err(JournalError::Damaged(
            "an expiry without its record".to_owned(),
        ));
    };
    let key = record.target.key();
    let left = record.forget(now);
    let bytes = if left.is_empty() {
        tables.delete(&key, seq)?;
        0
    } else {
        writer::put(tables, key, &left, seq, Some(seq))?
    };
    changes.push(Change {
        key,
        seq,
        record: Arc::new(left),
        bytes,
        superseded: None,
        is_news: false,
        is_first: false,
    });
    Ok(())
}

//! The only place that reads clocks.
//!
//! JWT time is wall time, and wall clocks jump; the steady clock goes on through suspends and never
//! jumps, so the two together tell a jump from time going by.

use std::{
    fmt::Debug,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use crate::model::{UnixNanos, nanos_of};

/// Where the time comes from.
pub trait Clock: Debug + Send + Sync {
    /// The wall clock.
    fn wall(&self) -> UnixNanos;
    /// Time since some fixed moment (since boot of the machine), suspends included.
    fn steady(&self) -> Duration;
}

/// The machine's clocks.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock module")]
    fn wall(&self) -> UnixNanos {
        // A clock before 1970 reads as zero, so that nothing is forgotten early.
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        UnixNanos::from_nanos(nanos_of(since))
    }

    fn steady(&self) -> Duration {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let secs = u64::try_from(time.tv_sec).unwrap_or_default();
        let nanos = u32::try_from(time.tv_nsec).unwrap_or_default();
        Duration::new(secs, nanos)
    }
}

/// A clock that goes only when told to, for tests.
#[derive(Debug)]
pub struct ManualClock {
    wall: AtomicU64,
    steady: AtomicU64,
}

impl ManualClock {
    /// A clock that stands at `wall`.
    pub fn new(wall: UnixNanos) -> Self {
        Self {
            wall: AtomicU64::new(wall.nanos()),
            steady: AtomicU64::new(0),
        }
    }

    /// Time goes by.
    pub fn advance(&self, by: Duration) {
        self.steady.fetch_add(nanos_of(by), Ordering::SeqCst);
        self.wall.fetch_add(nanos_of(by), Ordering::SeqCst);
    }

    /// Somebody sets the wall clock.
    pub fn set_wall(&self, wall: UnixNanos) {
        self.wall.store(wall.nanos(), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn wall(&self) -> UnixNanos {
        UnixNanos::from_nanos(self.wall.load(Ordering::SeqCst))
    }

    fn steady(&self) -> Duration {
        Duration::from_nanos(self.steady.load(Ordering::SeqCst))
    }
}

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

/// What is known of a wall clock that was set back below the greatest time that a sweep used.
///
/// What tokens from before that needed may be forgotten, so they are judged by the greater time;
/// tokens issued since are judged by the wall clock, so that people can log in again.
#[derive(Debug, Default)]
pub struct Rewind {
    swept: AtomicU64,
    noticed: AtomicU64,
}

impl Rewind {
    /// Takes in the greatest time that a sweep used, and when the clock was noticed to be below.
    pub fn set(&self, swept: UnixNanos, noticed: UnixNanos) {
        self.noticed.store(noticed.nanos(), Ordering::SeqCst);
        self.swept.store(swept.nanos(), Ordering::SeqCst);
    }

    /// The greatest time that a sweep used.
    pub fn swept(&self) -> UnixNanos {
        UnixNanos::from_nanos(self.swept.load(Ordering::SeqCst))
    }

    /// The time to judge a token by.
    pub fn now_for(&self, iat: Option<UnixNanos>, wall: UnixNanos) -> UnixNanos {
        let swept = UnixNanos::from_nanos(self.swept.load(Ordering::Relaxed));
        if wall >= swept {
            return wall;
        }
        let noticed = UnixNanos::from_nanos(self.noticed.load(Ordering::Relaxed));
        // Below the greatest time and not noticed yet: every token is from before.
        let is_since = noticed != UnixNanos::ZERO && iat.is_some_and(|iat| iat >= noticed);
        if is_since { wall } else { swept }
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

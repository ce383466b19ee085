//! When the sweeper may trust the wall clock.
//!
//! Forgetting too early brings a revoked token back, so a clock that jumped is not believed until
//! it is back or a person says that it is right. Observations in, an opinion out; no I/O.

use std::time::Duration;

use crate::{
    limits,
    model::{UnixNanos, nanos_of},
};

/// What the sweeper thinks of the wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// It may forget.
    Trusted,
    /// The process started a short while ago.
    Settling {
        /// How much longer it waits.
        left: Duration,
    },
    /// The wall clock jumped against the steady clock.
    Jumped {
        /// By how much, in seconds; negative: back.
        by_s: i64,
    },
    /// The process started long after the last time that its journal knows.
    Gap {
        /// How long.
        gap: Duration,
    },
}

impl Trust {
    /// Whether the wall clock is taken to be right, be it too early to forget by it.
    pub(super) fn is_believed(self) -> bool {
        matches!(self, Self::Trusted | Self::Settling { .. })
    }

    /// For people: why not, and what to do. Empty when trusted.
    pub fn detail(self) -> String {
        let accept = "set the clock right, or accept the new time with `rescind journal \
                      accept-clock`; until then nothing is forgotten and every revocation stays \
                      in force";
        match self {
            Self::Trusted => String::new(),
            Self::Settling { left } => format!(
                "started a short while ago: the sweeper waits another {} s (sweep_settle)",
                left.as_secs().max(1)
            ),
            Self::Jumped { by_s } => format!("the wall clock jumped by {by_s} s: {accept}"),
            Self::Gap { gap } => format!(
                "started {} after the last time in the journal: {accept}",
                humantime::format_duration(Duration::from_secs(gap.as_secs()))
            ),
        }
    }
}

/// Watches the wall clock against the steady one.
#[derive(Debug)]
pub(super) struct ClockTrust {
    settle: Duration,
    started: Duration,
    observed: Duration,
    /// Wall less steady, in nanoseconds, when last believed.
    offset: i128,
    /// The wall clock's last time in the journal.
    gap_since: Option<UnixNanos>,
}

impl ClockTrust {
    /// Begins at a start; `journaled`: the last time that the journal knows.
    pub(super) fn new(
        settle: Duration,
        wall: UnixNanos,
        steady: Duration,
        journaled: Option<UnixNanos>,
    ) -> Self {
        Self {
            settle,
            started: steady,
            observed: steady,
            offset: offset(wall, steady),
            gap_since: journaled.filter(|then| wall.since(*then) > limits::CLOCK_GAP_MAX),
        }
    }

    /// A person says that the wall clock is right.
    pub(super) fn accept(&mut self, wall: UnixNanos, steady: Duration) {
        self.offset = offset(wall, steady);
        self.observed = steady;
        self.started = steady.saturating_sub(self.settle);
        self.gap_since = None;
    }

    /// What to think of the clocks now.
    pub(super) fn observe(&mut self, wall: UnixNanos, steady: Duration) -> Trust {
        let drift = offset(wall, steady) - self.offset;
        if drift.unsigned_abs() > limits::CLOCK_JUMP_MAX.as_nanos() {
            let by_s = i64::try_from(drift / 1_000_000_000).unwrap_or(i64::MAX);
            return Trust::Jumped { by_s };
        }
        self.follow(drift, steady);
        if let Some(then) = self.gap_since {
            let gap = wall.since(then);
            let ran = steady.saturating_sub(self.started);
            if gap > limits::CLOCK_GAP_MAX + ran {
                return Trust::Gap { gap };
            }
            self.gap_since = None;
        }
        let ran = steady.saturating_sub(self.started);
        let left = self.settle.saturating_sub(ran);
        if left.is_zero() {
            return Trust::Trusted;
        }
        Trust::Settling { left }
    }

    /// Clocks are slewed by up to a thousandth; what goes faster adds up to a jump.
    fn follow(&mut self, drift: i128, steady: Duration) {
        let elapsed = steady.saturating_sub(self.observed);
        let most = i128::from(nanos_of(elapsed) / 1_000);
        self.offset += drift.clamp(-most, most);
        self.observed = steady;
    }
}

fn offset(wall: UnixNanos, steady: Duration) -> i128 {
    i128::from(wall.nanos()) - i128::from(nanos_of(steady))
}

#[cfg(test)]
mod tests {
    use super::*;

    const T0: UnixNanos = UnixNanos::from_secs(1_700_000_000);
    const SETTLE: Duration = Duration::from_secs(600);
    const MINUTE: Duration = Duration::from_secs(60);
    const DAY: Duration = Duration::from_secs(86_400);

    fn started() -> ClockTrust {
        ClockTrust::new(SETTLE, T0, Duration::ZERO, None)
    }

    #[test]
    fn a_quiet_start_is_trusted_once_it_has_settled() {
        let mut trust = started();
        let left = Duration::from_secs(540);
        assert_eq!(
            trust.observe(T0.plus(MINUTE), MINUTE),
            Trust::Settling { left }
        );
        assert_eq!(trust.observe(T0.plus(SETTLE), SETTLE), Trust::Trusted);
    }

    #[test]
    fn a_jump_is_not_believed_until_the_clock_is_back_or_accepted() {
        for (jumped, by_s) in [(T0.plus(DAY), 86_400 - 600), (T0.minus(DAY), -86_400 - 600)] {
            let mut trust = started();
            assert_eq!(trust.observe(T0.plus(SETTLE), SETTLE), Trust::Trusted);
            assert_eq!(trust.observe(jumped, SETTLE), Trust::Jumped { by_s });
            assert_eq!(trust.observe(T0.plus(SETTLE), SETTLE), Trust::Trusted);
            assert!(matches!(
                trust.observe(jumped, SETTLE),
                Trust::Jumped { .. }
            ));
            trust.accept(jumped, SETTLE);
            assert_eq!(trust.observe(jumped, SETTLE), Trust::Trusted);
        }
    }

    #[test]
    fn many_small_steps_are_a_jump_but_slewing_is_not() {
        let mut stepped = started();
        let mut slewed = started();
        let (mut step_trust, mut slew_trust) = (Trust::Trusted, Trust::Trusted);
        for tick in 1..=1_000_u32 {
            let steady = Duration::from_secs(10) * tick;
            let wall = T0.plus(steady);
            step_trust = stepped.observe(wall.plus(Duration::from_secs(1) * tick), steady);
            slew_trust = slewed.observe(wall.plus(Duration::from_millis(5) * tick), steady);
        }
        assert!(matches!(step_trust, Trust::Jumped { .. }));
        assert_eq!(slew_trust, Trust::Trusted);
    }

    #[test]
    fn a_start_long_after_the_journals_last_time_waits_for_a_person() {
        let journaled = Some(T0.minus(DAY * 3));
        let mut trust = ClockTrust::new(SETTLE, T0, Duration::ZERO, journaled);
        assert_eq!(
            trust.observe(T0.plus(SETTLE), SETTLE),
            Trust::Gap {
                gap: DAY * 3 + SETTLE
            }
        );
        trust.accept(T0.plus(SETTLE), SETTLE);
        assert_eq!(trust.observe(T0.plus(SETTLE), SETTLE), Trust::Trusted);
        let within = Some(T0.minus(DAY));
        let mut trust = ClockTrust::new(SETTLE, T0, Duration::ZERO, within);
        assert_eq!(trust.observe(T0.plus(SETTLE), SETTLE), Trust::Trusted);
    }
}

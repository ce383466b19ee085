//! How long to wait before connecting anew.

use std::time::Duration;

use crate::limits;

/// Exponential, with full jitter: a thousand nodes that lost the same hub come back one by one.
#[derive(Debug)]
pub(super) struct Backoff {
    failures: u32,
    /// Any state but zero, from which a xorshift goes on.
    random: u64,
}

impl Backoff {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            failures: 0,
            random: seed | 1,
        }
    }

    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }

    pub(super) fn next(&mut self) -> Duration {
        let most = limits::PEER_BACKOFF_MIN.saturating_mul(1 << self.failures.min(16));
        self.failures += 1;
        self.part_of(most.min(limits::PEER_BACKOFF_MAX))
    }

    /// Any part of a span.
    pub(super) fn part_of(&mut self, span: Duration) -> Duration {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let thousandths = u32::try_from(self.random % 1_000).unwrap_or_default();
        span * thousandths / 1_000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_bounded_and_differ() {
        let mut backoff = Backoff::new(7);
        let first = backoff.next();
        assert!(first <= limits::PEER_BACKOFF_MIN);
        let pauses: Vec<_> = (0..200).map(|_| backoff.next()).collect();
        assert!(
            pauses
                .iter()
                .all(|pause| *pause <= limits::PEER_BACKOFF_MAX)
        );
        let long = pauses
            .iter()
            .filter(|pause| **pause > limits::PEER_BACKOFF_MAX / 2);
        assert!((50..150).contains(&long.count()));
        backoff.reset();
        assert!(backoff.next() <= limits::PEER_BACKOFF_MIN);
    }
}

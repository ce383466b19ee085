//! How long to wait before connecting again.

use std::time::Duration;

/// The bound of the first wait.
const FIRST: Duration = Duration::from_millis(200);
/// The bound of every later one, at most.
const MOST: Duration = Duration::from_secs(15);

/// Waits that grow, each drawn from the whole range up to its bound (full jitter), so that many
/// watchers of a server that restarts do not come back all at once.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// Something came: the next wait is a short one again.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }

    /// Whether nothing has failed since something came.
    pub(super) fn is_fresh(&self) -> bool {
        self.failures == 0
    }

    /// The next wait.
    pub(super) fn next(&mut self) -> Duration {
        // Without randomness from the system the longest wait will do.
        self.next_of(getrandom::u32().unwrap_or(u32::MAX))
    }

    fn next_of(&mut self, random: u32) -> Duration {
        let bound = FIRST
            .saturating_mul(1_u32.checked_shl(self.failures).unwrap_or(u32::MAX))
            .min(MOST);
        self.failures = self.failures.saturating_add(1);
        bound.mul_f64(f64::from(random) / f64::from(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_up_to_a_bound_and_start_small_again() {
        let mut backoff = Backoff::default();
        let bounds: Vec<u128> = (0..40)
            .map(|_| backoff.next_of(u32::MAX).as_millis())
            .collect();
        assert_eq!(bounds[..4], [200, 400, 800, 1_600]);
        assert!(
            bounds[7..].iter().all(|bound| *bound == 15_000),
            "{bounds:?}"
        );
        backoff.reset();
        assert_eq!(backoff.next_of(u32::MAX), FIRST);
        assert_eq!(backoff.next_of(0), Duration::ZERO);
    }
}

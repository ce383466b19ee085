//! Whose turn it is to have digests made. Each reads the whole journal: with thousands of leaves that ask,
//! a hub would do nothing else.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{fleet::Fleet, limits};

/// One at a time, and a rest after each.
#[derive(Debug, Default)]
pub(super) struct Turns(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    is_taken: bool,
    /// By the steady clock.
    rests_until: Duration,
}

/// Somebody's turn; over when this is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    turns: Arc<Turns>,
    fleet: Arc<Fleet>,
    began: Duration,
}

impl Turns {
    /// Takes a turn; `None`: it is another's, or the rest after it.
    pub(super) fn take(self: &Arc<Self>, fleet: &Arc<Fleet>) -> Option<Turn> {
        let began = fleet.steady();
        let mut state = self.lock();
        if state.is_taken || began < state.rests_until {
            return None;
        }
        state.is_taken = true;
        Some(Turn {
            turns: Arc::clone(self),
            fleet: Arc::clone(fleet),
            began,
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let ended = self.fleet.steady();
        let took = ended.saturating_sub(self.began);
        *self.turns.lock() = State {
            is_taken: false,
            rests_until: ended + took * limits::DIGESTS_REST_FACTOR,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock::ManualClock, model::UnixNanos};

    /// A hub made digests without pause, one leaf's after another's.
    #[test]
    fn at_most_a_fifth_of_the_time_goes_into_digests() {
        let clock = Arc::new(ManualClock::new(UnixNanos::from_secs(1)));
        let fleet = Arc::new(Fleet::alone(Arc::clone(&clock) as _));
        let turns = Arc::new(Turns::default());
        let turn = turns.take(&fleet);
        assert!(turn.is_some() && turns.take(&fleet).is_none());
        clock.advance(Duration::from_secs(3));
        drop(turn);
        clock.advance(Duration::from_secs(12) - Duration::from_nanos(1));
        assert!(turns.take(&fleet).is_none());
        clock.advance(Duration::from_nanos(1));
        assert!(turns.take(&fleet).is_some());
    }
}

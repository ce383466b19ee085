//! States that were merged a short while ago.
//!
//! In a mesh every record comes from every neighbour. A state that was joined once is part of what is
//! held, and joining it again changes nothing: so it need not wait for the writer.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::{journal::canonical, limits, model::Record};

/// 128 bits of BLAKE3 of a record's state.
pub(super) type StateKey = [u8; 16];

pub(super) fn key_of(record: &Record) -> StateKey {
    let digest = blake3::hash(&canonical(record));
    digest.as_bytes().first_chunk().copied().unwrap_or_default()
}

/// What was merged, and where exactly that was held.
#[derive(Debug, Default)]
struct States {
    held: HashMap<StateKey, u64>,
    oldest_first: VecDeque<StateKey>,
}

/// The states that were merged last.
#[derive(Debug, Default)]
pub(super) struct Known {
    states: Mutex<States>,
}

impl Known {
    /// If a state was merged: at which seq exactly that was held then; zero: nowhere.
    pub(super) fn get(&self, key: &StateKey) -> Option<u64> {
        self.lock().held.get(key).copied()
    }

    /// States were merged.
    pub(super) fn add(&self, merged: impl Iterator<Item = (StateKey, u64)>) {
        let mut states = self.lock();
        for (key, held) in merged {
            if states.held.insert(key, held).is_none() {
                states.oldest_first.push_back(key);
            }
            if states.oldest_first.len() > limits::KNOWN_STATES_MAX
                && let Some(oldest) = states.oldest_first.pop_front()
            {
                states.held.remove(&oldest);
            }
        }
    }

    /// What was merged may be lost again.
    pub(super) fn clear(&self) {
        *self.lock() = States::default();
    }

    fn lock(&self) -> MutexGuard<'_, States> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

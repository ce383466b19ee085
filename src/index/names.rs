//! The names of the claims that live revocations speak of.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use arc_swap::{ArcSwap, Guard};

/// How many live revocations name each claim, and the names alone for readers.
#[derive(Debug, Default)]
pub(super) struct ClaimNames {
    counts: Mutex<BTreeMap<Box<str>, u64>>,
    names: ArcSwap<Vec<Box<str>>>,
}

impl ClaimNames {
    pub(super) fn load(&self) -> Guard<Arc<Vec<Box<str>>>> {
        self.names.load()
    }

    pub(super) fn add(&self, name: &str) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(name.into()).or_default();
        *count += 1;
        if *count == 1 {
            self.publish(&counts);
        }
    }

    pub(super) fn remove(&self, name: &str) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(name) {
            *count -= 1;
            if *count == 0 {
                counts.remove(name);
                self.publish(&counts);
            }
        }
    }

    fn publish(&self, counts: &BTreeMap<Box<str>, u64>) {
        self.names.store(Arc::new(counts.keys().cloned().collect()));
    }
}

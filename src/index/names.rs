//! The names of the claims that live revocations speak of, per issuer.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use arc_swap::ArcSwap;

/// (issuer, claim's name) → how many live revocations speak of it.
type Counts = BTreeMap<(Box<str>, Box<str>), u64>;
/// Issuer → its claims' names.
type Names = BTreeMap<Box<str>, Arc<[Box<str>]>>;

/// How many live revocations name each claim, and the names alone for readers.
#[derive(Debug, Default)]
pub(super) struct ClaimNames {
    counts: Mutex<Counts>,
    names: ArcSwap<Names>,
}

impl ClaimNames {
    pub(super) fn of(&self, iss: &str) -> Option<Arc<[Box<str>]>> {
        self.names.load().get(iss).map(Arc::clone)
    }

    pub(super) fn add(&self, iss: &str, name: &str) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry((iss.into(), name.into())).or_default();
        *count += 1;
        if *count == 1 {
            self.publish(&counts);
        }
    }

    pub(super) fn remove(&self, iss: &str, name: &str) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (iss.into(), name.into());
        if let Some(count) = counts.get_mut(&key) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&key);
                self.publish(&counts);
            }
        }
    }

    fn publish(&self, counts: &Counts) {
        let mut names: BTreeMap<Box<str>, Vec<Box<str>>> = BTreeMap::new();
        for (iss, name) in counts.keys() {
            names.entry(iss.clone()).or_default().push(name.clone());
        }
        let names = names.into_iter().map(|(iss, of)| (iss, of.into()));
        self.names.store(Arc::new(names.collect()));
    }
}

//! The watches that are open.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::limits;

/// The watches that are open, by their numbers.
#[derive(Debug, Default)]
pub(super) struct Watchers {
    open: Mutex<BTreeMap<u64, Arc<Place>>>,
    last_id: AtomicU64,
}

/// Who watches, and how far they have come.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) watcher: String,
    pub(super) actor: String,
    seq: AtomicU64,
}

impl Place {
    pub(super) fn seq(&self) -> u64 {
        self.seq.load(Ordering::Relaxed)
    }
}

/// An open watch; closed when this is dropped.
#[derive(Debug)]
pub(super) struct Watching {
    watchers: Arc<Watchers>,
    id: u64,
    place: Arc<Place>,
}

impl Watchers {
    /// Opens a watch; `None` when there are too many.
    pub(super) fn open(self: &Arc<Self>, watcher: String, actor: String) -> Option<Watching> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.len() >= limits::WATCHERS_MAX {
            return None;
        }
        let place = Arc::new(Place {
            watcher,
            actor,
            seq: AtomicU64::new(0),
        });
        let id = self.last_id.fetch_add(1, Ordering::Relaxed) + 1;
        open.insert(id, Arc::clone(&place));
        Some(Watching {
            watchers: Arc::clone(self),
            id,
            place,
        })
    }

    /// All of them.
    pub(super) fn list(&self) -> Vec<(u64, Arc<Place>)> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.iter()
            .map(|(id, place)| (*id, Arc::clone(place)))
            .collect()
    }
}

impl Watching {
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// It has come to this seq.
    pub(super) fn at(&self, seq: u64) {
        self.place.seq.store(seq, Ordering::Relaxed);
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let mut open = self
            .watchers
            .open
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        open.remove(&self.id);
    }
}

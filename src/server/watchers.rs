//! The watches that are open.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{
    fleet::{Fleet, NodeId, Role, Run},
    ledger::Ledger,
    limits,
};

/// The watches that are open.
#[derive(Debug, Default)]
pub(super) struct Watchers {
    open: Mutex<Open>,
    last_id: AtomicU64,
}

/// By their numbers; those of other nodes by node too, since each word of a follower looks there.
#[derive(Debug, Default)]
struct Open {
    all: BTreeMap<u64, Arc<Place>>,
    of_nodes: BTreeMap<NodeId, BTreeMap<u64, Arc<Place>>>,
}

/// A watch of another node.
#[derive(Clone, Copy, Debug)]
pub(super) struct Follower {
    /// Which node, and which run of it.
    pub(super) run: Run,
    /// What it is to this one.
    pub(super) role: Role,
}

/// Who watches, and how far they have come.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) watcher: String,
    pub(super) actor: String,
    pub(super) follower: Option<Follower>,
    seq: AtomicU64,
    nonce: AtomicU64,
    poked: Notify,
    /// Ends this watch: its follower is a clone.
    cloned: CancellationToken,
    /// Why this node ended it.
    refused: OnceLock<String>,
    /// When it opened, by the steady clock.
    opened: Duration,
}

impl Place {
    pub(super) fn seq(&self) -> u64 {
        self.seq.load(Ordering::Relaxed)
    }

    /// A follower sent a nonce, to be echoed.
    pub(super) fn hear(&self, nonce: u64) {
        self.nonce.store(nonce, Ordering::SeqCst);
        self.poked.notify_one();
    }

    pub(super) fn nonce(&self) -> u64 {
        self.nonce.load(Ordering::SeqCst)
    }
}

/// An open watch; closed when this is dropped.
#[derive(Debug)]
pub(super) struct Watching {
    watchers: Arc<Watchers>,
    fleet: Arc<Fleet>,
    id: u64,
    pub(super) place: Arc<Place>,
    ledger: Ledger,
}

impl Watchers {
    /// Opens a watch; `None` when there are too many.
    pub(super) fn open(
        self: &Arc<Self>,
        watcher: String,
        actor: String,
        follower: Option<Follower>,
        fleet: &Arc<Fleet>,
        ledger: &Ledger,
    ) -> Option<Watching> {
        let mut open = self.lock();
        if open.all.len() >= limits::WATCHERS_MAX {
            return None;
        }
        let place = Arc::new(Place {
            watcher,
            actor,
            follower,
            seq: AtomicU64::new(0),
            nonce: AtomicU64::new(0),
            poked: Notify::new(),
            cloned: CancellationToken::new(),
            refused: OnceLock::new(),
            opened: fleet.steady(),
        });
        let id = self.last_id.fetch_add(1, Ordering::Relaxed) + 1;
        open.all.insert(id, Arc::clone(&place));
        if let Some(follower) = follower {
            let of_node = open.of_nodes.entry(follower.run.node).or_default();
            of_node.insert(id, Arc::clone(&place));
        }
        Some(Watching {
            watchers: Arc::clone(self),
            fleet: Arc::clone(fleet),
            id,
            place,
            ledger: ledger.clone(),
        })
    }

    /// One of them.
    pub(super) fn get(&self, id: u64) -> Option<Arc<Place>> {
        self.lock().all.get(&id).map(Arc::clone)
    }

    /// All of them.
    pub(super) fn list(&self) -> Vec<(u64, Arc<Place>)> {
        let open = self.lock();
        open.all
            .iter()
            .map(|(id, place)| (*id, Arc::clone(place)))
            .collect()
    }

    /// Whether a follower that has just spoken is one of two that live under one node id: then its
    /// disk was cloned, and both watches end. A watch that a killed process left behind does not
    /// speak.
    pub(super) fn is_cloned(&self, speaking: &Place, steady: Duration) -> bool {
        let Some(own) = speaking.follower else {
            return false;
        };
        let open = self.lock();
        let is_younger_twin = |place: &&Arc<Place>| {
            let twin = place.follower.map(|follower| follower.run.boot);
            twin.is_some_and(|twin| twin != own.run.boot)
                && place.opened > speaking.opened
                && steady > place.opened + limits::CLONE_OVERLAP
        };
        let of_node = open.of_nodes.get(&own.run.node);
        let Some(twin) = of_node.and_then(|open| open.values().find(is_younger_twin)) else {
            return false;
        };
        twin.cloned.cancel();
        speaking.cloned.cancel();
        true
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    fn close(&mut self, id: u64, follower: Option<Follower>) {
        self.all.remove(&id);
        let Some(follower) = follower else { return };
        if let Some(of_node) = self.of_nodes.get_mut(&follower.run.node) {
            of_node.remove(&id);
            if of_node.is_empty() {
                self.of_nodes.remove(&follower.run.node);
            }
        }
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

    /// Its follower has something to be echoed.
    pub(super) async fn poked(&self) {
        self.place.poked.notified().await;
    }

    /// Its follower was found to be a clone.
    pub(super) async fn cloned(&self) {
        self.place.cloned.cancelled().await;
    }

    /// This node ends it.
    pub(super) fn refused(&self, because: &str) {
        self.place.refused.get_or_init(|| because.to_owned());
    }

    pub(super) fn is_cloned(&self) -> bool {
        self.place.cloned.is_cancelled()
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.watchers.lock().close(self.id, self.place.follower);
        if let Some(follower) = self.place.follower {
            let followers = &self.fleet.followers;
            let refused = self.place.refused.get().map(String::as_str);
            followers.disconnected(follower.run.node, refused, self.ledger.wall());
        }
    }
}

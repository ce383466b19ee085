//! Who follows a node, and how far they have made durable what it fed them.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::{
    limits,
    model::{Boot, UnixNanos},
};

use super::{NodeId, Run};

/// What a follower is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// A member of the mesh.
    Peer,
    /// A leaf of this hub.
    Leaf,
}

impl Role {
    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Peer => "peer",
            Self::Leaf => "leaf",
        }
    }
}

/// What is known of a follower.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownFollower {
    /// What it is.
    pub role: Role,
    /// Where it called from.
    pub address: String,
    /// When it was last heard of.
    pub seen_at: UnixNanos,
    /// Watches that it has open.
    #[serde(skip)]
    pub watches: usize,
    /// Which run of it they are of.
    #[serde(skip)]
    boot: Option<Boot>,
    /// Everything that was acknowledged with a seq of this node's journal up to this one is durable
    /// there: it is what waits count on.
    #[serde(skip)]
    pub acked: u64,
    /// How far it has come on its way, which says less: what was superseded ahead of it comes later.
    #[serde(skip)]
    pub reached: u64,
}

/// How far a follower says that it has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reached {
    /// The seq of this node's journal.
    pub seq: u64,
    /// Whether it lacks nothing from before. The log is compacted: a reader that catches up comes past
    /// the places of rows that have moved on, and meets what holds now further ahead.
    pub is_complete: bool,
}

/// Whom to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// Everyone.
    All,
    /// This many.
    Count(u32),
}

/// What to wait for.
#[derive(Clone, Copy, Debug)]
pub struct Wait {
    /// The seq of this node's journal that is to be durable elsewhere.
    pub seq: u64,
    /// With whom.
    pub who: Who,
    /// How long at most.
    pub within: Duration,
    /// Who has it already: it came from there.
    pub except: Option<NodeId>,
}

/// How far a write has spread.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Propagation {
    /// How many were waited for.
    pub expected: u32,
    /// How many have it.
    pub applied: u32,
    /// Who has not said so.
    pub pending: Vec<String>,
}

/// Who follows a node.
#[derive(Debug)]
pub struct Followers {
    known: Mutex<BTreeMap<NodeId, KnownFollower>>,
    changed: watch::Sender<()>,
}

impl Default for Followers {
    fn default() -> Self {
        Self {
            known: Mutex::default(),
            changed: watch::Sender::new(()),
        }
    }
}

impl KnownFollower {
    /// Takes note of how far it has come; returns whether it has more than was known.
    fn advance(&mut self, Reached { seq, is_complete }: Reached) -> bool {
        self.reached = self.reached.max(seq);
        let is_more = is_complete && seq > self.acked;
        if is_more {
            self.acked = seq;
        }
        is_more
    }
}

impl Followers {
    /// Those that the journal knows of: whoever was there before a restart is still waited for.
    pub fn recall(&self, saved: &[u8]) {
        let saved: BTreeMap<String, KnownFollower> =
            serde_json::from_slice(saved).unwrap_or_default();
        let mut known = self.lock();
        for (id, follower) in saved {
            if let Some(id) = NodeId::parse(&id) {
                known.entry(id).or_insert(follower);
            }
        }
    }

    /// What is to be kept of them.
    pub fn save(&self, now: UnixNanos) -> Vec<u8> {
        let mut known = self.lock();
        for follower in known.values_mut().filter(|follower| follower.watches > 0) {
            follower.seen_at = now;
        }
        let saved: BTreeMap<String, &KnownFollower> = known
            .iter()
            .map(|(id, follower)| (id.to_string(), follower))
            .collect();
        serde_json::to_vec(&saved).unwrap_or_default()
    }

    /// A follower has opened a watch, and has made durable what came before.
    pub fn connected(&self, run: Run, role: Role, address: &str, reached: Reached, now: UnixNanos) {
        let mut known = self.lock();
        forget_old(&mut known, now);
        make_room(&mut known);
        let follower = known.entry(run.node).or_insert_with(|| KnownFollower {
            role,
            address: String::new(),
            seen_at: now,
            watches: 0,
            boot: None,
            acked: 0,
            reached: 0,
        });
        follower.role = role;
        address.clone_into(&mut follower.address);
        follower.seen_at = now;
        follower.watches += 1;
        // Another run may be on a disk that was lost or set back, and have less than was once there.
        // One run also opens watches beside its main one, which say less than it has.
        if follower.boot != Some(run.boot) {
            follower.boot = Some(run.boot);
            (follower.acked, follower.reached) = (0, 0);
        }
        follower.advance(reached);
        drop(known);
        self.changed.send_replace(());
    }

    /// One of its watches has ended.
    pub fn disconnected(&self, id: NodeId, now: UnixNanos) {
        let mut known = self.lock();
        if let Some(follower) = known.get_mut(&id) {
            follower.watches = follower.watches.saturating_sub(1);
            follower.seen_at = now;
        }
        drop(known);
        self.changed.send_replace(());
    }

    /// It has made durable what came before. Only the run that watches now can say so: a word that was
    /// on its way while a disk was set back tells what was there.
    pub fn acked(&self, run: Run, reached: Option<Reached>, now: UnixNanos) {
        let mut known = self.lock();
        let follower = known.get_mut(&run.node);
        let Some(follower) = follower.filter(|follower| follower.boot == Some(run.boot)) else {
            return;
        };
        follower.seen_at = now;
        if !reached.is_some_and(|reached| follower.advance(reached)) {
            return;
        }
        drop(known);
        self.changed.send_replace(());
    }

    /// All that are known.
    pub fn list(&self, now: UnixNanos) -> Vec<(NodeId, KnownFollower)> {
        let mut known = self.lock();
        forget_old(&mut known, now);
        known
            .iter()
            .map(|(id, follower)| (*id, follower.clone()))
            .collect()
    }

    /// Waits until followers have made a seq durable, or for as long as was asked.
    /// `configured`: who should follow too, and is not known to.
    pub async fn wait(
        &self,
        asked: Wait,
        now: impl Fn() -> UnixNanos,
        configured: impl Fn(&dyn Fn(NodeId) -> bool) -> Vec<String>,
    ) -> Propagation {
        let mut changed = self.changed.subscribe();
        let end = tokio::time::Instant::now() + asked.within;
        loop {
            changed.mark_unchanged();
            let mut known = self.list(now());
            let is_known = |id| known.iter().any(|(known, _)| *known == id);
            let configured = configured(&is_known);
            known.retain(|(id, _)| Some(*id) != asked.except);
            let spread = spread(asked, &known, configured);
            if spread.applied >= spread.expected {
                return spread;
            }
            if tokio::time::timeout_at(end, changed.changed())
                .await
                .is_err()
            {
                return spread;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<NodeId, KnownFollower>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn spread(
    Wait { seq, who, .. }: Wait,
    known: &[(NodeId, KnownFollower)],
    configured: Vec<String>,
) -> Propagation {
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let has = known
        .iter()
        .filter(|(_, follower)| follower.acked >= seq)
        .count();
    let lacking = known
        .iter()
        .filter(|(_, follower)| follower.acked < seq)
        .map(|(id, follower)| format!("{id} ({})", follower.address));
    let all = number(known.len() + configured.len());
    let pending = lacking.chain(configured);
    let expected = match who {
        Who::All => all,
        Who::Count(count) => count,
    };
    let applied = number(has).min(expected);
    Propagation {
        expected,
        applied,
        pending: if applied >= expected {
            Vec::new()
        } else {
            pending.take(limits::PENDING_NAMED_MAX).collect()
        },
    }
}

/// Whoever makes up node ids must not fill the memory: those that are gone longest make room.
fn make_room(known: &mut BTreeMap<NodeId, KnownFollower>) {
    while known.len() >= limits::FOLLOWERS_MAX {
        let gone = known.iter().filter(|(_, follower)| follower.watches == 0);
        let Some(longest) = gone.min_by_key(|(_, follower)| follower.seen_at) else {
            return;
        };
        let longest = *longest.0;
        known.remove(&longest);
    }
}

fn forget_old(known: &mut BTreeMap<NodeId, KnownFollower>, now: UnixNanos) {
    known.retain(|_, follower| {
        follower.watches > 0 || now.since(follower.seen_at) <= limits::FOLLOWER_KEPT
    });
}

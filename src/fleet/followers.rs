//! Who follows a node, and how far they have made durable what it fed them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};

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
    /// When this run of it was level the last time, by the steady clock.
    #[serde(skip)]
    pub level_at: Option<Duration>,
    /// Why its last watch ended, until it is level again.
    #[serde(skip)]
    pub last_error: String,
    /// Whether it has been level since it came.
    #[serde(skip)]
    is_following: bool,
    /// A head that it had yet to acknowledge, and when that was the head.
    #[serde(skip)]
    awaited: Option<(u64, Duration)>,
}

/// When a follower is heard of, and how far this node's journal is then.
#[derive(Clone, Copy, Debug, Default)]
pub struct Moment {
    /// By the wall clock.
    pub wall: UnixNanos,
    /// By the steady clock.
    pub steady: Duration,
    /// The newest seq.
    pub head: u64,
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
#[derive(Debug, Default)]
pub struct Followers {
    state: Mutex<State>,
    unsaved: Notify,
}

/// Those who follow, and those who wait for them. A waiter counts those who have what it waits for;
/// each acknowledgement touches only the waiters to whom it makes a difference.
#[derive(Debug, Default)]
struct State {
    known: BTreeMap<NodeId, KnownFollower>,
    /// By what they wait for, and a number of their own.
    waiting: BTreeMap<(u64, u64), Waiting>,
    last_waiting: u64,
}

/// Somebody who waits.
#[derive(Debug)]
struct Waiting {
    who: Who,
    except: Option<NodeId>,
    /// How many have it.
    has: usize,
    /// Those who are known suffice.
    enough: Arc<Notify>,
}

/// The place of somebody who waits; given up when this is dropped.
struct Place<'a> {
    followers: &'a Followers,
    key: (u64, u64),
    enough: Arc<Notify>,
}

impl KnownFollower {
    /// Takes note of how far it has come.
    fn advance(&mut self, Reached { seq, is_complete }: Reached) {
        self.reached = self.reached.max(seq);
        if is_complete {
            self.acked = self.acked.max(seq);
        }
    }

    /// Whether it is level. Under load there is always more by the time that its word comes: then it
    /// was level when what it acknowledges now was all there was.
    fn note_level(&mut self, now: Moment) {
        let due = self.awaited.filter(|(head, _)| self.acked >= *head);
        if let Some((_, at)) = due {
            self.awaited = None;
            self.level_at = Some(at);
        }
        if self.acked >= now.head {
            self.level_at = Some(now.steady);
        } else if self.awaited.is_none() {
            self.awaited = Some((now.head, now.steady));
        }
        if due.is_some() || self.acked >= now.head {
            self.is_following = true;
            self.last_error.clear();
        }
    }

    /// What it does now, as a word.
    pub const fn state(&self) -> &'static str {
        match (self.watches, self.is_following) {
            (0, _) => "away",
            (_, true) => "following",
            (_, false) => "catching-up",
        }
    }
}

impl Followers {
    /// Those that the journal knows of: whoever was there before a restart is still waited for.
    pub fn recall(&self, saved: &[u8]) {
        let saved: BTreeMap<String, KnownFollower> =
            serde_json::from_slice(saved).unwrap_or_default();
        let mut state = self.lock();
        for (id, follower) in saved {
            if let Some(id) = NodeId::parse(&id) {
                state.known.entry(id).or_insert(follower);
            }
        }
    }

    /// What is to be kept of them; `None`: there are none.
    pub fn save(&self, now: UnixNanos) -> Option<Vec<u8>> {
        let mut state = self.lock();
        let connected = state.known.values_mut();
        for follower in connected.filter(|follower| follower.watches > 0) {
            follower.seen_at = now;
        }
        state.forget_old(now);
        let known = state.known.clone();
        // Turning thousands into text takes a while: nobody has to wait for that.
        drop(state);
        let saved: BTreeMap<String, KnownFollower> = known
            .into_iter()
            .map(|(id, follower)| (id.to_string(), follower))
            .collect();
        serde_json::to_vec(&saved)
            .ok()
            .filter(|_| !saved.is_empty())
    }

    /// Until there is something to keep that a restart must not forget. One that is known and comes
    /// back as it was is not: with thousands, each would be kept as often as any comes.
    pub async fn unsaved(&self) {
        self.unsaved.notified().await;
    }

    /// A follower has opened a watch, and has made durable what came before.
    pub fn connected(&self, run: Run, role: Role, address: &str, reached: Reached, now: UnixNanos) {
        let mut state = self.lock();
        let before = state.known.get(&run.node).map(|follower| follower.acked);
        if before.is_none() {
            state.make_room(now);
        }
        let known = &mut state.known;
        let follower = known.entry(run.node).or_insert_with(|| KnownFollower {
            role,
            address: String::new(),
            seen_at: now,
            watches: 0,
            boot: None,
            acked: 0,
            reached: 0,
            level_at: None,
            last_error: String::new(),
            is_following: false,
            awaited: None,
        });
        let is_as_before = follower.role == role && follower.address == address;
        follower.role = role;
        address.clone_into(&mut follower.address);
        follower.seen_at = now;
        follower.watches += 1;
        // Another run may be on a disk that was lost or set back, and have less than was once there.
        // One run also opens watches beside its main one, which say less than it has.
        if follower.boot != Some(run.boot) {
            follower.boot = Some(run.boot);
            (follower.acked, follower.reached) = (0, 0);
            (follower.level_at, follower.awaited) = (None, None);
            follower.is_following = false;
        }
        follower.advance(reached);
        let after = follower.acked;
        state.moved(run.node, before, Some(after));
        drop(state);
        if before.is_none() || !is_as_before {
            self.unsaved.notify_one();
        }
    }

    /// One of its watches has ended; `refused`: because this node ended it.
    pub fn disconnected(&self, id: NodeId, refused: Option<&str>, now: UnixNanos) {
        let mut state = self.lock();
        let Some(follower) = state.known.get_mut(&id) else {
            return;
        };
        follower.watches = follower.watches.saturating_sub(1);
        follower.seen_at = now;
        if follower.watches == 0 {
            (follower.is_following, follower.awaited) = (false, None);
        }
        // One that ends beside others that go on was not needed any more.
        if let Some(because) = refused {
            because.clone_into(&mut follower.last_error);
        } else if follower.watches == 0 && follower.last_error.is_empty() {
            "it left, or the connection broke".clone_into(&mut follower.last_error);
        }
    }

    /// It has made durable what came before. Only the run that watches now can say so: a word that was
    /// on its way while a disk was set back tells what was there.
    pub fn acked(&self, run: Run, reached: Option<Reached>, now: Moment) {
        let mut state = self.lock();
        let follower = state.known.get_mut(&run.node);
        let Some(follower) = follower.filter(|follower| follower.boot == Some(run.boot)) else {
            return;
        };
        follower.seen_at = now.wall;
        let before = follower.acked;
        if let Some(reached) = reached {
            follower.advance(reached);
        }
        follower.note_level(now);
        let after = follower.acked;
        state.moved(run.node, Some(before), Some(after));
    }

    /// All that are known.
    pub fn list(&self, now: UnixNanos) -> Vec<(NodeId, KnownFollower)> {
        let mut state = self.lock();
        state.forget_old(now);
        let known = state.known.iter();
        known.map(|(id, known)| (*id, known.clone())).collect()
    }

    /// Waits until followers have made a seq durable, or for as long as was asked.
    /// `unmet`: who should follow too, and is not known to.
    pub async fn wait(
        &self,
        asked: Wait,
        now: UnixNanos,
        unmet: impl Fn(&dyn Fn(NodeId) -> bool) -> Vec<String>,
    ) -> Propagation {
        let end = Instant::now() + asked.within;
        let place = self.begin(asked, now);
        loop {
            let unmet = unmet(&|id| self.lock().known.contains_key(&id));
            let (expected, applied) = self.count(&place, asked, unmet.len());
            let began = Instant::now();
            if applied >= expected || began >= end {
                return Propagation {
                    expected,
                    applied,
                    pending: self.pending(asked, applied >= expected, unmet),
                };
            }
            // Who has never been met may turn out to be somebody who is known: nobody tells of that.
            let look = end.min(began + limits::PEER_HEARTBEAT);
            drop(timeout_at(look, place.enough.notified()).await);
        }
    }

    fn begin(&self, asked: Wait, now: UnixNanos) -> Place<'_> {
        let mut state = self.lock();
        state.forget_old(now);
        let counts = |id: &NodeId| Some(*id) != asked.except;
        let has = state
            .known
            .iter()
            .filter(|(id, follower)| counts(id) && follower.acked >= asked.seq)
            .count();
        state.last_waiting += 1;
        let key = (asked.seq, state.last_waiting);
        let enough = Arc::new(Notify::new());
        let waiting = Waiting {
            who: asked.who,
            except: asked.except,
            has,
            enough: Arc::clone(&enough),
        };
        state.waiting.insert(key, waiting);
        Place {
            followers: self,
            key,
            enough,
        }
    }

    /// How many are waited for, and how many of them have it.
    fn count(&self, place: &Place<'_>, asked: Wait, unmet: usize) -> (u32, u32) {
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let state = self.lock();
        let has = state.waiting.get(&place.key).map_or(0, |own| own.has);
        let expected = match asked.who {
            Who::All => number(state.known_except(asked.except) + unmet),
            Who::Count(count) => count,
        };
        (expected, number(has).min(expected))
    }

    /// Who has not said that it has it.
    fn pending(&self, asked: Wait, is_enough: bool, unmet: Vec<String>) -> Vec<String> {
        if is_enough {
            return Vec::new();
        }
        let state = self.lock();
        let lacking = state
            .known
            .iter()
            .filter(|(id, follower)| Some(**id) != asked.except && follower.acked < asked.seq);
        let lacking = lacking.map(|(id, follower)| format!("{id} ({})", follower.address));
        let named = lacking.chain(unmet).take(limits::PENDING_NAMED_MAX);
        named.collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.followers.lock().waiting.remove(&self.key);
    }
}

impl State {
    fn known_except(&self, except: Option<NodeId>) -> usize {
        let is_known = except.is_some_and(|id| self.known.contains_key(&id));
        self.known.len() - usize::from(is_known)
    }

    /// What a follower has acknowledged has changed; `None`: it is not known. Counts it for those who
    /// wait for something in between.
    fn moved(&mut self, id: NodeId, before: Option<u64>, after: Option<u64>) {
        let first_lacking = |acked: Option<u64>| acked.map_or(0, |acked| acked.saturating_add(1));
        let (from, to) = (first_lacking(before), first_lacking(after));
        let (known, is_more) = (&self.known, to > from);
        let touched = self.waiting.range_mut((from.min(to), 0)..(from.max(to), 0));
        for (_, waiting) in touched.filter(|(_, waiting)| waiting.except != Some(id)) {
            if !is_more {
                waiting.has = waiting.has.saturating_sub(1);
                continue;
            }
            waiting.has += 1;
            let is_excepted = waiting.except.is_some_and(|id| known.contains_key(&id));
            let enough = match waiting.who {
                Who::All => known.len() - usize::from(is_excepted),
                Who::Count(count) => usize::try_from(count).unwrap_or(usize::MAX),
            };
            if waiting.has >= enough {
                waiting.enough.notify_one();
            }
        }
    }

    fn forget(&mut self, id: NodeId) {
        if let Some(follower) = self.known.remove(&id) {
            self.moved(id, Some(follower.acked), None);
        }
    }

    fn forget_old(&mut self, now: UnixNanos) {
        let is_old = |follower: &KnownFollower| {
            follower.watches == 0 && now.since(follower.seen_at) > limits::FOLLOWER_KEPT
        };
        let old: Vec<NodeId> = self
            .known
            .iter()
            .filter(|(_, follower)| is_old(follower))
            .map(|(id, _)| *id)
            .collect();
        for id in old {
            self.forget(id);
        }
    }

    /// For one that is new. Whoever makes up node ids must not fill the memory: those that are gone
    /// longest make room.
    fn make_room(&mut self, now: UnixNanos) {
        if self.known.len() >= limits::FOLLOWERS_MAX {
            self.forget_old(now);
        }
        while self.known.len() >= limits::FOLLOWERS_MAX {
            let gone = self.known.iter();
            let gone = gone.filter(|(_, follower)| follower.watches == 0);
            let Some((longest, _)) = gone.min_by_key(|(_, follower)| follower.seen_at) else {
                return;
            };
            let longest = *longest;
            self.forget(longest);
        }
    }
}

#[cfg(test)]
mod tests;

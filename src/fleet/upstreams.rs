//! Whom a node follows, and how level it is with them.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::model::nanos_of;

use super::{
    NodeId,
    upstream::{Kind, Phase, Upstream, UpstreamView},
};

/// One configured entry: an address, or a name that has several.
#[derive(Debug)]
pub struct Group {
    /// As configured.
    pub name: String,
    /// What its members are to this node.
    pub kind: Kind,
    /// How many others must answer before all are taken to have; `None`: as many as are listed,
    /// and at least one.
    pub expected: Option<usize>,
    /// Whether it is a name, behind which there may be several.
    pub is_name: bool,
    members: Mutex<Vec<Arc<Upstream>>>,
    level: Arc<Level>,
}

/// Since when this node is level with all that it follows, so that a Check need ask one number.
#[derive(Debug, Default)]
pub(super) struct Level {
    groups: Mutex<Vec<Arc<Group>>>,
    /// Nanoseconds of the steady clock, plus one; zero: never; all ones: there is nobody to follow.
    since: AtomicU64,
}

/// As [`Level`] says it.
#[derive(Clone, Copy, Debug)]
pub(super) struct LevelSince(u64);

impl LevelSince {
    pub(super) fn staleness(self, steady: impl Fn() -> Duration) -> Option<Duration> {
        match self.0 {
            0 => None,
            u64::MAX => Some(Duration::ZERO),
            since => Some(steady().saturating_sub(Duration::from_nanos(since - 1))),
        }
    }
}

/// Whom a node follows.
#[derive(Debug)]
pub struct Upstreams {
    level: Arc<Level>,
}

impl Default for Upstreams {
    fn default() -> Self {
        let level = Level::default();
        level.since.store(u64::MAX, Ordering::Relaxed);
        Self {
            level: Arc::new(level),
        }
    }
}

impl Upstreams {
    /// Adds a configured entry, without members yet.
    pub fn add(
        &self,
        name: String,
        kind: Kind,
        is_name: bool,
        expected: Option<usize>,
    ) -> Arc<Group> {
        let group = Arc::new(Group {
            name,
            kind,
            expected: expected.filter(|_| is_name),
            is_name,
            members: Mutex::default(),
            level: Arc::clone(&self.level),
        });
        lock(&self.level.groups).push(Arc::clone(&group));
        self.level.compute();
        group
    }

    /// All of them, as they are now.
    pub fn list(&self) -> Vec<(Arc<Upstream>, UpstreamView)> {
        let groups = lock(&self.level.groups).clone();
        let members = groups.iter().flat_map(|group| group.members());
        members
            .map(|member| {
                let view = member.view();
                (member, view)
            })
            .collect()
    }

    /// Whether nobody is to be followed.
    pub fn are_none(&self) -> bool {
        lock(&self.level.groups).is_empty()
    }

    pub(super) fn level(&self) -> LevelSince {
        LevelSince(self.level.since.load(Ordering::Acquire))
    }

    /// The hubs, by address.
    pub fn hubs(&self) -> Vec<String> {
        let list = self.list().into_iter();
        list.filter(|(upstream, _)| upstream.kind == Kind::Hub)
            .map(|(upstream, _)| upstream.address.clone())
            .collect()
    }

    /// Whether there should be hubs and none is followed now.
    pub fn lack_hubs(&self) -> bool {
        let list = self.list();
        let is_hub = |(upstream, _): &&(Arc<Upstream>, UpstreamView)| upstream.kind == Kind::Hub;
        let mut hubs = list.iter().filter(is_hub).peekable();
        hubs.peek().is_some() && hubs.all(|(_, view)| view.phase != Phase::Following)
    }

    /// Peers, by address, that are not known to follow this node.
    pub fn unknown_peers(&self, is_known: &dyn Fn(NodeId) -> bool) -> Vec<String> {
        let list = self.list().into_iter();
        list.filter(|(upstream, view)| {
            upstream.kind == Kind::Peer
                && view.phase != Phase::Itself
                && !view.run.is_some_and(|run| is_known(run.node))
        })
        .map(|(upstream, _)| upstream.address.clone())
        .collect()
    }

    pub(super) fn have_one_ready(&self) -> bool {
        let list = self.list();
        list.iter()
            .any(|(_, view)| view.has_caught_up && view.is_ready)
    }

    /// Whether this node has caught up with everybody that there is.
    pub(super) fn all_have_answered(&self) -> bool {
        let groups = lock(&self.level.groups).clone();
        groups.iter().all(|group| group.is_settled())
    }

    pub(super) fn waiting_for(&self) -> Vec<String> {
        let groups = lock(&self.level.groups).clone();
        let waiting = groups.iter().filter(|group| !group.is_settled());
        waiting
            .map(|group| {
                let others = group.others();
                let caught_up = nodes_caught_up_with(&others);
                let expected = group.expected.unwrap_or(others.len().max(1));
                let why = match group.kind {
                    Kind::Hub if caught_up > 0 => ", and none of them is ready itself",
                    _ => "",
                };
                format!(
                    "{} {}: caught up with {caught_up} of {expected}{why}",
                    group.kind.as_str(),
                    group.name
                )
            })
            .collect()
    }
}

impl Group {
    /// Its members.
    pub fn members(&self) -> Vec<Arc<Upstream>> {
        lock(&self.members).clone()
    }

    /// A member at this address, added when there is none.
    pub fn member(&self, address: &str) -> Arc<Upstream> {
        let mut members = lock(&self.members);
        if let Some(member) = members.iter().find(|member| member.address == address) {
            return Arc::clone(member);
        }
        let level = Arc::clone(&self.level);
        let member = Arc::new(Upstream::new(address.to_owned(), self.kind, level));
        members.push(Arc::clone(&member));
        drop(members);
        self.level.compute();
        member
    }

    /// Whether it has a member at this address.
    pub fn has(&self, address: &str) -> bool {
        let members = lock(&self.members);
        members.iter().any(|member| member.address == address)
    }

    /// The name was resolved: which of the members it has now.
    pub fn note_listed(&self, is_listed: impl Fn(&str) -> bool) {
        for member in self.members() {
            let is_listed = is_listed(&member.address);
            member.note_listed(is_listed);
        }
        self.level.compute();
    }

    /// Takes a member out: it no longer counts.
    pub fn remove(&self, address: &str) {
        lock(&self.members).retain(|member| member.address != address);
        self.level.compute();
    }

    fn others(&self) -> Vec<UpstreamView> {
        others_of(&self.members())
    }

    fn has_answered(&self) -> bool {
        // Looked at once: a member that came between two looks was once taken for this node itself,
        // and a node that had met nobody for ready.
        let members = self.members();
        let others = others_of(&members);
        // An address that is this node's own has nobody else behind it; a name may yet show others.
        let least = match self.expected {
            Some(expected) => expected,
            None if self.is_name || others.len() == members.len() => 1,
            None => 0,
        };
        others.iter().all(|view| view.has_caught_up) && nodes_caught_up_with(&others) >= least
    }

    /// Whether this node has caught up with everybody behind it. Of hubs it cannot know that: they may
    /// wait themselves for another, which alone holds something.
    fn is_settled(&self) -> bool {
        match self.kind {
            Kind::Peer => self.has_answered(),
            Kind::Hub => self.is_this_node(),
        }
    }

    /// Whether it is an address of this node itself, so that nobody stands behind it.
    fn is_this_node(&self) -> bool {
        let members = self.members();
        !self.is_name && !members.is_empty() && others_of(&members).is_empty()
    }

    /// Since when this node is level with it, in nanoseconds, zero: never; `None`: nobody counts.
    fn level(&self) -> Option<u64> {
        let members = self.members();
        // A name that has never been resolved may hide anybody.
        if members.is_empty() {
            return Some(0);
        }
        let since =
            |view: &UpstreamView| view.level_at.map_or(0, |at| nanos_of(at).saturating_add(1));
        let others = others_of(&members);
        let levels = others.iter().map(since);
        match self.kind {
            Kind::Peer => levels.min(),
            Kind::Hub => levels.max(),
        }
    }
}

/// With how many nodes this one has caught up: one with two addresses is still one.
fn nodes_caught_up_with(others: &[UpstreamView]) -> usize {
    let caught_up = others.iter().filter(|view| view.has_caught_up);
    let nodes: BTreeSet<NodeId> = caught_up.filter_map(|view| Some(view.run?.node)).collect();
    nodes.len()
}

/// What is known of those that are not this node itself, and have not moved: of a node that was met at
/// an address which its name has lost, and since then at one that the name has, only the latter counts.
fn others_of(members: &[Arc<Upstream>]) -> Vec<UpstreamView> {
    let views = members.iter().map(|member| {
        let is_listed = member.is_listed();
        (is_listed, member.view())
    });
    let others: Vec<_> = views
        .filter(|(_, view)| view.phase != Phase::Itself)
        .collect();
    let node_of = |view: &UpstreamView| view.run.map(|run| run.node);
    let listed = others.iter().filter(|(is_listed, _)| *is_listed);
    let at_listed: BTreeSet<NodeId> = listed.filter_map(|(_, view)| node_of(view)).collect();
    let has_moved =
        |view: &UpstreamView| node_of(view).is_some_and(|node| at_listed.contains(&node));
    others
        .into_iter()
        .filter(|(is_listed, view)| *is_listed || !has_moved(view))
        .map(|(_, view)| view)
        .collect()
}

impl Level {
    pub(super) fn compute(&self) {
        // Held to the end: what was computed before another change must not be stored after it.
        let groups = lock(&self.groups);
        let of_kind = |kind| groups.iter().filter(move |group| group.kind == kind);
        // Every peer must be level; of hubs, which know the same, the best counts. An entry that is
        // this node itself vouches for nobody else.
        let peers = of_kind(Kind::Peer).filter_map(|group| group.level()).min();
        let hubs = of_kind(Kind::Hub).filter_map(|group| group.level()).max();
        let since = peers.into_iter().chain(hubs).min().unwrap_or(u64::MAX);
        self.since.store(since, Ordering::Release);
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::ManualClock,
        fleet::{Fleet, Join},
        model::UnixNanos,
    };

    fn following() -> (Arc<ManualClock>, Fleet, Arc<Upstream>) {
        let clock = Arc::new(ManualClock::new(UnixNanos::from_nanos(1)));
        let fleet = Fleet::new(Arc::<ManualClock>::clone(&clock), Join::default(), None);
        let group = fleet
            .upstreams
            .add("b:1".to_owned(), Kind::Peer, false, None);
        let upstream = group.member("b:1");
        (clock, fleet, upstream)
    }

    /// A Check looked a token up, and asked only then how fresh the node was and whether it was
    /// ready. What came in between made an old look seem fresh: ACTIVE with a staleness of a
    /// millisecond for a token whose revocation a peer had acknowledged seconds ago.
    #[test]
    fn what_is_learnt_after_a_look_does_not_make_the_look_fresher() {
        let (clock, fleet, upstream) = following();
        let joining = fleet.knowledge();
        upstream.update(|view| (view.has_caught_up, view.is_ready) = (true, true));
        upstream.heard(fleet.steady(), None);
        assert!(fleet.may_say_active(joining, None).is_err());

        let looked = fleet.knowledge();
        clock.advance(Duration::from_secs(5));
        upstream.heard(fleet.steady(), None);
        assert_eq!(fleet.staleness_of(looked), Some(Duration::from_secs(5)));
        let bound = Some(Duration::from_secs(1));
        assert!(fleet.may_say_active(looked, bound).is_err());
        assert!(fleet.may_say_active(fleet.knowledge(), bound).is_ok());
    }

    #[test]
    fn an_entry_that_is_this_node_is_not_waited_for_and_a_name_with_nobody_else_is() {
        let (_, fleet, upstream) = following();
        upstream.update(|view| view.phase = Phase::Itself);
        assert!(fleet.is_ready());

        let (_, fleet, upstream) = following();
        upstream.update(|view| view.phase = Phase::Itself);
        let name = fleet
            .upstreams
            .add("dns:b:1".to_owned(), Kind::Peer, true, None);
        let member = name.member("10.0.0.1:1");
        member.update(|view| view.phase = Phase::Itself);
        assert!(!fleet.is_ready());
    }
}

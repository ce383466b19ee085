//! The nodes together: a schedule is played on them, and what comes of it is judged.

use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
    time::Duration,
};

use crate::model::{Boot, Dot, Entry, KeptBy, Rule, RuleKind, UnixNanos};

use super::{
    disk::{Disk, Key, Place},
    node::{Asked, Change, GRACE, LEEWAY, Node, Policy},
    schedule::{HUBS, Kept, NODES, Op, Schedule},
};

/// Rounds of talk after which all must be quiet: the way is four nodes long, and what is joined
/// on it goes back.
const ROUNDS_MAX: usize = 30;
/// More than there is to send.
const EVERYTHING: usize = 50;
const KINDS: [RuleKind; 2] = [RuleKind::VersionBelow, RuleKind::IssuedBefore];

/// A write.
#[derive(Clone, Copy, Debug)]
struct Said {
    key: Key,
    kind: RuleKind,
    dot: Dot,
    /// `None`: a lift.
    cut_off: Option<u64>,
    until: UnixNanos,
}

/// What a lift had seen.
#[derive(Debug)]
struct Lifted {
    key: Key,
    kind: RuleKind,
    seen: Rule,
}

/// All there is.
#[derive(Debug)]
pub(super) struct World {
    pub(super) nodes: Vec<Node>,
    follows: Vec<Vec<Place>>,
    policy: Policy,
    pub(super) now: UnixNanos,
    ahead_s: Vec<i64>,
    last_id: u64,
    latest: BTreeMap<Place, Said>,
    acknowledged: Vec<Said>,
    lifted: Vec<Lifted>,
    revoked: BTreeSet<(Key, RuleKind, u64)>,
    /// What only disks had that went back in time.
    excused: BTreeSet<Dot>,
    pub(super) wrong: Vec<String>,
}

impl World {
    pub(super) fn new(schedule: &Schedule, policy: Policy) -> Self {
        let mut world = Self {
            nodes: Vec::new(),
            follows: schedule.follows.clone(),
            policy,
            now: UnixNanos::from_secs(1_000_000),
            ahead_s: vec![0; NODES],
            last_id: 0,
            latest: BTreeMap::new(),
            acknowledged: Vec::new(),
            lifted: Vec::new(),
            revoked: BTreeSet::new(),
            excused: BTreeSet::new(),
            wrong: Vec::new(),
        };
        for place in 0..NODES {
            let (node, boot) = (world.next_id(), world.next_boot());
            let mut node = Node::new(node, boot);
            let lifetime_s = schedule.lifetimes_s.get(place).copied().unwrap_or_default();
            node.lifetime = Duration::from_secs(lifetime_s);
            world.nodes.push(node);
        }
        world.set_clocks();
        world
    }

    /// Plays a schedule; nothing is judged at its end yet.
    pub(super) fn played(schedule: &Schedule, policy: Policy) -> Self {
        let mut world = Self::new(schedule, policy);
        for op in &schedule.operations {
            world.play(*op);
        }
        world
    }

    /// Plays a schedule, lets everybody talk, and says what is wrong then.
    pub(super) fn judged(schedule: &Schedule, policy: Policy) -> Vec<String> {
        let mut world = Self::played(schedule, policy);
        world.talk(|_, _| {});
        world.judge_end(UnixNanos::ZERO);
        world.wrong
    }

    fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    fn next_boot(&mut self) -> Boot {
        Boot(self.next_id())
    }

    pub(super) fn set_clocks(&mut self) {
        for (node, ahead_s) in self.nodes.iter_mut().zip(&self.ahead_s) {
            let by = Duration::from_secs(ahead_s.unsigned_abs());
            node.clock = if *ahead_s < 0 {
                self.now.minus(by)
            } else {
                self.now.plus(by)
            };
        }
    }

    pub(super) fn set_clock(&mut self, node: Place, ahead_s: i64, is_trusted: bool) {
        self.ahead_s[node] = ahead_s;
        self.nodes[node].is_clock_trusted = is_trusted;
        self.set_clocks();
    }

    pub(super) fn pass(&mut self, seconds: u64) {
        self.now = self.now.plus(Duration::from_secs(seconds));
        self.set_clocks();
    }

    pub(super) fn play(&mut self, op: Op) {
        match op {
            Op::Revoke {
                node,
                key,
                kind,
                cut_off,
                kept,
            } => self.revoke(node, key, KINDS[kind], cut_off, kept),
            Op::Lift { node, key, kind } => self.lift(node, key, KINDS[kind]),
            Op::Acknowledge { node } => {
                self.nodes[node].commit();
                self.acknowledged.extend(self.latest.remove(&node));
            }
            Op::Commit { node } => self.nodes[node].commit(),
            Op::Pull {
                node,
                upstream,
                count,
            } => self.pull(node, upstream, count),
            Op::Push {
                node,
                upstream,
                count,
            } => self.push(node, upstream, count),
            Op::BackUp { node } => self.nodes[node].backup = Rc::clone(&self.nodes[node].synced),
            Op::Crash { node }
            | Op::RollBack { node }
            | Op::Lose { node }
            | Op::Raise { node, .. } => self.restart(node, op),
            Op::Pass { seconds } => self.pass(seconds),
            Op::Sweep { node } => self.nodes[node].sweep(),
            Op::SetClock {
                node,
                ahead_s,
                is_trusted,
            } => self.set_clock(node, ahead_s, is_trusted),
        }
        self.judge_changes();
    }

    fn restart(&mut self, node: Place, op: Op) {
        let (id, boot) = (self.next_id(), self.next_boot());
        self.latest.remove(&node);
        match op {
            Op::RollBack { .. } => self.nodes[node].roll_back(boot),
            Op::Lose { .. } => self.nodes[node].lose(id, boot),
            Op::Raise { lifetime_s, .. } => {
                self.nodes[node].raise(Duration::from_secs(lifetime_s), boot);
            }
            _ => self.nodes[node].crash(boot),
        }
        if matches!(op, Op::RollBack { .. } | Op::Lose { .. }) {
            let is_gone = |said: &&Said| {
                let mut disks = self.nodes.iter().map(|node| &node.synced);
                !disks.any(|disk| disk.knows(said.key, said.kind, said.dot))
            };
            let gone = self.acknowledged.iter().filter(is_gone);
            let gone: Vec<Dot> = gone.map(|said| said.dot).collect();
            self.excused.extend(gone);
        }
    }

    fn revoke(&mut self, place: Place, key: Key, kind: RuleKind, cut_off: u64, kept: Kept) {
        let node = &mut self.nodes[place];
        let (until, kept_by, kept_from) = match kept {
            Kept::UntilLifted => (UnixNanos::FOREVER, KeptBy::Itself, UnixNanos::FOREVER),
            Kept::ForLifetime => (
                node.clock.plus(node.lifetime + GRACE),
                KeptBy::TokenLifetime,
                node.clock,
            ),
            Kept::ForS(seconds) => {
                let end = node.clock.plus(Duration::from_secs(seconds));
                (end.plus(GRACE), KeptBy::Itself, end)
            }
        };
        let asked = Asked {
            key,
            kind,
            cut_off,
            until,
            kept_by,
            kept_from,
        };
        let dot = node.revoke(asked);
        self.revoked.insert((key, kind, cut_off));
        let said = Said {
            key,
            kind,
            dot,
            cut_off: Some(cut_off),
            until,
        };
        self.latest.insert(place, said);
    }

    fn lift(&mut self, place: Place, key: Key, kind: RuleKind) {
        let record = self.nodes[place].record(key);
        let Some(dot) = self.nodes[place].lift(key, kind) else {
            return;
        };
        let seen = record.rules[&kind].clone();
        let until = seen.context.values().map(|seen| seen.until).max().unwrap();
        self.lifted.push(Lifted { key, kind, seen });
        let said = Said {
            key,
            kind,
            dot,
            cut_off: None,
            until,
        };
        self.latest.insert(place, said);
    }

    pub(super) fn pull(&mut self, node: Place, upstream: Place, count: usize) {
        let [node, from] = self.nodes.get_disjoint_mut([node, upstream]).unwrap();
        node.pull(upstream, from, count, self.policy);
    }

    pub(super) fn push(&mut self, node: Place, upstream: Place, count: usize) {
        let [node, hub] = self.nodes.get_disjoint_mut([node, upstream]).unwrap();
        node.push(upstream, hub, count, self.policy);
    }

    /// Everybody talks until nothing moves any more; how many rows that wrote.
    pub(super) fn talk(&mut self, mut after_turn: impl FnMut(&mut Self, Place)) -> u64 {
        let heads = |world: &Self| world.nodes.iter().map(|node| node.disk.head).sum::<u64>();
        let first = heads(self);
        for _ in 0..ROUNDS_MAX {
            let before = self.disks();
            for node in 0..NODES {
                for upstream in self.follows[node].clone() {
                    self.pull(node, upstream, EVERYTHING);
                    self.nodes[node].commit();
                    if node >= HUBS {
                        self.push(node, upstream, EVERYTHING);
                        self.nodes[node].commit();
                    }
                    self.judge_changes();
                }
                after_turn(self, node);
                self.judge_changes();
            }
            let after = self.disks();
            if after.iter().zip(&before).all(|(a, b)| a.stands_at(b)) {
                return heads(self) - first;
            }
        }
        self.wrong.push("they never are quiet".to_owned());
        heads(self) - first
    }

    fn disks(&self) -> Vec<Rc<Disk>> {
        let disk = |node: &Node| Rc::clone(&node.disk);
        self.nodes.iter().map(disk).collect()
    }

    /// Judges what each node made of its records since the last time.
    fn judge_changes(&mut self) {
        for place in 0..NODES {
            for change in std::mem::take(&mut self.nodes[place].changes) {
                self.judge(place, &change);
            }
        }
    }

    fn judge(&mut self, place: Place, change: &Change) {
        let key = change.key;
        for (kind, before) in &change.before.rules {
            let after = change.after.rules.get(kind);
            for (dot, entry) in &before.entries {
                let is_covered = after.is_some_and(|after| {
                    let covers = |later: &Entry| {
                        later.cut_off >= entry.cut_off && later.until >= entry.until
                    };
                    after.in_force().any(covers)
                });
                let is_excused = !entry.is_in_force()
                    || is_covered
                    || self.is_lifted(key, *kind, *dot)
                    || self.has_run_out(place, entry);
                if !is_excused {
                    self.wrong
                        .push(format!("{place} un-revoked {key}: {entry:?}"));
                }
            }
        }
        for (kind, after) in &change.after.rules {
            for entry in after.in_force() {
                if !self.revoked.contains(&(key, *kind, entry.cut_off)) {
                    self.wrong.push(format!("nobody revoked {key}: {entry:?}"));
                }
            }
        }
    }

    fn is_lifted(&self, key: Key, kind: RuleKind, dot: Dot) -> bool {
        self.lifted
            .iter()
            .any(|lift| (lift.key, lift.kind) == (key, kind) && lift.seen.knows(dot))
    }

    /// Whether every token that an entry denies is EXPIRED or INVALID on this node. Where the
    /// clock is not trusted, nothing is promised beyond what a right one would see.
    fn has_run_out(&self, place: Place, entry: &Entry) -> bool {
        let node = &self.nodes[place];
        let clock = if node.is_clock_trusted {
            node.clock
        } else {
            self.now.plus(LEEWAY)
        };
        let end = node.needs(entry);
        !end.is_forever() && clock >= end.minus(GRACE).plus(LEEWAY)
    }

    /// All is quiet: everybody must hold the same, and what was acknowledged, as far as it lasts
    /// beyond `now`.
    pub(super) fn judge_end(&mut self, now: UnixNanos) {
        let mut wrong = Vec::new();
        let held = |place: Place, key: Key| {
            let record = self.nodes[place].record(key);
            crate::model::Record::clone(&record).forget(now).rules
        };
        let mut end = BTreeMap::new();
        let keys: BTreeSet<Key> = self.nodes.iter().flat_map(keys).collect();
        for key in keys {
            let rules = held(0, key);
            for place in (1..NODES).filter(|place| held(*place, key) != rules) {
                let theirs = held(place, key);
                wrong.push(format!("0 has {rules:?} of {key} and {place} {theirs:?}"));
            }
            end.insert(key, rules);
        }
        for said in &self.acknowledged {
            let rule = end.get(&said.key).and_then(|rules| rules.get(&said.kind));
            let holds = match (rule, said.cut_off) {
                (Some(rule), Some(cut_off)) => rule.in_force().any(|e| e.cut_off >= cut_off),
                (Some(rule), None) => rule.knows(said.dot),
                (None, _) => false,
            };
            let is_excused = self.excused.contains(&said.dot)
                || said.until <= now
                || said.cut_off.is_some() && self.is_lifted(said.key, said.kind, said.dot);
            if !holds && !is_excused {
                wrong.push(format!("missing, though acknowledged: {said:?}"));
            }
        }
        self.wrong.append(&mut wrong);
    }
}

fn keys(node: &Node) -> Vec<Key> {
    node.disk.log.values().map(|(key, _)| *key).collect()
}

//! What must hold, by the names of issue 5.
//!
//! I1 acknowledged is never lost · I2 REVOKED never turns ACTIVE by itself · I3 all end equal · I4
//! staleness is honest · I5 a watch tells everything · I6 nothing is revoked that nobody revoked ·
//! I7 memory is bounded · I8 who never synced never says ACTIVE · I9 it recovers without a person ·
//! I10 forgotten stays forgotten.

use std::{collections::BTreeSet, time::Duration};

use futures_util::FutureExt as _;
use rescind::{
    ledger::Digested,
    model::{RuleKind, UnixNanos, Verdict},
};

use crate::{
    history::{ISS, State, Victim, Write, knows},
    node::{GRACE, LIFETIME, Live},
    world::{Place, World},
};

/// How far clocks may be off for a token to be still looked at.
const LOOKED_AT: Duration = Duration::from_secs(30);
/// How long healed nodes may take to be level.
const LEVEL_WITHIN: Duration = Duration::from_secs(120);

/// What was seen of a node so far.
#[derive(Debug, Default)]
pub(crate) struct Sampled {
    /// Writes that it was seen to enforce, on the disk that it has.
    denied: BTreeSet<usize>,
    /// Of a node with a fresh disk that did not say ACTIVE yet: what the others hold since then.
    must_know: Option<BTreeSet<usize>>,
}

impl Sampled {
    pub(crate) fn disk_replaced(&mut self) {
        self.denied.clear();
    }
}

impl World {
    /// Looks at every node that runs.
    pub(crate) fn sample(&mut self) {
        for (node, live) in self.up() {
            let verdicts = self.verdicts(&live);
            self.note_what_is_known(node, &verdicts);
            self.revoked_stays_revoked(node, &verdicts);
            self.staleness_is_honest(node, &live, &verdicts);
            self.nobody_says_active_unsynced(node, &live, &verdicts);
            self.nothing_else_is_revoked(&live);
        }
    }

    /// What a node says of the token of each write that may still be alive.
    fn verdicts(&self, live: &Live) -> Vec<(usize, Verdict)> {
        let (wall, now) = (live.ledger.wall(), self.now.wall());
        let writes = self.history.writes.iter().enumerate();
        writes
            .filter(|(_, write)| !write.victim.is_dead(now, LOOKED_AT))
            .map(|(number, write)| (number, live.ledger.judge(&write.victim.claims(wall))))
            .collect()
    }

    fn note_what_is_known(&mut self, node: usize, verdicts: &[(usize, Verdict)]) {
        let state = self.state(node);
        for (number, verdict) in verdicts {
            let write = &self.history.writes[*number];
            // It may say REVOKED for another revocation.
            if matches!(verdict, Verdict::Revoked(_))
                && knows(&state, &write.target, write.kind, write.dot)
            {
                self.nodes[node].sampled.denied.insert(*number);
            }
        }
    }

    /// **I2**: what a node was seen to deny it goes on denying, through crashes and jumps of its
    /// clock, until a lift had seen the revocation; its disk may be replaced by one that knew less.
    fn revoked_stays_revoked(&self, node: usize, verdicts: &[(usize, Verdict)]) {
        for (number, verdict) in verdicts {
            let write = &self.history.writes[*number];
            if *verdict == Verdict::Active && self.nodes[node].sampled.denied.contains(number) {
                self.hold("I2", self.history.is_lifted(write), || {
                    let name = &self.nodes[node].name;
                    let has = self.state(node).remove(&write.target);
                    format!("{name} said REVOKED, then ACTIVE: {write:?}; it holds {has:?}")
                });
            }
        }
    }

    /// **I4**: who says to be `s` stale enforces whatever a hub or a member of the mesh acknowledged
    /// longer ago than `s`, unless that one's disk was lost or went back in time since.
    fn staleness_is_honest(&self, node: usize, live: &Live, verdicts: &[(usize, Verdict)]) {
        let Some(staleness) = live.fleet.staleness() else {
            return;
        };
        let Some(level_at) = self.now.get().checked_sub(staleness) else {
            return;
        };
        for (number, verdict) in verdicts {
            let write = &self.history.writes[*number];
            let is_promised = write.at < level_at
                && !write.is_by_leaf
                && !write.excused
                && self.nodes[write.node].disks == write.disk;
            if is_promised && *verdict == Verdict::Active {
                self.hold("I4", self.history.is_lifted(write), || {
                    let name = &self.nodes[node].name;
                    let has = self.state(node).remove(&write.target);
                    format!("{name} is {staleness:?} stale and lacks {write:?}; it holds {has:?}")
                });
            }
        }
    }

    /// **I8**: a node whose disk was lost says nothing to be ACTIVE that the others hold since then,
    /// from its first answer on.
    fn nobody_says_active_unsynced(
        &mut self,
        node: usize,
        live: &Live,
        verdicts: &[(usize, Verdict)],
    ) {
        let Some(mut must_know) = self.nodes[node].sampled.must_know.take() else {
            return;
        };
        let still = self.held_by_others(node);
        must_know.retain(|number| still.contains(number));
        if live
            .fleet
            .may_say_active(live.fleet.knowledge(), None)
            .is_err()
        {
            self.nodes[node].sampled.must_know = Some(must_know);
            return;
        }
        for (number, verdict) in verdicts {
            let write = &self.history.writes[*number];
            if *verdict == Verdict::Active && must_know.contains(number) {
                self.hold("I8", self.history.is_lifted(write), || {
                    let name = &self.nodes[node].name;
                    format!("{name} answers without having synced: it does not know {write:?}")
                });
            }
        }
    }

    /// Begins to watch a node with an empty disk for I8.
    pub(crate) fn expect_sync(&mut self, node: usize) {
        let must_know = self.held_by_others(node);
        self.nodes[node].sampled.must_know = Some(must_know);
    }

    /// What a node has to hear before it answers. Of one that is ready anything may come, so that is
    /// what all of those deny. When nobody is, the first to go on must have met everybody, and whoever
    /// follows must wait for that one: then it is what stands on any disk that took it.
    fn held_by_others(&self, node: usize) -> BTreeSet<usize> {
        self.denied_by_all_ready(node)
            .unwrap_or_else(|| self.stands_on_disks(node))
    }

    fn denied_by_all_ready(&self, node: usize) -> Option<BTreeSet<usize>> {
        let others = self.up().into_iter().filter(|(other, live)| {
            *other != node && self.nodes[*other].place == Place::Mesh && live.fleet.is_ready()
        });
        let denied = others.map(|(_, live)| {
            let verdicts = self.verdicts(&live).into_iter();
            let denied = verdicts.filter(|(_, verdict)| matches!(verdict, Verdict::Revoked(_)));
            denied
                .map(|(number, _)| number)
                .collect::<BTreeSet<usize>>()
        });
        denied.reduce(|all, denied| all.intersection(&denied).copied().collect())
    }

    /// Writes that other members of the mesh took, and hold on the disks on which they took them.
    fn stands_on_disks(&self, node: usize) -> BTreeSet<usize> {
        let states: Vec<State> = (0..self.nodes.len()).map(|node| self.state(node)).collect();
        let writes = self.history.writes.iter().enumerate();
        writes
            .filter(|(_, write)| {
                let of = &self.nodes[write.node];
                write.node != node
                    && of.place == Place::Mesh
                    && of.disks == write.disk
                    && knows(&states[write.node], &write.target, write.kind, write.dot)
            })
            .map(|(number, _)| number)
            .collect()
    }

    /// **I6**, while it runs: a user whom nobody revoked is never revoked.
    fn nothing_else_is_revoked(&self, live: &Live) {
        let nobody = Victim::Any("whom nobody revoked".to_owned());
        let verdict = live.ledger.judge(&nobody.claims(live.ledger.wall()));
        self.hold("I6", !matches!(verdict, Verdict::Revoked(_)), || {
            "a user is revoked whom nobody revoked".to_owned()
        });
    }

    /// Mends everything that no person would be asked to mend twice: links, clocks, processes; then
    /// holds what must hold in the end.
    pub(crate) fn heal_and_check(&mut self) {
        self.heal();
        self.recovers();
        self.nothing_is_lost();
        self.what_is_revoked_was_asked_for();
        self.what_was_lifted_is_active();
    }

    /// Everything may talk again, every clock is right, every node runs.
    pub(crate) fn heal(&mut self) {
        self.say(format_args!("everything heals"));
        let names: Vec<String> = self.names().into_iter().collect();
        for (at, a) in names.iter().enumerate() {
            for b in &names[at + 1..] {
                self.heal_link(a, b);
            }
        }
        for node in 0..self.nodes.len() {
            self.nodes[node].machine.clock.set_off(0);
            if self.nodes[node].is_clone {
                // This one a person has to mend: a copied data directory is emptied.
                self.nodes[node].is_clone = false;
                self.lose_disk(node);
            }
            let name = self.nodes[node].name.clone();
            if !self.sim.is_host_running(name.as_str()) {
                self.start(node);
            }
        }
    }

    pub(crate) fn heal_link(&mut self, a: &str, b: &str) {
        self.sim.release(a, b);
        self.sim.repair(a, b);
        self.sim.set_link_latency(a, b, Duration::from_millis(5));
    }

    /// **I3** and **I9**: healed, all nodes become ready, level and equal, by themselves.
    pub(crate) fn recovers(&mut self) {
        self.run_until("I3, I9: all are level and equal", LEVEL_WITHIN, |world| {
            world.is_level() && world.are_equal()
        });
    }

    fn is_level(&self) -> bool {
        let up = self.up();
        up.len() == self.nodes.len()
            && up.iter().all(|(_, live)| {
                let level = live.fleet.staleness();
                live.fleet.is_ready() && level.is_some_and(|s| s < Duration::from_secs(3))
            })
    }

    fn are_equal(&self) -> bool {
        let now = self.now.wall();
        let mut states = (0..self.nodes.len()).map(|node| self.state_at(node, now));
        let first = states.next();
        if !states.all(|state| Some(state) == first) {
            return false;
        }
        let of = Digested {
            written_before: now,
            runs_out_after: now.plus(Duration::from_secs(1)),
        };
        let digests: Vec<_> = self
            .up()
            .iter()
            .map(|(_, live)| {
                let digests = live.ledger.digests(of, ()).now_or_never();
                digests.expect("an inline ledger").expect("a journal")
            })
            .collect();
        digests.windows(2).all(|pair| pair[0] == pair[1])
    }

    /// A state as a sweeper of this moment would leave it, without what only watchers need.
    fn state_at(&self, node: usize, now: UnixNanos) -> State {
        let state = self.state(node).into_iter();
        state
            .map(|(target, record)| (target, record.forget(now)))
            .filter(|(_, record)| !record.is_empty())
            .map(|(target, mut record)| {
                record.origin = None;
                (target, record)
            })
            .collect()
    }

    /// **I1**: what was acknowledged is known to every node, as long as one disk that had it lived.
    pub(crate) fn nothing_is_lost(&self) {
        let now = self.now.wall();
        let states: Vec<State> = (0..self.nodes.len()).map(|node| self.state(node)).collect();
        for write in &self.history.writes {
            if write.excused || write.victim.is_dead(now, GRACE / 2) {
                continue;
            }
            for (node, state) in states.iter().enumerate() {
                let is_known = knows(state, &write.target, write.kind, write.dot);
                self.hold("I1", is_known, || {
                    format!("{} never heard of {write:?}", self.nodes[node].name)
                });
                self.hold("I1", self.is_enforced(write, state), || {
                    let (name, has) = (&self.nodes[node].name, state.get(&write.target));
                    format!("{name} does not enforce {write:?}; it holds {has:?}")
                });
            }
        }
    }

    fn is_enforced(&self, write: &Write, state: &State) -> bool {
        let rule = &state[&write.target].rules[&write.kind];
        self.history.is_lifted(write) || rule.in_force().any(|entry| entry.cut_off >= write.cut_off)
    }

    /// **I6**, in the end: what is in force was asked for, by that cut-off.
    fn what_is_revoked_was_asked_for(&self) {
        for (target, record) in self.state(0) {
            for (kind, rule) in &record.rules {
                let asked = self.history.asked.get(&(target.clone(), *kind));
                let asked = asked.map_or(&[][..], Vec::as_slice);
                let is_asked = rule.in_force().all(|entry| asked.contains(&entry.cut_off));
                self.hold("I6", is_asked, || {
                    format!("nobody asked for {target}: {rule:?}")
                });
            }
        }
    }

    /// **I6**, and the other side of I2: a user of whom every ban was seen by a lift that lives is
    /// ACTIVE again. What runs out is left out: a clock that is far ahead forgets the lift at once.
    fn what_was_lifted_is_active(&self) {
        let bans = self.history.writes.iter();
        for write in bans.filter(|write| matches!(write.victim, Victim::Any(_))) {
            let of_target =
                |other: &&Write| other.target == write.target && other.kind == write.kind;
            // Of a write that failed nobody knows whether it holds.
            let asked = &self.history.asked[&(write.target.clone(), write.kind)];
            let done = self.history.writes.iter().filter(of_target).count();
            let all_lifted = asked.len() == done
                && self.history.writes.iter().filter(of_target).all(|other| {
                    self.history.lifts.iter().any(|lift| {
                        !lift.excused
                            && lift.target == other.target
                            && lift.kind == other.kind
                            && lift.seen.knows(other.dot)
                    })
                });
            let state = self.state(0);
            let rule = state
                .get(&write.target)
                .and_then(|record| record.rules.get(&write.kind));
            let is_free = rule.is_none_or(|rule| rule.in_force().next().is_none());
            self.hold("I6", !all_lifted || is_free, || {
                format!("every revocation was lifted, and {rule:?} is in force")
            });
        }
    }

    /// **I10**: everything that runs out is forgotten by all, and then nothing moves any more.
    pub(crate) fn forgets_for_good(&mut self) {
        self.run(LIFETIME * 3 + GRACE);
        let heads = self.heads();
        self.run(Duration::from_secs(5));
        self.hold("I10", heads == self.heads(), || {
            format!(
                "records go on being passed around: {heads:?}, then {:?}",
                self.heads()
            )
        });
        // Those by whose clock it was written later keep it longer; buckets are swept as wholes.
        let due = self.now.wall().minus(Duration::from_secs(15));
        for node in 0..self.nodes.len() {
            for (target, record) in self.state(node) {
                let is_kept = record.next_end().is_none_or(|end| end > due);
                self.hold("I10", is_kept, || {
                    format!("{} still holds {target}: {record:?}", self.nodes[node].name)
                });
            }
        }
        self.hold("I3", self.are_equal(), || {
            "they differ after forgetting".to_owned()
        });
    }

    fn heads(&self) -> Vec<u64> {
        let up = self.up();
        up.iter()
            .map(|(_, live)| live.ledger.condition().head)
            .collect()
    }

    /// **I7**: a node remembers no more followers than there were nodes, and no watch of those that
    /// are gone.
    pub(crate) fn memory_is_bounded(&self) {
        let identities: u64 = self.nodes.iter().map(|node| node.disks + 1).sum();
        for (node, live) in self.up() {
            let known = live.fleet.followers.list(live.ledger.wall());
            self.hold("I7", known.len() as u64 <= identities, || {
                format!("{} followers of {}", known.len(), self.nodes[node].name)
            });
            let open: usize = known.iter().map(|(_, follower)| follower.watches).sum();
            let most = 3 * (self.nodes.len() - 1);
            self.hold("I7", open <= most, || {
                format!("{open} watches of {} are open", self.nodes[node].name)
            });
        }
    }

    /// Part of **I1**, for those who wait: of the writes that a follower is said to have made durable it
    /// has each, also those whose record was superseded meanwhile and stands elsewhere in the journal.
    /// What runs out is left out, and so are nodes whose disks went back in time.
    pub(crate) fn acknowledgements_are_honest(&self) {
        if self.nodes.iter().any(|node| node.is_clone) {
            return;
        }
        let is_steady = |node: usize| self.nodes[node].disks == 0;
        let up = self.up().into_iter().filter(|(node, _)| is_steady(*node));
        let up: Vec<(usize, Live, State)> = up
            .map(|(node, live)| (node, live, self.state(node)))
            .collect();
        for (node, live, own) in &up {
            for (id, follower) in live.fleet.followers.list(live.ledger.wall()) {
                let of_id = |(_, other, _): &&(usize, Live, State)| other.ledger.node() == id.0;
                let Some((other, _, has)) = up.iter().find(of_id) else {
                    continue;
                };
                let acked = follower.acked;
                let writes = self.history.writes.iter().filter(|write| {
                    write.node == *node
                        && write.seq <= acked
                        && matches!(write.victim, Victim::Any(_))
                        && is_known(own, write)
                });
                for write in writes {
                    self.hold("I1", is_known(has, write), || {
                        let (name, of) = (&self.nodes[*other].name, &self.nodes[*node].name);
                        format!("{name} is said to have {of} up to {acked}, and lacks {write:?}")
                    });
                }
            }
        }
    }

    /// Fails with the whole story.
    #[track_caller]
    pub(crate) fn hold(&self, name: &str, holds: bool, story: impl FnOnce() -> String) {
        assert!(
            holds,
            "{name}: {}\n{}{}",
            story(),
            self.trace,
            self.describe()
        );
    }

    /// Whether a user is free on every node that runs.
    pub(crate) fn is_free_everywhere(&self, sub: &str) -> bool {
        let up = self.up();
        up.iter()
            .all(|(node, _)| self.verdict(*node, sub) == Verdict::Active)
    }

    /// What a reader may be told of: users that are banned, as a node has it.
    pub(crate) fn banned(&self, node: usize) -> BTreeSet<String> {
        let state = self.state(node).into_iter();
        let banned = state.filter(|(_, record)| {
            let all = record.rules.get(&RuleKind::All);
            all.is_some_and(|rule| rule.in_force().next().is_some())
        });
        banned
            .filter_map(|(target, _)| match target.what {
                rescind::model::What::User(sub) if target.iss == ISS => Some(sub),
                _ => None,
            })
            .collect()
    }
}

fn is_known(state: &State, write: &Write) -> bool {
    knows(state, &write.target, write.kind, write.dot)
}

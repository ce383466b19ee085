//! The model with time, which `sync_model.py` leaves out: what runs out is swept, by clocks that
//! differ and jump, under bounds that differ.
//!
//! **What is promised, and judged at every step:** nothing is un-revoked before its time without a
//! lift that had seen it, nothing is revoked that nobody revoked, and once all is quiet everybody
//! holds the same. What is forgotten stays so: sweeping writes no rows, and talk about what has run
//! out ends.
//!
//! Its time, on a node, is when every token that it denies is EXPIRED or INVALID by the node's own
//! clock. Clocks that are trusted differ by up to 5 minutes, leeway is 5 minutes, and the grace of
//! 10 minutes covers both. A node that does not trust its clock does not sweep.

use std::time::Duration;

use crate::model::{Rule, RuleKind};

use super::{
    hear, hold,
    node::{GRACE, LEEWAY, Policy, Protocol},
    revoke,
    schedule::{Dice, Kept, NODES, Op, Schedule, follows},
    schedules, told,
    world::World,
};

const LIFETIME_S: u64 = 3_600;
const GREATER_LIFETIME_S: u64 = 9_000;
const DAY_S: u64 = 86_400;
/// How far clocks that are trusted differ at most.
const AHEAD_MAX_S: u64 = LEEWAY.as_secs();
/// Rows that may be written until all is quiet: each node takes in what every other one has of
/// every target, and half of them write it again.
const ROWS_MAX: u64 = 400;

impl Schedule {
    /// The schedule of a seed, with time.
    fn drawn_with_time(seed: u64) -> Self {
        let dice = &mut Dice::new(seed);
        let has_greater = dice.is(50);
        let mut schedule = Self {
            follows: follows(dice),
            lifetimes_s: Vec::new(),
            operations: Vec::new(),
        };
        for node in 0..NODES {
            let is_greater = has_greater && dice.is(40);
            let lifetime_s = if is_greater {
                GREATER_LIFETIME_S
            } else {
                LIFETIME_S
            };
            schedule.lifetimes_s.push(lifetime_s);
            schedule.operations.push(set_clock(dice, node));
        }
        let mut cut = Vec::new();
        for _ in 0..30 + dice.below(171) {
            schedule.draw_with_time(dice, &mut cut);
        }
        schedule
    }

    fn draw_with_time(&mut self, dice: &mut Dice, cut: &mut Vec<(usize, usize)>) {
        let node = dice.place(NODES);
        match dice.below(1_000) {
            0..230 => self.draw_write(dice, node, kept),
            230..300 => self.operations.push(Op::Commit { node }),
            300..650 => self.draw_talk(dice, node, cut),
            650..690 => {
                *cut = (0..dice.below(6))
                    .map(|_| (dice.place(NODES), node))
                    .collect();
            }
            690..830 => {
                let seconds = *dice.pick(&[10, 60, 60, 300, 600, 1_500, 3_600]);
                self.operations.push(Op::Pass { seconds });
            }
            830..920 => self.operations.push(Op::Sweep { node }),
            920..950 => self.operations.push(set_clock(dice, node)),
            950..955 => self.operations.push(Op::Raise {
                node,
                lifetime_s: GREATER_LIFETIME_S,
            }),
            955..975 => self.operations.push(Op::Crash { node }),
            975..985 => self.operations.push(Op::BackUp { node }),
            985..995 => self.operations.push(Op::RollBack { node }),
            _ => self.operations.push(Op::Lose { node }),
        }
    }
}

fn kept(dice: &mut Dice) -> Kept {
    match dice.below(100) {
        0..50 => Kept::ForLifetime,
        50..85 => Kept::ForS(60 + dice.below(4_000)),
        _ => Kept::UntilLifted,
    }
}

/// Mostly a clock to be trusted; else one that jumped by a day.
fn set_clock(dice: &mut Dice, node: usize) -> Op {
    let by_s = i64::try_from(dice.below(AHEAD_MAX_S + 1)).unwrap();
    let day_s = i64::try_from(DAY_S).unwrap();
    let (ahead_s, is_trusted) = match dice.below(100) {
        0..80 => (by_s, true),
        80..90 => (by_s + day_s, false),
        _ => (by_s - day_s, false),
    };
    Op::SetClock {
        node,
        ahead_s,
        is_trusted,
    }
}

/// Plays a schedule, then lets everybody talk and sweep by right clocks until nothing is left
/// that runs out.
fn judged(schedule: &Schedule, policy: Policy) -> Vec<String> {
    let mut world = World::played(schedule, policy);
    for node in 0..NODES {
        let ahead_s = node as u64 * AHEAD_MAX_S / (NODES as u64 - 1);
        world.set_clock(node, i64::try_from(ahead_s).unwrap(), true);
    }
    let sweep = |world: &mut World, node: usize| world.nodes[node].sweep();
    let rows = world.talk(sweep);
    if rows > ROWS_MAX {
        world.wrong.push(format!("{rows} rows until all was quiet"));
    }
    let all_differ_by = Duration::from_secs(AHEAD_MAX_S);
    world.judge_end(world.now.plus(all_differ_by));
    // The last is beyond what a clock that was a day ahead had kept longest.
    let steps_s = [[300; 3], [600; 3], [1_200; 3], [1_800; 3], [3 * DAY_S; 3]];
    for seconds in steps_s.concat() {
        world.pass(seconds);
        let rows = world.talk(sweep);
        if rows > 0 && world.wrong.is_empty() {
            world
                .wrong
                .push(format!("{rows} rows, though all was quiet"));
        }
        world.judge_end(world.now.plus(all_differ_by));
    }
    let left = world.nodes.iter().flat_map(|node| node.disk.log.values());
    let runs_out = left
        .filter(|(_, record)| record.next_end().is_some())
        .count();
    if runs_out > 0 {
        world
            .wrong
            .push(format!("{runs_out} rows were never forgotten"));
    }
    world.wrong
}

const DESIGNED: Policy = Policy {
    protocol: Protocol::Designed,
    drops_expired: true,
};

fn hold_with_time(protocol: Protocol) {
    let policy = Policy {
        protocol,
        ..DESIGNED
    };
    hold(schedules(150), Schedule::drawn_with_time, |schedule| {
        judged(schedule, policy)
    });
}

#[test]
fn what_runs_out_is_forgotten_for_good_and_nothing_before_its_time() {
    hold_with_time(Protocol::Designed);
}

#[test]
fn a_leaf_need_not_hand_up_what_it_was_given_though_time_passes() {
    hold_with_time(Protocol::SkipsHeld);
}

/// Everybody has the lesser bound but those who are named.
fn with_greater(greater: &[usize], steps: &[&[Op]]) -> Schedule {
    let lifetime_s = |node| {
        if greater.contains(&node) {
            GREATER_LIFETIME_S
        } else {
            LIFETIME_S
        }
    };
    Schedule {
        lifetimes_s: (0..NODES).map(lifetime_s).collect(),
        ..told(steps.concat())
    }
}

/// Hub 0 revokes, and everybody else hears of it after it has run out: each takes it in, tells the
/// next and sweeps it before it comes round again. So what has run out is not taken in.
#[test]
fn what_has_run_out_would_wander_for_ever_if_it_were_taken_in() {
    let pass = Op::Pass { seconds: 660 };
    let schedule = with_greater(&[], &[&revoke(0, 4, Kept::ForS(136)), &[pass]]);
    let takes_in = Policy {
        drops_expired: false,
        ..DESIGNED
    };
    let wrong = judged(&schedule, takes_in);
    assert!(wrong.iter().any(|wrong| wrong.contains("never are quiet")));
    assert_eq!(judged(&schedule, DESIGNED), Vec::<String>::new());
}

/// By the bounds of hub 0 the revocation has run out; leaf 3 accepts tokens that live longer. It
/// must keep it longer before it looks at what has run out.
#[test]
fn what_has_run_out_elsewhere_is_taken_in_where_it_is_needed_longer() {
    let pass = Op::Pass {
        seconds: LIFETIME_S + GRACE.as_secs() + 60,
    };
    let steps = [
        &revoke(0, 1, Kept::ForLifetime)[..],
        &[pass],
        &hear(3, 0),
        &[Op::Sweep { node: 3 }],
    ];
    let schedule = with_greater(&[3], &steps);
    let world = World::played(&schedule, DESIGNED);
    assert!(world.nodes[3].record(1).is_in_force());
    assert_eq!(judged(&schedule, DESIGNED), Vec::<String>::new());
}

/// Hub 2 needs it longer, but its clock has jumped a day ahead, where even that is over. When the
/// clock is back nothing comes to look again: so a clock that is not trusted decides nothing.
#[test]
fn a_clock_that_jumped_does_not_decide_that_nothing_is_needed_longer() {
    let jumped = Op::SetClock {
        node: 2,
        ahead_s: 86_400,
        is_trusted: false,
    };
    let steps = [&[jumped][..], &revoke(0, 1, Kept::ForLifetime), &hear(2, 0)];
    let schedule = with_greater(&[2], &steps);
    assert_eq!(judged(&schedule, DESIGNED), Vec::<String>::new());
}

/// Leaf 3 is ahead: it has forgotten the entry of hub 0 that it wrote again for longer, and that
/// it had seen it. Hub 0 still holds both, and sends them back: then leaf 3 must see that its own
/// entry covers the other, or the two write in turn until hub 0 forgets too.
#[test]
fn what_one_has_forgotten_and_another_not_yet_is_not_written_in_turn() {
    let ahead = Op::SetClock {
        node: 3,
        ahead_s: 240,
        is_trusted: true,
    };
    let pass = Op::Pass {
        seconds: LIFETIME_S + GRACE.as_secs() - 120,
    };
    let steps = [&[ahead][..], &revoke(0, 3, Kept::ForLifetime), &[pass]];
    let schedule = with_greater(&[3], &steps);
    let mut world = World::played(&schedule, DESIGNED);
    let rows = world.talk(|world, node| world.nodes[node].sweep());
    assert_eq!(world.wrong, Vec::<String>::new());
    assert!(rows < 20, "{rows} rows");
    assert_eq!(judged(&schedule, DESIGNED), Vec::<String>::new());
}

/// Two revocations of one target, of which one is kept until its token's own end, and both come
/// to a node with a greater bound: that bound does not run from the token's end.
#[test]
fn a_bound_does_not_run_from_the_end_of_what_no_bound_keeps() {
    let steps = [
        revoke(2, 3, Kept::ForLifetime),
        revoke(1, 3, Kept::ForS(1_808)),
    ];
    let schedule = with_greater(&[1], &[&steps.concat()]);
    let mut world = World::played(&schedule, DESIGNED);
    world.talk(|_, _| {});
    let node = &world.nodes[1];
    let rules = node.record(3).rules.clone();
    for entry in rules.values().flat_map(Rule::in_force) {
        assert_eq!(node.needs(entry), entry.until);
    }
    assert_eq!(judged(&schedule, DESIGNED), Vec::<String>::new());
}

/// Each of them writes before it hears of the others, and they need not write again: one entry
/// for each, side by side until somebody revokes or lifts.
#[test]
fn nodes_with_greater_bounds_write_once_each() {
    let greater = [3, 4, 5];
    let schedule = with_greater(&greater, &[&revoke(0, 1, Kept::ForLifetime)]);
    let mut world = World::played(&schedule, DESIGNED);
    world.talk(|_, _| {});
    let record = world.nodes[0].record(1);
    let entries = record.rules.values().map(|rule| rule.entries.len());
    assert!((1..=greater.len()).contains(&entries.sum()));
    assert_eq!(judged(&schedule, DESIGNED), Vec::<String>::new());
}

/// A lift takes back what it has seen: not what a node with a greater bound made of it meanwhile,
/// although nobody asked for that. The target stays revoked until it is restored once more.
#[test]
fn a_restore_leaves_in_force_what_was_written_again_meanwhile() {
    let lift = Op::Lift {
        node: 0,
        key: 1,
        kind: 0,
    };
    let steps = [
        &revoke(0, 1, Kept::ForLifetime)[..],
        &hear(3, 0),
        &[lift, Op::Acknowledge { node: 0 }],
    ];
    let mut world = World::played(&with_greater(&[3], &steps), DESIGNED);
    assert!(!world.nodes[0].record(1).is_in_force());
    world.talk(|_, _| {});
    assert!(world.nodes[0].record(1).is_in_force());
    world.play(lift);
    world.talk(|_, _| {});
    assert!(!world.nodes.iter().any(|node| node.record(1).is_in_force()));
}

/// Hub 1 is ahead by all that clocks may differ, and forgets an entry while it still knows of the
/// writes that it had seen of that boot: to hub 0 this looks as if the entry had been replaced, and
/// it forgets it too, by its own clock too early. So the grace must cover the difference of the
/// clocks and leeway together; twice the leeway is less when leeway is short.
#[test]
fn what_is_forgotten_ahead_of_time_elsewhere_has_run_out_here_too() {
    let ahead = Op::SetClock {
        node: 1,
        ahead_s: 300,
        is_trusted: true,
    };
    let lift = Op::Lift {
        node: 0,
        key: 1,
        kind: 0,
    };
    let another_kind = Op::Revoke {
        node: 1,
        key: 1,
        kind: 1,
        cut_off: 9,
        kept: Kept::UntilLifted,
    };
    let short_s = 60;
    let pass = Op::Pass {
        seconds: short_s + GRACE.as_secs() - AHEAD_MAX_S,
    };
    let steps = [
        &[ahead][..],
        &revoke(0, 1, Kept::ForLifetime),
        &[lift],
        &revoke(0, 1, Kept::ForS(short_s)),
        &hear(1, 0),
        &[
            pass,
            Op::Sweep { node: 1 },
            another_kind,
            Op::Commit { node: 1 },
        ],
    ];
    let mut world = World::played(&with_greater(&[], &steps), DESIGNED);
    let is_revoked = |world: &World, node: usize| {
        let record = world.nodes[node].record(1);
        record.rules[&RuleKind::VersionBelow].in_force().count() == 1
    };
    assert!(is_revoked(&world, 0) && !is_revoked(&world, 1));
    for op in hear(0, 1) {
        world.play(op);
    }
    assert!(!is_revoked(&world, 0));
    assert_eq!(world.wrong, Vec::<String>::new());
}

//! The sync protocol as a randomised model, on the types that really go over the wire: this is
//! `sync_model.py` of the design, law for law.
//!
//! A node keeps a compacted log of joined records in its own order. Records and the cursor they
//! came with commit together; only what changed the state is logged and fed on. Three hubs mesh;
//! each of three leaves follows two hubs and hands up its whole log to them, whoever wrote it.
//! Processes die, disks are restored from backups or lost, links are cut. Then everybody may talk
//! until all is quiet: they must hold the same, and an acknowledged revocation that no lift had
//! seen is in force everywhere, unless the only disks that had it went back in time.
//!
//! `RESCIND_SCHEDULES` says how many schedules each test plays.

mod disk;
mod node;
mod recorded;
mod schedule;
mod time;
mod world;

use node::{Policy, Protocol};
use schedule::{Faults, Kept, Op, Schedule};
use world::World;

fn policy(protocol: Protocol) -> Policy {
    Policy {
        protocol,
        drops_expired: false,
    }
}

/// How many schedules are played, unless the environment says otherwise.
fn schedules(count: u64) -> u64 {
    #[expect(
        clippy::disallowed_methods,
        reason = "a test is asked for more by the one who runs it, and reads no configuration"
    )]
    let asked = std::env::var("RESCIND_SCHEDULES");
    asked.map_or(count, |asked| asked.parse().unwrap())
}

/// Plays schedules until one goes wrong.
fn first_wrong(
    count: u64,
    drawn: impl Fn(u64) -> Schedule,
    judged: impl Fn(&Schedule) -> Vec<String>,
) -> Option<(u64, Schedule)> {
    (0..count)
        .map(|seed| (seed, drawn(seed)))
        .find(|(_, schedule)| !judged(schedule).is_empty())
}

/// Plays schedules, of which none may go wrong. One that does is told in as few steps as it takes.
fn hold(
    count: u64,
    drawn: impl Fn(u64) -> Schedule,
    judged: impl Fn(&Schedule) -> Vec<String> + Copy,
) {
    if let Some((seed, schedule)) = first_wrong(count, drawn, judged) {
        let least = schedule.shrunk(|less| !judged(less).is_empty());
        panic!(
            "seed {seed}: {}\n{}",
            judged(&least).join("\n"),
            least.told()
        );
    }
}

fn hold_under(count: u64, faults: Faults, protocol: Protocol) {
    hold(
        schedules(count),
        |seed| Schedule::drawn(seed, faults),
        |schedule| World::judged(schedule, policy(protocol)),
    );
}

fn diverges_under(faults: Faults, protocol: Protocol) {
    let found = first_wrong(
        1_000,
        |seed| Schedule::drawn(seed, faults),
        |schedule| World::judged(schedule, policy(protocol)),
    );
    let (_, schedule) = found.unwrap_or_else(|| panic!("{protocol:?} was not seen to be wrong"));
    let right = World::judged(&schedule, policy(Protocol::Designed));
    assert!(right.is_empty(), "{right:?}");
}

#[test]
fn processes_that_die_lose_nothing_that_was_acknowledged() {
    hold_under(400, Faults::Crash, Protocol::Designed);
}

#[test]
fn disks_restored_from_a_backup_catch_up() {
    hold_under(400, Faults::Rollback, Protocol::Designed);
}

#[test]
fn lost_disks_catch_up() {
    hold_under(400, Faults::Loss, Protocol::Designed);
}

#[test]
fn a_leaf_need_not_hand_up_what_the_hubs_running_boot_gave_it() {
    for faults in [Faults::Crash, Faults::Rollback, Faults::Loss] {
        hold_under(150, faults, Protocol::SkipsHeld);
    }
}

#[test]
fn an_origin_kept_on_joined_records_is_seen_to_be_wrong() {
    diverges_under(Faults::Crash, Protocol::JoinedOrigin);
}

#[test]
fn leaves_that_hand_up_only_their_own_are_seen_to_be_wrong() {
    diverges_under(Faults::Crash, Protocol::OwnRows);
}

/// Hubs 1 and 2, and leaf 5 below both; the others only listen.
fn told(operations: Vec<Op>) -> Schedule {
    Schedule {
        follows: [[1, 2], [0, 2], [0, 1], [0, 1], [0, 1], [1, 2]]
            .map(Vec::from)
            .into(),
        lifetimes_s: Vec::new(),
        operations,
    }
}

fn revoke(node: usize, key: usize, kept: Kept) -> [Op; 2] {
    let revoke = Op::Revoke {
        node,
        key,
        kind: 0,
        cut_off: 7,
        kept,
    };
    [revoke, Op::Acknowledge { node }]
}

/// Watches `upstream` and commits what came.
fn hear(node: usize, upstream: usize) -> [Op; 2] {
    let pull = Op::Pull {
        node,
        upstream,
        count: 4,
    };
    [pull, Op::Commit { node }]
}

fn hand_up(node: usize, upstream: usize) -> [Op; 2] {
    let push = Op::Push {
        node,
        upstream,
        count: 4,
    };
    [push, Op::Commit { node }]
}

fn is_wrong_only_under(protocol: Protocol, schedule: &Schedule) {
    assert!(!World::judged(schedule, policy(protocol)).is_empty());
    for right in [Protocol::Designed, Protocol::SkipsHeld] {
        let wrong = World::judged(schedule, policy(right));
        assert!(wrong.is_empty(), "{right:?}: {wrong:?}");
    }
}

/// The leaf was given a record by a hub, whose disk then goes back to before it. What the hub gave
/// in an earlier run it need not have any more.
#[test]
fn what_a_hub_held_in_an_earlier_boot_it_need_not_hold() {
    let steps = [
        &revoke(2, 5, Kept::UntilLifted)[..],
        &hear(5, 2),
        &hear(1, 2),
        &[Op::RollBack { node: 2 }],
        &hear(5, 1),
        &[Op::RollBack { node: 1 }],
    ];
    is_wrong_only_under(Protocol::SkipsHeldOfAnyBoot, &told(steps.concat()));
}

/// The leaf sends nothing, since the hubs gave it what it has, and moves its mark all the same. If
/// the mark kept the cursor of the push before, it would still be taken when the hubs go back to
/// where they were at that push, and what the leaf skipped is gone there.
#[test]
fn a_mark_beyond_what_was_skipped_needs_a_cursor_from_after_it() {
    let steps = [
        &revoke(5, 0, Kept::UntilLifted)[..],
        &hand_up(5, 1),
        &hand_up(5, 2),
        &[Op::BackUp { node: 1 }, Op::BackUp { node: 2 }],
        &revoke(2, 5, Kept::UntilLifted),
        &hear(1, 2),
        &hear(5, 2),
        &hand_up(5, 2),
        &hear(5, 1),
        &hand_up(5, 1),
        &[Op::RollBack { node: 1 }, Op::RollBack { node: 2 }],
    ];
    is_wrong_only_under(Protocol::SkipsHeldUnderOldMark, &told(steps.concat()));
}

/// Hub 2 revokes two targets, and the first of them once more, so that its first record is gone.
/// Whoever watches it is on the way, past where that record stood and before where it now stands,
/// when the disk goes back to what it was: there the first record stands again, behind them all.
#[test]
fn a_cursor_given_on_the_way_does_not_outlive_what_was_still_to_come() {
    let a_little = |node| Op::Pull {
        node,
        upstream: 2,
        count: 1,
    };
    let steps = [
        &revoke(2, 1, Kept::UntilLifted)[..],
        &revoke(2, 0, Kept::UntilLifted),
        &[Op::BackUp { node: 2 }],
        &revoke(2, 1, Kept::UntilLifted),
        &[0, 1, 5].map(a_little),
        &[Op::RollBack { node: 2 }],
    ];
    let wrong = World::judged(&told(steps.concat()), policy(Protocol::Designed));
    assert_eq!(wrong, Vec::<String>::new());
}

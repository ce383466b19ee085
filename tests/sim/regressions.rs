//! Bugs that the simulation found, a story each.

use std::time::Duration;

use crate::world::World;

const SECOND: Duration = Duration::from_secs(1);

/// A node dropped what its peer sent as run out, by a clock that had jumped ahead since the sweeper
/// last looked at it; its cursor went past it, and with the clock set right the token was ACTIVE.
#[test]
fn a_clock_that_jumped_a_moment_ago_drops_nothing() {
    let mut world = World::mesh(70, 2);
    world.run(8 * SECOND);
    for _ in 0..8 {
        world.nodes[1].machine.clock.set_off(235_000);
        world.revoke_token(0);
        world.log_out(0, "u");
        world.run(Duration::from_millis(370));
        world.nodes[1].machine.clock.set_off(0);
        world.run(2 * SECOND);
    }
    world.heal_and_check();
}

/// A node that was started with its clock far ahead trusted it, and dropped what its peer sent as run
/// out. It did not journal by which time, so that once the clock was set right it judged by the right
/// time a token whose revocation it had never taken in.
#[test]
fn what_was_dropped_by_a_wrong_clock_counts_as_forgotten() {
    let mut world = World::mesh(71, 2);
    world.nodes[1].machine.clock.set_off(247_000);
    world.run(8 * SECOND);
    world.revoke_token(0);
    world.run(SECOND);
    world.nodes[1].machine.clock.set_off(0);
    world.run(3 * SECOND);
    world.heal_and_check();
}

/// The same clock, set back further than the moment of the revocation: tokens from in between are
/// judged by it, so what was dropped is read again – whether or not the upstream was connected when
/// that was noticed. It was dropped once more, by the greatest time that a sweep had used; and who was
/// not connected just then read nothing again.
#[test]
fn what_was_dropped_by_a_wrong_clock_is_read_again() {
    for is_apart in [false, true] {
        let mut world = World::mesh(72, 2);
        world.nodes[1].machine.clock.set_off(247_000);
        world.run(8 * SECOND);
        world.log_out(0, "u");
        world.run(SECOND);
        if is_apart {
            world.sim.partition("m0", "m1");
            world.run(6 * SECOND);
            world.log_out(0, "v");
        }
        world.nodes[1].machine.clock.set_off(-20_000);
        world.run(3 * SECOND);
        world.heal_link("m0", "m1");
        world.run(4 * SECOND);
        for user in ["u", "v"] {
            let of_user =
                |write: &&crate::history::Write| write.target == crate::history::user(user);
            for write in world.history.writes.iter().filter(of_user) {
                let has = world.state(1).contains_key(&write.target);
                assert!(has, "apart: {is_apart}: {user} was not read again");
            }
        }
        world.heal_and_check();
    }
}

/// A crash in the middle of that reading, before its place was written: the next run went on from where
/// the first reading had come to, and never read what had been dropped.
#[test]
fn what_was_dropped_by_a_wrong_clock_is_read_again_after_a_crash() {
    for pause in 0..6 {
        let mut world = World::mesh(73, 2);
        world.nodes[1].machine.clock.set_off(247_000);
        world.run(8 * SECOND);
        world.log_out(0, "u");
        world.run(SECOND);
        // By then it knows that its clock was set back, and hears nobody.
        world.sim.partition("m0", "m1");
        world.nodes[1].machine.clock.set_off(-20_000);
        world.run(2 * SECOND + pause * SECOND / 10);
        world.restart(1);
        world.heal_link("m0", "m1");
        world.run(4 * SECOND);
        let write = &world.history.writes[0];
        let has = world.state(1).contains_key(&write.target);
        assert!(has, "pause {pause}: it was not read again");
        world.heal_and_check();
    }
}

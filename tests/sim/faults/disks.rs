//! Processes that end, and disks that are lost, go back in time, or are copied.

use std::time::Duration;

use rescind::model::{RuleKind, Verdict};

use crate::world::World;

const SECOND: Duration = Duration::from_secs(1);

/// The power goes at every point of a commit: what was acknowledged is there, and what was not may
/// be there or not, on all nodes alike.
#[test]
fn the_power_goes_at_every_point_of_a_commit() {
    for actions in 0..14 {
        let mut world = World::mesh(10 + actions, 2);
        world.run(2 * SECOND);
        world.nodes[0].machine.disk.cut_power_after(actions);
        world.ban(0, "a");
        world.ban(0, "b");
        world.ban(1, "c");
        world.run(SECOND);
        if world.live(0).is_some() {
            world.crash(0);
        }
        world.heal_and_check();
    }
}

/// A member of the mesh that lost its disk says nothing to be ACTIVE before it has everything again
/// from the others, and gets back what it alone had told them.
#[test]
fn a_lost_disk_is_filled_again_before_anything_is_answered() {
    let mut world = World::mesh(30, 3);
    world.run(3 * SECOND);
    world.ban(0, "u");
    world.run(2 * SECOND);
    world.lose_disk(0);
    world.expect_sync(0);
    world.part(&["m0"], &["m1", "m2"]);
    world.start(0);
    world.run(40 * SECOND);
    let lonely = world.live(0).unwrap();
    assert!(
        lonely.fleet.may_say_active(None).is_err(),
        "it never synced"
    );
    world.heal_and_check();
    assert!(world.is_banned_everywhere("u"));
}

/// A disk restored from a backup has forgotten what this node had told others, and the others'
/// cursors at it are from beyond its end: both get what they lack, and new writes are not taken for
/// old ones.
#[test]
fn a_disk_that_went_back_in_time_catches_up_and_is_read_again() {
    let mut world = World::mesh(31, 3);
    world.run(3 * SECOND);
    world.ban(0, "before");
    world.back_up(0);
    world.ban(0, "after");
    world.lift(0, "before", RuleKind::All);
    world.run(2 * SECOND);
    world.restore_backup(0);
    world.start(0);
    world.run(Duration::from_millis(20));
    // As many writes as were lost: their places in the log are the same.
    world.ban(0, "again");
    world.ban(0, "and again");
    world.heal_and_check();
    assert!(world.is_banned_everywhere("after") && world.is_free_everywhere("before"));
    assert!(world.is_banned_everywhere("again") && world.is_banned_everywhere("and again"));
}

/// Two live nodes on copies of one disk are refused loudly, each by the other, and the mesh goes on;
/// once the copy is emptied all is well again.
#[test]
fn a_cloned_disk_is_refused() {
    let mut world = World::mesh(32, 3);
    world.run(3 * SECOND);
    world.ban(0, "u");
    world.run(SECOND);
    let image = world.nodes[0].machine.disk.image();
    world.replace_disk(1, image);
    world.nodes[1].is_clone = true;
    world.start(1);
    world.run(8 * SECOND);
    for (node, other) in [(0, "m1:50551"), (1, "m0:50551")] {
        let upstreams = world.live(node).unwrap().fleet.upstreams.list();
        let view = upstreams
            .iter()
            .find(|(upstream, _)| upstream.address == other);
        let error = &view.unwrap().1.last_error;
        assert!(error.contains("copied"), "m{node}: {error}");
    }
    world.ban(0, "v");
    world.ban(2, "w");
    world.run(5 * SECOND);
    assert!(matches!(world.verdict(2, "v"), Verdict::Revoked(_)));
    world.heal_and_check();
}

/// All hubs restart at once: nobody is ready, and they do not wait for each other for ever.
#[test]
fn all_hubs_restart_at_once() {
    let mut world = World::hubs(33, 3, 3);
    world.run(3 * SECOND);
    world.ban(0, "u");
    world.ban(4, "v");
    world.run(2 * SECOND);
    for hub in 0..3 {
        world.crash(hub);
    }
    world.ban(3, "while they are down");
    world.run(2 * SECOND);
    for hub in 0..3 {
        world.start(hub);
    }
    world.run(5 * SECOND);
    assert!(world.is_banned_everywhere("while they are down"));
    world.heal_and_check();
}

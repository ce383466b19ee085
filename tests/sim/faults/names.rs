//! Nodes that find each other by a name.

use std::time::Duration;

use crate::world::World;

const SECOND: Duration = Duration::from_secs(1);
const ALL: [&str; 3] = ["m0", "m1", "m2"];

fn ready(names: &[&str]) -> World {
    let mut world = World::named_mesh(80, names, Some(names.len() - 1));
    let count = names.len();
    world.run_until("all are level", 20 * SECOND, |world| {
        let up = world.up();
        let is_level = |live: &crate::node::Live| live.fleet.staleness().is_some();
        up.len() == count && up.iter().all(|(_, live)| is_level(live))
    });
    world
}

/// A node looks now and then whether one of the addresses is still its own. While it looked it counted
/// itself among those whom it had never met: for a moment it was infinitely stale.
#[test]
fn a_node_that_finds_itself_again_stays_level() {
    let mut world = ready(&ALL);
    let end = world.now.get() + 70 * SECOND;
    while world.now.get() < end {
        world.step();
        for (node, live) in world.up() {
            assert!(
                live.fleet.staleness().is_some(),
                "m{node} at {:?}",
                world.now.get()
            );
        }
    }
}

/// A pod that was replaced runs on its old disk at another address, and the name has that one. The
/// others are level with it again as soon as they have met it there.
#[test]
fn a_node_with_another_address_is_level_soon() {
    let mut world = World::named_mesh(81, &["m0", "m1", "m2", "m3"], None);
    world.dns.set("mesh", Some(&ALL));
    world.step();
    world.crash(3);
    world.run(15 * SECOND);
    world.ban(2, "u");
    world.run(SECOND);
    world.crash(2);
    let image = world.nodes[2].machine.disk.image();
    world.replace_disk(3, image);
    world.dns.set("mesh", Some(&["m0", "m1", "m3"]));
    world.start(3);
    world.run(4 * SECOND);
    world.run_until("all are level", 10 * SECOND, |world| {
        let others = world.up();
        let staleness = |live: &crate::node::Live| live.fleet.staleness();
        others.len() == 3
            && others
                .iter()
                .all(|(_, live)| staleness(live).is_some_and(|stale| stale < 3 * SECOND))
    });
    assert!(world.is_banned_everywhere("u"));
    // Nobody but the name knows where it was.
    world.lose_disk(2);
    world.dns.set("mesh", Some(&["m0", "m1", "m2", "m3"]));
    world.heal_and_check();
}

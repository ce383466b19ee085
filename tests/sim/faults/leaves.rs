//! Leaves and their hubs.

use std::time::Duration;

use crate::world::World;

const SECOND: Duration = Duration::from_secs(1);

/// A leaf that loses one hub, then the other, then the first again misses nothing and hands
/// everything up, whichever of them it reaches.
#[test]
fn a_leaf_fails_over_from_a_to_b_and_back() {
    let mut world = World::hubs(40, 2, 1);
    let leaf = world.at("l0");
    world.run(3 * SECOND);
    for (round, reachable) in [0, 1, 0, 1].into_iter().enumerate() {
        let lost = format!("h{}", 1 - reachable);
        world.sim.partition("l0", lost.as_str());
        world.run(7 * SECOND);
        let (down, up) = (format!("down{round}"), format!("up{round}"));
        world.ban(1 - reachable, &down);
        world.ban(leaf, &up);
        world.run(4 * SECOND);
        assert!(
            world.is_banned_everywhere(&down),
            "round {round}: not from hub to leaf"
        );
        assert!(
            world.is_banned_everywhere(&up),
            "round {round}: not from leaf to hubs"
        );
        world.heal_link("l0", &lost);
    }
    world.heal_and_check();
}

/// A hub comes back with an empty disk while its leaves restart: what only a leaf still has of an
/// acknowledged write reaches the hub again, although its outbox had handed that up before.
#[test]
fn a_hub_that_lost_its_disk_gets_everything_from_leaves_that_restart() {
    let mut world = World::hubs(41, 1, 2);
    let leaf = world.at("l0");
    world.run(3 * SECOND);
    world.ban(leaf, "of the leaf");
    world.ban(0, "of the hub");
    world.run(4 * SECOND);
    world.lose_disk(0);
    world.restart(leaf);
    world.restart(leaf + 1);
    world.run(SECOND);
    world.start(0);
    world.heal_and_check();
    assert!(world.is_banned_everywhere("of the leaf") && world.is_banned_everywhere("of the hub"));
}

/// A leaf enforces its own at once, whether or not a hub can be reached, and says ACTIVE of others
/// by what it knows, with its staleness.
#[test]
fn a_leaf_without_hubs_enforces_its_own() {
    let mut world = World::hubs(42, 2, 2);
    let leaf = world.at("l0");
    world.run(3 * SECOND);
    world.part(&["l0"], &["h0", "h1"]);
    world.run(6 * SECOND);
    world.ban(leaf, "u");
    let verdict = world.verdict(leaf, "u");
    assert!(matches!(verdict, rescind::model::Verdict::Revoked(_)));
    world.run(4 * SECOND);
    assert!(world.live(leaf).unwrap().fleet.staleness().unwrap() >= 10 * SECOND);
    world.heal_and_check();
    assert!(world.is_banned_everywhere("u"));
}

/// A leaf is as stale as the best of its hubs knows itself to be, and the way there: a hub that is
/// cut off from the mesh does not vouch for it.
#[test]
fn a_hub_that_is_cut_off_does_not_vouch_for_the_others() {
    let mut world = World::hubs(43, 2, 1);
    let leaf = world.at("l0");
    world.run(3 * SECOND);
    world.part(&["h1"], &["h0", "l0"]);
    world.run(SECOND);
    world.ban(1, "u");
    world.run(9 * SECOND);
    // h0 answers all the time, and h1 has acknowledged something that h0 cannot know.
    assert!(world.live(leaf).unwrap().fleet.staleness().unwrap() >= 9 * SECOND);
    world.heal_and_check();
    assert!(world.is_banned_everywhere("u"));
}

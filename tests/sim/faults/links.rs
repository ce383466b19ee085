//! Links that fail.

use std::time::Duration;

use rescind::model::{RuleKind, Verdict};

use crate::world::World;

const SECOND: Duration = Duration::from_secs(1);

/// Two halves of a mesh, each of which goes on taking writes, agree when they meet again.
#[test]
fn two_halves_that_were_apart_agree() {
    let mut world = World::mesh(1, 4);
    world.run(3 * SECOND);
    world.part(&["m0", "m1"], &["m2", "m3"]);
    world.ban(0, "left");
    world.ban(2, "right");
    world.run(10 * SECOND);
    assert!(matches!(world.verdict(1, "left"), Verdict::Revoked(_)));
    assert_eq!(world.verdict(3, "left"), Verdict::Active, "it cannot know");
    world.heal_and_check();
    assert!(world.is_banned_everywhere("left") && world.is_banned_everywhere("right"));
}

/// A node that speaks and hears nothing says how stale it is, and the one that hears everything and
/// cannot be heard is not taken for level by anybody.
#[test]
fn a_node_that_hears_nothing_says_how_stale_it_is() {
    for (from, to) in [("m0", "m1"), ("m1", "m0")] {
        let mut world = World::mesh(2, 2);
        world.run(3 * SECOND);
        world.sim.partition_oneway(from, to);
        world.run(SECOND);
        world.ban(0, "u");
        world.run(9 * SECOND);
        let deaf = world.live(1).unwrap();
        let staleness = deaf.fleet.staleness().unwrap();
        // Its questions, or the answers to them, do not arrive.
        assert!(staleness >= 9 * SECOND, "{from} to {to}: {staleness:?}");
        world.heal_and_check();
        assert!(world.is_banned_everywhere("u"));
    }
}

/// What a link held up for a while arrives late and in order, and until then the node is stale.
#[test]
fn what_a_link_held_up_arrives() {
    let mut world = World::mesh(3, 2);
    world.run(3 * SECOND);
    world.sim.hold("m0", "m1");
    world.ban(0, "u");
    world.lift(0, "u", RuleKind::All);
    world.ban(0, "v");
    world.run(3 * SECOND);
    assert!(world.live(1).unwrap().fleet.staleness().unwrap() >= 3 * SECOND);
    world.sim.release("m0", "m1");
    world.run_until("both know", 2 * SECOND, |world| {
        world.is_banned_everywhere("v") && world.is_free_everywhere("u")
    });
    world.heal_and_check();
}

/// A slow link makes a node look stale by all of its delay, never by less, and it goes on working.
#[test]
fn a_slow_link_is_told_as_staleness() {
    let mut world = World::mesh(4, 2);
    let delay = Duration::from_millis(600);
    world.sim.set_link_latency("m0", "m1", delay);
    world.run_until("both are ready", 30 * SECOND, |world| {
        world.up().iter().all(|(_, live)| live.fleet.is_ready())
    });
    for round in 0..40 {
        world.ban(0, &format!("u{round}"));
        world.run(Duration::from_millis(210));
        if let Some(staleness) = world.live(1).unwrap().fleet.staleness() {
            assert!(staleness >= delay, "{staleness:?} over a link of {delay:?}");
        }
    }
    world.heal_and_check();
}

/// An empty answer of the resolver is a failure: nobody is forgotten, and nobody is alone because of
/// it.
#[test]
fn an_empty_answer_of_the_resolver_forgets_nobody() {
    let mut world = World::named_mesh(5, &["m0", "m1", "m2"], Some(2));
    world.run_until("all are ready", 20 * SECOND, |world| {
        world.up().len() == 3 && world.up().iter().all(|(_, live)| live.fleet.is_ready())
    });
    for answer in [Some(&[][..]), None] {
        world.dns.set("mesh", answer);
        world.run(20 * SECOND);
        world.ban(1, "u");
        world.run(2 * SECOND);
        assert!(world.is_banned_everywhere("u"));
        world.lift(2, "u", RuleKind::All);
        world.run(2 * SECOND);
        assert!(world.is_free_everywhere("u"));
    }
    // A node that starts meanwhile finds nobody: it must not take itself for the whole mesh.
    world.restart(0);
    world.run(20 * SECOND);
    assert!(!world.live(0).unwrap().fleet.is_ready());
    assert_eq!(world.live(0).unwrap().fleet.staleness(), None);
    world.dns.set("mesh", Some(&["m0", "m1", "m2"]));
    world.heal_and_check();
}

//! Clocks that are wrong, and what runs out.

use std::time::Duration;

use rescind::model::{RuleKind, Semantics, Verdict};

use crate::{
    node::{GRACE, LIFETIME},
    world::World,
};

const SECOND: Duration = Duration::from_secs(1);

/// With the bounds that are configured by default: nodes whose clocks differ by ten minutes agree on
/// what is revoked, and a lift is a lift, whoever's clock says that it came before.
#[test]
fn clocks_five_minutes_off_order_nothing() {
    let mut world = World::mesh(50, 3);
    for (node, off) in [(0, 300_000), (1, -300_000), (2, 0)] {
        world.nodes[node].machine.clock.set_off(off);
        world.nodes[node].machine.setup.lock().unwrap().semantics = Semantics::default();
    }
    world.run(3 * SECOND);
    world.ban(0, "u");
    world.ban(1, "v");
    world.log_out(0, "w");
    world.run(2 * SECOND);
    assert!(world.is_banned_everywhere("u") && world.is_banned_everywhere("v"));
    // By its own clock this lift is ten minutes older than the ban.
    world.lift(1, "u", RuleKind::All);
    world.run(2 * SECOND);
    assert!(world.is_free_everywhere("u"));
    world.ban(1, "u");
    world.run(2 * SECOND);
    assert!(world.is_banned_everywhere("u"));
    world.recovers();
    world.nothing_is_lost();
}

/// Nodes forget the same revocation at different moments; those who were first are not told again,
/// and nobody says ACTIVE of a token that somebody could still take for alive.
#[test]
fn expiry_at_different_moments_brings_nothing_back() {
    let mut world = World::mesh(51, 3);
    world.run(SECOND);
    world.nodes[1].machine.clock.set_off(11_000);
    world.nodes[2].machine.clock.set_off(-11_000);
    world.run(7 * SECOND);
    for node in 0..3 {
        world.revoke_token(node);
        world.log_out(node, "u");
    }
    for round in 0..12 {
        world.run(SECOND * 5);
        if round % 4 == 3 {
            // Whoever reads everything again meets what it has forgotten.
            world.restart(round / 4);
        }
    }
    world.heal();
    world.recovers();
    world.forgets_for_good();
    assert!(
        world
            .nodes
            .iter()
            .enumerate()
            .all(|(node, _)| world.state(node).is_empty())
    );
}

/// A clock jumps far ahead and back: nothing is forgotten by it, and the node recovers by itself.
#[test]
fn a_clock_that_jumps_forgets_nothing() {
    let mut world = World::mesh(52, 2);
    world.run(8 * SECOND);
    world.log_out(0, "u");
    world.revoke_token(1);
    for off in [300_000, -300_000, 0, 4_000_000, 0] {
        world.nodes[0].machine.clock.set_off(off);
        world.revoke_token(1);
        world.run(2 * SECOND);
    }
    world.heal_and_check();
}

/// A node that starts with a wrong clock and is set right is believed again without a person, since
/// its peers say the same time; then it forgets like everybody else.
#[test]
fn a_clock_that_was_wrong_from_the_start_is_believed_once_it_is_right() {
    let mut world = World::mesh(53, 2);
    world.nodes[0].machine.clock.set_off(-200_000);
    world.run(9 * SECOND);
    world.log_out(1, "u");
    world.nodes[0].machine.clock.set_off(0);
    world.heal_and_check();
    world.forgets_for_good();
}

/// A lift and a revocation at the same moment, on two nodes: the lift takes back what it had seen,
/// and the revocation, which it had not, stays.
#[test]
fn a_lift_that_races_a_revocation_lifts_what_it_had_seen() {
    for apart in [false, true] {
        let mut world = World::mesh(54, 3);
        world.run(3 * SECOND);
        world.ban(0, "u");
        world.run(SECOND);
        if apart {
            world.part(&["m0"], &["m1", "m2"]);
        }
        world.lift(0, "u", RuleKind::All);
        world.ban(1, "u");
        world.lift(2, "v", RuleKind::All);
        world.run(2 * SECOND);
        world.heal_and_check();
        assert!(world.is_banned_everywhere("u"), "apart: {apart}");
        world.lift(2, "u", RuleKind::All);
        world.run(2 * SECOND);
        assert!(world.is_free_everywhere("u"), "apart: {apart}");
    }
}

/// A token that was revoked stays denied until it has run out for every clock, through restarts of
/// the only node that was told.
#[test]
fn a_revoked_token_stays_denied_until_it_has_run_out() {
    let mut world = World::mesh(55, 2);
    world.run(2 * SECOND);
    world.revoke_token(0);
    let (mut now, end) = (Duration::ZERO, LIFETIME + GRACE);
    while now < end {
        world.restart(0);
        world.run(4 * SECOND);
        now += 4 * SECOND;
        let write = &world.history.writes[0];
        for (_, live) in world.up() {
            let verdict = live.ledger.judge(&write.victim.claims(live.ledger.wall()));
            assert_ne!(verdict, Verdict::Active);
        }
    }
}

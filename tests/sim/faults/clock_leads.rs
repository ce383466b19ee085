//! Issuers whose clocks are ahead, and Checks at any node.

use std::time::Duration;

use futures_util::FutureExt as _;
use rescind::{
    clock::Clock as _,
    ledger::{AskedRules, Named, Revoke, Terms, TokenEnd},
    limits,
    model::{Claims, Reason, Target, UnixNanos, Verdict, What},
};

use crate::{node::LIFETIME, random::Random, world::World};

const ROUNDS: u64 = 12;
/// As the simulated nodes are set up.
const LEEWAY_MS: u64 = 2_000;

fn token(iss: &str, iat: UnixNanos) -> Claims<'_> {
    Claims {
        iss: iss.into(),
        jti: "t".into(),
        sub: "ada".into(),
        iat: Some(iat),
        exp: Some(iat.plus(LIFETIME)),
        ..Claims::default()
    }
}

/// Logs ada of an issuer out at a node, by that node's word of when that is.
fn log_out_now(world: &World, node: usize, iss: &str) {
    let order = Revoke {
        targets: vec![Named {
            target: Target {
                iss: iss.to_owned(),
                what: What::User("ada".to_owned()),
            },
            end: TokenEnd::Unknown,
        }],
        rules: AskedRules {
            issued_before_now: true,
            ..AskedRules::default()
        },
        expires_at: None,
        reason: Reason::Unspecified,
        terms: Terms::default(),
    };
    let live = world.live(node).expect("a node that runs");
    let answer = live.ledger.revoke(order).now_or_never();
    answer
        .expect("an inline ledger")
        .expect("an acknowledgement");
}

/// Whoever called the token ACTIVE, and whichever node is told to revoke a heartbeat later: it is
/// denied everywhere. Each round has an issuer of its own, so that no earlier lead helps.
fn every_now_reaches_what_was_active(mut world: World, seed: u64) {
    let mut random = Random::new(seed);
    let mut pick =
        |count: usize| usize::try_from(random.below(count as u64)).expect("a small number");
    world.run(Duration::from_secs(5));
    for round in 0..ROUNDS {
        let iss = format!("https://{round}.example");
        let (checks, revokes) = (pick(world.nodes.len()), pick(world.nodes.len()));
        let lead =
            Duration::from_millis(1 + pick(2_000) as u64).min(Duration::from_millis(LEEWAY_MS));
        let iat = world.nodes[checks].machine.clock.wall().plus(lead);
        let live = world.live(checks).expect("a node that runs");
        assert_eq!(live.ledger.judge(&token(&iss, iat)), Verdict::Active);
        drop(live);
        let mut left = limits::PEER_HEARTBEAT;
        if pick(3) == 0 {
            // What is known of the lead by then is on disk, and others were told.
            let saved = 3 * limits::CLOCK_LEAD_DELAY;
            world.run(saved);
            left -= saved;
            let crashes = if pick(2) == 0 { checks } else { revokes };
            world.restart(crashes);
        }
        world.run(left);
        if world.live(revokes).is_none() {
            world.run(limits::PEER_HEARTBEAT);
        }
        log_out_now(&world, revokes, &iss);
        world.run(Duration::from_secs(3));
        for (node, live) in world.up() {
            let verdict = live.ledger.judge(&token(&iss, iat));
            assert!(
                matches!(verdict, Verdict::Revoked(_)),
                "seed {seed}, round {round}: {lead:?} ahead, checked at {checks}, revoked at {revokes}: \
                 {node} says {verdict:?}"
            );
        }
    }
}

#[test]
fn a_token_that_is_ahead_is_within_the_next_now_of_any_member_of_a_mesh() {
    for seed in 70..76 {
        every_now_reaches_what_was_active(World::mesh(seed, 3), seed);
    }
}

#[test]
fn a_token_that_is_ahead_is_within_the_next_now_of_any_hub_or_leaf() {
    for seed in 80..86 {
        every_now_reaches_what_was_active(World::hubs(seed, 2, 3), seed);
    }
}

//! How nodes begin.

use std::time::Duration;

use rescind::{
    fleet::JoinPolicy,
    proto::v1::{self, Verdict},
};
use tonic::Code;

use crate::world::World;

const SECOND: Duration = Duration::from_secs(1);

/// A mesh that starts together from nothing does not wait for itself.
#[test]
fn a_mesh_that_starts_together_is_ready() {
    for count in 2..=4 {
        let mut world = World::mesh(60, count);
        world.run_until("all are ready", 5 * SECOND, |world| {
            let up = world.up();
            up.len() == count && up.iter().all(|(_, live)| live.fleet.is_ready())
        });
        world.ban(0, "u");
        world.heal_and_check();
    }
}

/// A mesh that starts together by one name waits for as many as are expected.
#[test]
fn a_mesh_that_starts_together_by_name_is_ready() {
    let mut world = World::named_mesh(61, &["m0", "m1", "m2"], Some(2));
    world.run_until("all are ready", 15 * SECOND, |world| {
        let up = world.up();
        up.len() == 3 && up.iter().all(|(_, live)| live.fleet.is_ready())
    });
    world.heal_and_check();
}

fn check(sub: &str, world: &World) -> v1::CheckRequest {
    let now = f64::from(u32::try_from(world.now.wall().secs_floor()).unwrap());
    let claims = v1::Claims {
        iss: "i".to_owned(),
        jti: "t".to_owned(),
        sub: sub.to_owned(),
        iat: Some(now),
        exp: Some(now + 10.0),
        ..v1::Claims::default()
    };
    v1::CheckRequest {
        credential: Some(v1::check_request::Credential::Claims(claims)),
        ..v1::CheckRequest::default()
    }
}

/// A node that never met anybody answers REVOKED of what it knows itself and UNAVAILABLE of
/// everything else, for as long as it takes; with join = "alone" it goes on after a while.
#[test]
fn who_never_synced_never_says_active_unless_told_to_go_on_alone() {
    for (policy, expected) in [
        (JoinPolicy::Wait, Err(Code::Unavailable)),
        (JoinPolicy::Alone, Ok(Verdict::Active)),
    ] {
        let mut world = World::mesh(62, 2);
        world.nodes[0].machine.setup.lock().unwrap().join = policy;
        world.step();
        world.crash(1);
        world.run(2 * SECOND);
        world.ban(0, "u");
        let ask = |world: &mut World, sub: &str| {
            let question = check(sub, world);
            world.ask(0, async move |mut client| {
                let answer = client.check(question).await;
                answer
                    .map(|answer| answer.into_inner().verdict())
                    .map_err(|status| status.code())
            })
        };
        assert_eq!(
            ask(&mut world, "v"),
            Err(Code::Unavailable),
            "{policy:?}, at first"
        );
        assert_eq!(ask(&mut world, "u"), Ok(Verdict::Revoked), "{policy:?}");
        world.run(31 * SECOND);
        assert_eq!(ask(&mut world, "v"), expected, "{policy:?}, after a while");
        assert_eq!(ask(&mut world, "u"), Ok(Verdict::Revoked), "{policy:?}");
    }
}

/// Revocations through the API wait for followers; one that is cut off is pending, not forgotten.
#[test]
fn a_follower_that_is_cut_off_is_pending() {
    let mut world = World::mesh(63, 3);
    world.run(4 * SECOND);
    let revoke = |world: &mut World, sub: &str| {
        let request = v1::RevokeUserRequest {
            iss: "i".to_owned(),
            sub: sub.to_owned(),
            wait_for: Some(v1::WaitFor {
                who: Some(v1::wait_for::Who::AllFollowers(true)),
                timeout: Some(prost_types::Duration {
                    seconds: 3,
                    nanos: 0,
                }),
            }),
            ..v1::RevokeUserRequest::default()
        };
        let answer = world.ask(0, async move |mut client| client.revoke_user(request).await);
        let spread = answer.unwrap().into_inner().propagation.unwrap();
        (spread.applied, spread.expected, spread.pending.len())
    };
    assert_eq!(revoke(&mut world, "u"), (2, 2, 0));
    world.part(&["m2"], &["m0", "m1"]);
    assert_eq!(revoke(&mut world, "v"), (1, 2, 1));
    world.run(60 * SECOND);
    assert_eq!(
        revoke(&mut world, "w"),
        (1, 2, 1),
        "long after its connection was given up"
    );
    world.heal();
    world.recovers();
    assert_eq!(revoke(&mut world, "x"), (2, 2, 0));
}

/// I7: a watch whose reader is gone is closed, whether it left in peace or was cut off.
#[test]
fn watches_of_readers_that_are_gone_are_closed() {
    let mut world = World::mesh(64, 2);
    let _reader = world.reader(0);
    world.run(3 * SECOND);
    let watchers = |world: &mut World| {
        let asked = async |mut client: crate::reader::Client| {
            client.get_status(v1::GetStatusRequest::default()).await
        };
        world.ask(0, asked).unwrap().into_inner().watchers.len()
    };
    let with_reader = watchers(&mut world);
    world.sim.partition("reader", "m0");
    world.sim.crash("reader");
    world.run(60 * SECOND);
    assert_eq!(watchers(&mut world), with_reader - 1);
    world.memory_is_bounded();
}

/// All hubs are restarted, two of them with empty disks, and the third does not come back yet: it alone
/// holds what it acknowledged. The two wait for it, and so does a fresh leaf of the two, although it
/// has caught up with both.
#[test]
fn a_fresh_leaf_of_hubs_that_wait_waits_too() {
    let mut world = World::hubs(65, 3, 1);
    let leaf = world.at("l0");
    world.run(3 * SECOND);
    world.part(&["h2"], &["h0", "h1"]);
    world.ban(2, "u");
    world.run(2 * SECOND);
    for node in [0, 1, leaf] {
        world.lose_disk(node);
    }
    world.crash(2);
    world.expect_sync(leaf);
    for node in [0, 1, leaf] {
        world.start(node);
    }
    world.run(20 * SECOND);
    for node in [0, 1, leaf] {
        assert!(!world.live(node).unwrap().fleet.is_ready(), "{node}");
    }
    world.heal_and_check();
    assert!(world.is_banned_everywhere("u"));
}

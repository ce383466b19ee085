//! A power cut at every moment of a random history, and disks that fail.
//!
//! The page cache survives `kill -9`, so a killed process proves little. This disk forgets what was
//! not synced: all of it, any part of it, with the last write torn.

use std::collections::{BTreeMap, BTreeSet};

use proptest::{prelude::*, test_runner::TestRng};

use super::{disk::Action, *};

/// What is asked of the node; some of it at once.
#[derive(Clone, Debug, PartialEq)]
enum Step {
    Ban(BTreeSet<u8>),
    Lift(BTreeSet<u8>),
    Pass(u16),
}

fn step() -> impl Strategy<Value = Step> {
    let some = || proptest::collection::btree_set(0_u8..6, 1..4);
    prop_oneof![
        6 => some().prop_map(Step::Ban),
        3 => some().prop_map(Step::Lift),
        1 => (1_u16..30).prop_map(Step::Pass),
    ]
}

/// Of each user, how many bans and lifts were written: odd while banned.
type Bans = BTreeMap<u8, bool>;

fn is_banned(node: &Node, number: u8, now: UnixNanos) -> bool {
    let claims = Claims {
        sub: format!("u{number}").into(),
        ..token("t", now, HOUR)
    };
    node.is_revoked(&claims)
}

fn bans(node: &Node, now: UnixNanos) -> Bans {
    (0..6)
        .map(|number| (number, is_banned(node, number, now)))
        .collect()
}

fn users(numbers: &BTreeSet<u8>) -> Vec<Target> {
    numbers
        .iter()
        .map(|number| user(&format!("u{number}")))
        .collect()
}

async fn take(setup: &Setup, node: &Node, step: &Step, id: u8) -> Result<(), WriteError> {
    let terms = Terms {
        request_id: Some(request_id(id, id)),
        ..Terms::default()
    };
    match step {
        Step::Ban(numbers) => {
            // A token that runs out soon goes with them, so that there is something to sweep.
            let mut order = revoke(users(numbers), all());
            order.targets.push(Named {
                target: jti(&format!("j{id}")),
                end: TokenEnd::At(setup.clock.wall().plus(SECOND)),
            });
            order.terms = terms;
            node.revoke(order).await.map(drop)
        }
        Step::Lift(numbers) => {
            let order = Restore {
                targets: users(numbers),
                kinds: vec![RuleKind::All],
                terms,
            };
            node.restore(order).await.map(drop)
        }
        Step::Pass(minutes) => {
            setup.clock.advance(MINUTE * u32::from(*minutes));
            node.sweep().await.map(drop)
        }
    }
}

fn after(mut bans: Bans, step: &Step) -> Bans {
    let (numbers, banned) = match step {
        Step::Ban(numbers) => (numbers.clone(), true),
        Step::Lift(numbers) => (numbers.clone(), false),
        Step::Pass(_) => return bans,
    };
    bans.extend(numbers.into_iter().map(|number| (number, banned)));
    bans
}

/// The states that a history went through, and how far the disk was when each was acknowledged.
struct Played {
    setup: Setup,
    actions: Vec<Action>,
    /// (position of the disk, what then held and was acknowledged)
    acknowledged: Vec<(usize, Bans)>,
}

fn play(runtime: &tokio::runtime::Runtime, steps: &[Step]) -> Played {
    let (setup, disk) = (Setup::new(), Disk::recording());
    let node = setup.start(&disk);
    let mut held: Bans = (0..6).map(|number| (number, false)).collect();
    let mut acknowledged = vec![(disk.position(), held.clone())];
    for (id, step) in (0..).zip(steps) {
        runtime.block_on(take(&setup, &node, step, id)).unwrap();
        held = after(held, step);
        acknowledged.push((disk.position(), held.clone()));
    }
    assert_eq!(bans(&node, setup.clock.wall()), held);
    node.stop();
    Played {
        setup,
        actions: disk.actions(),
        acknowledged,
    }
}

/// What is left of the disk when the power goes after some actions: everything up to the last
/// sync, and of what came after it whatever `keep` says.
fn left(actions: &[Action], mut keep: impl FnMut(&Action) -> Option<Action>) -> Vec<u8> {
    let synced = actions
        .iter()
        .rposition(|action| matches!(action, Action::Sync))
        .map_or(0, |place| place + 1);
    let (safe, pending) = actions.split_at(synced);
    let mut bytes = Vec::new();
    for action in safe {
        action.apply(&mut bytes);
    }
    for action in pending.iter().filter_map(&mut keep) {
        action.apply(&mut bytes);
    }
    bytes
}

fn check(runtime: &tokio::runtime::Runtime, played: &Played, at: usize, bytes: &[u8]) {
    let disk = Disk::holding(bytes);
    let node = played
        .setup
        .try_start(&disk)
        .unwrap_or_else(|error| panic!("cut at {at}: {error}"));
    let found = bans(&node, played.setup.clock.wall());
    // What was acknowledged last, and what was asked next, if anything was.
    let next = played
        .acknowledged
        .partition_point(|(position, _)| *position <= at);
    let may_be = &played.acknowledged[next - 1..(next + 1).min(played.acknowledged.len())];
    assert!(
        may_be.iter().any(|(_, bans)| *bans == found),
        "cut at {at}: {found:?} is neither what was acknowledged nor what was asked next: {may_be:?}"
    );
    assert_eq!(
        node.condition().held,
        runtime.block_on(node.records()).len() as u64
    );
    // It goes on from there.
    runtime.block_on(node.revoke_one(user("later"), all()));
    node.stop();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 40, ..ProptestConfig::default() })]

    #[test]
    fn a_power_cut_at_any_moment_loses_nothing_acknowledged_and_leaves_nothing_half_done(
        steps in proptest::collection::vec(step(), 1..10),
        seed in any::<[u8; 32]>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let played = play(&runtime, &steps);
        let mut random = TestRng::from_seed(proptest::test_runner::RngAlgorithm::ChaCha, &seed);
        for at in played.acknowledged[0].0..=played.actions.len() {
            let actions = &played.actions[..at];
            let bytes = match random.random_range(0..4) {
                0 => left(actions, |_| None),
                1 => left(actions, |action| Some(action.clone())),
                2 => left(actions, |action| random.random_bool(0.5).then(|| action.clone())),
                _ => left(actions, |action| Some(action.torn(f64::from(random.random_range(0..4)) / 3.0))),
            };
            check(&runtime, &played, at, &bytes);
        }
    }
}

/// Nothing that a failing disk does may reach Check, or be taken for written.
#[test]
fn on_a_failing_disk_writes_are_refused_and_check_goes_on() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let steps: Vec<Step> = [1_u8, 2, 3, 4]
        .map(|number| Step::Ban([number, number - 1].into()))
        .into();
    let mut is_healthy = false;
    for healthy_for in 0.. {
        let (setup, disk) = (Setup::new(), Disk::recording());
        let node = setup.start(&disk);
        disk.fail_after(healthy_for);
        let mut held: Bans = (0..6).map(|number| (number, false)).collect();
        let mut refused = None;
        for (id, step) in (0..).zip(&steps) {
            match runtime.block_on(take(&setup, &node, step, id)) {
                Ok(()) => {
                    assert_eq!(refused, None, "no write is taken after one that failed");
                    held = after(held, step);
                }
                Err(error) => {
                    assert!(matches!(error, WriteError::Unavailable(_)), "{error}");
                    let why = node.condition().failure.unwrap();
                    assert_eq!(
                        error.to_string(),
                        format!("nothing was acknowledged: {why}")
                    );
                    refused.get_or_insert_with(|| step.clone());
                }
            }
            assert_eq!(
                bans(&node, T0),
                held,
                "Check goes on with what was acknowledged"
            );
        }
        assert_eq!(refused.is_some(), node.condition().failure.is_some());
        if refused.is_some() {
            // Healed or not: this process has lost its trust in the disk.
            disk.heal();
            let sweep = runtime.block_on(node.sweep());
            assert!(
                matches!(sweep, Err(WriteError::Unavailable(_))),
                "{sweep:?}"
            );
        }
        node.stop();
        disk.heal();
        let node = setup.start(&disk);
        let found = bans(&node, T0);
        let half_asked = refused.as_ref().map(|step| after(held.clone(), step));
        assert!(
            found == held || Some(&found) == half_asked.as_ref(),
            "after {healthy_for}"
        );
        node.stop();
        if refused.is_none() {
            is_healthy = true;
            break;
        }
    }
    assert!(is_healthy);
}

/// The records of another node that banned these users.
async fn written_elsewhere(subs: [&str; 2]) -> Vec<Record> {
    let node = Setup::new().start(&Disk::default());
    for sub in subs {
        node.revoke_one(user(sub), all()).await;
    }
    let records = node.records().await;
    records.into_iter().map(|(_, record)| record).collect()
}

/// What other nodes revoked was once refused with everything else when the disk had failed, so that a
/// node with a broken disk let in whom its peers had locked out.
#[test]
fn on_a_failing_disk_what_others_revoked_is_enforced_from_memory() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let others = runtime.block_on(written_elsewhere(["u", "v"]));
    let of_user = |sub: &str| Claims {
        sub: sub.to_owned().into(),
        ..token("t", T0, HOUR)
    };
    for healthy_for in 0..40 {
        let (setup, disk) = (Setup::new(), Disk::recording());
        let node = setup.start(&disk);
        runtime.block_on(node.revoke_one(user("mine"), all()));
        disk.fail_after(healthy_for);
        let merge = |records: &[Record]| {
            let order = Merge {
                records: records.to_vec(),
                place: Some(("cursor".to_owned(), vec![7])),
                ..Merge::default()
            };
            runtime.block_on(node.merge(order))
        };
        // The write on which the disk fails is refused; whoever sent it sends it again.
        let first = merge(&others[..1])
            .or_else(|_| merge(&others[..1]))
            .unwrap();
        let second = merge(&others[1..])
            .or_else(|_| merge(&others[1..]))
            .unwrap();
        assert_eq!(
            first.durable && second.durable,
            node.condition().failure.is_none()
        );
        for sub in ["mine", "u", "v"] {
            assert!(
                node.is_revoked(&of_user(sub)),
                "{sub}, after {healthy_for} good actions"
            );
        }
        let refused = runtime.block_on(node.revoke(revoke([user("w")], all())));
        assert_eq!(refused.is_err(), node.condition().failure.is_some());
        assert!(
            node.is_revoked(&of_user("u")) && !(refused.is_err() && node.is_revoked(&of_user("w")))
        );
        node.stop();
        disk.heal();

        let node = setup.start(&disk);
        assert!(node.is_revoked(&of_user("mine")));
        let place = runtime
            .block_on(node.remembered("cursor".to_owned()))
            .unwrap();
        if place.is_some() {
            assert!(
                node.is_revoked(&of_user("u")),
                "a cursor goes with its records"
            );
        }
        if first.durable {
            assert!(
                node.is_revoked(&of_user("u")),
                "what was acknowledged is kept"
            );
        }
        node.stop();
    }
}

#[test]
fn a_disk_that_fails_while_starting_is_told_and_nothing_panics() {
    let (setup, disk) = (Setup::new(), Disk::recording());
    let node = setup.start(&disk);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(node.revoke_one(user("u"), all()));
    node.stop();
    for healthy_for in 0.. {
        disk.fail_after(healthy_for);
        let started = setup.try_start(&disk);
        disk.heal();
        match started {
            Ok(node) => {
                assert!(node.is_revoked(&token("t", T0, HOUR)));
                node.stop();
                break;
            }
            Err(error) => assert!(matches!(error, StartError::Journal(_)), "{error}"),
        }
    }
    let node = setup.start(&disk);
    assert!(node.is_revoked(&token("t", T0, HOUR)));
}

/// Records of other nodes are enforced before they are committed. When the commit failed, the next
/// record got a seq that was taken back, the index took it for an older one than what it had from the
/// failed commit, and Check went on with the earlier cut-off until a restart.
#[test]
fn after_a_failed_commit_a_later_cut_off_of_another_upstream_counts() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let logged_out = |subs: &[&str], at: UnixNanos| {
        let setup = Setup::new();
        setup.clock.set_wall(at);
        let node = setup.start(&Disk::default());
        for sub in subs {
            runtime.block_on(node.revoke_one(user(sub), AskedRules::default()));
        }
        let records = runtime.block_on(node.records());
        let records = records.into_iter().map(|(_, record)| record);
        let order = Merge {
            records: records.collect(),
            ..Merge::default()
        };
        node.stop();
        order
    };
    let from_a = logged_out(&["x", "y", "z", "u"], T0);
    let from_b = logged_out(&["u"], T0.plus(MINUTE));
    let (setup, disk) = (Setup::new(), Disk::recording());
    setup.clock.set_wall(T0.plus(HOUR));
    let node = setup.start(&disk);
    runtime.block_on(node.revoke_one(user("mine"), all()));
    disk.fail_after(0);
    assert!(runtime.block_on(node.merge(from_a.clone())).is_err());
    assert!(node.condition().failure.is_some());
    assert!(!runtime.block_on(node.merge(from_b)).unwrap().durable);
    let between = Claims {
        sub: "u".into(),
        ..token("t", T0.plus(SECOND * 30), 2 * HOUR)
    };
    assert!(
        node.is_revoked(&between),
        "by what the second upstream sent"
    );
    runtime.block_on(node.merge(from_a)).unwrap();
    assert!(node.is_revoked(&between), "the first upstream's again");
    node.stop();
}

/// Two upstreams send of one user, and somebody revokes it here, in one transaction: what came from others
/// is in the index before the rest is shown.
#[test]
fn one_target_written_several_times_in_one_transaction_ends_with_the_last() {
    let others = |at: UnixNanos| {
        let setup = Setup::new();
        setup.clock.set_wall(at);
        let node = setup.start(&Disk::default());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(node.revoke_one(user("u"), AskedRules::default()));
        let records = runtime.block_on(node.records());
        node.stop();
        Merge {
            records: records.into_iter().map(|(_, record)| record).collect(),
            ..Merge::default()
        }
    };
    let setup = Setup::new();
    setup.clock.set_wall(T0.plus(HOUR));
    let journal = Journal::open_with(Disk::default().open(), true).unwrap();
    let mut numbers = 1..;
    let options = &setup.options;
    let ledger = Ledger::open_inline(journal, options, || numbers.next().unwrap()).unwrap();
    let Writing::Inline(writer) = &ledger.writing else {
        panic!("an inline ledger");
    };
    let (first, _first) = oneshot::channel();
    let (own, _own) = oneshot::channel();
    let (second, _second) = oneshot::channel();
    writer.lock().unwrap().write(vec![
        Command::Merge(others(T0), first),
        Command::Revoke(revoke([user("u")], AskedRules::default()), own),
        Command::Merge(others(T0.plus(MINUTE)), second),
    ]);
    let before = Claims {
        sub: "u".into(),
        ..token("t", T0.plus(MINUTE * 30), HOUR)
    };
    assert!(matches!(ledger.judge(&before), Verdict::Revoked(_)));
    assert_eq!(ledger.condition().head, 3);
}

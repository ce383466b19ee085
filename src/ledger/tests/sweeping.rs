//! Forgetting, and clocks that jump.

use super::*;

const LIFETIME: Duration = limits::TOKEN_LIFETIME_DEFAULT;
const DIGEST: [u8; 32] = [9; 32];

/// A node that has settled, with a token revoked until an hour from `T0`. It is named by its digest: a
/// `jti` would be kept for each token that is met.
async fn settled() -> (Setup, Disk, Node) {
    let (setup, disk) = (Setup::new(), Disk::default());
    let node = setup.start(&disk);
    let mut order = revoke([target(What::Digest(DIGEST))], AskedRules::default());
    order.targets[0].end = TokenEnd::At(T0.plus(HOUR));
    node.revoke(order).await.unwrap();
    setup.clock.advance(SETTLE);
    assert_eq!(node.sweep_all().await, 0);
    assert_eq!(node.condition().trust, Trust::Trusted);
    (setup, disk, node)
}

/// A token that could still be used, had it not been revoked: its `exp` is in a while.
fn t(now: UnixNanos) -> Claims<'static> {
    t_of(now, HOUR)
}

fn t_of(iat: UnixNanos, lifetime: Duration) -> Claims<'static> {
    Claims {
        jti: "".into(),
        digest: Some(DIGEST),
        ..token("", iat, lifetime)
    }
}

#[tokio::test]
async fn an_entry_is_in_force_until_it_runs_out_and_gone_after_the_grace_and_one_sweep() {
    let (setup, _disk, node) = settled().await;
    // Kept until T0 + 1 h + 10 min, which ends in this bucket of ten seconds.
    let until = T0.plus(HOUR + GRACE);
    let bucket_s = limits::EXPIRY_BUCKET_S;
    let swept_from_s = (until.secs_floor() / bucket_s + 1) * bucket_s;
    let last = UnixNanos::from_nanos(UnixNanos::from_secs(swept_from_s).nanos() - 1);
    setup.clock.advance(last.since(setup.clock.wall()));
    assert_eq!(
        node.sweep_all().await,
        0,
        "a nanosecond before its bucket has passed"
    );
    assert!(node.is_revoked(&t(last)));
    setup.clock.advance(Duration::from_nanos(1));
    assert!(
        node.is_revoked(&t(last)),
        "nothing runs out without a sweep"
    );
    assert_eq!(node.sweep_all().await, 1);
    assert_eq!(node.judge(&t(last)), Verdict::Active);
    assert_eq!(node.condition().held, 0);
    assert_eq!(node.count(TargetKind::Token), 0);
    assert!(node.records().await.is_empty());
    assert_eq!(node.condition().swept, setup.clock.wall());
}

#[tokio::test]
async fn what_was_forgotten_stays_forgotten_over_a_restart() {
    let (setup, disk, node) = settled().await;
    setup.clock.advance(HOUR * 2);
    assert_eq!(node.sweep_all().await, 1);
    node.stop();
    let node = setup.start(&disk);
    assert_eq!(node.judge(&t(setup.clock.wall())), Verdict::Active);
    assert_eq!(node.condition().held, 0);
}

#[tokio::test]
async fn of_two_rules_the_one_that_runs_out_goes_and_the_other_stays() {
    let (setup, disk) = (Setup::new(), Disk::default());
    let node = setup.start(&disk);
    let rules = AskedRules {
        issued_before: Some(T0),
        version_below: Some(5),
        ..AskedRules::default()
    };
    node.revoke_one(user("u"), rules).await;
    setup.clock.advance(LIFETIME + GRACE + MINUTE);
    assert_eq!(node.sweep_all().await, 1);
    let now = setup.clock.wall();
    let with = |version| Claims {
        version: Some(version),
        ..token("x", now, HOUR)
    };
    assert!(node.is_revoked(&with(4)));
    assert_eq!(node.judge(&with(5)), Verdict::Active);
    let held = node.records().await;
    assert_eq!(held.len(), 1);
    assert_eq!(held[0].1.rules.len(), 1, "one rule is left of it");
    node.stop();
    let node = setup.start(&disk);
    assert!(node.is_revoked(&with(4)), "after a restart too");
    assert_eq!(node.records().await, held);
}

#[tokio::test]
async fn a_sweep_is_a_bounded_slice_and_says_truly_whether_there_is_more() {
    for (extra, slices) in [
        (0, vec![(limits::SWEEP_SLICE_MAX, false)]),
        (1, vec![(limits::SWEEP_SLICE_MAX, true), (1, false)]),
    ] {
        let mut setup = Setup::new();
        setup.options.live_max = 1_000_000;
        let node = setup.start(&Disk::default());
        let total = limits::SWEEP_SLICE_MAX + extra;
        let targets: Vec<Named> = (0..total)
            .map(|number| Named {
                target: jti(&number.to_string()),
                end: TokenEnd::At(T0.plus(MINUTE)),
            })
            .collect();
        for targets in targets.chunks(limits::BATCH_MAX) {
            let mut order = revoke([], AskedRules::default());
            order.targets = targets.to_vec();
            node.revoke(order).await.unwrap();
        }
        setup.clock.advance(HOUR);
        for (count, more) in slices {
            assert_eq!(node.sweep().await.unwrap(), Swept { count, more });
        }
        assert_eq!(node.condition().held, 0);
    }
}

#[tokio::test]
async fn a_jump_forward_of_a_day_wipes_nothing_until_the_new_time_is_accepted() {
    let (setup, _disk, node) = settled().await;
    setup.clock.set_wall(setup.clock.wall().plus(DAY));
    assert_eq!(node.sweep_all().await, 0);
    assert!(node.is_revoked(&t(setup.clock.wall())));
    assert!(matches!(node.condition().trust, Trust::Jumped { .. }));
    setup.clock.set_wall(setup.clock.wall().minus(DAY));
    assert_eq!(node.sweep_all().await, 0);
    assert_eq!(node.condition().trust, Trust::Trusted, "the clock is back");
    assert!(node.is_revoked(&t(setup.clock.wall())));
    setup.clock.set_wall(setup.clock.wall().plus(DAY));
    assert_eq!(node.sweep_all().await, 0);
    node.accept_clock().await.unwrap();
    assert_eq!(node.sweep_all().await, 1);
    assert_eq!(node.judge(&t(setup.clock.wall())), Verdict::Active);
}

/// The trust in the clock was only looked at by the sweeper. A write between a jump and the next
/// sweep journaled the jumped time as one that was believed; after a restart there was no gap to
/// be seen, and ten minutes later a day's revocations were forgotten too early.
#[tokio::test]
async fn a_write_just_after_a_jump_does_not_make_the_next_start_believe_it() {
    let (setup, disk, node) = settled().await;
    setup.clock.set_wall(setup.clock.wall().plus(DAY * 3));
    node.revoke_one(user("somebody"), AskedRules::default())
        .await;
    node.stop();
    let node = setup.start(&disk);
    setup.clock.advance(SETTLE);
    assert_eq!(node.sweep_all().await, 0);
    assert!(matches!(node.condition().trust, Trust::Gap { .. }));
    assert!(node.is_revoked(&t(setup.clock.wall())));
}

/// The same after a start: until the first sweep, a gap was taken for settling.
#[tokio::test]
async fn a_write_just_after_a_start_behind_a_gap_does_not_close_the_gap() {
    let (setup, disk, node) = settled().await;
    node.stop();
    setup.clock.advance(DAY * 3);
    for _ in 0..2 {
        let node = setup.start(&disk);
        assert!(
            matches!(node.condition().trust, Trust::Gap { .. }),
            "it says so at once"
        );
        node.revoke_one(user("somebody"), AskedRules::default())
            .await;
        node.stop();
    }
    let node = setup.start(&disk);
    setup.clock.advance(SETTLE);
    assert_eq!(node.sweep_all().await, 0);
    node.accept_clock().await.unwrap();
    assert_eq!(node.sweep_all().await, 1);
    node.stop();
    let node = setup.start(&disk);
    assert!(
        matches!(node.condition().trust, Trust::Settling { .. }),
        "accepted for good"
    );
}

#[tokio::test]
async fn a_start_within_a_day_of_the_last_time_only_settles() {
    let (setup, disk, node) = settled().await;
    node.revoke_one(user("somebody"), AskedRules::default())
        .await;
    node.stop();
    setup.clock.advance(DAY);
    let node = setup.start(&disk);
    assert_eq!(node.sweep_all().await, 0);
    assert_eq!(node.condition().trust, Trust::Settling { left: SETTLE });
    setup.clock.advance(SETTLE);
    assert_eq!(node.sweep_all().await, 1);
}

#[tokio::test]
async fn a_quiet_node_journals_the_time_so_that_a_restart_sees_no_gap() {
    let (setup, disk, node) = settled().await;
    for _ in 0..72 {
        setup.clock.advance(HOUR);
        node.sweep_all().await;
    }
    node.stop();
    setup.clock.advance(HOUR * 22);
    let node = setup.start(&disk);
    assert!(matches!(node.condition().trust, Trust::Settling { .. }));
}

/// While the clock was not believed, every sweep of an idle node journaled its old time again.
#[tokio::test]
async fn a_node_that_does_not_believe_its_clock_writes_nothing_while_idle() {
    let (setup, _disk, node) = settled().await;
    node.stop();
    let disk = Disk::recording();
    let node = setup.start(&disk);
    node.revoke_one(user("somebody"), AskedRules::default())
        .await;
    setup.clock.set_wall(setup.clock.wall().plus(DAY));
    node.sweep_all().await;
    let before = disk.position();
    node.sweep_all().await;
    assert_eq!(disk.position(), before);
}

#[tokio::test]
async fn a_clock_set_back_neither_resurrects_nor_loses_anything() {
    let (setup, disk, node) = settled().await;
    node.revoke_one(user("kept"), all()).await;
    setup.clock.advance(HOUR * 30);
    let swept = setup.clock.wall();
    assert_eq!(node.sweep_all().await, 1);
    let old = t_of(T0.minus(HOUR), HOUR * 2);
    assert_eq!(node.judge(&old), Verdict::Expired);
    // Back to a time at which the forgotten token had not expired.
    setup.clock.set_wall(T0.plus(MINUTE));
    let kept = Claims {
        sub: "kept".into(),
        ..token("k", T0.plus(MINUTE), DAY * 10)
    };
    for is_noticed in [false, true] {
        assert_eq!(node.judge(&old), Verdict::Expired, "noticed: {is_noticed}");
        assert!(node.is_revoked(&kept));
        node.sweep_all().await;
    }
    let fresh = token("f", T0.plus(MINUTE), MINUTE * 5);
    assert_eq!(
        node.judge(&fresh),
        Verdict::Active,
        "people can log in again"
    );
    node.stop();
    let node = setup.start(&disk);
    assert_eq!(node.condition().swept, swept);
    assert_eq!(node.judge(&old), Verdict::Expired, "over a restart too");
    assert_eq!(node.judge(&fresh), Verdict::Active);
    assert!(node.is_revoked(&kept));
    // The clock comes back by itself.
    setup.clock.set_wall(swept.plus(MINUTE));
    node.sweep_all().await;
    assert_eq!(node.judge(&token("n", swept, HOUR)), Verdict::Active);
    assert_eq!(node.judge(&old), Verdict::Expired);
}

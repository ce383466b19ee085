//! Cut-offs, exceptions and suspensions, as Check sees them.

use std::time::Duration;

use rescind::{
    clock::Clock as _,
    model::UnixNanos,
    proto::v1::{self, RevokeRequest, RuleKind, Rules, Verdict, in_force::CutOff},
};

use super::{
    super::say::{self, all, at, claims, issued_before, revoke_by, user, verdict},
    kinds, restore, revoke,
};
use crate::harness::node::{Options, START, TestNode};

fn of_session(sid: &str, iat: u64) -> v1::Claims {
    v1::Claims {
        sub: "u".to_owned(),
        sid: sid.to_owned(),
        ..claims("j", iat)
    }
}

/// An issuer whose clock is ahead of ours issues tokens that a cut-off at our now would spare.
#[tokio::test]
async fn a_cut_off_that_defaults_to_now_lies_as_far_ahead_as_the_issuer_was_seen_to_be() {
    let node = TestNode::start(Options::default()).await;
    let now = node.now_s();
    // Half a second into this second: 19.5 s ahead.
    let ahead = of_session("s", now + 20);
    assert_eq!(verdict(&node.api, ahead.clone()).await, Verdict::Active);
    let receipts = revoke(&node, say::revoke(vec![user("u")])).await;
    assert_eq!(
        receipts[0].in_force[0].cut_off,
        Some(CutOff::Before(at(now + 20)))
    );
    assert_eq!(receipts[0].not_before, Some(at(now + 20)));
    assert_eq!(
        verdict(&node.api, of_session("s", now + 19)).await,
        Verdict::Revoked
    );
    assert_eq!(verdict(&node.api, ahead).await, Verdict::Active);
    // A cut-off that is given is taken as given.
    let receipts = revoke(&node, revoke_by(vec![user("v")], issued_before(now))).await;
    assert_eq!(receipts[0].not_before, Some(at(now)));
    node.stop().await;
}

#[tokio::test]
async fn a_configured_clock_skew_counts_instead_and_at_most_leeway() {
    for (skew_s, counted_s) in [(0, 0), (7, 7), (600, 60)] {
        let options = Options::default().defaults(|defaults| {
            defaults.clock_skew = Some(Duration::from_secs(skew_s));
        });
        let node = TestNode::start(options).await;
        let now = node.now_s();
        assert_eq!(
            verdict(&node.api, of_session("s", now + 20)).await,
            Verdict::Active
        );
        let receipts = revoke(&node, say::revoke(vec![user("u")])).await;
        assert_eq!(
            receipts[0].not_before,
            Some(at(now + counted_s + 1)),
            "{skew_s}"
        );
        node.stop().await;
    }
}

#[tokio::test]
async fn log_out_all_my_other_devices_spares_this_one_from_this_cut_off_only() {
    let node = TestNode::start(Options::default()).await;
    let now = node.now_s();
    revoke(&node, revoke_by(vec![user("u")], issued_before(now - 600))).await;
    let but_here = Rules {
        except_sid: vec!["here".to_owned()],
        ..Rules::default()
    };
    let receipts = revoke(&node, revoke_by(vec![user("u")], but_here)).await;
    assert_eq!(receipts[0].in_force[0].except_sid, ["here"]);
    for (sid, iat, expected) in [
        ("here", now - 60, Verdict::Active),
        ("here", now - 601, Verdict::Revoked),
        ("there", now - 60, Verdict::Revoked),
        ("", now - 60, Verdict::Revoked),
    ] {
        assert_eq!(
            verdict(&node.api, of_session(sid, iat)).await,
            expected,
            "{sid} {iat}"
        );
    }
    // A later logout without exceptions spares nobody.
    let receipts = revoke(&node, say::revoke(vec![user("u")])).await;
    assert!(receipts[0].in_force[0].except_sid.is_empty());
    assert_eq!(
        verdict(&node.api, of_session("here", now - 60)).await,
        Verdict::Revoked
    );
    node.stop().await;
}

#[tokio::test]
async fn a_weaker_cut_off_weakens_nothing_and_says_so() {
    let node = TestNode::start(Options::default()).await;
    let now = node.now_s();
    let version = |below| Rules {
        version_below: below,
        ..Rules::default()
    };
    for (strong, weak) in [
        (issued_before(now), issued_before(now - 9)),
        (version(9), version(8)),
    ] {
        let first = revoke(&node, revoke_by(vec![user("u")], strong)).await;
        let second = revoke(&node, revoke_by(vec![user("u")], weak)).await;
        let cut_offs = |receipt: &v1::Receipt| {
            receipt
                .in_force
                .iter()
                .map(|held| held.cut_off)
                .collect::<Vec<_>>()
        };
        assert_eq!(cut_offs(&first[0]), cut_offs(&second[0]));
        let said = |word| second[0].warnings.iter().any(|told| told.contains(word));
        assert!(
            said("stays") && said("restore and revoke again"),
            "{second:?}"
        );
    }
    node.stop().await;
}

#[tokio::test]
async fn a_suspension_ends_at_its_instant_by_the_clock_of_check() {
    let node = TestNode::start(Options::default()).await;
    let now = node.now_s();
    let until = |seconds| RevokeRequest {
        expires_at: Some(at(seconds)),
        ..revoke_by(vec![user("u")], all())
    };
    let mut here = of_session("s", now - 60);
    here.exp = here.exp.map(|exp| exp + 86_400.0);
    let receipts = revoke(&node, until(now + 60)).await;
    assert_eq!(receipts[0].in_force[0].expires_at, Some(at(now + 60)));
    // The latest end wins, and who asked for less is told.
    let receipts = revoke(&node, until(now + 30)).await;
    assert_eq!(receipts[0].in_force[0].expires_at, Some(at(now + 60)));
    assert!(
        receipts[0]
            .warnings
            .iter()
            .any(|told| told.contains("longer suspension stays"))
    );

    let end = UnixNanos::from_secs(now + 60);
    node.clock.advance(
        end.since(START)
            .checked_sub(Duration::from_nanos(1))
            .unwrap(),
    );
    assert_eq!(verdict(&node.api, here.clone()).await, Verdict::Revoked);
    node.clock.advance(Duration::from_nanos(1));
    assert_eq!(node.clock.wall(), end);
    assert_eq!(verdict(&node.api, here.clone()).await, Verdict::Active);

    // A ban without end counts over any suspension, until it is lifted.
    revoke(&node, revoke_by(vec![user("u")], all())).await;
    let receipts = revoke(&node, until(now + 90)).await;
    assert_eq!(receipts[0].in_force[0].expires_at, None);
    assert!(
        receipts[0]
            .warnings
            .iter()
            .any(|told| told.contains("ban without end stays"))
    );
    node.advance_s(3_600);
    assert_eq!(verdict(&node.api, here.clone()).await, Verdict::Revoked);
    let receipts = restore(&node, say::restore(vec![user("u")], &[RuleKind::All])).await;
    assert!(kinds(&receipts[0]).is_empty());
    assert_eq!(verdict(&node.api, here).await, Verdict::Active);
    node.stop().await;
}

#[tokio::test]
async fn a_suspension_outlives_a_restart_and_its_end_does_not_bring_another_rule_down() {
    let directory = tempfile::tempdir().unwrap();
    let node = TestNode::start(Options::default().on_disk(directory.path())).await;
    let now = node.now_s();
    let both = RevokeRequest {
        expires_at: Some(at(now + 60)),
        ..revoke_by(
            vec![user("u")],
            Rules {
                all: true,
                ..issued_before(now - 600)
            },
        )
    };
    revoke(&node, both).await;
    let node = node.restart().await;
    let (old, young) = (of_session("s", now - 601), of_session("s", now - 60));
    assert_eq!(verdict(&node.api, old.clone()).await, Verdict::Revoked);
    assert_eq!(verdict(&node.api, young.clone()).await, Verdict::Revoked);
    node.advance_s(60);
    assert_eq!(verdict(&node.api, old).await, Verdict::Revoked);
    assert_eq!(verdict(&node.api, young).await, Verdict::Active);
    node.stop().await;
}

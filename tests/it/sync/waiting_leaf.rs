//! Callers of a leaf that wait until others have what they wrote.

use super::*;

const MOMENT: Duration = Duration::from_secs(1);

fn wait_for(who: v1::wait_for::Who, seconds: i64) -> v1::WaitFor {
    v1::WaitFor {
        who: Some(who),
        timeout: Some(prost_types::Duration { seconds, nanos: 0 }),
    }
}

const ALL: v1::wait_for::Who = v1::wait_for::Who::AllFollowers(true);

impl Member {
    async fn spread(&self, sub: &str, who: v1::wait_for::Who, seconds: i64) -> v1::Propagation {
        let wait_for = Some(wait_for(who, seconds));
        let answer = self.revoke_user_and_wait(sub, wait_for).await;
        answer.propagation.unwrap()
    }
}

/// A hub, two leaves of it that run, and the id of one that does not any more.
async fn hub_with_one_away(site: &Site) -> (Member, [Member; 2], String) {
    let hub = site.node("h", |_| {}).await;
    let (l, m, gone) = tokio::join!(
        site.leaf("l", &["h"]),
        site.leaf("m", &["h"]),
        site.leaf("gone", &["h"])
    );
    for leaf in [&l, &m, &gone] {
        leaf.until_ready().await;
    }
    hub.until_followed_by(3).await;
    let id = gone.status().await.node_id;
    gone.stop().await;
    hub.until_followed_by(2).await;
    (hub, [l, m], id)
}

/// The leaf gave up just before its hub answered, and said that no hub had it. Until then it handed
/// up nothing else, and who waited for one follower waited for all of them.
#[tokio::test(flavor = "multi_thread")]
async fn a_leaf_says_what_its_hub_says_and_hands_up_meanwhile() {
    let site = Site::new();
    let (hub, [leaf, _m], gone) = hub_with_one_away(&site).await;
    let began = Instant::now();
    let waits = async {
        let spread = leaf.spread("ada", ALL, 3).await;
        assert!(began.elapsed() >= 2 * MOMENT, "{spread:?}");
        assert_eq!((spread.expected, spread.applied), (3, 2), "{spread:?}");
        assert_eq!(spread.pending.len(), 1);
        assert!(spread.pending[0].contains(&gone), "{spread:?}");
    };
    let others = async {
        hub.until_revoked("ada").await;
        leaf.revoke_user("bob").await;
        hub.until_revoked("bob").await;
        let spread = leaf.spread("cid", v1::wait_for::Who::Followers(1), 3).await;
        assert_eq!((spread.expected, spread.applied), (2, 2), "{spread:?}");
        assert!(began.elapsed() < 2 * MOMENT, "held up");
    };
    tokio::join!(waits, others);
}

/// It was told that no hub had it.
#[tokio::test(flavor = "multi_thread")]
async fn a_leaf_that_loses_its_hub_while_it_waits_says_that_the_hub_has_it() {
    let site = Site::new();
    let (hub, [leaf, _m], _) = hub_with_one_away(&site).await;
    let stops = async {
        hub.until_revoked("ada").await;
        // Only what was handed up before is known to be there when this is.
        leaf.spread("bob", v1::wait_for::Who::Followers(1), 3).await;
        hub.stop.cancel();
    };
    let (spread, ()) = tokio::join!(leaf.spread("ada", ALL, 3), stops);
    assert_eq!((spread.expected, spread.applied), (2, 1), "{spread:?}");
    assert!(spread.pending[0].contains("it has it"), "{spread:?}");
}

/// A hub that was itself a leaf asked its own hub alone: it said all, and its leaves had nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_leaf_of_a_leaf_waits_for_all_tiers() {
    let site = Site::new();
    let top = site.node("top", |_| {}).await;
    let (mid, other) = tokio::join!(site.leaf("mid", &["top"]), site.leaf("other", &["top"]));
    for node in [&mid, &other] {
        node.until_ready().await;
    }
    let (low, beside) = tokio::join!(site.leaf("low", &["mid"]), site.leaf("beside", &["mid"]));
    for node in [&low, &beside] {
        node.until_ready().await;
    }
    top.until_followed_by(2).await;
    mid.until_followed_by(2).await;
    let spread = low.spread("ada", ALL, 10).await;
    // The middle one and its other leaf, the top one and its other leaf.
    assert_eq!((spread.expected, spread.applied), (4, 4), "{spread:?}");
    for node in [&top, &mid, &other, &beside] {
        assert_eq!(node.check("ada").await.unwrap(), Verdict::Revoked);
    }
    // What the middle one writes itself goes both ways too.
    let spread = mid.spread("bob", ALL, 10).await;
    assert_eq!((spread.expected, spread.applied), (4, 4), "{spread:?}");

    let away = beside.status().await.node_id;
    beside.stop().await;
    let spread = low.spread("cid", ALL, 2).await;
    assert_eq!((spread.expected, spread.applied), (4, 3), "{spread:?}");
    assert!(spread.pending[0].contains(&away), "{spread:?}");
}

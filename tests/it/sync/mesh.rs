//! Peers of a mesh.

use std::ops::ControlFlow;

use rescind::{
    fleet::JoinPolicy,
    journal::{self, Journal},
    limits,
    model::{Target, What},
    sync::Comparing,
};

use super::*;

const OFTEN: Comparing = Comparing {
    interval: Duration::from_millis(50),
    young: Duration::ZERO,
    again: Duration::from_millis(50),
};
const ALL: [&str; 3] = ["a", "b", "c"];

#[tokio::test(flavor = "multi_thread")]
async fn a_mesh_that_starts_together_enforces_what_any_member_acknowledged() {
    let site = Site::new();
    let [a, b, c] = site.mesh(ALL).await;
    for node in [&a, &b, &c] {
        assert_eq!(node.check("ada").await.unwrap(), Verdict::Active);
    }
    for (sub, from) in [("ada", &a), ("bob", &b), ("cid", &c)] {
        from.revoke_user(sub).await;
        for node in [&a, &b, &c] {
            node.until_revoked(sub).await;
        }
    }
    for node in [&a, &b, &c] {
        node.until("level", async |node| {
            let staleness = node.status().await.staleness;
            staleness.is_some_and(|staleness| staleness.seconds < 3)
        })
        .await;
    }
    for node in [a, b, c] {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_waits_for_all_followers_is_in_force_everywhere_when_it_returns() {
    let site = Site::new();
    let [a, b, c] = site.mesh(ALL).await;
    let all = v1::WaitFor {
        who: Some(v1::wait_for::Who::AllFollowers(true)),
        timeout: None,
    };
    a.until_followed_by(2).await;
    let spread = a
        .revoke_user_and_wait("ada", Some(all))
        .await
        .propagation
        .unwrap();
    assert_eq!((spread.expected, spread.applied), (2, 2), "{spread:?}");
    for node in [&a, &b, &c] {
        assert_eq!(node.check("ada").await.unwrap(), Verdict::Revoked);
    }

    c.stop().await;
    let short = v1::WaitFor {
        timeout: Some(prost_types::Duration {
            seconds: 0,
            nanos: 300_000_000,
        }),
        ..all
    };
    let spread = a
        .revoke_user_and_wait("bob", Some(short))
        .await
        .propagation
        .unwrap();
    assert_eq!((spread.expected, spread.applied), (2, 1), "{spread:?}");
    assert_eq!(spread.pending.len(), 1);

    let c = site.member("c", &ALL).await;
    c.until_revoked("bob").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leaf_hands_up_what_it_takes_and_hears_of_everything_else() {
    let site = Site::new();
    let hubs = ["h", "k"];
    let [h, k] = site.mesh(hubs).await;
    let (l, m) = tokio::join!(site.leaf("l", &hubs), site.leaf("m", &["k"]));
    for node in [&l, &m] {
        node.until_ready().await;
    }
    l.revoke_user("ada").await;
    assert_eq!(l.check("ada").await.unwrap(), Verdict::Revoked);
    for node in [&h, &k, &m] {
        node.until_revoked("ada").await;
    }
    let spread = m
        .revoke_user_and_wait("bob", Some(v1::WaitFor::default()))
        .await
        .propagation
        .unwrap();
    assert_eq!(spread.expected, spread.applied, "{spread:?}");
    assert!(spread.expected >= 2, "{spread:?}");
    for node in [&h, &k, &l] {
        node.until_revoked("bob").await;
    }
}

/// A receipt that looked like any other once hid that nobody else could know.
#[tokio::test(flavor = "multi_thread")]
async fn a_leaf_without_a_hub_enforces_what_it_takes_says_so_and_hands_it_up_later() {
    let site = Site::new();
    let leaf = site
        .node("l", |config| {
            config.follow.hubs = site.addresses(&["h"]);
            config.join = JoinPolicy::Alone;
            config.join_timeout = Duration::ZERO;
        })
        .await;
    leaf.until_ready().await;
    let receipt = leaf.revoke_user("ada").await.receipt.unwrap();
    assert!(
        receipt
            .warnings
            .iter()
            .any(|warning| warning.contains("no hub")),
        "{receipt:?}"
    );
    assert_eq!(leaf.check("ada").await.unwrap(), Verdict::Revoked);
    let patience = v1::WaitFor {
        who: None,
        timeout: Some(prost_types::Duration {
            seconds: 0,
            nanos: 100_000_000,
        }),
    };
    let spread = leaf
        .revoke_user_and_wait("bob", Some(patience))
        .await
        .propagation
        .unwrap();
    assert_eq!((spread.expected, spread.applied), (1, 0), "{spread:?}");
    assert!(
        spread.pending[0].contains("no hub is known to have it yet"),
        "{spread:?}"
    );

    let hub = site.node("h", |_| {}).await;
    for sub in ["ada", "bob"] {
        hub.until_revoked(sub).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_never_met_anybody_denies_what_it_knows_and_says_no_active() {
    let site = Site::new();
    let node = site.member("a", &["a", "b"]).await;
    node.revoke_user("ada").await;
    assert_eq!(node.check("ada").await.unwrap(), Verdict::Revoked);
    let refused = node.check("bob").await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::Unavailable);
    let status = node.status().await;
    assert!(!status.ready && status.staleness.is_none());
    assert!(
        status.not_ready_because.contains("caught up with 0 of 1"),
        "{}",
        status.not_ready_because
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_knows_too_little_for_the_caller_says_no_active_and_denies_all_the_same() {
    let site = Site::new();
    let [a, b] = site.mesh(["a", "b"]).await;
    a.revoke_user("ada").await;
    b.until_revoked("ada").await;
    a.stop().await;
    b.until("stale", async |b| {
        let staleness = b.status().await.staleness;
        staleness.is_some_and(|staleness| staleness.seconds >= 1)
    })
    .await;
    let bound = Some(prost_types::Duration {
        seconds: 1,
        nanos: 0,
    });
    assert_eq!(b.check("bob").await.unwrap(), Verdict::Active);
    let refused = b.check_within("bob", bound).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::Unavailable);
    assert!(refused.message().contains("max_staleness"), "{refused:?}");
    assert_eq!(
        b.check_within("ada", bound).await.unwrap(),
        Verdict::Revoked
    );
}

/// Divergence that no fault of the protocol explains: a damaged disk, a bug. It is made here by
/// taking a row out of a journal behind its node's back.
#[tokio::test(flavor = "multi_thread")]
async fn what_silently_differs_is_found_told_and_healed() {
    let site = Site::new();
    let [a, b] = site.mesh(["a", "b"]).await;
    for sub in ["ada", "bob", "cid"] {
        a.revoke_user(sub).await;
        b.until_revoked(sub).await;
    }
    b.stop().await;
    take_out(&site.data_dir("b"), "bob");
    let b = site
        .node("b", |config| {
            config.follow.peers = site.addresses(&["a"]);
            config.follow.digests = OFTEN;
        })
        .await;
    b.until_revoked("bob").await;
    b.until("healed", async |b| {
        b.status().await.upstreams[0].ranges_healed == 1
    })
    .await;
    for sub in ["ada", "cid"] {
        assert_eq!(b.check(sub).await.unwrap(), Verdict::Revoked);
    }
}

/// A person who wonders need not wait for the next time.
#[tokio::test(flavor = "multi_thread")]
async fn what_silently_differs_is_found_when_somebody_asks() {
    let site = Site::new();
    let [a, b] = site.mesh(["a", "b"]).await;
    a.revoke_user("ada").await;
    b.until_revoked("ada").await;
    b.stop().await;
    take_out(&site.data_dir("b"), "ada");
    let b = site
        .node("b", |config| {
            config.follow.peers = site.addresses(&["a"]);
            config.follow.digests = Comparing {
                interval: 100 * limits::DIGESTS_INTERVAL,
                ..OFTEN
            };
        })
        .await;
    b.until_ready().await;
    assert!(b.status().await.upstreams[0].compared_at.is_none());
    assert_eq!(b.check("ada").await.unwrap(), Verdict::Active);
    let ask = v1::GetStatusRequest { compare: true };
    b.api.clone().get_status(ask).await.unwrap();
    b.until("healed", async |b| {
        b.status().await.upstreams[0].ranges_healed == 1
    })
    .await;
    let upstream = b.status().await.upstreams.remove(0);
    assert!(upstream.compared_at.is_some());
    assert_eq!(upstream.ranges_differing, 1);
    assert_eq!(b.check("ada").await.unwrap(), Verdict::Revoked);
    b.api.clone().get_status(ask).await.unwrap();
    b.until("equal", async |b| {
        b.status().await.upstreams[0].ranges_differing == 0
    })
    .await;
}

/// A leaf can only read from its hub: what the hub had lost stayed lost there, and differed for ever.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_hub_has_silently_lost_its_leaf_hands_up_again() {
    let site = Site::new();
    let hub = site.node("h", |_| {}).await;
    let leaf = site
        .node("l", |config| {
            config.follow.hubs = site.addresses(&["h"]);
            config.follow.digests = OFTEN;
        })
        .await;
    leaf.until_ready().await;
    // Until the leaf knows that the hub has it: else it would hand it up again by itself.
    let wait_for = Some(v1::WaitFor::default());
    leaf.revoke_user_and_wait("ada", wait_for).await;
    hub.stop().await;
    take_out(&site.data_dir("h"), "ada");
    let hub = site.node("h", |_| {}).await;
    hub.until_revoked("ada").await;
    leaf.until("healed", async |leaf| {
        leaf.status().await.upstreams[0].ranges_healed > 0
    })
    .await;
}

fn take_out(data_dir: &Path, sub: &str) {
    let journal = Journal::open(&journal::Storage::Directory(data_dir.to_owned())).unwrap();
    let what = What::User(sub.to_owned());
    let iss = "i".to_owned();
    let key = Target { iss, what }.key();
    journal
        .write(|tables| {
            let live = tables.live(&key)?.unwrap();
            tables.delete(&key, live.seq)?;
            Ok(ControlFlow::Continue(()))
        })
        .unwrap();
}

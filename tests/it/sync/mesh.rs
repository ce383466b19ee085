//! Peers of a mesh.

use super::*;

const ALL: [&str; 3] = ["a", "b", "c"];

#[tokio::test(flavor = "multi_thread")]
async fn a_mesh_that_starts_together_enforces_what_any_member_acknowledged() {
    let site = Site::new();
    let (a, b, c) = tokio::join!(
        site.member("a", &ALL),
        site.member("b", &ALL),
        site.member("c", &ALL)
    );
    for node in [&a, &b, &c] {
        node.until_ready().await;
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
    let (a, b, c) = tokio::join!(
        site.member("a", &ALL),
        site.member("b", &ALL),
        site.member("c", &ALL)
    );
    for node in [&a, &b, &c] {
        node.until_ready().await;
    }
    let all = v1::WaitFor {
        who: Some(v1::wait_for::Who::AllFollowers(true)),
        timeout: None,
    };
    a.until("both follow", async |a| {
        let followers = a.status().await.followers;
        followers
            .iter()
            .filter(|follower| follower.connected)
            .count()
            == 2
    })
    .await;
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
    let (h, k) = tokio::join!(site.member("h", &hubs), site.member("k", &hubs));
    let (l, m) = tokio::join!(site.leaf("l", &hubs), site.leaf("m", &["k"]));
    for node in [&h, &k, &l, &m] {
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

//! Writes that wait for followers.

use super::*;

const ALL: [&str; 3] = ["a", "b", "c"];

/// For this many, or for all.
fn wait_for(count: Option<u32>, timeout: Duration) -> v1::WaitFor {
    let who = count.map_or(v1::wait_for::Who::AllFollowers(true), |count| {
        v1::wait_for::Who::Followers(count)
    });
    v1::WaitFor {
        who: Some(who),
        timeout: prost_types::Duration::try_from(timeout).ok(),
    }
}

/// A moment for what will not happen.
const SHORT: Duration = Duration::from_secs(2);

impl Member {
    async fn restore_user(&self, sub: &str, wait_for: v1::WaitFor) -> v1::Propagation {
        let user = v1::UserTarget {
            iss: "i".to_owned(),
            sub: sub.to_owned(),
        };
        let request = v1::RestoreRequest {
            targets: vec![v1::Target {
                kind: Some(v1::target::Kind::User(user)),
            }],
            rules: vec![v1::RuleKind::IssuedBefore.into()],
            wait_for: Some(wait_for),
            ..v1::RestoreRequest::default()
        };
        let answer = self.api.clone().restore(request).await.unwrap();
        answer.into_inner().propagation.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_waits_for_as_many_followers_as_it_asks_for() {
    let site = Site::new();
    let [a, b, c] = site.mesh(ALL).await;
    a.until_followed_by(2).await;
    let spread = async |sub: &str, count, timeout| {
        let wait_for = Some(wait_for(Some(count), timeout));
        let answer = a.revoke_user_and_wait(sub, wait_for).await;
        answer.propagation.unwrap()
    };
    let both = spread("ada", 2, PATIENCE).await;
    assert_eq!((both.expected, both.applied), (2, 2), "{both:?}");
    assert!(both.pending.is_empty());
    for node in [&b, &c] {
        assert_eq!(node.check("ada").await.unwrap(), Verdict::Revoked);
    }

    c.stop().await;
    let one = spread("bob", 1, PATIENCE).await;
    assert_eq!((one.expected, one.applied), (1, 1), "{one:?}");
    assert_eq!(b.check("bob").await.unwrap(), Verdict::Revoked);
    let pending = spread("cid", 2, SHORT).await;
    assert_eq!((pending.expected, pending.applied), (2, 1), "{pending:?}");
    assert_eq!(pending.pending.len(), 1, "{pending:?}");
    // Nobody can name those who never were there.
    let too_many = spread("dan", 3, SHORT).await;
    assert_eq!(
        (too_many.expected, too_many.applied),
        (3, 1),
        "{too_many:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_waits_for_all_is_in_force_everywhere_when_it_returns() {
    let site = Site::new();
    let [a, b, c] = site.mesh(ALL).await;
    a.until_followed_by(2).await;
    let all = |timeout| wait_for(None, timeout);
    a.revoke_user_and_wait("ada", Some(all(PATIENCE))).await;
    assert_eq!(b.check("ada").await.unwrap(), Verdict::Revoked);
    let spread = a.restore_user("ada", all(PATIENCE)).await;
    assert_eq!((spread.expected, spread.applied), (2, 2), "{spread:?}");
    for node in [&a, &b, &c] {
        assert_eq!(node.check("ada").await.unwrap(), Verdict::Active);
    }

    c.stop().await;
    a.revoke_user("bob").await;
    let spread = a.restore_user("bob", all(SHORT)).await;
    assert_eq!((spread.expected, spread.applied), (2, 1), "{spread:?}");
    assert_eq!(spread.pending.len(), 1, "{spread:?}");
}

/// A hub makes digests for one leaf at a time, and rests. The others were told so, and compared
/// nothing for another ten minutes.
#[tokio::test(flavor = "multi_thread")]
async fn leaves_that_compare_at_the_same_time_all_get_their_turn() {
    let site = Site::new();
    let hub = site.node("h", |_| {}).await;
    let leaves = ["l", "m", "n"].map(|name| {
        site.node(name, |config| {
            config.follow.hubs = site.addresses(&["h"]);
            config.follow.digests = rescind::sync::Comparing {
                interval: 100 * rescind::limits::DIGESTS_INTERVAL,
                young: Duration::ZERO,
                again: Duration::from_secs(2),
            };
        })
    });
    let leaves = futures_util::future::join_all(leaves).await;
    for leaf in &leaves {
        leaf.until_ready().await;
    }
    for thousand in 0..3 {
        let token = |number| {
            v1::target::Kind::Token(v1::TokenTarget {
                iss: "i".to_owned(),
                jti: format!("{thousand} {number}"),
                ..v1::TokenTarget::default()
            })
        };
        let request = v1::RevokeRequest {
            targets: (0..1_000)
                .map(|number| v1::Target {
                    kind: Some(token(number)),
                })
                .collect(),
            wait_for: Some(wait_for(None, PATIENCE)),
            ..v1::RevokeRequest::default()
        };
        hub.api.clone().revoke(request).await.unwrap();
    }
    let ask = v1::GetStatusRequest { compare: true };
    let asked = leaves.iter().map(|leaf| {
        let mut api = leaf.api.clone();
        async move { api.get_status(ask).await.unwrap() }
    });
    futures_util::future::join_all(asked).await;
    for leaf in &leaves {
        leaf.until("compared", async |leaf| {
            let upstream = leaf.status().await.upstreams.remove(0);
            let was_compared = upstream.not_compared_because.is_empty();
            upstream.compared_at.is_some() && was_compared && upstream.ranges_differing == 0
        })
        .await;
    }
}

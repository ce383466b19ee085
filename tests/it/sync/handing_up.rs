//! What a leaf hands up to hubs that it meets for the first time.

use rescind::fleet::JoinPolicy;

use super::*;
use crate::harness::api::{self, Thing};

const MANY: u64 = 2_000;

impl Member {
    async fn revoke_many(&self) {
        let users: Vec<_> = (0..MANY)
            .map(|n| Thing::User(format!("user-{n}")))
            .collect();
        for users in users.chunks(500) {
            let request = api::revoke(users);
            self.api.clone().revoke(request).await.unwrap();
        }
    }

    async fn records(&self) -> u64 {
        self.status().await.journal.unwrap().records
    }

    async fn until_holding(&self, count: u64) {
        self.until("holding", async |node| node.records().await == count)
            .await;
    }

    async fn handed_up(&self) -> u64 {
        self.status().await.upstreams[0].handed_up
    }
}

/// A leaf of hub a that holds what a has, and is stopped.
async fn leaf_with_many(site: &Site) {
    let leaf = site.leaf("l", &["a"]).await;
    leaf.until_holding(MANY).await;
    leaf.stop().await;
}

/// It handed up its whole log to a hub that had everything: a hub that comes back without its disk
/// would hear a million records from each of a thousand leaves.
#[tokio::test(flavor = "multi_thread")]
async fn a_leaf_hands_up_nothing_that_a_hub_sends_itself() {
    let site = Site::new();
    let [a, b] = site.mesh(["a", "b"]).await;
    a.revoke_many().await;
    b.until_holding(MANY).await;
    leaf_with_many(&site).await;
    let leaf = site.leaf("l", &["b"]).await;
    let one = v1::WaitFor {
        who: Some(v1::wait_for::Who::Followers(1)),
        timeout: Some(prost_types::Duration {
            seconds: 10,
            nanos: 0,
        }),
    };
    let answer = leaf.revoke_user_and_wait("own", Some(one)).await;
    let spread = answer.propagation.unwrap();
    // So everything was handed up that is to be.
    assert_eq!((spread.expected, spread.applied), (2, 2), "{spread:?}");
    let handed_up = leaf.handed_up().await;
    // Its own went ahead, and once more in its turn.
    assert!((1..=2).contains(&handed_up), "{handed_up} records");
    assert_eq!(b.records().await, MANY + 1);
}

/// A hub that is not ready may yet hear from others what it lacks. What nobody else can have does
/// not wait for that.
#[tokio::test(flavor = "multi_thread")]
async fn a_leaf_hands_up_its_own_at_once_and_the_rest_when_the_hub_is_ready() {
    let site = Site::new();
    let a = site.node("a", |_| {}).await;
    a.revoke_many().await;
    leaf_with_many(&site).await;
    let b = site
        .node("b", |config| {
            config.follow.peers = site.addresses(&["x"]);
            config.join = JoinPolicy::Wait;
        })
        .await;
    let leaf = site.leaf("l", &["b"]).await;
    leaf.until("following", async |leaf| {
        leaf.status().await.upstreams[0].state == "following"
    })
    .await;
    leaf.revoke_user("own").await;
    let took = b.until_revoked("own").await;
    assert!(took < Duration::from_secs(10), "{took:?}");
    leaf.until("told so", async |leaf| leaf.handed_up().await == 1)
        .await;
    // Longer than what others wrote waits for a hub that is ready.
    let began = Instant::now();
    leaf.until("still waiting", async |leaf| {
        assert_eq!((b.records().await, leaf.handed_up().await), (1, 1));
        began.elapsed() > 2 * rescind::limits::OUTBOX_PATIENCE
    })
    .await;

    let _x = site.member("x", &["x", "b"]).await;
    b.until_ready().await;
    b.until_holding(MANY + 1).await;
}

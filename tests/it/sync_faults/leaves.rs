//! What a leaf hands up when that is much, or its link slow.

use std::time::Duration;

use rescind::proto::v1;

use super::{
    Site, asked_for, start_all, tell,
    toxiproxy::{Toxiproxy, Way},
    truth::Truth,
    until, until_within,
};
use crate::harness::{
    api::{self, Thing},
    sidecar::Client,
};

fn users(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("user-{n}")).collect()
}

/// Hands up nothing any more.
async fn until_handed_up(deadline: Duration, leaf: &mut Client, hub: &mut Client) -> Duration {
    let head = super::status(leaf).await.journal.unwrap().head;
    until_within(deadline, "the hub has it", hub, |status| {
        status.journal.as_ref().unwrap().head >= head
    })
    .await
}

/// A message was bounded by the count of its records alone. With long exceptions they did not fit
/// what a hub accepts, and nothing that came after them was ever handed up either.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leaf_hands_up_records_of_any_size() {
    let site = Site::new();
    let mut nodes = start_all(&[site.node("h"), site.leaf("l", &["h"])]).await;
    // They gather while the hub is away.
    nodes.remove(0).kill();
    let (mut l, mut h) = (site.client("l"), site.client("h"));
    let sid = |n| format!("{n}{}", "s".repeat(1_000));
    for users in users(512).chunks(8) {
        let things: Vec<_> = users.iter().cloned().map(Thing::User).collect();
        for kind in 0..3 {
            let now = prost_types::Timestamp::from(std::time::SystemTime::now());
            let request = v1::RevokeRequest {
                rules: Some(v1::Rules {
                    issued_before: (kind == 0).then_some(now),
                    version_below: u64::from(kind == 1),
                    authenticated_before: (kind == 2).then_some(now),
                    except_sid: (0..16).map(sid).collect(),
                    ..v1::Rules::default()
                }),
                ..api::revoke(&things)
            };
            l.revoke(request).await.unwrap();
        }
    }
    nodes.extend(start_all(&[site.node("h")]).await);
    let took = until("the hub has them", &mut h, |status| {
        status.journal.as_ref().unwrap().records == 512
    })
    .await;
    let truth = Truth::new();
    // And what comes after them.
    truth.revoke_many(&mut l, &["ada".to_owned()]).await;
    until("the hub has it", &mut h, |status| {
        status.journal.as_ref().unwrap().records == 513
    })
    .await;
    tell(&format!(
        "512 records of 48 KiB were handed up within {took:.1?}"
    ));
}

/// One call took up to 64 messages, and had to be answered in 45 seconds: over a slow link it never
/// was, and was made again from its beginning for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leaf_hands_up_over_a_link_that_takes_longer_for_all_than_a_call_may() {
    let proxy = Toxiproxy::start().await;
    let site = Site::new();
    let h = site.node("h").start().await;
    let link = proxy.link("h");
    link.to(&h.address);
    let leaf = site.node("l").flag("--hub").flag(&link.address);
    let _l = leaf.start().await;
    let kib_per_s = asked_for("RESCIND_KIB_PER_S", 40);
    link.add("bandwidth", Way::Up, &format!(r#""rate":{kib_per_s}"#));
    let (mut l, mut hub) = (site.client("l"), site.client("h"));
    let truth = Truth::new();
    for users in users(1_900).chunks(950) {
        truth.revoke_many(&mut l, users).await;
    }
    let patience = Duration::from_secs(120);
    let took = until_handed_up(patience, &mut l, &mut hub).await;
    truth
        .all_end_equal(&mut [("l", l.clone()), ("h", hub.clone())])
        .await;
    tell(&format!(
        "1,900 records at {kib_per_s} KiB/s: handed up after {took:.1?}"
    ));
}

//! A data directory that was copied, and followers that hang up while they are let in.

use std::{path::Path, time::Duration};

use rescind::proto::v1;

use super::{
    Site, start_all, status,
    truth::{By, Truth},
    until,
};
use crate::harness::random::Random;

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}

/// Whether an upstream is not followed for being, or for having found, a clone.
fn sees_a_clone(status: &v1::GetStatusResponse) -> bool {
    let errors = status.upstreams.iter().map(|upstream| &upstream.last_error);
    errors.into_iter().any(|error| error.contains("copied"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copied_data_directory_is_refused_loudly_until_one_of_the_two_is_emptied() {
    let site = Site::new();
    let all = ["a", "b", "c"];
    let launches = all.map(|name| site.member(name, &all));
    let mut nodes = start_all(&launches).await;
    let truth = Truth::new();
    truth
        .revoke(&mut site.client("c"), "ada", By::Upstream)
        .await
        .unwrap();
    let mut clients = all.map(|name| (name, site.client(name)));
    truth.all_end_equal(&mut clients).await;

    nodes.pop().unwrap().kill();
    copy(&site.data_dir("c"), &site.data_dir("d"));
    nodes.extend(start_all(&launches[2..]).await);
    let copied = site.member("d", &["a", "b", "c", "d"]);
    let mut d = copied.spawn();
    d.wait_until_bound().await;
    for name in ["c", "d"] {
        until("both see it", &mut site.client(name), sees_a_clone).await;
    }
    for sidecar in [&nodes[0], &nodes[2]] {
        sidecar.wait_for_log("data directory was copied");
    }
    // Neither is silenced as far as it can be heard: what is revoked meanwhile is not lost.
    truth
        .revoke(&mut site.client("a"), "bob", By::Upstream)
        .await
        .unwrap();
    truth
        .revoke(&mut site.client("c"), "cid", By::Upstream)
        .await
        .unwrap();

    d.kill();
    std::fs::remove_dir_all(site.data_dir("d")).unwrap();
    let mut clients = all.map(|name| (name, site.client(name)));
    for (_, client) in &mut clients {
        until("fresh again", client, super::is_fresh).await;
        until("no clone", client, |status| !sees_a_clone(status)).await;
    }
    truth.all_end_equal(&mut clients).await;
    let _d = start_all(&[copied]).await;
    let mut clients = ["a", "b", "c", "d"].map(|name| (name, site.client(name)));
    truth.all_end_equal(&mut clients).await;
    let nodes: std::collections::BTreeSet<_> = [
        status(&mut clients[2].1).await.node_id,
        status(&mut clients[3].1).await.node_id,
    ]
    .into();
    assert_eq!(nodes.len(), 2, "the emptied one has an id of its own");
}

/// A follower was counted before its watch was open: of one that hung up in between, the count was
/// never taken back. It looked connected for ever, and `wait_for: all` waited for it for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_that_hangs_up_while_it_is_let_in_is_not_taken_for_connected() {
    let site = Site::new();
    let _node = start_all(&[site.node("a")]).await;
    let mut random = Random::new(1);
    let mut client = site.client("a");
    status(&mut client).await;
    // The journal is busy, so that letting in takes its time.
    let truth = Truth::new();
    let pace = Duration::from_millis(1);
    let writer = truth.write("a", site.client("a"), By::Upstream, pace);
    for n in 1..=200_u64 {
        let request = v1::WatchRevocationsRequest {
            exclude_origin: n,
            follower: Some(v1::Follower {
                node_id: format!("{:016x}", n % 8 + 1),
                role: v1::FollowerRole::Peer.into(),
            }),
            ..v1::WatchRevocationsRequest::default()
        };
        let patience = Duration::from_micros(100 + random.below(3_000));
        drop(tokio::time::timeout(patience, client.watch_revocations(request)).await);
    }
    truth.stop.cancel();
    writer.await.unwrap();
    until("all are gone", &mut client, |status| {
        status.followers.len() == 8 && status.followers.iter().all(|one| !one.connected)
    })
    .await;
}

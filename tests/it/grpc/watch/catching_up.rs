//! What a watcher that begins, or was away, is told.

use rescind::proto::v1::revocation_service_client::RevocationServiceClient;
use rescind::proto::v1::{
    RevokeRequest, RuleKind, WatchRevocationsRequest, watch_revocations_response::Event,
};

use super::{
    super::say::{all, at, jti, restore, revoke, revoke_by, user},
    follower::{Follower, next, open},
};
use crate::harness::node::{Options, TestNode};

/// The newest records are served from memory, which once held every version of them: a watcher
/// that began was told of what had been superseded, and even of what had been forgotten.
#[tokio::test]
async fn a_target_comes_once_as_it_is_now_from_memory_too() {
    let node = TestNode::start(Options::default()).await;
    let mut api = node.api.clone();
    let suspension = RevokeRequest {
        expires_at: Some(at(node.now_s() + 60)),
        ..revoke_by(vec![user("forgotten")], all())
    };
    api.revoke(suspension).await.unwrap();
    for _ in 0..3 {
        api.revoke(revoke(vec![user("alice"), jti("j")]))
            .await
            .unwrap();
    }
    let lift = restore(vec![user("alice")], &[RuleKind::IssuedBefore]);
    api.restore(lift).await.unwrap();
    node.advance_s(3_600);
    assert_eq!(node.sweep().await.count, 1);

    let (mut stream, _) = open(&api, WatchRevocationsRequest::default()).await;
    let Some((_, Event::Records(records))) = next(&mut stream).await.unwrap() else {
        panic!("not the records");
    };
    let targets = records
        .revocations
        .iter()
        .map(|one| one.target.clone().unwrap());
    assert_eq!(targets.collect::<Vec<_>>(), [jti("j"), user("alice")]);
    assert!(records.revocations[1].in_force.is_empty());
    drop(stream);
    node.stop().await;
}

/// A target that is revoked again while a watcher reads moves to the end of the log, maybe beyond
/// where the log ended when the watch began. A watcher that was RESET drops what has not come by
/// `CaughtUp`: it must have come by then.
#[tokio::test]
async fn what_was_superseded_while_a_slow_watcher_read_comes_before_caught_up() {
    let directory = tempfile::tempdir().unwrap();
    let node = TestNode::start(Options::default().on_disk(directory.path())).await;
    for batch in 0..4 {
        let targets = (0..500).map(|number| user(&format!("{batch}-{number}")));
        let request = RevokeRequest {
            comment: "x".repeat(1_024),
            ..revoke(targets.collect())
        };
        node.api.clone().revoke(request).await.unwrap();
    }
    // From the journal alone, not from memory.
    let node = node.restart().await;
    // With little room on the wire most of it stays unread until the watcher goes on.
    let channel = node
        .connect(|endpoint| endpoint.initial_stream_window_size(64 * 1024))
        .await;
    let mut watcher = Follower::default();
    let (mut stream, _) = watcher.resume(&RevocationServiceClient::new(channel)).await;
    let again = (0..500).map(|number| user(&format!("3-{number}")));
    let again = RevokeRequest {
        comment: "y".repeat(1_024),
        ..revoke(again.collect())
    };
    node.api.clone().revoke(again).await.unwrap();
    loop {
        let (cursor, event) = next(&mut stream).await.unwrap().unwrap();
        if watcher.take(cursor, event) {
            break;
        }
    }
    assert_eq!(watcher.held.len(), 2_000);
    drop(stream);
    node.stop().await;
}

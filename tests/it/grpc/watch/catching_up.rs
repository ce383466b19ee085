//! What a watcher that begins, or was away, is told.

use prost::Message;
use rescind::limits;
use rescind::proto::v1::revocation_service_client::RevocationServiceClient;
use rescind::proto::v1::{
    RevokeRequest, RuleKind, WatchMode, WatchRevocationsRequest, watch_revocations_response::Event,
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
    watcher.read_on(&mut stream).await;
    assert_eq!(watcher.held.len(), 2_000);
    drop(stream);
    node.stop().await;
}

/// A commit is in the journal a moment before it is shown. A watcher that began in that moment saw
/// neither what the commit had superseded nor the commit, and was told that it had caught up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_has_caught_up_holds_everything_that_was_held_all_along() {
    const HELD: usize = 500;
    let targets = || (0..HELD).map(|number| user(&number.to_string())).collect();
    let directory = tempfile::tempdir().unwrap();
    let node = TestNode::start(Options::default().on_disk(directory.path())).await;
    node.api.clone().revoke(revoke(targets())).await.unwrap();
    // Who begins is served from the journal.
    let node = node.restart().await;
    let mut api = node.api.clone();
    let writing = tokio::spawn(async move {
        for _round in 0..40 {
            api.revoke(revoke(targets())).await.unwrap();
        }
    });
    while !writing.is_finished() {
        let mut watcher = Follower::default();
        watcher.catch_up(&node.api).await;
        assert_eq!(watcher.held.len(), HELD);
        // A cursor from the middle of a commit is as good as any.
        assert_eq!(watcher.catch_up(&node.api).await, WatchMode::Resumed);
    }
    writing.await.unwrap();
    node.stop().await;
}

#[tokio::test]
async fn a_backlog_beyond_memory_comes_from_the_journal_in_bounded_messages() {
    let node = TestNode::start(Options::default()).await;
    let mut api = node.api.clone();
    let count = limits::TAIL_RECORDS_MAX + 1_000;
    let mut written = 0;
    while written < count {
        let targets = (written..written + 1_000).map(|number| user(&number.to_string()));
        let request = RevokeRequest {
            // Some messages are cut by their bytes, some by their number.
            comment: "x".repeat(if written % 2_000 == 0 { 1_024 } else { 0 }),
            ..revoke(targets.collect())
        };
        api.revoke(request).await.unwrap();
        written += 1_000;
    }
    let mut watcher = Follower::default();
    let (mut stream, _) = watcher.resume(&api).await;
    let (mut by_number, mut by_bytes) = (0, 0);
    loop {
        let (cursor, event) = next(&mut stream).await.unwrap().unwrap();
        if let Event::Records(records) = &event {
            let (number, bytes) = (records.revocations.len(), records.encoded_len());
            let largest = records.revocations.iter().map(Message::encoded_len).max();
            assert!(number <= limits::WATCH_BATCH_RECORDS_MAX);
            // Each record's own tag and length come on top of what is counted.
            assert!(bytes <= limits::WATCH_BATCH_BYTES_MAX + 4 * number);
            by_number += usize::from(number == limits::WATCH_BATCH_RECORDS_MAX);
            by_bytes += usize::from(bytes + largest.unwrap() > limits::WATCH_BATCH_BYTES_MAX);
        }
        if watcher.take(cursor, event) {
            break;
        }
    }
    assert_eq!(watcher.held.len(), written);
    assert!(by_number > 0 && by_bytes > 0, "{by_number} {by_bytes}");
    drop((api, stream));
    node.stop().await;
}

#[tokio::test]
async fn a_slow_reader_stalls_nobody_and_sees_what_was_superseded_as_what_holds_now() {
    let node = TestNode::start(Options::default()).await;
    let channel = node
        .connect(|endpoint| endpoint.initial_stream_window_size(64 * 1024))
        .await;
    let mut slow = Follower::default();
    let (mut unread, _) = slow.resume(&RevocationServiceClient::new(channel)).await;
    let (mut fast, _) = open(&node.api, WatchRevocationsRequest::default()).await;
    assert!(matches!(
        next(&mut fast).await.unwrap(),
        Some((_, Event::CaughtUp(_)))
    ));
    // Ten rounds over the same thousand targets: far more than the slow one's connection holds.
    let mut told = 0;
    for round in 0..10 {
        let targets = (0..1_000).map(|number| user(&number.to_string()));
        let request = RevokeRequest {
            comment: format!("{round:0>1024}"),
            ..revoke(targets.collect())
        };
        node.advance_s(1);
        node.api.clone().revoke(request).await.unwrap();
        let mut seen = 0;
        while seen < 1_000 {
            match next(&mut fast).await.unwrap() {
                Some((_, Event::Records(records))) => seen += records.revocations.len(),
                Some((_, Event::Heartbeat(_))) => {}
                other => panic!("{other:?}"),
            }
        }
        told += seen;
    }
    assert_eq!(told, 10_000);
    let mut came = 0;
    while slow.held.len() < 1_000
        || slow
            .held
            .values()
            .any(|held| !held.in_force[0].comment.ends_with('9'))
    {
        let (cursor, event) = next(&mut unread).await.unwrap().unwrap();
        if let Event::Records(records) = &event {
            came += records.revocations.len();
        }
        slow.take(cursor, event);
    }
    assert!(came < 5_000, "{came} of 10,000 versions came");
    drop((fast, unread));
    node.stop().await;
}

//! How a watch begins, goes on and ends.

use prost_types::Duration;
use rescind::proto::v1::{
    GetStatusRequest, RuleKind, Start, TargetKind, WatchMode, WatchRevocationsRequest,
    watch_revocations_response::Event,
};
use tonic::Code;
use tonic_types::StatusExt as _;

use super::{
    super::say::{all, blamed, jti, restore, revoke, revoke_by, session, user, user_of},
    follower::{Follower, PATIENCE, next, open},
};
use crate::harness::node::{Options, TestNode};

fn from_now() -> WatchRevocationsRequest {
    WatchRevocationsRequest {
        start: Start::Now.into(),
        ..WatchRevocationsRequest::default()
    }
}

fn beating(nanos: i32) -> WatchRevocationsRequest {
    let heartbeat = Some(Duration { seconds: 0, nanos });
    WatchRevocationsRequest {
        heartbeat,
        ..WatchRevocationsRequest::default()
    }
}

#[tokio::test]
async fn a_watch_greets_catches_up_and_then_tells_what_is_new() {
    let node = TestNode::start(Options::default()).await;
    node.api
        .clone()
        .revoke(revoke(vec![user("old")]))
        .await
        .unwrap();
    let (mut stream, hello) = open(&node.api, WatchRevocationsRequest::default()).await;
    let status = node
        .api
        .clone()
        .get_status(GetStatusRequest::default())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (&hello.node_id, &hello.boot),
        (&status.node_id, &status.boot)
    );
    assert_eq!(hello.mode(), WatchMode::Beginning);
    assert_eq!(hello.settings_digest.len(), 16);
    assert_eq!(status.watchers[0].watch_id, hello.watch_id);

    let mut watcher = Follower::default();
    for expected in [vec![user("old")], vec![user("old"), jti("new")]] {
        if expected.len() == 2 {
            node.api
                .clone()
                .revoke(revoke(vec![jti("new")]))
                .await
                .unwrap();
        }
        let (cursor, event) = next(&mut stream).await.unwrap().unwrap();
        assert!(matches!(event, Event::Records(_)), "{event:?}");
        watcher.take(cursor, event);
        assert_eq!(watcher.held.len(), expected.len());
        if expected.len() == 1 {
            let (cursor, event) = next(&mut stream).await.unwrap().unwrap();
            assert!(watcher.take(cursor, event), "not CaughtUp");
        }
    }
    drop(stream);
    node.stop().await;
}

#[tokio::test]
async fn from_now_only_what_is_new_comes_and_nothing_at_all_is_caught_up_with_too() {
    let node = TestNode::start(Options::default()).await;
    for request in [WatchRevocationsRequest::default(), from_now()] {
        let (mut stream, _) = open(&node.api, request).await;
        let (_, event) = next(&mut stream).await.unwrap().unwrap();
        assert!(matches!(event, Event::CaughtUp(_)), "{event:?}");
    }
    node.api
        .clone()
        .revoke(revoke(vec![user("old")]))
        .await
        .unwrap();
    let mut watcher = Follower::new(from_now());
    assert_eq!(watcher.catch_up(&node.api).await, WatchMode::Now);
    node.api
        .clone()
        .revoke(revoke(vec![user("new")]))
        .await
        .unwrap();
    assert_eq!(watcher.catch_up(&node.api).await, WatchMode::Resumed);
    assert_eq!(watcher.targets(), [user("new")]);
    node.stop().await;
}

#[tokio::test]
async fn a_cursor_goes_on_where_it_was_across_restarts() {
    let directory = tempfile::tempdir().unwrap();
    let mut node = TestNode::start(Options::default().on_disk(directory.path())).await;
    let mut watcher = Follower::default();
    watcher.catch_up(&node.api).await;
    for number in 0..4 {
        node.api
            .clone()
            .revoke(revoke(vec![user(&number.to_string())]))
            .await
            .unwrap();
        node = node.restart().await;
        watcher.held.clear();
        assert_eq!(watcher.catch_up(&node.api).await, WatchMode::Resumed);
        assert_eq!(watcher.targets(), [user(&number.to_string())]);
    }
    node.stop().await;
}

#[tokio::test]
async fn the_cursor_of_another_node_leads_to_a_reset() {
    let (node, other) = (
        TestNode::start(Options::default()).await,
        TestNode::start(Options::default()).await,
    );
    other
        .api
        .clone()
        .revoke(revoke(vec![user("theirs")]))
        .await
        .unwrap();
    node.api
        .clone()
        .revoke(revoke(vec![user("ours")]))
        .await
        .unwrap();
    let mut watcher = Follower::default();
    watcher.catch_up(&other.api).await;
    assert_eq!(watcher.catch_up(&node.api).await, WatchMode::Reset);
    assert_eq!(watcher.targets(), [user("ours")]);
    // The reset is over: from here on it goes on.
    assert_eq!(watcher.catch_up(&node.api).await, WatchMode::Resumed);
    node.stop().await;
    other.stop().await;
}

/// A backup knows nothing of what was written after it, so a cursor from then is not to be
/// trusted, though the node has since written as many records again: whether the run that the
/// backup was made of wrote on, or one that the backup has never heard of.
#[tokio::test]
async fn a_restored_backup_resets_whoever_was_further_and_nobody_else() {
    for is_restarted in [false, true] {
        let (live, backup) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let journal = |directory: &tempfile::TempDir| directory.path().join("journal.redb");
        let mut node = TestNode::start(Options::default().on_disk(live.path())).await;
        let ask = revoke(vec![user("before")]);
        node.api.clone().revoke(ask).await.unwrap();
        let mut early = Follower::default();
        early.catch_up(&node.api).await;
        // Nothing is being written: what was acknowledged is in the file.
        std::fs::copy(journal(&live), journal(&backup)).unwrap();
        if is_restarted {
            node = node.restart().await;
        }
        let ask = revoke(vec![user("lost"), user("lost too")]);
        node.api.clone().revoke(ask).await.unwrap();
        let mut late = Follower::default();
        late.catch_up(&node.api).await;
        assert_eq!(late.held.len(), 3);

        let options = Options::default().on_disk(backup.path());
        let node = node.restart_with(options).await;
        let again = (0..5).map(|number| user(&number.to_string()));
        node.api
            .clone()
            .revoke(revoke(again.collect()))
            .await
            .unwrap();
        assert_eq!(early.catch_up(&node.api).await, WatchMode::Resumed);
        assert_eq!(late.catch_up(&node.api).await, WatchMode::Reset);
        assert_eq!(early.held, late.held);
        assert_eq!(late.held.len(), 6);
        node.stop().await;
    }
}

#[tokio::test]
async fn filters_by_kind_and_issuer_show_that_alone_and_a_cursor_is_bound_to_them() {
    let node = TestNode::start(Options::default()).await;
    let targets = vec![
        user("u"),
        session("s"),
        jti("j"),
        user_of("https://b.example", "b"),
    ];
    node.api.clone().revoke(revoke(targets)).await.unwrap();
    let filter = |kinds: &[TargetKind], issuers: &[&str]| WatchRevocationsRequest {
        kinds: kinds.iter().map(|kind| *kind as i32).collect(),
        issuers: issuers.iter().map(|&iss| iss.to_owned()).collect(),
        ..WatchRevocationsRequest::default()
    };
    let theirs = user_of("https://b.example", "b");
    for (request, count) in [
        (filter(&[], &[]), 4),
        (filter(&[TargetKind::User], &[]), 2),
        (filter(&[TargetKind::Token, TargetKind::Session], &[]), 2),
        (filter(&[TargetKind::User], &["https://b.example"]), 1),
        (filter(&[TargetKind::Token], &["https://b.example"]), 0),
        (
            filter(&[], &["https://b.example", super::super::say::ISS]),
            4,
        ),
    ] {
        let mut watcher = Follower::new(request);
        watcher.catch_up(&node.api).await;
        assert_eq!(watcher.held.len(), count, "{:?}", watcher.filter);
    }
    let mut watcher = Follower::new(filter(
        &[TargetKind::User, TargetKind::User],
        &["https://b.example"],
    ));
    watcher.catch_up(&node.api).await;
    assert_eq!(watcher.targets(), [theirs]);
    // The same filter in other words is the same; another is not.
    watcher.filter = filter(
        &[TargetKind::User],
        &["https://b.example", "https://b.example"],
    );
    assert_eq!(watcher.catch_up(&node.api).await, WatchMode::Resumed);
    for other in [
        filter(&[], &["https://b.example"]),
        filter(&[TargetKind::User], &[]),
        filter(&[TargetKind::User], &["b"]),
    ] {
        let request = WatchRevocationsRequest {
            cursor: watcher.cursor.clone(),
            ..other
        };
        let refused = node
            .api
            .clone()
            .watch_revocations(request)
            .await
            .unwrap_err();
        assert_eq!(blamed(&refused).0, "cursor");
    }
    node.stop().await;
}

#[tokio::test]
async fn what_was_lifted_is_shown_with_who_did_it_and_why() {
    let node = TestNode::start(Options::default()).await;
    let mut ban = revoke_by(vec![user("u")], all());
    ban.comment = "banned".to_owned();
    node.api.clone().revoke(ban).await.unwrap();
    node.api
        .clone()
        .revoke(revoke(vec![user("u")]))
        .await
        .unwrap();
    node.advance_s(1);
    let mut lift = restore(vec![user("u")], &[RuleKind::All]);
    lift.comment = "appealed".to_owned();
    node.api.clone().restore(lift).await.unwrap();
    let mut watcher = Follower::default();
    watcher.catch_up(&node.api).await;
    let shown = watcher.held.values().next().unwrap();
    assert_eq!(shown.lifted, [RuleKind::All as i32]);
    assert_eq!(
        (shown.lifted_by.as_str(), shown.lifted_comment.as_str()),
        ("ip:127.0.0.1", "appealed")
    );
    let in_force: Vec<_> = shown
        .in_force
        .iter()
        .map(rescind::proto::v1::InForce::rule)
        .collect();
    assert_eq!(in_force, [RuleKind::IssuedBefore]);
    assert_eq!(
        shown.changed_at.unwrap().seconds,
        i64::try_from(node.now_s()).unwrap()
    );
    // In force again, it is lifted no more.
    node.api
        .clone()
        .revoke(revoke_by(vec![user("u")], all()))
        .await
        .unwrap();
    watcher.catch_up(&node.api).await;
    let shown = watcher.held.values().next().unwrap();
    assert!(
        shown.lifted.is_empty() && shown.lifted_by.is_empty() && shown.lifted_comment.is_empty()
    );
    node.stop().await;
}

/// The clock of heartbeats is the machine's.
#[tokio::test]
async fn heartbeats_come_at_the_asked_interval_while_nothing_else_does() {
    let node = TestNode::start(Options::default()).await;
    node.api
        .clone()
        .revoke(revoke(vec![user("u")]))
        .await
        .unwrap();
    // A watcher whose filter shows nothing is told of life as well.
    for kinds in [Vec::new(), vec![TargetKind::Key as i32]] {
        let request = WatchRevocationsRequest {
            kinds,
            ..beating(200_000_000)
        };
        let began = tokio::time::Instant::now();
        let (mut stream, _) = open(&node.api, request).await;
        loop {
            let (_, event) = next(&mut stream).await.unwrap().unwrap();
            if matches!(event, Event::CaughtUp(_)) {
                break;
            }
        }
        for _beat in 0..3 {
            let (cursor, event) = next(&mut stream).await.unwrap().unwrap();
            let Event::Heartbeat(beat) = event else {
                panic!("{event:?}");
            };
            assert!(!cursor.is_empty());
            assert_eq!(beat.head, 1);
            assert_eq!(
                beat.server_time.unwrap().seconds,
                i64::try_from(node.now_s()).unwrap()
            );
            assert_eq!(beat.staleness, Some(Duration::default()));
        }
        let least = std::time::Duration::from_millis(600);
        assert!(began.elapsed() >= least, "{:?}", began.elapsed());
    }
    node.stop().await;
}

#[tokio::test]
async fn a_stop_ends_every_watch_with_unavailable() {
    let node = TestNode::start(Options::default()).await;
    let (mut idle, _) = open(&node.api, WatchRevocationsRequest::default()).await;
    next(&mut idle).await.unwrap().unwrap();
    let (unread, _) = open(&node.api, from_now()).await;
    node.begin_to_stop();
    let ended = next(&mut idle).await.unwrap_err();
    assert_eq!(ended.code(), Code::Unavailable);
    assert_eq!(
        ended.get_details_error_info().unwrap().reason,
        "SHUTTING_DOWN"
    );
    assert!(ended.get_details_retry_info().is_some());
    drop((idle, unread));
    node.stop().await;
}

#[tokio::test]
async fn a_watcher_that_goes_away_is_forgotten_and_one_that_stays_is_shown() {
    let node = TestNode::start(Options::default()).await;
    let request = WatchRevocationsRequest {
        watcher: "siem".to_owned(),
        ..from_now()
    };
    let (stays, _) = open(&node.api, request).await;
    for _gone in 0..3 {
        drop(open(&node.api, from_now()).await);
    }
    // Streams that were reset end on tasks of their own: asked again until they have.
    let only_one = async {
        loop {
            let status = node
                .api
                .clone()
                .get_status(GetStatusRequest::default())
                .await;
            let status = status.unwrap().into_inner();
            if status.watchers.len() == 1 {
                return status;
            }
        }
    };
    let status = tokio::time::timeout(PATIENCE, only_one).await.unwrap();
    assert_eq!(status.watchers[0].watcher, "siem");
    assert_eq!(status.watchers[0].actor, "ip:127.0.0.1");
    drop(stays);
    node.stop().await;
}

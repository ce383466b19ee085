//! What only nodes that follow call: `AckWatch`, `MergeRecords`, `GetDigests`.

use rescind::proto::v1::{
    self, Hello, WatchRevocationsRequest, WatchRevocationsResponse,
    watch_revocations_response::Event,
};
use tonic::{Code, Status, Streaming};
use tonic_types::StatusExt as _;

use super::say::{blamed, jti, revoke, user};
use crate::harness::node::{Api, Options, TestNode};

/// The node id of the follower in these tests.
const NODE: &str = "0000000000000007";

async fn node() -> TestNode {
    TestNode::start(Options::default().for_nodes()).await
}

/// Follows a node, and reads Hello.
async fn follow(api: &Api) -> (Streaming<WatchRevocationsResponse>, Hello) {
    let request = WatchRevocationsRequest {
        exclude_origin: 70,
        follower: Some(v1::Follower {
            node_id: NODE.to_owned(),
            role: v1::FollowerRole::Leaf.into(),
        }),
        heartbeat: Some(prost_types::Duration {
            seconds: 0,
            nanos: 200_000_000,
        }),
        ..WatchRevocationsRequest::default()
    };
    let watch = api.clone().watch_revocations(request).await.unwrap();
    let mut watch = watch.into_inner();
    match next(&mut watch).await {
        (_, Event::Hello(hello)) => (watch, hello),
        other => panic!("{other:?}"),
    }
}

async fn next(watch: &mut Streaming<WatchRevocationsResponse>) -> (Vec<u8>, Event) {
    let message = watch.message().await.unwrap().unwrap();
    (message.cursor, message.event.unwrap())
}

/// The records of a node as others are told them.
async fn records(node: &TestNode) -> Vec<v1::Revocation> {
    let (mut watch, _) = follow(&node.api).await;
    loop {
        if let (_, Event::Records(records)) = next(&mut watch).await {
            return records.revocations;
        }
    }
}

async fn ack(api: &Api, watch_id: u64, cursor: &[u8], nonce: u64) -> Result<(), Status> {
    let request = v1::AckWatchRequest {
        watch_id,
        cursor: cursor.to_owned(),
        nonce,
    };
    api.clone().ack_watch(request).await.map(drop)
}

async fn merge(
    node: &TestNode,
    hub_boot: u64,
    revocations: Vec<v1::Revocation>,
) -> Result<v1::MergeRecordsResponse, Status> {
    let message = v1::MergeRecordsRequest {
        revocations,
        hub_boot,
        follower: Some(v1::Follower {
            node_id: NODE.to_owned(),
            role: v1::FollowerRole::Leaf.into(),
        }),
        ..v1::MergeRecordsRequest::default()
    };
    let messages = tokio_stream::iter([message]);
    let merged = node.api.clone().merge_records(messages).await?;
    Ok(merged.into_inner())
}

fn reason(status: &Status) -> (Code, String) {
    let info = status.get_details_error_info().unwrap();
    (status.code(), info.reason)
}

async fn follower(node: &TestNode) -> v1::FollowerStatus {
    let mut api = node.api.clone();
    let status = api.get_status(v1::GetStatusRequest::default()).await;
    status.unwrap().into_inner().followers.remove(0)
}

#[tokio::test]
async fn an_acknowledgement_is_echoed_and_shown_and_of_no_watch_refused() {
    let node = node().await;
    let unknown = ack(&node.api, 999, &[], 1).await.unwrap_err();
    assert_eq!(
        reason(&unknown),
        (Code::NotFound, "NO_SUCH_WATCH".to_owned())
    );

    node.api
        .clone()
        .revoke(revoke(vec![user("ada")]))
        .await
        .unwrap();
    let (mut watch, hello) = follow(&node.api).await;
    let id = hello.watch_id;
    let bad = ack(&node.api, id, b"no cursor", 1).await.unwrap_err();
    assert_eq!(blamed(&bad).0, "cursor");
    let status = follower(&node).await;
    assert_eq!((status.state.as_str(), status.lag), ("catching-up", 1));
    assert_eq!((status.acked, status.age), (0, None));

    let cursor = loop {
        if let (cursor, Event::CaughtUp(_)) = next(&mut watch).await {
            break cursor;
        }
    };
    ack(&node.api, id, &cursor, 41).await.unwrap();
    let status = follower(&node).await;
    assert_eq!((status.state.as_str(), status.lag), ("following", 0));
    assert_eq!(status.acked, 1);
    assert!(
        status.age.is_some() && status.last_error.is_empty(),
        "{status:?}"
    );
    loop {
        if let (_, Event::Heartbeat(heartbeat)) = next(&mut watch).await
            && heartbeat.nonce == 41
        {
            break;
        }
    }

    // A cursor of another node says nothing here.
    let other = self::node().await;
    let (_other_watch, hello) = follow(&other.api).await;
    ack(&other.api, hello.watch_id, &cursor, 0).await.unwrap();
    assert_eq!(follower(&other).await.acked, 0);

    drop(watch);
    while follower(&node).await.connected {
        tokio::task::yield_now().await;
    }
    let status = follower(&node).await;
    assert_eq!(status.state, "away");
    assert!(!status.last_error.is_empty());
}

#[tokio::test]
async fn what_only_nodes_need_is_refused_unless_they_are_told_apart() {
    let node = TestNode::start(Options::default()).await;
    let boot = node.ledger.boot().0;
    let merged = merge(&node, boot, Vec::new()).await.map(drop);
    let digests = node
        .api
        .clone()
        .get_digests(digests_of(&node))
        .await
        .map(drop);
    for refused in [merged.unwrap_err(), digests.unwrap_err()] {
        assert_eq!(
            reason(&refused),
            (Code::PermissionDenied, "PEERS_ONLY".to_owned())
        );
    }
}

#[tokio::test]
async fn what_is_handed_up_is_for_one_run_of_a_hub_and_what_cannot_be_read_is_skipped_and_told() {
    let (hub, leaf) = (node().await, node().await);
    leaf.api
        .clone()
        .revoke(revoke(vec![user("ada"), user("bob")]))
        .await
        .unwrap();
    let mut records = records(&leaf).await;
    assert_eq!(records.len(), 2);
    let boot = hub.ledger.boot().0;
    let refused = merge(&hub, boot ^ 1, records.clone()).await.unwrap_err();
    assert_eq!(
        reason(&refused),
        (Code::FailedPrecondition, "ANOTHER_BOOT".to_owned())
    );
    assert_eq!(hub.ledger.condition().held, 0);

    records[0].target = None;
    let merged = merge(&hub, boot, records).await.unwrap();
    assert_eq!((merged.changed, merged.skipped), (1, 1));
    assert!(!merged.first_skipped.is_empty());
    assert_eq!(hub.ledger.condition().held, 1);
}

fn digests_of(node: &TestNode) -> v1::GetDigestsRequest {
    let now = node.ledger.wall().nanos();
    v1::GetDigestsRequest {
        written_before_ns: now,
        runs_out_after_ns: now,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn digests_are_of_what_is_to_come_and_made_one_at_a_time() {
    let node = node().await;
    for thousand in 0..5 {
        let number = |number| jti(&format!("{}", thousand * 1_000 + number));
        let targets = (0..1_000).map(number).collect();
        node.api.clone().revoke(revoke(targets)).await.unwrap();
    }
    node.advance_s(1);
    let past = v1::GetDigestsRequest {
        runs_out_after_ns: digests_of(&node).runs_out_after_ns - 1,
        ..digests_of(&node)
    };
    let refused = node.api.clone().get_digests(past).await.unwrap_err();
    assert_eq!(blamed(&refused).0, "runs_out_after_ns");

    let calls = (0..8).map(|_| {
        let (mut api, of) = (node.api.clone(), digests_of(&node));
        async move { api.get_digests(of).await }
    });
    let (mut made, mut refused) = (0, 0);
    for answer in futures_util::future::join_all(calls).await {
        match answer {
            Ok(digests) => {
                assert_eq!(digests.into_inner().records, 5_000);
                made += 1;
            }
            Err(status) => {
                let under_way = (Code::ResourceExhausted, "DIGESTS_UNDER_WAY".to_owned());
                assert_eq!(reason(&status), under_way);
                refused += 1;
            }
        }
    }
    assert!(made >= 1 && refused >= 1, "{made} made, {refused} refused");
}

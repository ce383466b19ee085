//! A node that is well.

use std::{collections::BTreeMap, time::Duration};

use rescind::{
    limits,
    proto::v1::{
        GetStatusRequest, GetStatusResponse, RuleKind, TargetKind, WatchRevocationsRequest,
    },
    server::SERVICE,
};
use tokio_stream::StreamExt as _;
use tonic::{Code, Streaming, transport::Channel};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus,
    health_client::HealthClient,
};
use tonic_reflection::pb::{v1, v1alpha};

use super::super::say::{
    all, at, claim, client, issuer, jti, key, restore, revoke, revoke_by, session, user,
};
use crate::harness::node::{Options, START, TestNode};

async fn status(node: &TestNode) -> GetStatusResponse {
    let status = node
        .api
        .clone()
        .get_status(GetStatusRequest::default())
        .await;
    status.unwrap().into_inner()
}

fn counts(status: &GetStatusResponse) -> BTreeMap<TargetKind, u64> {
    status
        .live
        .iter()
        .map(|live| (live.kind(), live.count))
        .collect()
}

#[tokio::test]
async fn a_status_tells_identity_counts_journal_clock_and_limits() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options::default()
        .on_disk(directory.path())
        .max_live(1_000)
        .defaults(|defaults| {
            defaults.revocable_claims = vec!["tenant".to_owned()];
        });
    let node = TestNode::start(options).await;
    node.advance_s(5);
    let fresh = status(&node).await;
    assert_eq!(fresh.node_id.len(), 16);
    assert_eq!(fresh.boot.len(), 16);
    assert_eq!(fresh.version, env!("CARGO_PKG_VERSION"));
    assert_eq!(
        fresh.started_at.unwrap().seconds,
        i64::try_from(START.secs_floor()).unwrap()
    );
    assert!(fresh.ready && !fresh.verifies_signatures);
    assert_eq!(fresh.staleness, Some(prost_types::Duration::default()));
    assert!(counts(&fresh).values().all(|count| *count == 0) && fresh.live.len() == 7);
    let limits = fresh.limits.unwrap();
    assert_eq!((limits.live_max, limits.live_reserved), (1_000, 100));
    assert_eq!(limits.batch_max as usize, limits::BATCH_MAX);
    assert_eq!(limits.token_bytes_max as usize, limits::TOKEN_BYTES_DEFAULT);
    assert_eq!(
        limits.identifier_bytes_max as usize,
        limits::IDENTIFIER_BYTES_MAX
    );
    let journal = fresh.journal.unwrap();
    assert!(journal.durable && journal.healthy && journal.failure.is_empty());
    assert_eq!((journal.head, journal.records), (0, 0));
    let clock = fresh.clock.unwrap();
    assert!(
        !clock.trusted && clock.detail.contains("sweep_settle"),
        "{clock:?}"
    );
    assert_eq!(clock.swept_until, None);

    let rules = vec![
        user("u"),
        user("v"),
        client("c"),
        key("k"),
        claim("tenant", "t"),
        issuer("i"),
    ];
    node.api
        .clone()
        .revoke(revoke_by(rules, all()))
        .await
        .unwrap();
    node.api
        .clone()
        .revoke(revoke(vec![jti("j"), session("s")]))
        .await
        .unwrap();
    node.api
        .clone()
        .restore(restore(vec![user("v")], &[RuleKind::All]))
        .await
        .unwrap();
    let node = node.restart().await;
    let full = status(&node).await;
    assert_eq!(full.node_id, fresh.node_id);
    assert_ne!(full.boot, fresh.boot);
    assert_eq!(counts(&full).values().copied().collect::<Vec<_>>(), [1; 7]);
    let journal = full.journal.unwrap();
    // What was lifted is still remembered.
    assert_eq!((journal.head, journal.records), (9, 8));
    node.stop().await;
}

#[tokio::test]
async fn the_sweeper_tells_what_it_thinks_of_the_clock() {
    let node = TestNode::start(Options::default()).await;
    let end = at(node.now_s() + 60);
    let suspension = rescind::proto::v1::RevokeRequest {
        expires_at: Some(end),
        ..revoke_by(vec![user("u")], all())
    };
    node.api.clone().revoke(suspension).await.unwrap();
    node.advance_s(3_600);
    node.sweep().await;
    let clock = status(&node).await.clock.unwrap();
    assert!(clock.trusted && clock.detail.is_empty(), "{clock:?}");
    assert_eq!(
        clock.swept_until.unwrap().seconds,
        i64::try_from(node.now_s()).unwrap()
    );
    node.clock.set_wall(START);
    node.sweep().await;
    let clock = status(&node).await.clock.unwrap();
    assert!(
        !clock.trusted && clock.detail.contains("accept-clock"),
        "{clock:?}"
    );
    node.stop().await;
}

#[tokio::test]
async fn an_ephemeral_node_says_so_and_a_watcher_is_shown_with_its_lag() {
    let node = TestNode::start(Options::default()).await;
    let request = WatchRevocationsRequest {
        watcher: "siem".to_owned(),
        ..WatchRevocationsRequest::default()
    };
    let mut watch = node
        .api
        .clone()
        .watch_revocations(request)
        .await
        .unwrap()
        .into_inner();
    watch.message().await.unwrap().unwrap();
    let fresh = status(&node).await;
    assert!(!fresh.journal.unwrap().durable);
    assert_eq!(fresh.watchers.len(), 1);
    assert_eq!(
        (fresh.watchers[0].watcher.as_str(), fresh.watchers[0].lag),
        ("siem", 0)
    );
    drop(watch);
    node.stop().await;
}

async fn health(channel: &Channel, service: &str) -> Result<ServingStatus, Code> {
    let service = service.to_owned();
    let mut client = HealthClient::new(channel.clone());
    let answer = client.check(HealthCheckRequest { service }).await;
    answer
        .map(|answer| answer.into_inner().status())
        .map_err(|status| status.code())
}

async fn next(watch: &mut Streaming<HealthCheckResponse>) -> Option<HealthCheckResponse> {
    let message = tokio::time::timeout(Duration::from_secs(30), watch.message());
    message.await.expect("nothing came").unwrap()
}

#[tokio::test]
async fn health_is_serving_for_the_server_and_the_service_and_not_from_the_first_moment_of_a_stop()
{
    let node = TestNode::start(Options::default()).await;
    for service in ["", SERVICE] {
        assert_eq!(
            health(&node.channel, service).await,
            Ok(ServingStatus::Serving)
        );
    }
    assert_eq!(
        health(&node.channel, "another.Service").await,
        Err(Code::NotFound)
    );
    let service = SERVICE.to_owned();
    let mut client = HealthClient::new(node.channel.clone());
    let mut watch = client
        .watch(HealthCheckRequest { service })
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        watch.message().await.unwrap().unwrap().status(),
        ServingStatus::Serving
    );
    node.begin_to_stop();
    assert_eq!(
        next(&mut watch).await.unwrap().status(),
        ServingStatus::NotServing
    );
    // And the watch ends, so that it does not hold up the drain.
    assert_eq!(next(&mut watch).await, None);
    drop((watch, client));
    node.stop().await;
}

#[tokio::test]
async fn reflection_lists_the_services_in_both_versions() {
    let node = TestNode::start(Options::default()).await;
    let wanted = [SERVICE, "grpc.health.v1.Health"];

    let ask = v1::ServerReflectionRequest {
        message_request: Some(v1::server_reflection_request::MessageRequest::ListServices(
            String::new(),
        )),
        ..v1::ServerReflectionRequest::default()
    };
    let mut client =
        v1::server_reflection_client::ServerReflectionClient::new(node.channel.clone());
    let answers = client
        .server_reflection_info(tokio_stream::once(ask))
        .await
        .unwrap();
    let answer = answers
        .into_inner()
        .next()
        .await
        .unwrap()
        .unwrap()
        .message_response;
    let Some(v1::server_reflection_response::MessageResponse::ListServicesResponse(list)) = answer
    else {
        panic!("{answer:?}");
    };
    let names: Vec<_> = list
        .service
        .into_iter()
        .map(|service| service.name)
        .collect();
    assert!(
        wanted
            .iter()
            .all(|name| names.iter().any(|listed| listed == name)),
        "{names:?}"
    );

    let ask = v1alpha::ServerReflectionRequest {
        message_request: Some(
            v1alpha::server_reflection_request::MessageRequest::FileContainingSymbol(
                SERVICE.to_owned(),
            ),
        ),
        ..v1alpha::ServerReflectionRequest::default()
    };
    let mut client =
        v1alpha::server_reflection_client::ServerReflectionClient::new(node.channel.clone());
    let answers = client
        .server_reflection_info(tokio_stream::once(ask))
        .await
        .unwrap();
    let answer = answers
        .into_inner()
        .next()
        .await
        .unwrap()
        .unwrap()
        .message_response;
    let Some(v1alpha::server_reflection_response::MessageResponse::FileDescriptorResponse(files)) =
        answer
    else {
        panic!("{answer:?}");
    };
    assert!(!files.file_descriptor_proto.is_empty());
    node.stop().await;
}

//! A full quota refuses what would add a record, and nothing else.

use rescind::proto::v1::{RevokeRequest, RuleKind, Rules};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::{
    super::say::{
        self, all, client, issued_before, issuer, jti, key, revoke_by, session, state, user,
    },
    restore, revoke,
};
use crate::harness::node::{Options, TestNode};

async fn refused(node: &TestNode, request: RevokeRequest) -> Status {
    let before = state(node).await;
    let status = node.api.clone().revoke(request).await.unwrap_err();
    assert_eq!(state(node).await, before);
    assert_eq!(status.code(), Code::ResourceExhausted);
    let info = status.get_details_error_info().unwrap();
    assert_eq!(
        (info.domain.as_str(), info.reason.as_str()),
        ("rescind", "LIVE_QUOTA_FULL")
    );
    assert_eq!(info.metadata["quota"], "max_live");
    assert_eq!(info.metadata["limit"], "20");
    assert_eq!(info.metadata["held"], before.2.unwrap().to_string());
    let retry = status.get_details_retry_info().unwrap();
    assert!(!retry.retry_delay.unwrap().is_zero());
    status
}

#[tokio::test]
async fn a_flood_of_logouts_leaves_a_tenth_for_the_emergency() {
    let node = TestNode::start(Options::default().max_live(20)).await;
    let now = node.now_s();
    let many = |count: usize| (0..count).map(|number| jti(&number.to_string())).collect();
    // A batch that does not fit is refused whole.
    refused(&node, say::revoke(many(19))).await;
    revoke(&node, say::revoke(many(18))).await;
    for target in [jti("x"), session("x"), user("x")] {
        let status = refused(&node, say::revoke(vec![target])).await;
        assert!(status.message().contains("a tenth"), "{}", status.message());
    }
    let version = Rules {
        version_below: 2,
        ..Rules::default()
    };
    refused(&node, revoke_by(vec![user("x")], version)).await;
    refused(&node, revoke_by(vec![session("x")], all())).await;
    // What ends an emergency still fits, until that is full too.
    revoke(&node, revoke_by(vec![key("burnt")], all())).await;
    refused(&node, revoke_by(vec![client("c"), issuer("i")], all())).await;
    revoke(&node, revoke_by(vec![user("mallory")], all())).await;
    let status = refused(&node, revoke_by(vec![key("another")], all())).await;
    assert!(
        !status.message().contains("a tenth"),
        "{}",
        status.message()
    );
    // On what is held already, anything goes.
    revoke(&node, revoke_by(vec![user("mallory")], issued_before(now))).await;
    revoke(&node, say::revoke(many(18))).await;
    restore(&node, say::restore(vec![user("mallory")], &[RuleKind::All])).await;
    let held = node.ledger.condition().held;
    assert_eq!(held, 20);
    // A validation is refused for the same reason.
    let mut only = revoke_by(vec![key("another")], all());
    only.validate_only = true;
    refused(&node, only).await;
    node.stop().await;
}

#[tokio::test]
async fn what_is_forgotten_makes_room() {
    let node = TestNode::start(Options::default().max_live(20)).await;
    let soon = say::at(node.now_s() + 60);
    let suspend = RevokeRequest {
        expires_at: Some(soon),
        ..revoke_by(
            (0..20).map(|number| user(&number.to_string())).collect(),
            all(),
        )
    };
    revoke(&node, suspend).await;
    refused(&node, revoke_by(vec![key("k")], all())).await;
    node.advance_s(3_600);
    assert_eq!(node.sweep().await.count, 20);
    revoke(&node, revoke_by(vec![key("k")], all())).await;
    assert_eq!(node.ledger.condition().held, 1);
    node.stop().await;
}

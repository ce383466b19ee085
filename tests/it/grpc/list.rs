//! ListRevocations.

use rescind::proto::v1::{self, ListRevocationsRequest, RuleKind};

use super::say::{all, jti, list_all, restore, revoke, revoke_by, user};
use crate::harness::node::{Options, TestNode};

#[tokio::test]
async fn a_target_is_listed_once_as_it_is_now_however_often_it_was_written() {
    let node = TestNode::start(Options::default()).await;
    let mut api = node.api.clone();
    for _ in 0..3 {
        api.revoke(revoke(vec![user("alice"), jti("j")]))
            .await
            .unwrap();
    }
    api.restore(restore(vec![user("alice")], &[RuleKind::IssuedBefore]))
        .await
        .unwrap();
    let listed = list_all(&api, ListRevocationsRequest::default()).await;
    assert_eq!(listed.len(), 2, "{listed:#?}");
    node.stop().await;
}

#[tokio::test]
async fn what_was_forgotten_is_no_longer_listed() {
    let node = TestNode::start(Options::default()).await;
    let mut api = node.api.clone();
    let suspension = v1::RevokeRequest {
        expires_at: Some(super::say::at(node.now_s() + 60)),
        ..revoke_by(vec![user("alice")], all())
    };
    api.revoke(suspension).await.unwrap();
    api.revoke(revoke(vec![user("bob")])).await.unwrap();
    node.advance_s(3_600);
    assert_eq!(node.sweep().await.count, 1);
    let listed = list_all(&api, ListRevocationsRequest::default()).await;
    assert_eq!(listed.len(), 1, "{listed:#?}");
    node.stop().await;
}

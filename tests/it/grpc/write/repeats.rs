//! A `request_id` makes a write idempotent.

use rescind::proto::v1::{RevokeRequest, RevokeUserRequest, RuleKind};

use super::{
    super::say::{self, ISS, all, blamed, revoke_by, session, state, user},
    head, kinds, restore, revoke,
};
use crate::harness::node::{Options, TestNode};

fn named(id: &str, request: RevokeRequest) -> RevokeRequest {
    RevokeRequest {
        request_id: id.to_owned(),
        ..request
    }
}

#[tokio::test]
async fn a_repeat_writes_nothing_and_is_answered_what_holds_now() {
    let directory = tempfile::tempdir().unwrap();
    let mut node = TestNode::start(Options::default().on_disk(directory.path())).await;
    let request = named("id", say::revoke(vec![user("u"), session("s")]));
    let first = revoke(&node, request.clone()).await;
    node.advance_s(300);
    for _restart in 0..2 {
        let before = state(&node).await;
        let again = revoke(&node, request.clone()).await;
        assert_eq!(first[0].in_force, again[0].in_force);
        assert_eq!(first[1].not_before, again[1].not_before);
        assert_eq!(state(&node).await, before);
        node = node.restart().await;
    }
    // Lifted meanwhile: a late repeat does not revoke anew.
    restore(
        &node,
        say::restore(vec![user("u")], &[RuleKind::IssuedBefore]),
    )
    .await;
    let again = revoke(&node, request.clone()).await;
    assert!(kinds(&again[0]).is_empty());
    assert_eq!(kinds(&again[1]), [RuleKind::IssuedBefore]);
    node.stop().await;
}

#[tokio::test]
async fn the_id_is_free_again_after_ten_minutes() {
    let node = TestNode::start(Options::default()).await;
    let request = named("id", say::revoke(vec![user("u")]));
    revoke(&node, request.clone()).await;
    node.advance_s(600);
    revoke(&node, request.clone()).await;
    assert_eq!(head(&node), 1);
    node.advance_s(1);
    let other = named("id", say::revoke(vec![user("v")]));
    revoke(&node, other).await;
    assert_eq!(head(&node), 2);
    let (field, _) = blamed(&node.api.clone().revoke(request).await.unwrap_err());
    assert_eq!(field, "request_id");
    node.stop().await;
}

#[tokio::test]
async fn what_was_only_validated_or_refused_takes_no_id() {
    let node = TestNode::start(Options::default()).await;
    let request = named("id", say::revoke(vec![user("u")]));
    let mut only = request.clone();
    only.validate_only = true;
    revoke(&node, only).await;
    let wrong = named("id", say::revoke(vec![user("u"), user("")]));
    node.api.clone().revoke(wrong).await.unwrap_err();
    assert_eq!(head(&node), 0);
    revoke(&node, request.clone()).await;
    assert_eq!(head(&node), 1);
    // Asked again whether it would do: the answer is what holds.
    let mut only = request;
    only.validate_only = true;
    assert_eq!(
        kinds(&revoke(&node, only).await[0]),
        [RuleKind::IssuedBefore]
    );
    assert_eq!(head(&node), 1);
    node.stop().await;
}

#[tokio::test]
async fn a_restore_and_a_revoke_user_are_repeated_likewise() {
    let node = TestNode::start(Options::default()).await;
    let of_user = RevokeUserRequest {
        iss: ISS.to_owned(),
        sub: "u".to_owned(),
        request_id: "log out".to_owned(),
        ..RevokeUserRequest::default()
    };
    for _again in 0..2 {
        node.api.clone().revoke_user(of_user.clone()).await.unwrap();
        assert_eq!(head(&node), 1);
    }
    let mut lift = say::restore(vec![user("u")], &[RuleKind::IssuedBefore]);
    lift.request_id = "lift".to_owned();
    for _again in 0..2 {
        restore(&node, lift.clone()).await;
        assert_eq!(head(&node), 2);
    }
    // Revoked since: the repeat of the old lift leaves it.
    revoke(&node, revoke_by(vec![user("u")], all())).await;
    assert_eq!(kinds(&restore(&node, lift).await[0]), [RuleKind::All]);
    node.stop().await;
}

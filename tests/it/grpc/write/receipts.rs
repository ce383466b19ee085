//! What a receipt says, and what Restore leaves.

use prost_types::Timestamp;
use rescind::proto::v1::{
    self, InForce, Reason, RevokeRequest, RevokeUserRequest, RuleKind, Rules, TokenTarget, Verdict,
    in_force::CutOff,
};
use serde_json::json;

use super::{
    super::say::{
        self, ISS, all, at, check, claims, client, issued_before, jti, jwt, minted, of_claims,
        of_token, revoke_by, session, state, token, user, verdict,
    },
    head, kinds, restore, revoke,
};
use crate::harness::node::{Options, TestNode};

const MONTH_S: u64 = 30 * 86_400;
const GRACE_S: u64 = 600;

fn half_past(seconds: u64) -> Timestamp {
    Timestamp {
        nanos: 500_000_000,
        ..at(seconds)
    }
}

#[tokio::test]
async fn a_receipt_says_what_now_holds_and_from_when_a_token_is_safe() {
    let node = TestNode::start(Options::default()).await;
    let now = node.now_s();
    let request = RevokeRequest {
        reason: Reason::PasswordChanged.into(),
        comment: "by support".to_owned(),
        ..say::revoke(vec![user("u"), session("s")])
    };
    let held = InForce {
        rule: RuleKind::IssuedBefore.into(),
        cut_off: Some(CutOff::Before(half_past(now))),
        expires_at: Some(half_past(now + MONTH_S + GRACE_S)),
        reason: Reason::PasswordChanged.into(),
        comment: "by support".to_owned(),
        actor: "ip:127.0.0.1".to_owned(),
        revoked_at: Some(half_past(now)),
        ..InForce::default()
    };
    let receipts = revoke(&node, request).await;
    for (receipt, target) in receipts.iter().zip([user("u"), session("s")]) {
        assert_eq!(receipt.target, Some(target));
        assert_eq!(receipt.in_force, std::slice::from_ref(&held));
        assert_eq!(receipt.not_before, Some(at(now + 1)));
        assert_eq!(receipt.warnings.len(), 1);
        assert!(
            receipt.warnings[0].contains("no token of this issuer"),
            "{receipt:?}"
        );
    }
    // The user logs in again within the same second: safe by not_before, not by the clock.
    let with = |iat| v1::Claims {
        sub: "u".to_owned(),
        ..claims("fresh", iat)
    };
    assert_eq!(verdict(&node.api, with(now)).await, Verdict::Revoked);
    assert_eq!(verdict(&node.api, with(now + 1)).await, Verdict::Active);
    // A token of the issuer has been checked now, half a second ahead of our clock.
    let receipts = revoke(&node, say::revoke(vec![user("u")])).await;
    let [warning] = &receipts[0].warnings[..] else {
        panic!("{receipts:?}");
    };
    assert!(
        warning.contains("the cut-off is 500ms later than now"),
        "{warning}"
    );
    node.stop().await;
}

#[tokio::test]
async fn a_token_is_kept_until_its_exp_or_as_long_as_it_might_live() {
    let node = TestNode::start(Options::default()).await;
    let now = node.now_s();
    let minted = minted(
        &json!({"iss": ISS, "jti": "by-jwt", "iat": now, "exp": now + 60}),
        None,
    );
    let with_exp = token(TokenTarget {
        iss: ISS.to_owned(),
        jti: "by-jti".to_owned(),
        exp: Some(f64::from(u32::try_from(now).unwrap()) + 0.25),
        ..TokenTarget::default()
    });
    let receipts = revoke(
        &node,
        say::revoke(vec![jwt(&minted), with_exp, jti("bare")]),
    )
    .await;
    let quarter = Timestamp {
        nanos: 250_000_000,
        ..at(now + GRACE_S)
    };
    for (receipt, (name, end)) in receipts.iter().zip([
        ("by-jwt", Some(at(now + 60 + GRACE_S))),
        ("by-jti", Some(quarter)),
        ("bare", Some(half_past(now + MONTH_S + GRACE_S))),
    ]) {
        // Neither exp nor the jwt is shown.
        assert_eq!(receipt.target, Some(jti(name)));
        assert_eq!(kinds(receipt), [RuleKind::All]);
        assert_eq!(receipt.in_force[0].cut_off, None);
        assert_eq!(receipt.in_force[0].expires_at, end, "{name}");
        assert_eq!(receipt.not_before, None);
    }
    assert_eq!(
        check(&node.api, of_token(&minted)).await.verdict(),
        Verdict::Revoked
    );

    // A caller may lengthen, never shorten.
    let mut longer = say::revoke(vec![jwt(&minted)]);
    longer.expires_at = Some(at(now + 1));
    let receipts = revoke(&node, longer.clone()).await;
    assert_eq!(
        receipts[0].in_force[0].expires_at,
        Some(at(now + 60 + GRACE_S))
    );
    longer.expires_at = Some(at(now + 7_200));
    let receipts = revoke(&node, longer).await;
    assert_eq!(
        receipts[0].in_force[0].expires_at,
        Some(at(now + 7_200 + GRACE_S))
    );
    node.advance_s(3_600);
    let expired = revoke(&node, say::revoke(vec![jwt(&minted)])).await;
    assert!(
        expired[0]
            .warnings
            .iter()
            .any(|warning| warning.contains("expired already"))
    );
    node.stop().await;
}

#[tokio::test]
async fn a_ban_stays_until_lifted_and_a_session_bound_is_told() {
    let node = TestNode::start(Options::default()).await;
    let now = node.now_s();
    let receipts = revoke(&node, revoke_by(vec![user("u"), client("c")], all())).await;
    for receipt in receipts {
        assert_eq!(receipt.in_force[0].expires_at, None);
        assert_eq!(receipt.not_before, None);
    }
    let rules = Rules {
        authenticated_before: Some(at(now + 5)),
        version_below: 7,
        ..issued_before(now - 5)
    };
    let receipts = revoke(&node, revoke_by(vec![user("v")], rules)).await;
    let [
        RuleKind::IssuedBefore,
        RuleKind::VersionBelow,
        RuleKind::AuthenticatedBefore,
    ] = kinds(&receipts[0])[..]
    else {
        panic!("{receipts:?}");
    };
    assert_eq!(receipts[0].in_force[1].cut_off, Some(CutOff::Below(7)));
    assert_eq!(receipts[0].not_before, Some(at(now + 5)));
    assert!(
        receipts[0]
            .warnings
            .iter()
            .any(|warning| warning.contains("max_session_lifetime"))
    );
    node.stop().await;
}

#[tokio::test]
async fn revoke_user_is_revoke_of_one_user() {
    let node = TestNode::start(Options::default()).await;
    let request = RevokeUserRequest {
        iss: ISS.to_owned(),
        sub: "u".to_owned(),
        reason: Reason::Logout.into(),
        comment: "why".to_owned(),
        ..RevokeUserRequest::default()
    };
    let receipt = node
        .api
        .clone()
        .revoke_user(request)
        .await
        .unwrap()
        .into_inner()
        .receipt;
    let same = RevokeRequest {
        reason: Reason::Logout.into(),
        comment: "why".to_owned(),
        ..say::revoke(vec![user("u")])
    };
    assert_eq!(receipt, revoke(&node, same).await.pop());
    node.stop().await;
}

#[tokio::test]
async fn validate_only_answers_as_if_and_changes_nothing() {
    let node = TestNode::start(Options::default()).await;
    revoke(&node, say::revoke(vec![user("held")])).await;
    let before = state(&node).await;
    let mut request = revoke_by(vec![user("u"), user("held")], all());
    request.validate_only = true;
    let receipts = revoke(&node, request.clone()).await;
    assert_eq!(kinds(&receipts[0]), [RuleKind::All]);
    assert_eq!(kinds(&receipts[1]), [RuleKind::All, RuleKind::IssuedBefore]);
    let mut lift = say::restore(vec![user("held")], &[RuleKind::IssuedBefore]);
    lift.validate_only = true;
    assert!(restore(&node, lift).await[0].in_force.is_empty());
    let of_user = RevokeUserRequest {
        iss: ISS.to_owned(),
        sub: "u".to_owned(),
        validate_only: true,
        ..RevokeUserRequest::default()
    };
    let receipt = node
        .api
        .clone()
        .revoke_user(of_user)
        .await
        .unwrap()
        .into_inner()
        .receipt;
    assert_eq!(kinds(&receipt.unwrap()), [RuleKind::IssuedBefore]);
    assert_eq!(state(&node).await, before);
    let here = v1::Claims {
        sub: "u".to_owned(),
        ..claims("j", node.now_s() - 60)
    };
    assert_eq!(verdict(&node.api, here).await, Verdict::Active);
    // What is validated is refused for what the real thing would be refused for.
    request.targets.push(user(""));
    assert!(node.api.clone().revoke(request).await.is_err());
    node.stop().await;
}

#[tokio::test]
async fn a_target_that_is_named_twice_is_written_once_and_answered_twice() {
    let node = TestNode::start(Options::default()).await;
    let now = node.now_s();
    let same = minted(
        &json!({"iss": ISS, "jti": "j", "iat": now, "exp": now + 60}),
        None,
    );
    let receipts = revoke(
        &node,
        say::revoke(vec![user("u"), jwt(&same), user("u"), jti("j")]),
    )
    .await;
    assert_eq!(receipts.len(), 4);
    assert_eq!(receipts[0].in_force, receipts[2].in_force);
    assert_eq!(receipts[1].in_force, receipts[3].in_force);
    assert_eq!((head(&node), node.ledger.condition().held), (2, 2));
    let lifts = say::restore(vec![user("u"), user("u")], &[RuleKind::IssuedBefore]);
    let receipts = restore(&node, lifts).await;
    assert!(receipts[0].warnings.is_empty() && receipts[0].in_force.is_empty());
    assert!(receipts[1].warnings[0].contains("nothing to lift"));
    assert_eq!(head(&node), 3);
    node.stop().await;
}

#[tokio::test]
async fn unbanning_does_not_undo_a_password_change() {
    let node = TestNode::start(Options::default()).await;
    let now = node.now_s();
    let rules = Rules {
        all: true,
        version_below: 3,
        ..issued_before(now)
    };
    revoke(&node, revoke_by(vec![user("u")], rules)).await;
    let old = v1::Claims {
        sub: "u".to_owned(),
        version: Some(9),
        ..claims("j", now - 60)
    };
    let found = |answer: v1::CheckResponse| answer.r#match.map(|found| found.rule());
    for (lift, left, denies) in [
        (RuleKind::AuthenticatedBefore, 3, Some(RuleKind::All)),
        (RuleKind::All, 2, Some(RuleKind::IssuedBefore)),
        (RuleKind::IssuedBefore, 1, None),
        (RuleKind::VersionBelow, 0, None),
        (RuleKind::VersionBelow, 0, None),
    ] {
        let before = head(&node);
        let receipts = restore(&node, say::restore(vec![user("u")], &[lift])).await;
        assert_eq!(receipts[0].in_force.len(), left, "{lift:?}");
        assert_eq!(
            found(check(&node.api, of_claims(old.clone())).await),
            denies
        );
        let told = receipts[0]
            .warnings
            .iter()
            .any(|told| told.contains("nothing to lift"));
        assert_eq!(head(&node) == before, told, "{lift:?}: {receipts:?}");
    }
    node.stop().await;
}

#[tokio::test]
async fn restoring_what_never_was_leaves_no_trace() {
    let node = TestNode::start(Options::default()).await;
    let before = state(&node).await;
    let every = [
        RuleKind::All,
        RuleKind::IssuedBefore,
        RuleKind::VersionBelow,
        RuleKind::AuthenticatedBefore,
    ];
    let receipts = restore(&node, say::restore(vec![user("u"), jti("j")], &every)).await;
    assert_eq!(receipts[0].warnings.len(), 4);
    // A token has only `all`.
    assert_eq!(receipts[1].warnings.len(), 1);
    assert_eq!(state(&node).await, before);
    node.stop().await;
}

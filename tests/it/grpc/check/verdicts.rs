//! Which verdict when several would do, and by which clock.

use rescind::proto::v1::{CheckRequest, Verdict};
use serde_json::{Value, json};

use super::super::say::{ISS, all, check, claims, minted, of_claims, of_token, revoke_by, user};
use crate::harness::node::{Options, TestNode};

fn token(claims: &Value) -> CheckRequest {
    of_token(&minted(claims, None))
}

#[tokio::test]
async fn the_first_verdict_counts_in_the_order_invalid_expired_revoked_not_yet_valid() {
    let node = TestNode::start(Options::default()).await;
    node.api
        .clone()
        .revoke(revoke_by(vec![user("gone")], all()))
        .await
        .unwrap();
    let now = node.now_s();
    for (sub, iat, exp, nbf, verdict) in [
        ("here", now, now + 60, now, Verdict::Active),
        ("gone", now, now + 60, now, Verdict::Revoked),
        ("gone", now, now + 600, now + 300, Verdict::Revoked),
        ("here", now, now + 600, now + 300, Verdict::NotYetValid),
        ("gone", now - 600, now - 300, now, Verdict::Expired),
        ("here", now - 600, now - 300, now + 300, Verdict::Expired),
        ("gone", now + 300, now + 600, now, Verdict::Invalid),
        ("gone", 1, now - 300, now, Verdict::Invalid),
    ] {
        let shown = format!("{sub} {iat} {exp} {nbf}");
        let by_token =
            json!({"iss": ISS, "jti": "j", "sub": sub, "iat": iat, "exp": exp, "nbf": nbf});
        let by_token = check(&node.api, token(&by_token)).await;
        let mut by_claims = claims("j", iat);
        let number = |seconds: u64| Some(f64::from(u32::try_from(seconds).unwrap()));
        sub.clone_into(&mut by_claims.sub);
        (by_claims.exp, by_claims.nbf) = (number(exp), number(nbf));
        let by_claims = check(&node.api, of_claims(by_claims)).await;
        assert_eq!(by_token, by_claims, "{shown}");
        assert_eq!(by_token.verdict(), verdict, "{shown}");
        assert_eq!(by_token.active, verdict == Verdict::Active);
        assert_eq!(by_token.detail.is_empty(), by_token.active);
        assert_eq!(by_token.r#match.is_some(), verdict == Verdict::Revoked);
    }
    node.stop().await;
}

#[tokio::test]
async fn leeway_is_added_to_exp_nbf_and_iat_and_not_a_nanosecond_more() {
    let node = TestNode::start(Options::default()).await;
    // The clock stands at half a second, and leeway is a minute.
    let now = node.now_s();
    let of = |iat: Value, exp: Value, nbf: Value| {
        token(&json!({"iss": ISS, "jti": "j", "iat": iat, "exp": exp, "nbf": nbf}))
    };
    let seconds = |whole: u64, fraction: &str| -> Value {
        serde_json::from_str(&format!("{whole}.{fraction}")).unwrap()
    };
    for (ask, verdict) in [
        (
            of(json!(1.0), seconds(now - 60, "5"), json!(1)),
            Verdict::Invalid,
        ),
        (
            of(json!(now - 600), seconds(now - 60, "5"), json!(1)),
            Verdict::Expired,
        ),
        (
            of(json!(now - 600), seconds(now - 60, "6"), json!(1)),
            Verdict::Active,
        ),
        (
            of(json!(now), json!(now + 600), seconds(now + 60, "5")),
            Verdict::Active,
        ),
        (
            of(json!(now), json!(now + 600), seconds(now + 60, "6")),
            Verdict::NotYetValid,
        ),
        (
            of(seconds(now + 60, "5"), json!(now + 600), json!(now)),
            Verdict::Active,
        ),
        (
            of(seconds(now + 60, "6"), json!(now + 600), json!(now)),
            Verdict::Invalid,
        ),
    ] {
        let answer = check(&node.api, ask).await;
        assert_eq!(answer.verdict(), verdict, "{}", answer.detail);
    }
    node.stop().await;
}

#[tokio::test]
async fn what_could_outlive_its_revocation_is_invalid_and_the_detail_names_the_setting() {
    let node = TestNode::start(Options::default()).await;
    let (now, month, year) = (node.now_s(), 30 * 86_400, 366 * 86_400);
    let bound = "max_token_lifetime";
    for (claims, says) in [
        (json!({"iat": now, "exp": now + month}), None),
        (json!({"iat": now, "exp": now + month + 1}), Some(bound)),
        (json!({"iat": now}), Some(bound)),
        (json!({"exp": now}), Some(bound)),
        (
            json!({"iat": now, "exp": now + 60, "auth_time": now - year}),
            None,
        ),
        (
            json!({"iat": now, "exp": now + 60, "auth_time": now - year - 1}),
            Some("max_session_lifetime"),
        ),
    ] {
        let mut whole = json!({"iss": ISS, "jti": "j"});
        let members = claims.as_object().unwrap().clone();
        whole.as_object_mut().unwrap().extend(members);
        let answer = check(&node.api, token(&whole)).await;
        assert_eq!(answer.active, says.is_none(), "{claims}: {}", answer.detail);
        assert!(
            answer.detail.contains(says.unwrap_or_default()),
            "{}",
            answer.detail
        );
    }
    node.stop().await;
}

#[tokio::test]
async fn a_token_without_iss_belongs_to_the_default_issuer_or_to_nobody() {
    let node = TestNode::start(Options::default()).await;
    let now = node.now_s();
    let homeless = json!({"jti": "j", "sub": "u", "iat": now, "exp": now + 60});
    let answer = check(&node.api, token(&homeless)).await;
    assert_eq!(answer.verdict(), Verdict::Invalid);
    assert!(
        answer.detail.contains("default_issuer"),
        "{}",
        answer.detail
    );
    node.stop().await;

    let options = Options::default().semantics(|semantics| {
        semantics.default_issuer = Some(ISS.to_owned());
    });
    let node = TestNode::start(options).await;
    let mut claimed = claims("j", now);
    claimed.iss.clear();
    "u".clone_into(&mut claimed.sub);
    let asks = [token(&homeless), of_claims(claimed)];
    for ask in &asks {
        assert!(check(&node.api, ask.clone()).await.active);
    }
    node.api
        .clone()
        .revoke(revoke_by(vec![user("u")], all()))
        .await
        .unwrap();
    for ask in asks {
        let answer = check(&node.api, ask).await;
        assert_eq!(answer.r#match.unwrap().target, Some(user("u")));
    }
    node.stop().await;
}

/// Whatever is wrong with a token, no part of it comes back.
#[tokio::test]
async fn no_detail_repeats_any_part_of_a_token() {
    let node = TestNode::start(Options::default()).await;
    let now = node.now_s();
    let good = minted(
        &json!({"iss": ISS, "jti": "hunter2", "iat": now, "exp": now + 60}),
        Some("hunter2"),
    );
    let (input, signature) = good.rsplit_once('.').unwrap();
    let (header, payload) = input.split_once('.').unwrap();
    let wrong = [
        format!("{good}.{header}"),
        format!("{header}.{payload}"),
        format!("{header}.{payload}."),
        format!("{payload}.{header}.{signature}"),
        format!("{header}.{payload}=.{signature}"),
        format!("{header} .{payload}.{signature}"),
        format!("Basic {good}"),
        format!("{header}.{}.{signature}", &payload[1..]),
        minted(
            &json!({"iss": ISS, "jti": {"hunter2": 1}, "iat": now, "exp": now + 60}),
            None,
        ),
        minted(
            &json!({"iss": ISS, "jti": "j", "sub": ["hunter2"], "iat": now, "exp": now + 60}),
            None,
        ),
        minted(
            &json!({"iss": ["hunter2"], "jti": "j", "iat": "hunter2", "exp": now + 60}),
            None,
        ),
        minted(
            &json!({"iss": ISS, "jti": "j", "iat": "hunter2", "exp": now + 60}),
            None,
        ),
        minted(
            &json!({"iss": ISS, "jti": "hunter2", "iat": now, "exp": now + 99_999_999}),
            None,
        ),
    ];
    for token in wrong {
        let answer = check(&node.api, of_token(&token)).await;
        assert_eq!(answer.verdict(), Verdict::Invalid, "{token}");
        assert!(!answer.detail.is_empty());
        for part in ["hunter2", header, payload, signature] {
            assert!(!answer.detail.contains(part), "{}", answer.detail);
        }
    }
    node.stop().await;
}

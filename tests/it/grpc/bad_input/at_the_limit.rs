//! Every bound itself is still accepted.

use prost_types::Duration;
use rescind::proto::v1::{
    CheckRequest, ListRevocationsRequest, RevokeRequest, RuleKind, Rules, Values, Verdict,
    WatchRevocationsRequest,
};
use serde_json::json;

use super::{
    super::say::{
        ISS, all, at, check, claim, claims, client, issued_before, issuer, jti, jwt, key, minted,
        of_claims, of_token, restore, revoke, revoke_by, session, user, user_of,
    },
    Ask, long, node,
};

#[tokio::test]
async fn the_longest_of_everything_is_accepted_and_found_again() {
    let node = node().await;
    let now = node.now_s();
    let id = long(1_024);
    let id = id.as_str();
    let exceptions = Rules {
        except_sid: (0..16).map(|number| format!("{number:0>1024}")).collect(),
        ..Rules::default()
    };
    let full = RevokeRequest {
        comment: id.to_owned(),
        request_id: id.to_owned(),
        ..revoke_by(vec![user_of(id, id)], exceptions)
    };
    let many = (0..1_000).map(|number| user(&format!("{number}")));
    let asks = vec![
        Ask::Revoke(revoke(vec![user(id), session(id), jti(id)])),
        Ask::Revoke(revoke_by(
            vec![client(id), key(id), claim("tenant", id), issuer(id)],
            all(),
        )),
        Ask::Revoke(full),
        Ask::Revoke(revoke(many.collect())),
        Ask::Revoke(revoke_by(vec![user("u")], issued_before(now + 60))),
        Ask::Revoke(RevokeRequest {
            expires_at: Some(at(now + 1)),
            ..revoke(vec![user("u")])
        }),
        Ask::Revoke(RevokeRequest {
            expires_at: Some(at(7_258_118_400)),
            ..revoke(vec![user("u")])
        }),
        Ask::Revoke(RevokeRequest {
            reason: 13,
            ..revoke(vec![user("u")])
        }),
        Ask::Restore(restore(
            vec![user("nobody")],
            &[RuleKind::All, RuleKind::All],
        )),
        Ask::List(ListRevocationsRequest {
            page_size: 1_000,
            ..ListRevocationsRequest::default()
        }),
        Ask::List(ListRevocationsRequest {
            kinds: vec![7; 10_000],
            reasons: vec![0; 10_000],
            ..ListRevocationsRequest::default()
        }),
        Ask::Watch(WatchRevocationsRequest {
            issuers: (0..64).map(|number| format!("{number:0>1024}")).collect(),
            watcher: id.to_owned(),
            heartbeat: Some(Duration {
                seconds: 60,
                nanos: 0,
            }),
            ..WatchRevocationsRequest::default()
        }),
        Ask::Watch(WatchRevocationsRequest {
            heartbeat: Some(Duration {
                seconds: 0,
                nanos: 200_000_000,
            }),
            ..WatchRevocationsRequest::default()
        }),
    ];
    for ask in asks {
        let shown = format!("{ask:.300?}");
        if let Err(status) = ask.of(&node).await {
            panic!("{status:?} of {shown}");
        }
    }
    let mut hit = claims("free", now - 60);
    (hit.iss, hit.sub) = (id.to_owned(), "free".to_owned());
    assert_eq!(
        check(&node.api, of_claims(hit)).await.verdict(),
        Verdict::Revoked
    );
    let mut hit = claims("free", now - 60);
    hit.other = (0..15)
        .map(|name| (name.to_string(), Values::default()))
        .collect();
    let mut values = vec!["other".to_owned(); 63];
    values.push(id.to_owned());
    hit.other.insert("tenant".to_owned(), Values { values });
    assert_eq!(
        check(&node.api, of_claims(hit)).await.verdict(),
        Verdict::Revoked
    );
    node.stop().await;
}

#[tokio::test]
async fn a_token_of_16_kib_is_read() {
    let node = node().await;
    let now = node.now_s();
    let of = |padding: usize| {
        let padding = "x".repeat(padding);
        minted(
            &json!({"iss": ISS, "jti": "j", "iat": now, "exp": now + 60, "p": padding}),
            None,
        )
    };
    // Three bytes are four characters, so a few more bytes find the exact length.
    let token = (12_000..13_000)
        .map(of)
        .find(|token| token.len() >= 16 * 1024 - 1)
        .unwrap();
    assert!(token.len() <= 16 * 1024, "{}", token.len());
    let bearer = format!("Bearer {token}");
    assert_eq!(
        check(&node.api, of_token(&bearer)).await.verdict(),
        Verdict::Active
    );
    node.api
        .clone()
        .revoke(revoke(vec![jwt(&token)]))
        .await
        .unwrap();
    let stale = CheckRequest {
        max_staleness: Some(Duration {
            seconds: 0,
            nanos: 0,
        }),
        ..of_token(&bearer)
    };
    assert_eq!(check(&node.api, stale).await.verdict(), Verdict::Revoked);
    node.stop().await;
}

//! Every kind of target denies, by token and by claims alike, exactly what it names.

use rescind::{
    model::MissingKid,
    proto::v1::{self, Claims, Reason, RevokeRequest, RuleKind, Rules, Values, Verdict},
};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::super::say::{
    ISS, all, at, check, claim, client, issued_before, issuer, jti, jwt, key, minted, of_claims,
    of_token, revoke, revoke_by, session, token, user,
};
use crate::harness::node::{Options, TestNode};

fn options() -> Options {
    Options::default().defaults(|defaults| {
        defaults.revocable_claims = vec!["tenant".to_owned(), "groups".to_owned()];
    })
}

/// One token as it is presented, and as claims.
fn presented(node: &TestNode) -> (String, Claims) {
    let now = node.now_s();
    let token = minted(
        &json!({
            "iss": ISS, "jti": "j", "sub": "u", "sid": "s", "client_id": "c",
            "iat": now - 60, "exp": now + 3_600, "auth_time": now - 600, "version": 4,
            "tenant": "acme", "groups": ["a", "b"],
        }),
        Some("k"),
    );
    let mut claims = super::super::say::claims("j", now - 60);
    claims.exp = claims.exp.map(|exp| exp + 60.0);
    claims.auth_time = claims.iat.map(|iat| iat - 540.0);
    claims.version = Some(4);
    for (to, id) in [
        (&mut claims.sub, "u"),
        (&mut claims.sid, "s"),
        (&mut claims.client_id, "c"),
        (&mut claims.kid, "k"),
    ] {
        id.clone_into(to);
    }
    for (name, values) in [("tenant", &["acme"][..]), ("groups", &["a", "b"])] {
        let values = values.iter().map(|&value| value.to_owned()).collect();
        claims.other.insert(name.to_owned(), Values { values });
    }
    (token, claims)
}

async fn both(node: &TestNode) -> v1::CheckResponse {
    let (token, claims) = presented(node);
    let by_token = check(&node.api, of_token(&token)).await;
    let by_claims = check(&node.api, of_claims(claims)).await;
    assert_eq!(by_token, by_claims);
    let bearer = check(&node.api, of_token(&format!("bEARER   {token}"))).await;
    assert_eq!(by_token, bearer);
    assert_eq!(by_token.active, by_token.verdict() == Verdict::Active);
    assert_eq!(by_token.staleness_ms, 0);
    assert!(!by_token.signature_verified);
    by_token
}

#[tokio::test]
async fn a_target_of_every_kind_denies_what_it_names_and_nothing_else() {
    let hits = [
        (jti("j"), None),
        (user("u"), Some(all())),
        (session("s"), Some(all())),
        (client("c"), Some(all())),
        (key("k"), Some(all())),
        (claim("tenant", "acme"), Some(all())),
        (claim("groups", "b"), Some(all())),
        (issuer(ISS), Some(all())),
    ];
    let misses = [
        (jti("u"), None),
        (user("j"), Some(all())),
        (user("U"), Some(all())),
        (session("k"), Some(all())),
        (client("s"), Some(all())),
        (key("c"), Some(all())),
        (claim("tenant", "a"), Some(all())),
        (claim("groups", "acme"), Some(all())),
        (issuer("https://issuer.example/"), Some(all())),
        (
            super::super::say::user_of("https://other.example", "u"),
            Some(all()),
        ),
    ];
    let node = TestNode::start(options()).await;
    assert_eq!(both(&node).await.verdict(), Verdict::Active);
    for (target, rules) in misses {
        let request = RevokeRequest {
            rules,
            ..revoke(vec![target.clone()])
        };
        node.api.clone().revoke(request).await.unwrap();
        assert_eq!(both(&node).await.verdict(), Verdict::Active, "{target:?}");
    }
    for (target, rules) in hits {
        let kinds = if rules.is_some() {
            vec![RuleKind::All as i32]
        } else {
            Vec::new()
        };
        let request = RevokeRequest {
            rules,
            reason: Reason::Policy.into(),
            comment: format!("of {target:?}"),
            ..revoke(vec![target.clone()])
        };
        node.api.clone().revoke(request.clone()).await.unwrap();
        let answer = both(&node).await;
        assert_eq!(answer.verdict(), Verdict::Revoked, "{target:?}");
        let found = answer.r#match.unwrap();
        assert_eq!(found.target.as_ref(), Some(&target));
        assert_eq!(found.rule(), RuleKind::All);
        assert_eq!(found.reason(), Reason::Policy);
        assert_eq!(found.revoked_at, Some(at(node.now_s())));
        assert_eq!(found.comment, request.comment);
        // The comment is told by the match alone.
        assert!(!answer.detail.contains(&request.comment));

        let lift = v1::RestoreRequest {
            targets: vec![target.clone()],
            rules: kinds,
            ..v1::RestoreRequest::default()
        };
        node.api.clone().restore(lift).await.unwrap();
        assert_eq!(both(&node).await.verdict(), Verdict::Active, "{target:?}");
    }
    node.stop().await;
}

/// The token says iat = now - 60, version 4, `auth_time` = now - 600.
#[tokio::test]
async fn a_rule_denies_below_its_cut_off_only() {
    let now = crate::harness::node::START.secs_floor();
    let version = |below| Rules {
        version_below: below,
        ..Rules::default()
    };
    let authenticated = |seconds| Rules {
        authenticated_before: Some(at(seconds)),
        ..Rules::default()
    };
    let spared = |mut rules: Rules, sid: &str, jti: &str| {
        rules.except_sid = vec![sid.to_owned()];
        rules.except_jti = vec![jti.to_owned()];
        rules
    };
    let fraction = Rules {
        issued_before: Some(prost_types::Timestamp {
            nanos: 1,
            ..at(now - 60)
        }),
        ..Rules::default()
    };
    for (rules, denies) in [
        (all(), Some(RuleKind::All)),
        (issued_before(now - 60), None),
        (fraction.clone(), Some(RuleKind::IssuedBefore)),
        (issued_before(now - 59), Some(RuleKind::IssuedBefore)),
        (version(4), None),
        (version(5), Some(RuleKind::VersionBelow)),
        (version(u64::MAX), Some(RuleKind::VersionBelow)),
        (authenticated(now - 600), None),
        (
            authenticated(now - 599),
            Some(RuleKind::AuthenticatedBefore),
        ),
        (Rules::default(), Some(RuleKind::IssuedBefore)),
        (spared(Rules::default(), "s", "-"), None),
        (spared(Rules::default(), "-", "j"), None),
        (
            spared(Rules::default(), "-", "s"),
            Some(RuleKind::IssuedBefore),
        ),
        (spared(version(5), "s", "-"), None),
    ] {
        let node = TestNode::start(options()).await;
        let request = revoke_by(vec![user("u")], rules.clone());
        node.api.clone().revoke(request).await.unwrap();
        let answer = both(&node).await;
        assert_eq!(
            answer.r#match.map(|found| found.rule()),
            denies,
            "{rules:?}"
        );
        node.stop().await;
    }
}

/// What a token does not say, it cannot be spared by.
#[tokio::test]
async fn a_token_without_the_claim_is_denied_by_every_cut_off() {
    let options = options().defaults(|defaults| {
        defaults.max_token_lifetime = rescind::model::Lifetime::Unlimited;
    });
    let node = TestNode::start(options).await;
    let bare = Claims {
        iss: ISS.to_owned(),
        jti: "j".to_owned(),
        sub: "u".to_owned(),
        ..Claims::default()
    };
    for (sub, rules) in [
        ("iat", issued_before(1)),
        (
            "version",
            Rules {
                version_below: 1,
                ..Rules::default()
            },
        ),
        (
            "auth",
            Rules {
                authenticated_before: Some(at(1)),
                ..Rules::default()
            },
        ),
    ] {
        let claims = Claims {
            sub: sub.to_owned(),
            ..bare.clone()
        };
        assert_eq!(
            check(&node.api, of_claims(claims.clone())).await.verdict(),
            Verdict::Active
        );
        node.api
            .clone()
            .revoke(revoke_by(vec![user(sub)], rules))
            .await
            .unwrap();
        assert_eq!(
            check(&node.api, of_claims(claims)).await.verdict(),
            Verdict::Revoked,
            "{sub}"
        );
    }
    node.stop().await;
}

#[tokio::test]
async fn a_token_without_kid_is_denied_by_any_key_of_its_issuer_unless_it_never_sets_one() {
    for (missing_kid, verdict) in [
        (MissingKid::Deny, Verdict::Revoked),
        (MissingKid::Pass, Verdict::Active),
    ] {
        let node =
            TestNode::start(options().defaults(|defaults| defaults.missing_kid = missing_kid))
                .await;
        node.api
            .clone()
            .revoke(revoke_by(vec![key("burnt")], all()))
            .await
            .unwrap();
        let now = node.now_s();
        let claims = json!({"iss": ISS, "jti": "j", "iat": now, "exp": now + 60});
        for (kid, expected) in [
            (Some("burnt"), Verdict::Revoked),
            (Some("other"), Verdict::Active),
            (None, verdict),
        ] {
            let answer = check(&node.api, of_token(&minted(&claims, kid))).await;
            assert_eq!(answer.verdict(), expected, "{kid:?}");
            if kid.is_none() && verdict == Verdict::Revoked {
                assert_eq!(answer.r#match.unwrap().target, Some(key("burnt")));
            }
        }
        // Of another issuer nothing was burnt.
        let other =
            json!({"iss": "https://other.example", "jti": "j", "iat": now, "exp": now + 60});
        assert!(
            check(&node.api, of_token(&minted(&other, None)))
                .await
                .active
        );
        node.stop().await;
    }
}

#[tokio::test]
async fn a_token_without_jti_is_known_by_the_digest_of_its_signing_input() {
    let node = TestNode::start(options()).await;
    let now = node.now_s();
    let nameless = minted(
        &json!({"iss": ISS, "sub": "u", "iat": now, "exp": now + 60}),
        None,
    );
    let (signing_input, _) = nameless.rsplit_once('.').unwrap();
    let digest = Sha256::digest(signing_input.as_bytes()).to_vec();
    let by_digest = token(v1::TokenTarget {
        iss: ISS.to_owned(),
        signing_input_sha256: digest.clone(),
        ..v1::TokenTarget::default()
    });
    let mut claims = super::super::say::claims("", now);
    claims.signing_input_sha256.clone_from(&digest);
    // The signature does not count: ES256 has many of one token.
    let other_signature = format!("{signing_input}.AAAA");
    let asks = [
        of_token(&nameless),
        of_token(&other_signature),
        of_claims(claims),
    ];
    for target in [jwt(&nameless), by_digest.clone()] {
        for ask in &asks {
            assert!(check(&node.api, ask.clone()).await.active);
        }
        let receipts = node
            .api
            .clone()
            .revoke(revoke(vec![target]))
            .await
            .unwrap()
            .into_inner()
            .receipts;
        assert_eq!(receipts[0].target, Some(by_digest.clone()));
        for ask in &asks {
            let answer = check(&node.api, ask.clone()).await;
            assert_eq!(answer.r#match.unwrap().target, Some(by_digest.clone()));
        }
        let lift = v1::RestoreRequest {
            targets: vec![by_digest.clone()],
            ..v1::RestoreRequest::default()
        };
        node.api.clone().restore(lift).await.unwrap();
    }
    // A token with jti can be revoked by its digest too.
    let named = minted(
        &json!({"iss": ISS, "jti": "named", "iat": now, "exp": now + 60}),
        None,
    );
    let (signing_input, _) = named.rsplit_once('.').unwrap();
    let digest = Sha256::digest(signing_input.as_bytes()).to_vec();
    let by_digest = token(v1::TokenTarget {
        iss: ISS.to_owned(),
        signing_input_sha256: digest,
        ..v1::TokenTarget::default()
    });
    node.api
        .clone()
        .revoke(revoke(vec![by_digest]))
        .await
        .unwrap();
    assert_eq!(
        check(&node.api, of_token(&named)).await.verdict(),
        Verdict::Revoked
    );
    node.stop().await;
}

/// Forgetting to configure a claim on one node must not let in what another node denies.
#[tokio::test]
async fn a_live_claim_revocation_is_enforced_though_the_settings_no_longer_name_the_claim() {
    let directory = tempfile::tempdir().unwrap();
    let node = TestNode::start(options().on_disk(directory.path())).await;
    node.api
        .clone()
        .revoke(revoke_by(vec![claim("tenant", "acme")], all()))
        .await
        .unwrap();
    let node = node
        .restart_with(Options::default().on_disk(directory.path()))
        .await;
    let answer = both(&node).await;
    assert_eq!(
        answer.r#match.unwrap().target,
        Some(claim("tenant", "acme"))
    );
    // Under another issuer the same name means nothing, whatever its type.
    let now = node.now_s();
    let other = json!({"iss": "https://other.example", "jti": "j", "iat": now, "exp": now + 60, "tenant": {"a": 1}});
    assert!(
        check(&node.api, of_token(&minted(&other, None)))
            .await
            .active
    );
    let lift = super::super::say::restore(vec![claim("tenant", "acme")], &[RuleKind::All]);
    node.api.clone().restore(lift).await.unwrap();
    assert_eq!(both(&node).await.verdict(), Verdict::Active);
    node.stop().await;
}

#[tokio::test]
async fn whole_numbers_and_their_texts_are_one_and_every_array_element_counts() {
    let node = TestNode::start(options()).await;
    let now = node.now_s();
    let request = revoke_by(vec![user("42"), claim("groups", "7")], all());
    node.api.clone().revoke(request).await.unwrap();
    for (claims, verdict) in [
        (json!({"sub": 42}), Verdict::Revoked),
        (json!({"sub": "42"}), Verdict::Revoked),
        (json!({"sub": 42.0}), Verdict::Invalid),
        (json!({"sub": "042"}), Verdict::Active),
        (json!({"groups": 7}), Verdict::Revoked),
        (json!({"groups": ["x", 7]}), Verdict::Revoked),
        (json!({"groups": ["x", "77"]}), Verdict::Active),
        (json!({"groups": []}), Verdict::Active),
        (json!({"groups": [["7"]]}), Verdict::Invalid),
        (json!({"groups": {"7": true}}), Verdict::Invalid),
        (json!({"sub": ""}), Verdict::Active),
        (json!({"sub": null}), Verdict::Active),
    ] {
        let mut whole = json!({"iss": ISS, "jti": "j", "iat": now, "exp": now + 60});
        let members = claims.as_object().unwrap().clone();
        whole.as_object_mut().unwrap().extend(members);
        let answer = check(&node.api, of_token(&minted(&whole, None))).await;
        assert_eq!(answer.verdict(), verdict, "{claims}: {}", answer.detail);
    }
    node.stop().await;
}

//! Revoke, RevokeUser, Restore.

use prost_types::Timestamp;
use rescind::proto::v1::{
    self, RevokeRequest, RevokeUserRequest, RuleKind, Rules, TokenTarget, target::Kind,
};
use serde_json::json;

use super::{
    super::say::{
        ISS, all, at, claim, client, issued_before, issuer, jti, jwt, key, minted, restore, revoke,
        revoke_by, session, token, user, user_of,
    },
    Ask, Case, SECRET, all_are_refused, later, long, node,
};

fn one(target: v1::Target) -> Ask {
    Ask::Revoke(revoke_by(vec![target], all()))
}

fn plain(target: v1::Target) -> Ask {
    Ask::Revoke(revoke(vec![target]))
}

fn by(rules: Rules) -> Ask {
    Ask::Revoke(revoke_by(vec![user("u")], rules))
}

fn with(set: impl FnOnce(&mut RevokeRequest)) -> Ask {
    let mut request = revoke(vec![user("u")]);
    set(&mut request);
    Ask::Revoke(request)
}

fn of_user(set: impl FnOnce(&mut RevokeUserRequest)) -> Ask {
    let mut request = RevokeUserRequest {
        iss: ISS.to_owned(),
        sub: "u".to_owned(),
        ..RevokeUserRequest::default()
    };
    set(&mut request);
    Ask::RevokeUser(request)
}

fn of(set: impl FnOnce(&mut TokenTarget)) -> Ask {
    let mut target = TokenTarget {
        iss: ISS.to_owned(),
        ..TokenTarget::default()
    };
    set(&mut target);
    plain(token(target))
}

#[tokio::test]
async fn an_identifier_is_neither_empty_nor_longer_than_its_bound() {
    const SIZES: &[&str] = &["1025 bytes", "1024"];
    let long = long(1_025);
    let long = long.as_str();
    let node = node().await;
    let mut cases: Vec<Case> = vec![
        ("targets[0].user.sub", &["empty"], plain(user(""))),
        ("targets[0].user.iss", &["empty"], plain(user_of("", "u"))),
        ("targets[0].session.sid", &["empty"], plain(session(""))),
        ("targets[0].client.client_id", &["empty"], one(client(""))),
        ("targets[0].key.kid", &["empty"], one(key(""))),
        ("targets[0].claim.name", &["empty"], one(claim("", "v"))),
        (
            "targets[0].claim.value",
            &["empty"],
            one(claim("tenant", "")),
        ),
        ("targets[0].issuer.iss", &["empty"], one(issuer(""))),
        ("targets[0].token", &["exactly one"], plain(jti(""))),
        ("targets[0].user.sub", SIZES, plain(user(long))),
        ("targets[0].user.iss", SIZES, plain(user_of(long, "u"))),
        ("targets[0].session.sid", SIZES, plain(session(long))),
        ("targets[0].client.client_id", SIZES, one(client(long))),
        ("targets[0].key.kid", SIZES, one(key(long))),
        ("targets[0].claim.name", SIZES, one(claim(long, "v"))),
        ("targets[0].claim.value", SIZES, one(claim("tenant", long))),
        ("targets[0].issuer.iss", SIZES, one(issuer(long))),
        ("targets[0].token.jti", SIZES, plain(jti(long))),
        ("sub", &["empty"], of_user(|ask| ask.sub.clear())),
        ("iss", &["empty"], of_user(|ask| ask.iss.clear())),
        ("sub", SIZES, of_user(|ask| long.clone_into(&mut ask.sub))),
        ("iss", SIZES, of_user(|ask| long.clone_into(&mut ask.iss))),
        (
            "comment",
            SIZES,
            with(|ask| long.clone_into(&mut ask.comment)),
        ),
        (
            "comment",
            SIZES,
            of_user(|ask| long.clone_into(&mut ask.comment)),
        ),
        (
            "request_id",
            SIZES,
            with(|ask| long.clone_into(&mut ask.request_id)),
        ),
    ];
    let mut lift = restore(vec![user("held")], &[RuleKind::IssuedBefore]);
    long.clone_into(&mut lift.comment);
    cases.push(("comment", SIZES, Ask::Restore(lift.clone())));
    lift.comment.clear();
    long.clone_into(&mut lift.request_id);
    cases.push(("request_id", SIZES, Ask::Restore(lift)));
    cases.push((
        "targets[0].user.sub",
        SIZES,
        Ask::Restore(restore(vec![user(long)], &[RuleKind::All])),
    ));
    all_are_refused(&node, cases).await;
    node.stop().await;
}

#[tokio::test]
async fn a_target_names_one_thing_of_one_issuer() {
    let node = node().await;
    let now = node.now_s();
    let minted = minted(
        &json!({"iss": "https://other.example", "jti": SECRET, "iat": now, "exp": now + 60}),
        None,
    );
    let jwt_of = |iss: &str, exp: Option<f64>| {
        let (iss, jwt) = (iss.to_owned(), minted.clone());
        plain(token(TokenTarget {
            iss,
            jwt,
            exp,
            ..TokenTarget::default()
        }))
    };
    let nameless = v1::Target { kind: None };
    let too_long = format!("{SECRET}.{}", long(16 * 1024));
    let cases: Vec<Case> = vec![
        ("targets[0]", &["no kind"], plain(nameless.clone())),
        (
            "targets[1]",
            &["no kind"],
            Ask::Revoke(revoke(vec![user("u"), nameless.clone()])),
        ),
        (
            "targets[0]",
            &["no kind"],
            Ask::Restore(restore(vec![nameless], &[RuleKind::All])),
        ),
        ("targets[0].token", &["exactly one"], of(|_| {})),
        (
            "targets[0].token",
            &["exactly one"],
            of(|token| {
                token.jti = SECRET.to_owned();
                token.jwt = SECRET.to_owned();
            }),
        ),
        (
            "targets[0].token",
            &["exactly one"],
            of(|token| {
                token.jti = SECRET.to_owned();
                token.signing_input_sha256 = vec![7; 32];
            }),
        ),
        (
            "targets[0].token.signing_input_sha256",
            &["31 bytes", "32"],
            of(|token| {
                token.signing_input_sha256 = vec![7; 31];
            }),
        ),
        (
            "targets[0].token.signing_input_sha256",
            &["33 bytes", "32"],
            of(|token| {
                token.signing_input_sha256 = vec![7; 33];
            }),
        ),
        ("targets[0].token.iss", &["differs"], jwt_of(ISS, None)),
        ("targets[0].token.exp", &["differs"], jwt_of("", Some(1.0))),
        (
            "targets[0].token.exp",
            &["differs"],
            jwt_of("", Some(f64::NAN)),
        ),
        ("targets[0].token.jwt", &["no dots"], plain(jwt(SECRET))),
        (
            "targets[0].token.jwt",
            &["16392 bytes", "16384"],
            plain(jwt(&too_long)),
        ),
        (
            "targets[0].token.jwt",
            &["base64url"],
            plain(jwt(&format!("{minted}="))),
        ),
        (
            "targets[0].claim.name",
            &["revocable_claims", "tenant"],
            one(claim(SECRET, "v")),
        ),
    ];
    all_are_refused(&node, cases).await;
    let dates = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0];
    let dates = dates.map(|exp| -> Case {
        let set = |token: &mut TokenTarget| {
            token.jti = "j".to_owned();
            token.exp = Some(exp);
        };
        ("targets[0].token.exp", &["finite"], of(set))
    });
    all_are_refused(&node, dates.to_vec()).await;
    node.stop().await;
}

#[tokio::test]
async fn a_request_names_1_to_1000_targets() {
    let node = node().await;
    let many = |count: usize| (0..count).map(|number| user(&number.to_string())).collect();
    let lift = |targets| Ask::Restore(restore(targets, &[RuleKind::All]));
    let cases: Vec<Case> = vec![
        ("targets", &["1 to 1000"], Ask::Revoke(revoke(Vec::new()))),
        ("targets", &["1 to 1000"], lift(Vec::new())),
        (
            "targets",
            &["1001", "1000"],
            Ask::Revoke(revoke(many(1_001))),
        ),
        ("targets", &["1001", "1000"], lift(many(1_001))),
        // One bad entry among good ones: nothing is applied.
        (
            "targets[998].user.sub",
            &["empty"],
            Ask::Revoke(revoke({
                let mut targets: Vec<_> = many(999);
                targets[998] = user("");
                targets
            })),
        ),
        (
            "targets[1].session.sid",
            &["empty"],
            lift(vec![user("held"), session("")]),
        ),
    ];
    all_are_refused(&node, cases).await;
    node.stop().await;
}

#[tokio::test]
async fn rules_fit_their_targets() {
    let node = node().await;
    let now = node.now_s();
    let many = |count: usize| {
        (0..count)
            .map(|number| format!("{SECRET}{number}"))
            .collect()
    };
    let except = |sids, jtis| {
        by(Rules {
            except_sid: many(sids),
            except_jti: many(jtis),
            ..Rules::default()
        })
    };
    let spared = |mut rules: Rules, except: &str| {
        rules.except_sid = vec![except.to_owned()];
        rules
    };
    let only = |kind| Ask::Restore(restore(vec![user("held")], &[kind]));
    let cases: Vec<Case> = vec![
        ("rules", &["tokens"], one(jti("j"))),
        (
            "rules",
            &["tokens"],
            Ask::Revoke(revoke_by(vec![jti("j")], spared(Rules::default(), "s"))),
        ),
        (
            "rules",
            &["claim", "targets[0]"],
            plain(claim("tenant", "acme")),
        ),
        ("rules", &["client"], plain(client("c"))),
        ("rules", &["key"], plain(key("k"))),
        (
            "rules",
            &["issuer", "targets[1]"],
            Ask::Revoke(revoke(vec![user("u"), issuer(ISS)])),
        ),
        (
            "rules",
            &["client"],
            Ask::Revoke(revoke_by(vec![client("c")], spared(Rules::default(), "s"))),
        ),
        ("rules.all", &["spares nobody"], by(spared(all(), "s"))),
        ("rules.except_sid", &["17", "16"], except(17, 0)),
        ("rules.except_jti", &["17", "16"], except(0, 17)),
        ("rules.except_sid", &["17", "16"], except(8, 9)),
        (
            "rules.except_sid[0]",
            &["empty"],
            by(spared(Rules::default(), "")),
        ),
        (
            "rules.except_sid[0]",
            &["1025", "1024"],
            by(spared(Rules::default(), &long(1_025))),
        ),
        (
            "rules.except_jti[1]",
            &["empty"],
            by(Rules {
                except_jti: vec!["j".to_owned(), String::new()],
                ..Rules::default()
            }),
        ),
        (
            "rules.issued_before",
            &["leeway", "60"],
            by(issued_before(now + 62)),
        ),
        (
            "rules.authenticated_before",
            &["leeway", "60"],
            by(Rules {
                authenticated_before: Some(at(now + 62)),
                ..Rules::default()
            }),
        ),
        (
            "rules.issued_before",
            &["leeway"],
            of_user(|ask| ask.rules = Some(issued_before(now + 62))),
        ),
        (
            "rules",
            &["ISSUED_BEFORE"],
            Ask::Restore(restore(vec![user("held")], &[])),
        ),
        (
            "rules",
            &["ISSUED_BEFORE"],
            Ask::Restore(restore(vec![user("held"), jti("held")], &[])),
        ),
        (
            "rules",
            &["tokens"],
            Ask::Restore(restore(vec![jti("held")], &[RuleKind::IssuedBefore])),
        ),
        ("rules[0]", &["0"], only(RuleKind::Unspecified)),
    ];
    all_are_refused(&node, cases).await;
    node.stop().await;
}

#[tokio::test]
async fn enum_values_are_known_and_times_are_times() {
    let node = node().await;
    let time = |seconds, nanos| Some(Timestamp { seconds, nanos });
    let mut unknown_kind = restore(vec![user("held")], &[RuleKind::IssuedBefore]);
    unknown_kind.rules.push(5);
    let mut cases: Vec<Case> = vec![
        ("reason", &["14"], with(|ask| ask.reason = 14)),
        ("reason", &["-1"], with(|ask| ask.reason = -1)),
        ("reason", &["99"], of_user(|ask| ask.reason = 99)),
        ("rules[1]", &["5"], Ask::Restore(unknown_kind)),
        (
            "expires_at",
            &["past"],
            with(|ask| ask.expires_at = Some(at(node.now_s()))),
        ),
        (
            "expires_at",
            &["past"],
            of_user(|ask| ask.expires_at = Some(at(1))),
        ),
    ];
    let absurd = [
        time(-1, 0),
        time(0, 0),
        time(i64::MIN, 0),
        time(i64::MAX, 0),
        // Milliseconds: taken as seconds, a suspension until tomorrow would last for ever.
        time(1_750_000_000_000, 0),
        time(7_258_118_401, 0),
        time(1_750_000_000, -1),
        time(1_750_000_000, 1_000_000_000),
        time(1_750_000_000, i32::MIN),
    ];
    for absurd in absurd {
        let issued = Rules {
            issued_before: absurd,
            ..Rules::default()
        };
        let authenticated = Rules {
            authenticated_before: absurd,
            ..Rules::default()
        };
        cases.push(("rules.issued_before", &["1970"], by(issued)));
        cases.push(("rules.authenticated_before", &["1970"], by(authenticated)));
        cases.push(("expires_at", &["1970"], with(|ask| ask.expires_at = absurd)));
    }
    all_are_refused(&node, cases).await;
    node.stop().await;
}

#[tokio::test]
async fn a_request_id_belongs_to_one_request() {
    let node = node().await;
    let mut first = revoke(vec![user("u")]);
    first.request_id = SECRET.to_owned();
    node.api.clone().revoke(first.clone()).await.unwrap();
    let mut others = vec![first.clone(), first.clone(), first.clone(), first];
    others[0].comment = "another".to_owned();
    others[1].targets.push(user("v"));
    others[2].expires_at = Some(later(&node));
    others[3].reason = 1;
    let mut cases: Vec<Case> = others
        .into_iter()
        .map(|other| -> Case { ("request_id", &["10 minutes"], Ask::Revoke(other)) })
        .collect();
    let mut lift = restore(vec![user("u")], &[RuleKind::IssuedBefore]);
    lift.request_id = SECRET.to_owned();
    cases.push(("request_id", &["10 minutes"], Ask::Restore(lift)));
    all_are_refused(&node, cases).await;
    node.stop().await;
}

/// A target that is no target at all must not pass for one.
#[tokio::test]
async fn an_empty_target_of_every_kind_is_refused() {
    let node = node().await;
    let kinds = [
        Kind::Token(TokenTarget::default()),
        Kind::User(v1::UserTarget::default()),
        Kind::Session(v1::SessionTarget::default()),
        Kind::Client(v1::ClientTarget::default()),
        Kind::Key(v1::KeyTarget::default()),
        Kind::Claim(v1::ClaimTarget::default()),
        Kind::Issuer(v1::IssuerTarget::default()),
    ];
    let fields = [
        "targets[0].token",
        "targets[0].user.sub",
        "targets[0].session.sid",
        "targets[0].client.client_id",
        "targets[0].key.kid",
        "targets[0].claim.name",
        "targets[0].issuer.iss",
    ];
    let cases = fields
        .into_iter()
        .zip(kinds)
        .map(|(field, kind)| -> Case { (field, &[], one(v1::Target { kind: Some(kind) })) });
    all_are_refused(&node, cases.collect()).await;
    node.stop().await;
}

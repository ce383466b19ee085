//! `ListRevocations`, `WatchRevocations` and the checks.

use prost_types::{Duration, Timestamp};
use rescind::proto::v1::{
    CheckBatchRequest, CheckRequest, Claims, ListRevocationsRequest, Values, Verdict,
    WatchRevocationsRequest, check_request::Credential,
};

use super::{
    super::say::{check, claims, of_claims, of_token},
    Ask, Case, SECRET, all_are_refused, long, node,
};

fn list(set: impl FnOnce(&mut ListRevocationsRequest)) -> Ask {
    let mut request = ListRevocationsRequest::default();
    set(&mut request);
    Ask::List(request)
}

fn watch(set: impl FnOnce(&mut WatchRevocationsRequest)) -> Ask {
    let mut request = WatchRevocationsRequest::default();
    set(&mut request);
    Ask::Watch(request)
}

#[tokio::test]
async fn lists_and_watches_are_asked_for_within_their_bounds() {
    const SIZES: &[&str] = &["1025 bytes", "1024"];
    let node = node().await;
    let heartbeat = |seconds, nanos| watch(|ask| ask.heartbeat = Some(Duration { seconds, nanos }));
    let beats: &[&str] = &["0.2 s to 60 s"];
    let long = long(1_025);
    let cases: Vec<Case> = vec![
        (
            "page_size",
            &["1001", "1000"],
            list(|ask| ask.page_size = 1_001),
        ),
        (
            "page_size",
            &["4294967295"],
            list(|ask| ask.page_size = u32::MAX),
        ),
        ("iss", SIZES, list(|ask| long.clone_into(&mut ask.iss))),
        ("sub", SIZES, list(|ask| long.clone_into(&mut ask.sub))),
        ("kinds[0]", &["0"], list(|ask| ask.kinds = vec![0])),
        ("kinds[1]", &["8"], list(|ask| ask.kinds = vec![1, 8])),
        ("kinds[0]", &["-1"], list(|ask| ask.kinds = vec![-1])),
        (
            "kinds",
            &["sub"],
            list(|ask| {
                ask.sub = SECRET.to_owned();
                ask.kinds = vec![3];
            }),
        ),
        ("reasons[1]", &["14"], list(|ask| ask.reasons = vec![1, 14])),
        (
            "revoked_after",
            &["1970"],
            list(|ask| {
                ask.revoked_after = Some(Timestamp {
                    seconds: -1,
                    nanos: 0,
                });
            }),
        ),
        (
            "page_token",
            &["never was"],
            list(|ask| ask.page_token = SECRET.to_owned()),
        ),
        (
            "page_token",
            &["never was"],
            list(|ask| ask.page_token = "ü".to_owned()),
        ),
        ("kinds[0]", &["0"], watch(|ask| ask.kinds = vec![0])),
        ("kinds[0]", &["99"], watch(|ask| ask.kinds = vec![99])),
        (
            "issuers",
            &["65", "64"],
            watch(|ask| ask.issuers = vec!["i".to_owned(); 65]),
        ),
        (
            "issuers[1]",
            &["empty"],
            watch(|ask| ask.issuers = vec!["i".to_owned(), String::new()]),
        ),
        (
            "issuers[0]",
            SIZES,
            watch(|ask| ask.issuers = vec![long.clone()]),
        ),
        (
            "watcher",
            SIZES,
            watch(|ask| long.clone_into(&mut ask.watcher)),
        ),
        ("start", &["3"], watch(|ask| ask.start = 3)),
        ("start", &["-1"], watch(|ask| ask.start = -1)),
        ("heartbeat", beats, heartbeat(0, 199_999_999)),
        ("heartbeat", beats, heartbeat(60, 1)),
        ("heartbeat", beats, heartbeat(0, 0)),
        ("heartbeat", beats, heartbeat(-1, 0)),
        ("heartbeat", beats, heartbeat(i64::MAX, i32::MAX)),
        ("heartbeat", beats, heartbeat(i64::MIN, i32::MIN)),
        (
            "cursor",
            &["7 bytes"],
            watch(|ask| ask.cursor = SECRET.into()),
        ),
        (
            "cursor",
            &["37 bytes"],
            watch(|ask| ask.cursor = vec![1; 37]),
        ),
        (
            "cursor",
            &["1000000 bytes"],
            watch(|ask| ask.cursor = vec![0; 1_000_000]),
        ),
    ];
    all_are_refused(&node, cases).await;
    node.stop().await;
}

#[tokio::test]
async fn a_batch_of_1001_checks_is_refused_and_one_of_1000_is_answered() {
    let node = node().await;
    let checks = |count| CheckBatchRequest {
        checks: vec![of_token(SECRET); count],
    };
    let case: Case = ("checks", &["1001", "1000"], Ask::Batch(checks(1_001)));
    all_are_refused(&node, vec![case]).await;
    let answer = node.api.clone().check_batch(checks(1_000)).await.unwrap();
    assert_eq!(answer.into_inner().results.len(), 1_000);
    let none = node.api.clone().check_batch(checks(0)).await.unwrap();
    assert!(none.into_inner().results.is_empty());
    node.stop().await;
}

/// What is wrong with a check is a verdict, so that a caller has one thing to look at.
#[tokio::test]
async fn a_bad_check_is_invalid_and_its_detail_says_why_without_its_text() {
    let node = node().await;
    let good = claims("j", node.now_s());
    let with = |set: &dyn Fn(&mut Claims)| {
        let mut claims = good.clone();
        set(&mut claims);
        of_claims(claims)
    };
    let text = |bytes| long(bytes);
    let other = |name: String, count: usize, value: String| {
        with(&|claims: &mut Claims| {
            let values = vec![value.clone(); count];
            claims.other.insert(name.clone(), Values { values });
        })
    };
    let stale = |seconds, nanos| CheckRequest {
        max_staleness: Some(Duration { seconds, nanos }),
        ..of_claims(good.clone())
    };
    let mut cases = vec![
        (CheckRequest::default(), "no credential"),
        (of_token(""), "empty"),
        (of_token(SECRET), "no dots"),
        (of_token(&text(16 * 1024 + 1)), "16385 bytes"),
        (with(&|claims| claims.iss.clear()), "default_issuer"),
        (
            with(&|claims| claims.iss = text(1_025)),
            "claims.iss has 1025 bytes, and at most 1024",
        ),
        (
            with(&|claims| claims.jti = text(1_025)),
            "claims.jti has 1025",
        ),
        (
            with(&|claims| claims.sub = text(1_025)),
            "claims.sub has 1025",
        ),
        (
            with(&|claims| claims.sid = text(1_025)),
            "claims.sid has 1025",
        ),
        (
            with(&|claims| claims.client_id = text(1_025)),
            "claims.client_id has 1025",
        ),
        (
            with(&|claims| claims.kid = text(1_025)),
            "claims.kid has 1025",
        ),
        (with(&|claims| claims.jti.clear()), "signing_input_sha256"),
        (
            with(&|claims| claims.signing_input_sha256 = vec![7; 31]),
            "31 bytes",
        ),
        (
            other(text(1_025), 1, "v".to_owned()),
            "claims.other has 1025",
        ),
        (
            other("tenant".to_owned(), 1, text(1_025)),
            "claims.other has 1025",
        ),
        (
            other("tenant".to_owned(), 1_025, "v".to_owned()),
            "1025 values",
        ),
        (
            with(&|claims| {
                let names = (0..17).map(|name| (name.to_string(), Values::default()));
                claims.other = names.collect();
            }),
            "17 entries",
        ),
        (with(&|claims| claims.iat = None), "no iat"),
        (with(&|claims| claims.exp = None), "no exp"),
        (with(&|claims| claims.iat = Some(1e300)), "iat"),
        (
            with(&|claims| claims.exp = Some(1e300)),
            "max_token_lifetime",
        ),
        (with(&|claims| claims.auth_time = Some(1e300)), "auth_time"),
        (
            with(&|claims| claims.auth_time = Some(1.0)),
            "max_session_lifetime",
        ),
        (stale(-1, 0), "max_staleness"),
        (stale(0, -1), "max_staleness"),
        (stale(i64::MIN, i32::MIN), "max_staleness"),
        (stale(i64::MAX, i32::MAX), "max_staleness"),
    ];
    for wrong in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0, -1e-9] {
        cases.push((
            with(&|claims| claims.iat = Some(wrong)),
            "claims.iat is negative",
        ));
        cases.push((
            with(&|claims| claims.exp = Some(wrong)),
            "claims.exp is negative",
        ));
        cases.push((
            with(&|claims| claims.nbf = Some(wrong)),
            "claims.nbf is negative",
        ));
        cases.push((
            with(&|claims| claims.auth_time = Some(wrong)),
            "claims.auth_time is negative",
        ));
    }
    for (ask, says) in cases {
        let answer = check(&node.api, ask.clone()).await;
        assert_eq!(answer.verdict(), Verdict::Invalid, "{says}: {answer:?}");
        assert!(!answer.active);
        assert!(
            answer.detail.contains(says),
            "{says:?} is not in {:?}",
            answer.detail
        );
        assert!(!answer.detail.contains(SECRET), "{}", answer.detail);

        // In a batch that answer alone is INVALID.
        let checks = vec![of_claims(good.clone()), ask, of_claims(good.clone())];
        let batch = node
            .api
            .clone()
            .check_batch(CheckBatchRequest { checks })
            .await;
        let verdicts = batch.unwrap().into_inner().results;
        let verdicts: Vec<_> = verdicts
            .iter()
            .map(rescind::proto::v1::CheckResponse::verdict)
            .collect();
        assert_eq!(
            verdicts,
            [Verdict::Active, Verdict::Invalid, Verdict::Active]
        );
    }
    node.stop().await;
}

/// Whatever bytes come as a cursor: an error or a watch, never a panic or a hang.
#[tokio::test]
async fn every_bit_of_a_cursor_is_protected() {
    let node = node().await;
    let request = WatchRevocationsRequest::default();
    let answers = node.api.clone().watch_revocations(request).await.unwrap();
    let hello = answers.into_inner().message().await.unwrap().unwrap();
    let mut cases: Vec<Case> = Vec::new();
    for place in 0..hello.cursor.len() {
        let (mut flipped, cut) = (hello.cursor.clone(), hello.cursor[..place].to_vec());
        flipped[place] ^= 0x10;
        cases.push(("cursor", &["never were"], watch(|ask| ask.cursor = flipped)));
        if !cut.is_empty() {
            cases.push(("cursor", &["never were"], watch(|ask| ask.cursor = cut)));
        }
    }
    all_are_refused(&node, cases).await;
    node.stop().await;
}

#[tokio::test]
async fn an_unset_credential_is_not_a_token_without_text() {
    let node = node().await;
    let empty = Credential::Claims(Claims::default());
    let answer = check(
        &node.api,
        CheckRequest {
            credential: Some(empty),
            max_staleness: None,
        },
    )
    .await;
    assert_eq!(answer.verdict(), Verdict::Invalid);
    node.stop().await;
}

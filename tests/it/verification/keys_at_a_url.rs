//! Keys that the issuer publishes, through the whole app.

use std::sync::Arc;

use tonic::Code;
use tonic_types::StatusExt as _;

use super::{issuer::Issuer, *};

async fn following(directory: &Path, issuer: &Issuer) -> TestNode {
    node(directory, &format!("jwks_url = \"{}\"", issuer.url)).await
}

async fn issuer_status(node: &TestNode) -> v1::IssuerStatus {
    let status = node
        .api
        .clone()
        .get_status(v1::GetStatusRequest::default())
        .await;
    let status = status.unwrap().into_inner();
    assert!(status.verifies_signatures);
    status.issuers.into_iter().next().unwrap()
}

#[tokio::test]
async fn a_rotation_drops_no_request_and_the_burnt_key_ends() {
    let directory = tempfile::tempdir().unwrap();
    let (old, new) = (key(), key());
    let issuer = Issuer::start(jwks(&[(&old, "old")])).await;
    let node = Arc::new(following(directory.path(), &issuer).await);
    let of_old = token(&old, Some("old"), &claims("t"));
    let of_new = token(&new, Some("new"), &claims("t"));
    assert_eq!(
        verdict(&node, &of_old).await,
        Verdict::Active,
        "waits for the first fetch"
    );
    issuer.publish(200, jwks(&[(&old, "old"), (&new, "new")]));
    let checks: Vec<_> = (0..64)
        .map(|number| {
            let token = if number % 2 == 0 { &of_old } else { &of_new };
            let (node, token) = (Arc::clone(&node), token.clone());
            tokio::spawn(async move { verdict(&node, &token).await })
        })
        .collect();
    for check in checks {
        assert_eq!(check.await.unwrap(), Verdict::Active);
    }
    assert_eq!(issuer.requests(), 2, "one fetch for all of them");
    let burn = revoke_by(vec![say::key("old")], say::all());
    node.api.clone().revoke(burn).await.unwrap();
    assert_eq!(verdict(&node, &of_old).await, Verdict::Revoked);
    assert_eq!(verdict(&node, &of_new).await, Verdict::Active);
    let node = Arc::into_inner(node).unwrap();
    node.stop().await;
}

#[tokio::test]
async fn tokens_without_kid_follow_a_rotation_too() {
    // Only an unknown `kid` had newer keys fetched: where tokens carry none, those of a new key
    // were refused until the next planned fetch.
    let directory = tempfile::tempdir().unwrap();
    let (old, new) = (key(), key());
    let issuer = Issuer::start(jwks(&[(&old, "old")])).await;
    let node = following(directory.path(), &issuer).await;
    assert_eq!(
        verdict(&node, &token(&old, None, &claims("t"))).await,
        Verdict::Active
    );
    issuer.publish(200, jwks(&[(&new, "new")]));
    assert_eq!(
        verdict(&node, &token(&new, None, &claims("t"))).await,
        Verdict::Active
    );
    for _ in 0..5 {
        let (found, _, detail) = answer(&node, &token(&old, None, &claims("t"))).await;
        assert_eq!(found, Verdict::Invalid);
        assert!(detail.contains("not among the issuer's"), "{detail}");
    }
    assert_eq!(
        issuer.requests(),
        4,
        "invented signatures have few fetches made"
    );
    node.stop().await;
}

/// A listener that takes connections and says nothing.
async fn hanging() -> (tokio::net::TcpListener, String) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/jwks", listener.local_addr().unwrap());
    (listener, url)
}

fn stream_of(
    checks: Vec<v1::CheckRequest>,
) -> impl tokio_stream::Stream<Item = v1::CheckStreamRequest> {
    let questions = (0..).zip(checks).map(|(id, check)| v1::CheckStreamRequest {
        id,
        checks: vec![check],
    });
    tokio_stream::iter(questions.collect::<Vec<_>>())
}

#[tokio::test]
async fn a_token_whose_key_hangs_holds_up_no_batch_and_no_stream() {
    let directory = tempfile::tempdir().unwrap();
    let (_listener, url) = hanging().await;
    let node = node(directory.path(), &format!("jwks_url = {url:?}")).await;
    let mut claims_of = say::claims("j", node.now_s() - 60);
    claims_of.iss = ISS.to_owned();
    let checks = vec![
        of_token(&token(&key(), Some("unknown"), &claims("t"))),
        say::of_claims(claims_of),
    ];
    let wanted = [Verdict::Unavailable, Verdict::Active];
    // Less than a Check waits for keys.
    let within = std::time::Duration::from_millis(1_500);
    let batch = v1::CheckBatchRequest {
        checks: checks.clone(),
    };
    let mut api = node.api.clone();
    let answered = tokio::time::timeout(within, api.check_batch(batch)).await;
    let results = answered.unwrap().unwrap().into_inner().results;
    let verdicts: Vec<Verdict> = results.iter().map(v1::CheckResponse::verdict).collect();
    assert_eq!(verdicts, wanted);
    assert!(
        results[0].detail.contains("fetched for the first time"),
        "{}",
        results[0].detail
    );
    assert!(!results[0].active);

    let mut api = node.api.clone();
    let mut answers = api
        .check_stream(stream_of(checks))
        .await
        .unwrap()
        .into_inner();
    let mut found = Vec::new();
    while let Some(answer) = tokio::time::timeout(within, answers.message())
        .await
        .unwrap()
        .unwrap()
    {
        found.push((answer.id, answer.results[0].verdict()));
    }
    found.sort_unstable_by_key(|(id, _)| *id);
    assert_eq!(found, [(0, wanted[0]), (1, wanted[1])]);
    node.stop().await;
}

#[tokio::test]
async fn a_batch_that_meets_a_new_key_has_it_fetched_and_knows_it_when_asked_again() {
    let directory = tempfile::tempdir().unwrap();
    let (old, new) = (key(), key());
    let issuer = Issuer::start(jwks(&[(&old, "old")])).await;
    let node = following(directory.path(), &issuer).await;
    let of_new = token(&new, Some("new"), &claims("t"));
    let first = verdict(&node, &token(&old, Some("old"), &claims("t"))).await;
    assert_eq!(first, Verdict::Active);
    issuer.publish(200, jwks(&[(&old, "old"), (&new, "new")]));
    let batch = async || {
        let checks = vec![of_token(&of_new)];
        let mut api = node.api.clone();
        let asked = api.check_batch(v1::CheckBatchRequest { checks }).await;
        asked.unwrap().into_inner().results[0].verdict()
    };
    assert_eq!(batch().await, Verdict::Unavailable);
    // A Check of its own waits for the fetch that the batch asked for.
    assert_eq!(verdict(&node, &of_new).await, Verdict::Active);
    assert_eq!(batch().await, Verdict::Active);
    assert_eq!(issuer.requests(), 2);
    node.stop().await;
}

#[tokio::test]
async fn a_key_replaced_under_its_old_kid_verifies_at_once() {
    // Its tokens were INVALID until the next planned fetch, up to an hour.
    let directory = tempfile::tempdir().unwrap();
    let (old, new) = (key(), key());
    let issuer = Issuer::start(jwks(&[(&old, "k")])).await;
    let node = following(directory.path(), &issuer).await;
    let of_old = token(&old, Some("k"), &claims("t"));
    let of_new = token(&new, Some("k"), &claims("t"));
    assert_eq!(verdict(&node, &of_old).await, Verdict::Active);
    issuer.publish(200, jwks(&[(&new, "k")]));
    assert_eq!(verdict(&node, &of_new).await, Verdict::Active);
    assert_eq!(issuer.requests(), 2);
    assert_eq!(verdict(&node, &of_old).await, Verdict::Invalid);
    node.stop().await;
}

#[tokio::test]
async fn forged_signatures_use_up_no_fetch_of_a_new_kid() {
    let directory = tempfile::tempdir().unwrap();
    let (old, new) = (key(), key());
    let issuer = Issuer::start(jwks(&[(&old, "old")])).await;
    let node = following(directory.path(), &issuer).await;
    let genuine = token(&old, Some("old"), &claims("t"));
    assert_eq!(verdict(&node, &genuine).await, Verdict::Active);
    for number in 0..20 {
        let forged = token(&key(), Some("old"), &claims(&format!("t{number}")));
        let (found, _, detail) = answer(&node, &forged).await;
        assert_eq!(found, Verdict::Invalid);
        assert!(detail.contains("signature does not fit"), "{detail}");
    }
    assert_eq!(issuer.requests(), 4, "the first, and three for the forged");
    issuer.publish(200, jwks(&[(&old, "old"), (&new, "new")]));
    let rotated = token(&new, Some("new"), &claims("t"));
    assert_eq!(verdict(&node, &rotated).await, Verdict::Active);
    assert_eq!(verdict(&node, &genuine).await, Verdict::Active);
    node.stop().await;
}

#[tokio::test]
async fn status_tells_how_old_the_keys_are_and_what_went_wrong() {
    let directory = tempfile::tempdir().unwrap();
    let key = key();
    let issuer = Issuer::start(jwks(&[(&key, "k")])).await;
    let node = following(directory.path(), &issuer).await;
    let genuine = token(&key, Some("k"), &claims("t"));
    assert_eq!(verdict(&node, &genuine).await, Verdict::Active);
    node.advance_s(90);
    let status = issuer_status(&node).await;
    assert_eq!((status.iss.as_str(), status.keys), (ISS, 1));
    assert_eq!(status.key_source, "jwks_url");
    assert_eq!(status.keys_age.unwrap().seconds, 90);
    assert_eq!(status.last_error, "");
    // The issuer is down: its keys go on, and what is not known says why.
    issuer.publish(503, String::new());
    let (found, _, detail) = answer(&node, &token(&key, Some("k2"), &claims("t"))).await;
    assert_eq!(found, Verdict::Invalid);
    for part in [
        "fetched 90 s ago",
        "the last fetch failed: the issuer answered 503",
    ] {
        assert!(detail.contains(part), "{detail}");
    }
    let status = issuer_status(&node).await;
    assert!(status.last_error.contains("503"), "{status:?}");
    assert_eq!(verdict(&node, &genuine).await, Verdict::Active);
    node.stop().await;
}

#[tokio::test]
async fn keys_over_http_go_through_no_proxy_and_need_no_authorities() {
    // Where the environment named a proxy, it could give the keys; and in an image without
    // certificate authorities nothing started.
    let directory = tempfile::tempdir().unwrap();
    let issuer = Issuer::start(jwks(&[(&key(), "k")])).await;
    let settings = |url: &str| {
        let file =
            format!("[[issuers]]\niss = \"i\"\nalgorithms = [\"ES256\"]\njwks_url = {url:?}\n");
        written(directory.path(), "rescind.toml", file)
    };
    for url in [issuer.url.clone(), issuer.url.replace("http:", "HTTP:")] {
        let config = settings(&url);
        let check = tokio::task::spawn_blocking(move || {
            std::process::Command::new(env!("CARGO_BIN_EXE_rescind"))
                .args(["config", "check", "--fetch", "--ephemeral", &config])
                .env_clear()
                .env("http_proxy", "http://127.0.0.1:1")
                .env("ALL_PROXY", "http://127.0.0.1:1")
                .env("SSL_CERT_FILE", "/nonexistent")
                .env("SSL_CERT_DIR", "/nonexistent")
                .output()
                .unwrap()
        });
        let output = check.await.unwrap();
        let shown = format!("{output:?}");
        assert!(
            output.status.success() && shown.contains("1 usable"),
            "{shown}"
        );
    }
    assert_eq!(issuer.requests(), 2);
}

#[tokio::test]
async fn keys_that_were_never_had_are_unavailable_and_no_bad_token() {
    // The verdict was INVALID: the fault was ours, and a good token looked like a bad one.
    let directory = tempfile::tempdir().unwrap();
    let key = key();
    let issuer = Issuer::start(jwks(&[(&key, "k")])).await;
    issuer.publish(503, String::new());
    let url = issuer.url.replace("http://", "http://user:hush@");
    let settings = format!("jwks_url = \"{url}?apikey=hush\"");
    let node = node(directory.path(), &settings).await;
    for kid in [Some("k"), None] {
        let token = token(&key, kid, &claims("t"));
        let refused = node.api.clone().check(of_token(&token)).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unavailable);
        let info = refused.get_details_error_info().unwrap();
        assert_eq!(info.reason, "KEYS_UNAVAILABLE");
        assert!(refused.get_details_retry_info().is_some());
        assert!(refused.message().contains("503"), "{refused}");
        assert!(!format!("{refused:?}").contains("hush"), "{refused:?}");
        let checks = vec![of_token(&token)];
        let batch = v1::CheckBatchRequest { checks };
        let results = node.api.clone().check_batch(batch).await.unwrap();
        let result = &results.into_inner().results[0];
        assert_eq!(result.verdict(), Verdict::Unavailable);
        let mut api = node.api.clone();
        let refused = api.revoke(revoke(vec![say::jwt(&token)]));
        assert_eq!(refused.await.unwrap_err().code(), Code::Unavailable);
    }
    assert!(!format!("{:?}", issuer_status(&node).await).contains("hush"));
    // What is wrong whatever the keys are is still told as such.
    let other = SigningKey::generate(Algorithm::Hs256, RsaBits::B2048).unwrap();
    let (found, ..) = answer(&node, &token(&other, None, &claims("t"))).await;
    assert_eq!(found, Verdict::Invalid);
    node.stop().await;
}

#[tokio::test]
async fn a_secret_in_the_url_of_an_issuer_that_cannot_be_reached_is_not_shown() {
    let directory = tempfile::tempdir().unwrap();
    let settings = "jwks_url = \"http://user:hush@127.0.0.1:1/jwks?apikey=hush\"";
    let node = node(directory.path(), settings).await;
    let of_any = of_token(&token(&key(), Some("k"), &claims("t")));
    let refused = node.api.clone().check(of_any).await.unwrap_err();
    let shown = format!("{refused:?} {:?}", issuer_status(&node).await);
    assert!(
        shown.contains("the last fetch failed") && !shown.contains("hush"),
        "{shown}"
    );
    node.stop().await;
}

#[tokio::test]
async fn readiness_waits_for_keys_that_are_required() {
    let directory = tempfile::tempdir().unwrap();
    let issuer = Issuer::start(jwks(&[(&key(), "k")])).await;
    issuer.publish(503, String::new());
    for (required, is_ready) in [(false, true), (true, false)] {
        let settings = format!("jwks_url = \"{}\"\nrequire_keys = {required}", issuer.url);
        let node = node(directory.path(), &settings).await;
        let token = token(&key(), Some("k"), &claims("t"));
        // Answered once the first try has ended.
        let refused = node.api.clone().check(of_token(&token)).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unavailable);
        let status = node
            .api
            .clone()
            .get_status(v1::GetStatusRequest::default())
            .await;
        let status = status.unwrap().into_inner();
        assert_eq!(status.ready, is_ready, "{status:?}");
        assert_eq!(
            status.not_ready_because.contains(ISS),
            !is_ready,
            "{status:?}"
        );
        node.stop().await;
    }
}

#[tokio::test]
async fn a_key_set_is_asked_for_with_the_authorization_that_a_file_holds() {
    let directory = tempfile::tempdir().unwrap();
    let (old, new) = (key(), key());
    let issuer = Issuer::start(jwks(&[(&old, "old")])).await;
    let file = written(directory.path(), "authorization", "Bearer hush-1\n");
    let settings = format!(
        "jwks_url = \"{}\"\njwks_authorization_file = {file:?}",
        issuer.url
    );
    let node = node(directory.path(), &settings).await;
    let of_old = token(&old, Some("old"), &claims("t"));
    assert_eq!(verdict(&node, &of_old).await, Verdict::Active);
    assert!(issuer.asked().contains("authorization: Bearer hush-1\r\n"));
    // It is read at each fetch, and what is wrong with it is told without it.
    written(directory.path(), "authorization", "Bearer hush-2");
    issuer.publish(200, jwks(&[(&new, "new")]));
    let of_new = token(&new, Some("new"), &claims("t"));
    assert_eq!(verdict(&node, &of_new).await, Verdict::Active);
    assert!(issuer.asked().contains("authorization: Bearer hush-2\r\n"));
    written(directory.path(), "authorization", "hush\nhush");
    assert_eq!(verdict(&node, &of_old).await, Verdict::Invalid);
    let status = issuer_status(&node).await;
    assert!(status.last_error.contains("give one line"), "{status:?}");
    assert!(!status.last_error.contains("hush"), "{status:?}");
    assert_eq!(issuer.requests(), 2);
    node.stop().await;
}

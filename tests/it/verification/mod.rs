//! Tokens that this node verifies itself, from a file with settings to the answer.

mod issuer;
mod keys_at_a_url;

use std::path::Path;

use rescind::{
    proto::v1::{self, Verdict, target::Kind},
    token::{
        algorithm::Algorithm,
        sign::{RsaBits, SigningKey},
    },
};
use serde_json::{Value, json};

use crate::{
    grpc::say::{self, ISS, blamed, check, of_token, revoke, revoke_by},
    harness::node::{Options, TestNode},
};

fn key() -> SigningKey {
    SigningKey::generate(Algorithm::Es256, RsaBits::B2048).unwrap()
}

fn jwks(keys: &[(&SigningKey, &str)]) -> String {
    let keys: Vec<Value> = keys.iter().map(|(key, kid)| key.jwk(Some(kid))).collect();
    json!({ "keys": keys }).to_string()
}

/// A token of the issuer, issued half a second ago, for an hour.
fn claims(jti: &str) -> Value {
    json!({
        "iss": ISS, "jti": jti, "sub": "ada", "aud": "api",
        "iat": 1_750_000_000, "exp": 1_750_003_600,
    })
}

fn token(key: &SigningKey, kid: Option<&str>, claims: &Value) -> String {
    let mut header = json!({"alg": key.algorithm().name()});
    if let Some(kid) = kid {
        header["kid"] = json!(kid);
    }
    key.token(&header, claims).unwrap()
}

fn forged(token: &str) -> String {
    let (input, signature) = token.rsplit_once('.').unwrap();
    let first = if signature.starts_with('A') { "B" } else { "A" };
    format!("{input}.{first}{}", &signature[1..])
}

fn written(directory: &Path, name: &str, text: impl AsRef<[u8]>) -> String {
    let path = directory.join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

/// A node with one issuer; `settings` say where its keys are.
async fn node(directory: &Path, settings: &str) -> TestNode {
    let file = format!("[[issuers]]\niss = \"{ISS}\"\nalgorithms = [\"ES256\"]\n{settings}\n");
    let path = written(directory, "rescind.toml", file);
    TestNode::start(Options::of_file(path.as_ref())).await
}

/// A node that knows k1 and k2 from a file.
async fn with_two_keys(directory: &Path) -> (TestNode, SigningKey, SigningKey) {
    let (one, two) = (key(), key());
    let file = written(directory, "jwks.json", jwks(&[(&one, "k1"), (&two, "k2")]));
    let settings = format!("audiences = [\"api\"]\njwks_file = {file:?}");
    (node(directory, &settings).await, one, two)
}

async fn answer(node: &TestNode, token: &str) -> (Verdict, bool, String) {
    let answer = check(&node.api, of_token(token)).await;
    assert_eq!(answer.active, answer.verdict() == Verdict::Active);
    (answer.verdict(), answer.signature_verified, answer.detail)
}

async fn verdict(node: &TestNode, token: &str) -> Verdict {
    answer(node, token).await.0
}

#[tokio::test]
async fn a_genuine_token_is_active_and_verified_until_it_is_revoked() {
    let directory = tempfile::tempdir().unwrap();
    let (node, key, _) = with_two_keys(directory.path()).await;
    for jti in ["by its jti", ""] {
        let token = token(&key, Some("k1"), &claims(jti));
        // Twice: the second time its signature is known.
        for _ in 0..2 {
            assert_eq!(
                answer(&node, &token).await,
                (Verdict::Active, true, String::new())
            );
        }
        let (found, verified, detail) = answer(&node, &forged(&token)).await;
        assert_eq!((found, verified), (Verdict::Invalid, false));
        assert!(detail.contains("signature does not fit"), "{detail}");
        node.api
            .clone()
            .revoke(revoke(vec![say::jwt(&token)]))
            .await
            .unwrap();
        let (found, verified, _) = answer(&node, &token).await;
        assert_eq!((found, verified), (Verdict::Revoked, true));
        assert_eq!(verdict(&node, &forged(&token)).await, Verdict::Invalid);
    }
    node.stop().await;
}

#[tokio::test]
async fn a_key_that_is_revoked_under_one_kid_is_revoked_under_each() {
    let directory = tempfile::tempdir().unwrap();
    let (one, other) = (key(), key());
    let set = jwks(&[(&one, "a"), (&one, "b"), (&other, "c")]);
    let file = written(directory.path(), "jwks.json", set);
    let node = node(directory.path(), &format!("jwks_file = {file:?}")).await;
    let of_b = token(&one, Some("b"), &claims("t"));
    let of_c = token(&other, Some("c"), &claims("t"));
    assert_eq!(verdict(&node, &of_b).await, Verdict::Active);
    let burn = revoke_by(vec![say::key("a")], say::all());
    let receipts = node
        .api
        .clone()
        .revoke(burn)
        .await
        .unwrap()
        .into_inner()
        .receipts;
    assert_eq!(receipts.len(), 1);
    assert!(
        receipts[0]
            .warnings
            .iter()
            .any(|text| text.contains("known as \"b\"")),
        "{receipts:?}"
    );
    assert_eq!(verdict(&node, &of_b).await, Verdict::Revoked);
    assert_eq!(verdict(&node, &of_c).await, Verdict::Active);
    let unknown = revoke_by(vec![say::key("z")], say::all());
    let receipts = node
        .api
        .clone()
        .revoke(unknown)
        .await
        .unwrap()
        .into_inner()
        .receipts;
    assert!(
        receipts[0]
            .warnings
            .iter()
            .any(|text| text.contains("no key is known"))
    );
    let lift = say::restore(vec![say::key("a")], &[v1::RuleKind::All]);
    node.api.clone().restore(lift).await.unwrap();
    assert_eq!(verdict(&node, &of_b).await, Verdict::Active);
    node.stop().await;
}

#[tokio::test]
async fn a_known_signature_hides_no_revocation_and_no_expiry() {
    let directory = tempfile::tempdir().unwrap();
    let (node, key, _) = with_two_keys(directory.path()).await;
    let mut own = claims("t1");
    own["sid"] = json!("s1");
    let token = token(&key, Some("k1"), &own);
    let all = say::all();
    for (target, rules) in [
        (say::user("ada"), all.clone()),
        (say::session("s1"), all.clone()),
        (say::key("k1"), all.clone()),
        (say::issuer(ISS), all),
    ] {
        assert_eq!(verdict(&node, &token).await, Verdict::Active);
        node.api
            .clone()
            .revoke(revoke_by(vec![target.clone()], rules))
            .await
            .unwrap();
        assert_eq!(verdict(&node, &token).await, Verdict::Revoked, "{target:?}");
        let lift = say::restore(vec![target], &[v1::RuleKind::All]);
        node.api.clone().restore(lift).await.unwrap();
    }
    assert_eq!(verdict(&node, &token).await, Verdict::Active);
    node.advance_s(3_600 + 61);
    for _ in 0..2 {
        assert_eq!(verdict(&node, &token).await, Verdict::Expired);
    }
    node.stop().await;
}

#[tokio::test]
async fn a_jwt_is_revoked_only_when_it_is_genuine_expired_or_not() {
    let directory = tempfile::tempdir().unwrap();
    let (node, key, _) = with_two_keys(directory.path()).await;
    let good = token(&key, Some("k1"), &claims("t1"));
    let mut for_another = claims("t2");
    for_another["aud"] = json!("other");
    let mut of_another = claims("t3");
    of_another["iss"] = json!("https://issuer.exampel");
    for (wrong, part) in [
        (forged(&good), "signature does not fit"),
        (token(&key, Some("k1"), &for_another), "`aud`"),
        (
            token(&key, Some("k3"), &claims("t4")),
            "has the token's `kid`",
        ),
        (
            token(&key, Some("k1"), &of_another),
            "not among the configured ones",
        ),
        ("rubbish".to_owned(), "no dots"),
    ] {
        let targets = vec![say::jti("innocent"), say::jwt(&wrong)];
        let refused = node.api.clone().revoke(revoke(targets)).await.unwrap_err();
        let (field, message) = blamed(&refused);
        assert_eq!(field, "targets[1].token.jwt");
        assert!(message.contains(part), "{message}");
    }
    assert_eq!(
        node.ledger.condition().held,
        0,
        "a refused request wrote something"
    );
    node.advance_s(7_200);
    assert_eq!(verdict(&node, &good).await, Verdict::Expired);
    node.api
        .clone()
        .revoke(revoke(vec![say::jwt(&good)]))
        .await
        .unwrap();
    node.stop().await;
}

#[tokio::test]
async fn a_revocation_under_an_issuer_that_is_not_configured_names_the_nearest() {
    let directory = tempfile::tempdir().unwrap();
    let (node, ..) = with_two_keys(directory.path()).await;
    let near = "https://issuer.exampel";
    let of_key = v1::Target {
        kind: Some(Kind::Key(v1::KeyTarget {
            iss: near.to_owned(),
            kid: "k1".to_owned(),
        })),
    };
    for target in [say::user_of(near, "ada"), say::issuer(near), of_key] {
        let request = revoke_by(vec![target], say::all());
        let (field, message) = blamed(&node.api.clone().revoke(request).await.unwrap_err());
        let parts: Vec<&str> = field.split('.').collect();
        assert!(matches!(*parts, ["targets[0]", _, "iss"]), "{field}");
        assert!(
            message.contains(&format!("the nearest is \"{ISS}\"")),
            "{message}"
        );
    }
    node.stop().await;
}

#[tokio::test]
async fn a_revoked_key_is_the_one_that_verified_whatever_the_token_names() {
    let directory = tempfile::tempdir().unwrap();
    let (node, one, two) = with_two_keys(directory.path()).await;
    let request = revoke_by(vec![say::key("k1")], say::all());
    node.api.clone().revoke(request).await.unwrap();
    for (key, kid, expected) in [
        (&one, Some("k1"), Verdict::Revoked),
        (&one, None, Verdict::Revoked),
        (&two, Some("k2"), Verdict::Active),
        // Without verification this one is denied, since it may be by the burnt key.
        (&two, None, Verdict::Active),
        (&one, Some("k2"), Verdict::Invalid),
        (&one, Some("K1"), Verdict::Invalid),
    ] {
        let found = verdict(&node, &token(key, kid, &claims("t"))).await;
        assert_eq!(found, expected, "{kid:?}");
    }
    node.stop().await;
}

#[tokio::test]
async fn a_stolen_key_without_a_name_does_not_escape_its_revocation_under_another() {
    // The thief of a key in a PEM signed tokens with a `kid` of his choice; the revocation of the
    // `kid` that the issuer uses did not meet them.
    let directory = tempfile::tempdir().unwrap();
    let key = key();
    let public = key.public_pem().unwrap().unwrap();
    let file = written(directory.path(), "key.pem", public);
    let burn = || revoke_by(vec![say::key("k1")], say::all());
    let nameless = node(directory.path(), &format!("public_key_file = {file:?}")).await;
    assert_eq!(
        verdict(&nameless, &token(&key, Some("k1"), &claims("t"))).await,
        Verdict::Active
    );
    nameless.api.clone().revoke(burn()).await.unwrap();
    for kid in [Some("k1"), Some("k9"), None] {
        let found = verdict(&nameless, &token(&key, kid, &claims("t"))).await;
        assert_eq!(found, Verdict::Revoked, "{kid:?}");
    }
    nameless.stop().await;
    // Its next key is given a name, so that the burnt one's revocation does not meet it.
    let named = format!("public_key_file = {file:?}\nkid = \"k2\"");
    let named = node(directory.path(), &named).await;
    named.api.clone().revoke(burn()).await.unwrap();
    for (kid, expected) in [
        (Some("k2"), Verdict::Active),
        (None, Verdict::Active),
        (Some("k1"), Verdict::Invalid),
    ] {
        assert_eq!(
            verdict(&named, &token(&key, kid, &claims("t"))).await,
            expected,
            "{kid:?}"
        );
    }
    named.stop().await;
}

#[tokio::test]
async fn keys_in_files_are_read_anew_and_the_old_ones_stay_when_they_cannot_be() {
    let directory = tempfile::tempdir().unwrap();
    let (node, old, _) = with_two_keys(directory.path()).await;
    let new = key();
    let (of_old, of_new) = (
        token(&old, Some("k1"), &claims("t")),
        token(&new, Some("k3"), &claims("t")),
    );
    assert_eq!(verdict(&node, &of_old).await, Verdict::Active);
    let (found, _, detail) = answer(&node, &of_new).await;
    assert!(
        found == Verdict::Invalid && detail.contains("SIGHUP"),
        "{detail}"
    );
    let verification = node.verification.clone().unwrap();
    for damaged in ["", "{}", r#"{"keys":[]}"#] {
        written(directory.path(), "jwks.json", damaged);
        verification.reload();
        assert_eq!(verdict(&node, &of_old).await, Verdict::Active, "{damaged}");
    }
    written(directory.path(), "jwks.json", jwks(&[(&new, "k3")]));
    verification.reload();
    assert_eq!(verdict(&node, &of_new).await, Verdict::Active);
    assert_eq!(verdict(&node, &of_old).await, Verdict::Invalid);
    drop(verification);
    node.stop().await;
}

#[tokio::test]
async fn a_secret_in_a_file_verifies_and_every_byte_of_it_counts() {
    let directory = tempfile::tempdir().unwrap();
    let secret = SigningKey::generate(Algorithm::Hs256, RsaBits::B2048).unwrap();
    let path = written(directory.path(), "secret", secret.private().unwrap());
    let file = format!(
        "[[issuers]]\niss = \"{ISS}\"\nalgorithms = [\"HS256\"]\nsecret_file = {path:?}\n\
         [[issuers]]\niss = \"https://without.example\"\n"
    );
    let config = written(directory.path(), "rescind.toml", file);
    let node = TestNode::start(Options::of_file(config.as_ref())).await;
    let good = token(&secret, None, &claims("t"));
    assert_eq!(verdict(&node, &good).await, Verdict::Active);
    let mut longer = secret.private().unwrap();
    longer.push(b'\n');
    let other = SigningKey::from_secret(Algorithm::Hs256, longer).unwrap();
    assert_eq!(
        verdict(&node, &token(&other, None, &claims("t"))).await,
        Verdict::Invalid
    );
    // One issuer with keys turns verification on for all.
    let mut without = claims("t");
    without["iss"] = json!("https://without.example");
    assert_eq!(
        verdict(&node, &token(&secret, None, &without)).await,
        Verdict::Invalid
    );
    node.stop().await;
}

#[tokio::test]
async fn every_answer_of_a_batch_and_a_stream_is_verified_too() {
    let directory = tempfile::tempdir().unwrap();
    let (node, key, _) = with_two_keys(directory.path()).await;
    let good = token(&key, Some("k1"), &claims("t"));
    let checks = vec![of_token(&good), of_token(&forged(&good)), of_token(&good)];
    let expected = [(true, true), (false, false), (true, true)];
    let seen = |results: &[v1::CheckResponse]| -> Vec<_> {
        let seen = results.iter().map(|of| (of.active, of.signature_verified));
        seen.collect()
    };
    let batch = v1::CheckBatchRequest {
        checks: checks.clone(),
    };
    let answered = node
        .api
        .clone()
        .check_batch(batch)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(seen(&answered.results), expected);
    let question = v1::CheckStreamRequest { id: 7, checks };
    let stream = tokio_stream::once(question);
    let answered = node.api.clone().check_stream(stream).await.unwrap();
    let answered = answered.into_inner().message().await.unwrap().unwrap();
    assert_eq!(
        (answered.id, seen(&answered.results)),
        (7, expected.to_vec())
    );
    node.stop().await;
}

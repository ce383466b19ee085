//! Fetches from a real server on this machine.
//!
//! `tests/ca.pem` and `tests/server.pem` with its key were made with OpenSSL 3.0 (`openssl req -x509
//! -newkey ec -pkeyopt ec_paramgen_curve:P-256 -days 36500`, the server's with `-CA ca.pem` and
//! `subjectAltName=IP:127.0.0.1`) and are used nowhere else.
#![expect(
    clippy::disallowed_methods,
    reason = "a server and several Checks run beside the test"
)]

use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::super::{IssuerKeys, Verification, VerificationError};
use super::*;
use crate::{
    clock::ManualClock,
    model::Semantics,
    token::{
        Buffer, Demands, KeySource, Parts, Refusal, Wanted,
        algorithm::Algorithm,
        sign::{RsaBits, SigningKey},
    },
};

mod server;

use server::{Answer, Server, with_tls};

const ISS: &str = "https://issuer.example";
const NOW: UnixNanos = UnixNanos::from_secs(1_750_000_000);
const CA: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/src/verification/fetch/tests/ca.pem"
);

fn key() -> SigningKey {
    SigningKey::generate(Algorithm::Es256, RsaBits::B2048).unwrap()
}

fn signed(key: &SigningKey, kid: &str) -> String {
    let claims = json!({"iss": ISS, "jti": "j", "iat": 1_750_000_000, "exp": 1_750_003_600});
    key.token(&json!({"alg": "ES256", "kid": kid}), &claims)
        .unwrap()
}

fn jwks(keys: &[(&SigningKey, &str)]) -> String {
    let keys: Vec<Value> = keys.iter().map(|(key, kid)| key.jwk(Some(kid))).collect();
    json!({ "keys": keys }).to_string()
}

/// A verification that fetches from a URL.
#[derive(Debug)]
struct Node {
    verification: Verification,
    stop: CancellationToken,
}

impl Drop for Node {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Node {
    fn open(
        url: &str,
        ca_file: Option<&str>,
        data_dir: Option<&Path>,
    ) -> Result<Self, VerificationError> {
        let issuer = IssuerKeys {
            iss: ISS.to_owned(),
            demands: Demands {
                algorithms: vec![Algorithm::Es256],
                audiences: Vec::new(),
                types: vec![String::new()],
            },
            source: KeySource::JwksUrl {
                url: url.to_owned(),
                ca_file: ca_file.map(PathBuf::from),
                authorization_file: None,
            },
            require_keys: false,
        };
        Ok(Self {
            verification: Verification::open(&[issuer], data_dir, Arc::new(ManualClock::new(NOW)))?,
            stop: CancellationToken::new(),
        })
    }

    fn start(url: &str) -> Self {
        let node = Self::open(url, None, None).unwrap();
        node.run();
        node
    }

    fn run(&self) {
        tokio::spawn(self.fetcher().run(self.stop.clone()));
    }

    fn fetcher(&self) -> Arc<Fetcher> {
        self.verification.fetchers().pop().unwrap()
    }

    /// Waits until this many tries have ended.
    async fn tried(&self, count: u64) {
        let fetcher = self.fetcher();
        let mut tries = fetcher.tries.subscribe();
        tries.wait_for(|tries| tries.ended >= count).await.unwrap();
    }

    /// Has the keys fetched, and waits for it.
    async fn fetch(&self) {
        let ended = self.fetcher().tries.borrow().ended;
        self.fetcher().want();
        self.tried(ended + 1).await;
    }

    fn once(&self, token: &str) -> Result<(), Refusal> {
        let mut buffer = Buffer::default();
        let semantics = Semantics::default();
        let parts = Parts::decode(token, &mut buffer)?;
        let claims = parts.claims(&semantics, Wanted::default())?;
        let verified = self.verification.verify(&parts, &claims.iss, claims.exp);
        verified.map(drop)
    }

    /// As Check looks: again, once newer keys were fetched.
    async fn look(&self, token: &str) -> Result<(), String> {
        let lack = match self.once(token) {
            Err(Refusal::UnknownKey) => Lack::Unknown,
            Err(Refusal::NamedKeyMisfits(_)) => Lack::Misfit,
            other => return other.map_err(|refusal| format!("{refusal:?}")),
        };
        let fetched = self.verification.newer_keys(ISS, lack).await;
        self.once(token).map_err(|refusal| match fetched {
            Ok(()) => format!("{refusal:?}"),
            Err(invalid) => invalid.detail.into_owned(),
        })
    }

    fn error(&self) -> String {
        self.fetcher().state().last_error
    }
}

#[tokio::test]
async fn the_first_check_waits_for_the_first_fetch() {
    let key = key();
    let held = Arc::new(Semaphore::new(0));
    let server = Server::start(Answer::Held(Arc::clone(&held), jwks(&[(&key, "k")]))).await;
    let node = Node::start(&server.url("/jwks"));
    let token = signed(&key, "k");
    let look = async { tokio::join!(node.look(&token), async { held.add_permits(9) }).0 };
    assert_eq!(look.await, Ok(()));
    assert_eq!(node.fetcher().state().fetched_at, Some(NOW));
    let states = node.verification.states();
    assert_eq!((states[0].source, states[0].keys), ("jwks_url", 1));
}

#[tokio::test]
async fn an_unknown_kid_has_the_keys_fetched_once_for_all_who_wait() {
    let (old, new) = (key(), key());
    let server = Server::start(Answer::Body(200, jwks(&[(&old, "old")]))).await;
    let node = Arc::new(Node::start(&server.url("/jwks")));
    node.tried(1).await;
    server.publish(&[(&old, "old"), (&new, "new")]);
    let looks: Vec<_> = (0..32)
        .map(|number| {
            let node = Arc::clone(&node);
            let token = match number % 2 {
                0 => signed(&old, "old"),
                _ => signed(&new, "new"),
            };
            tokio::spawn(async move { node.look(&token).await })
        })
        .collect();
    for look in looks {
        assert_eq!(
            look.await.unwrap(),
            Ok(()),
            "a request was dropped in the rotation"
        );
    }
    assert_eq!(server.requests(), 2);
    // What is invented has a few more made; then it waits for nothing, and is told for how long.
    for requests in [3, 4, 4, 4] {
        let limited = server.requests() == 4;
        let why = node.look(&signed(&new, "invented")).await.unwrap_err();
        assert_eq!(
            why.contains("not fetched again for another"),
            limited,
            "{why}"
        );
        assert_eq!(server.requests(), requests);
    }
    assert_eq!(node.look(&signed(&new, "new")).await, Ok(()));
}

#[tokio::test]
async fn a_key_that_is_taken_out_verifies_nothing_from_the_next_fetch_on() {
    let (old, new) = (key(), key());
    let server = Server::start(Answer::Body(200, jwks(&[(&old, "old"), (&new, "new")]))).await;
    let node = Node::start(&server.url("/jwks"));
    node.tried(1).await;
    assert_eq!(node.look(&signed(&old, "old")).await, Ok(()));
    let burnt = signed(&old, "old");
    assert_eq!(node.once(&burnt), Ok(()));
    server.publish(&[(&new, "new")]);
    node.fetch().await;
    assert_eq!(node.once(&burnt), Err(Refusal::UnknownKey));
    assert!(node.look(&burnt).await.is_err());
    assert_eq!(node.look(&signed(&new, "new")).await, Ok(()));
}

#[tokio::test]
async fn a_fetch_that_began_before_the_rotation_does_not_answer_for_it() {
    // A planned fetch had read the old set when the token with the new key came: the token was
    // refused although the next fetch had its key.
    let (old, new) = (key(), key());
    let held = Arc::new(Semaphore::new(0));
    let server = Server::start(Answer::Body(200, jwks(&[(&old, "old")]))).await;
    let node = Node::start(&server.url("/jwks"));
    node.tried(1).await;
    server.answer(Answer::Held(Arc::clone(&held), jwks(&[(&old, "old")])));
    node.fetcher().want();
    let mut requests = server.requests.subscribe();
    requests.wait_for(|requests| *requests == 2).await.unwrap();
    server.publish(&[(&new, "new")]);
    let token = signed(&new, "new");
    let (found, ()) = tokio::join!(node.look(&token), async { held.add_permits(1) });
    assert_eq!(found, Ok(()));
    assert_eq!(server.requests(), 3);
}

#[tokio::test(start_paused = true)]
async fn where_the_issuer_hangs_a_check_waits_two_seconds_and_says_for_what() {
    let server = Server::start(Answer::Never).await;
    let node = Node::start(&server.url("/jwks"));
    let token = signed(&key(), "k");
    let began = Instant::now();
    let why = node.look(&token).await.unwrap_err();
    assert_eq!(began.elapsed().as_secs(), 2);
    for part in [
        "none were fetched yet",
        "did not end within the 2 s that a Check waits",
    ] {
        assert!(why.contains(part), "{why}");
    }
    // Who comes after does not wait for himself: a batch or a stream would add them up.
    let began = Instant::now();
    for _ in 0..1_000 {
        assert!(node.look(&token).await.is_err());
    }
    assert!(began.elapsed().is_zero(), "{:?}", began.elapsed());
    node.tried(1).await;
    assert!(
        node.error().contains("no answer within 10 s"),
        "{}",
        node.error()
    );
}

#[tokio::test]
async fn a_bad_answer_keeps_the_last_good_keys_and_is_told() {
    let key = key();
    let server = Server::start(Answer::Body(200, jwks(&[(&key, "k")]))).await;
    let node = Node::start(&server.url("/jwks"));
    node.tried(1).await;
    let token = signed(&key, "k");
    let secret = SigningKey::generate(Algorithm::Hs256, RsaBits::B2048).unwrap();
    for (answer, part) in [
        (Answer::Body(500, jwks(&[(&key, "k")])), "answered 500"),
        (Answer::Body(404, String::new()), "answered 404"),
        (Answer::Body(204, String::new()), "not JSON"),
        (Answer::Body(200, "<html>".to_owned()), "not JSON"),
        (Answer::Body(200, "{}".to_owned()), "no array `keys`"),
        (
            Answer::Body(200, r#"{"keys":[]}"#.to_owned()),
            "holds no key for the configured algorithms: it is empty",
        ),
        (Answer::Body(200, jwks(&[(&secret, "k")])), "it is a secret"),
        (
            Answer::Body(200, " ".repeat(limits::JWKS_BYTES_MAX + 1)),
            "more than 524288 bytes",
        ),
        (Answer::Cut, ""),
    ] {
        server.answer(answer.clone());
        node.fetch().await;
        assert!(
            node.error().contains(part) && !node.error().is_empty(),
            "{}",
            node.error()
        );
        assert_eq!(node.once(&token), Ok(()), "{answer:?}");
    }
    let why = node.look(&signed(&key, "new")).await.unwrap_err();
    for part in ["newer ones could not be had", "the last fetch failed: "] {
        assert!(why.contains(part), "{why}");
    }
    server.publish(&[(&key, "k")]);
    node.fetch().await;
    assert_eq!(node.error(), "");
}

#[tokio::test]
async fn a_discovery_document_is_followed_to_the_keys_on_the_same_host() {
    let key = key();
    let server = Server::start(Answer::Body(200, jwks(&[(&key, "k")]))).await;
    let elsewhere = Server::start(Answer::Body(200, jwks(&[(&key, "k")]))).await;
    let discovery = "/.well-known/openid-configuration";
    for (uri, error) in [
        (server.url("/jwks"), ""),
        (elsewhere.url("/jwks?key=hush"), "give that as jwks_url"),
        (format!("https://{}/jwks", server.address), "another host"),
        ("jwks".to_owned(), "is not a URL"),
    ] {
        server.discover(json!({"issuer": ISS, "jwks_uri": uri}).to_string());
        let node = Node::start(&server.url(discovery));
        node.tried(1).await;
        let found = node.error();
        assert!(found.contains(error), "{uri}: {found}");
        assert!(!found.contains("hush"), "{found}");
        assert_eq!(found.is_empty(), error.is_empty(), "{uri}: {found}");
        assert_eq!(node.once(&signed(&key, "k")).is_ok(), error.is_empty());
    }
    assert_eq!(elsewhere.requests(), 0);
}

#[tokio::test]
async fn the_same_key_set_again_leaves_known_signatures_known() {
    let key = key();
    let server = Server::start(Answer::Body(200, jwks(&[(&key, "k")]))).await;
    let node = Node::start(&server.url("/jwks"));
    node.tried(1).await;
    let before = node.fetcher().issuer.keys();
    node.fetch().await;
    assert!(Arc::ptr_eq(&before, &node.fetcher().issuer.keys()));
    server.publish(&[(&key, "k"), (&key, "k2")]);
    node.fetch().await;
    server.publish(&[(&key, "k")]);
    node.fetch().await;
    assert_eq!(node.fetcher().issuer.keys().keys().len(), 1);
}

#[tokio::test]
async fn redirects_are_followed_on_the_same_host_only() {
    let key = key();
    let good = Answer::Body(200, jwks(&[(&key, "k")]));
    let server = Server::start(good.clone()).await;
    let elsewhere = Server::start(good).await;
    let other_name = format!("http://localhost:{}/jwks", server.address.port());
    let to = |place: &str| server.url(&format!("/to?{place}"));
    let thrice = format!("/to?/to?{}", server.url("/jwks"));
    for (url, error) in [
        (to("/jwks"), ""),
        (to(&server.url("/jwks")), ""),
        (to(&thrice), ""),
        (to(&format!("/to?{thrice}")), "too many redirects"),
        (to(&elsewhere.url("/jwks")), "redirects to another host"),
        (to(&other_name), "redirects to another host"),
        (
            to(&format!("//{}/jwks", elsewhere.address)),
            "redirects to another host",
        ),
        (
            to(&format!("https://{}/jwks", server.address)),
            "redirects to another host",
        ),
    ] {
        let node = Node::start(&url);
        node.tried(1).await;
        let found = node.error();
        assert_eq!(error.is_empty(), found.is_empty(), "{url}: {found}");
        assert!(found.contains(error), "{url}: {found}");
    }
    assert_eq!(elsewhere.requests(), 0);
}

#[tokio::test]
async fn the_keys_survive_a_restart_while_the_issuer_is_down() {
    let directory = tempfile::tempdir().unwrap();
    let key = key();
    let token = signed(&key, "k");
    let server = Server::start(Answer::Body(200, jwks(&[(&key, "k")]))).await;
    let url = server.url("/jwks");
    let open = |url: &str| Node::open(url, None, Some(directory.path())).unwrap();
    {
        let node = open(&url);
        assert_eq!(node.once(&token), Err(Refusal::UnknownKey));
        node.run();
        node.tried(1).await;
    }
    server.answer(Answer::Body(503, String::new()));
    let node = open(&url);
    assert_eq!(node.once(&token), Ok(()), "before any fetch");
    assert_eq!(
        node.fetcher().state().fetched_at,
        Some(NOW),
        "their age is told"
    );
    node.run();
    node.tried(1).await;
    assert!(node.error().contains("503"));
    assert_eq!(node.once(&token), Ok(()));
    // Another place's keys are not this one's.
    assert_eq!(
        open(&server.url("/other")).once(&token),
        Err(Refusal::UnknownKey)
    );
    let saved = std::fs::read_dir(directory.path()).unwrap().next().unwrap();
    std::fs::write(saved.unwrap().path(), "damaged").unwrap();
    assert_eq!(open(&url).once(&token), Err(Refusal::UnknownKey));
}

#[tokio::test]
async fn https_is_trusted_by_the_configured_authority_and_not_without() {
    let key = key();
    let server = with_tls(Answer::Body(200, jwks(&[(&key, "k")]))).await;
    let url = format!("https://{}/jwks", server.address);
    let node = Node::open(&url, Some(CA), None).unwrap();
    node.run();
    assert_eq!(
        node.look(&signed(&key, "k")).await,
        Ok(()),
        "{}",
        node.error()
    );
    let name = format!("https://localhost:{}/jwks", server.address.port());
    for (url, ca_file) in [(&url, None), (&name, Some(CA))] {
        let node = Node::open(url, ca_file, None).unwrap();
        node.run();
        node.tried(1).await;
        assert!(
            node.error().contains("certificate"),
            "{url}: {}",
            node.error()
        );
    }
    assert_eq!(server.requests(), 1);
}

#[tokio::test]
async fn authorities_that_cannot_be_read_are_told_at_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let empty = directory.path().join("empty.pem");
    std::fs::write(&empty, "").unwrap();
    for (file, part) in [
        ("/nowhere/ca.pem", "cannot read"),
        (empty.to_str().unwrap(), "no certificates"),
    ] {
        let error = Node::open("https://127.0.0.1:1/", Some(file), None).unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[test]
fn cache_headers_are_honoured_within_bounds() {
    let age = |headers: &[(&'static str, &'static str)]| {
        let mut map = header::HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        max_age(&map).as_secs()
    };
    for (said, expected) in [
        ("max-age=300", 300),
        ("public, Max-Age=300, must-revalidate", 300),
        ("max-age=\"300\"", 300),
        ("max-age=59", 60),
        ("max-age=0", 60),
        ("no-store", 60),
        ("max-age=300, no-cache", 60),
        ("max-age=3601", 3_600),
        ("max-age=31536000, immutable", 3_600),
        ("s-maxage=300", 600),
        ("max-age=-1", 600),
        ("max-age=99999999999999999999", 600),
        ("", 600),
    ] {
        assert_eq!(age(&[("cache-control", said)]), expected, "{said}");
    }
    assert_eq!(age(&[]), 600);
    assert_eq!(
        age(&[("cache-control", "max-age=300"), ("age", "200")]),
        100
    );
    assert_eq!(age(&[("cache-control", "max-age=300"), ("age", "x")]), 300);
    assert_eq!(
        age(&[("cache-control", "public"), ("cache-control", "max-age=90")]),
        90
    );
}

//! SIGHUP: keys in files are read anew.

use std::path::{Path, PathBuf};

use rescind::{
    proto::v1::{GetStatusRequest, IssuerStatus, Verdict},
    token::{
        algorithm::Algorithm,
        sign::{RsaBits, SigningKey},
    },
};
use rustix::process::Signal;
use serde_json::json;

use crate::{
    grpc::say::of_token,
    harness::{
        PATIENCE,
        command::output_of,
        eventually,
        sidecar::{Client, Launch, Sidecar},
    },
};

const BY_SET: &str = "https://set.example";
const BY_PEM: &str = "https://pem.example";

/// A running sidecar with two issuers, and the files with their keys.
struct Keys {
    sidecar: Sidecar,
    client: Client,
    set: PathBuf,
    pem: PathBuf,
}

fn key() -> SigningKey {
    SigningKey::generate(Algorithm::Es256, RsaBits::B2048).unwrap()
}

/// As an issuer writes it: a good one for an hour from now.
fn token(key: &SigningKey, iss: &str, kid: &str) -> String {
    let now = std::time::SystemTime::now();
    let now_s = now.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let header = json!({"alg": "ES256", "kid": kid});
    let claims = json!({"iss": iss, "jti": "t", "iat": now_s, "exp": now_s + 3_600});
    key.token(&header, &claims).unwrap()
}

fn set_of(keys: &[(&SigningKey, &str)]) -> String {
    let keys: Vec<_> = keys.iter().map(|(key, kid)| key.jwk(Some(kid))).collect();
    json!({ "keys": keys }).to_string()
}

impl Keys {
    async fn start(directory: &Path, set: &str, pem: &str) -> Self {
        let files = ["set.json", "key.pem"].map(|name| directory.join(name));
        let [set_file, pem_file] = files.each_ref().map(|path| path.to_str().unwrap());
        std::fs::write(set_file, set).unwrap();
        std::fs::write(pem_file, pem).unwrap();
        let settings = format!(
            "[[issuers]]\niss = \"{BY_SET}\"\nalgorithms = [\"ES256\"]\njwks_file = {set_file:?}\n\
             [[issuers]]\niss = \"{BY_PEM}\"\nalgorithms = [\"ES256\"]\n\
             public_key_file = {pem_file:?}\nkid = \"p\"\n"
        );
        let config = directory.join("rescind.toml");
        std::fs::write(&config, settings).unwrap();
        let sidecar = Launch::ephemeral().flag("--config").flag(&config);
        let sidecar = sidecar.start().await;
        let client = sidecar.client().await;
        let [set, pem] = files;
        Self {
            sidecar,
            client,
            set,
            pem,
        }
    }

    /// Sends the signal, and waits until the log has told how both files were read.
    async fn hang_up(&self) {
        let told = || {
            let log = self.sidecar.stderr();
            log.matches("keys read anew").count() + log.matches("keys not reloaded").count()
        };
        let before = told();
        self.sidecar.signal(Signal::HUP);
        eventually(PATIENCE, "both files read anew", || {
            (told() == before + 2).then_some(())
        })
        .await;
    }

    async fn verdict(&mut self, token: &str) -> (Verdict, String) {
        let answer = self.client.check(of_token(token)).await.unwrap();
        let answer = answer.into_inner();
        assert_eq!(answer.active, answer.signature_verified);
        (answer.verdict(), answer.detail)
    }

    /// The status of both issuers: by PEM, by set.
    async fn status(&mut self) -> [IssuerStatus; 2] {
        let status = self
            .client
            .get_status(GetStatusRequest::default())
            .await
            .unwrap();
        status.into_inner().issuers.try_into().unwrap()
    }
}

#[tokio::test]
async fn a_hang_up_brings_new_keys_in_and_takes_old_ones_out() {
    let directory = tempfile::tempdir().unwrap();
    let (old, new) = (key(), key());
    let pem = |key: &SigningKey| key.public_pem().unwrap().unwrap();
    let mut keys = Keys::start(directory.path(), &set_of(&[(&old, "old")]), &pem(&old)).await;
    let of_old = [token(&old, BY_SET, "old"), token(&old, BY_PEM, "p")];
    let of_new = [token(&new, BY_SET, "new"), token(&new, BY_PEM, "p")];
    for (old, new) in of_old.iter().zip(&of_new) {
        assert_eq!(keys.verdict(old).await.0, Verdict::Active);
        assert_eq!(keys.verdict(new).await.0, Verdict::Invalid);
    }

    // A rotation: for a while both keys count.
    std::fs::write(&keys.set, set_of(&[(&old, "old"), (&new, "new")])).unwrap();
    assert_eq!(
        keys.verdict(&of_new[0]).await.0,
        Verdict::Invalid,
        "nobody asked for it to be read"
    );
    keys.hang_up().await;
    assert_eq!(keys.verdict(&of_old[0]).await.0, Verdict::Active);
    assert_eq!(keys.verdict(&of_new[0]).await.0, Verdict::Active);

    std::fs::write(&keys.set, set_of(&[(&new, "new")])).unwrap();
    std::fs::write(&keys.pem, pem(&new)).unwrap();
    keys.hang_up().await;
    for (old, new) in of_old.iter().zip(&of_new) {
        assert_eq!(keys.verdict(new).await.0, Verdict::Active);
        let (verdict, detail) = keys.verdict(old).await;
        assert_eq!(verdict, Verdict::Invalid);
        assert!(!detail.is_empty());
    }
    let [by_pem, by_set] = keys.status().await;
    assert_eq!((by_pem.keys, by_set.keys), (1, 1));
}

#[tokio::test]
async fn after_a_hang_up_a_broken_file_leaves_the_old_keys_and_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let key = key();
    let pem = key.public_pem().unwrap().unwrap();
    let set = set_of(&[(&key, "k")]);
    let mut keys = Keys::start(directory.path(), &set, &pem).await;
    let tokens = [token(&key, BY_SET, "k"), token(&key, BY_PEM, "p")];

    std::fs::write(&keys.set, &set[..set.len() / 2]).unwrap();
    std::fs::remove_file(&keys.pem).unwrap();
    keys.hang_up().await;
    let log = keys.sidecar.stderr();
    for iss in [BY_SET, BY_PEM] {
        let of_issuer = |line: &&str| line.contains("the old ones stay") && line.contains(iss);
        let line = log.lines().find(of_issuer).expect("a line of the log");
        assert!(
            line.contains("\"ERROR\"") && line.contains(directory.path().to_str().unwrap()),
            "{line}"
        );
    }
    for token in &tokens {
        assert_eq!(keys.verdict(token).await.0, Verdict::Active);
    }
    let [by_pem, by_set] = keys.status().await;
    assert_eq!((by_pem.keys, by_set.keys), (1, 1));
    assert!(by_set.last_error.contains("is not JSON"), "{by_set:?}");
    assert!(by_pem.last_error.contains("cannot read"), "{by_pem:?}");
    let shown = output_of(keys.sidecar.command().arg("status"));
    assert!(shown.stdout.contains("is not JSON"), "{}", shown.stdout);

    // Mended, it is forgiven.
    std::fs::write(&keys.set, &set).unwrap();
    std::fs::write(&keys.pem, &pem).unwrap();
    keys.hang_up().await;
    assert_eq!(keys.status().await.map(|of| of.last_error), ["", ""]);
    for token in &tokens {
        assert_eq!(keys.verdict(token).await.0, Verdict::Active);
    }
}

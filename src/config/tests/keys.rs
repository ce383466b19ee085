//! Where keys come from, and every way to get that wrong.

use super::*;
use crate::token::{KeySource, algorithm::Algorithm};

/// The only issuer's settings, with `rest`.
fn with(rest: &str) -> Result<Loaded, ConfigError> {
    load_file(&format!("[[issuers]]\niss = \"i\"\n{rest}"))
}

#[test]
fn an_issuer_with_keys_turns_verification_on() {
    let loaded = with(
        r#"
        algorithms = ["ES256", "EdDSA", "ES256"]
        audiences = ["api"]
        types = ["application/at+jwt", "none"]
        public_key_file = "/k.pem"
        kid = "k1"
        "#,
    );
    let config = loaded.unwrap().config;
    assert!(config.semantics.verifies);
    let [issuer] = &*config.issuer_keys else {
        panic!("{:?}", config.issuer_keys);
    };
    let demands = &issuer.demands;
    assert_eq!(demands.algorithms, [Algorithm::Es256, Algorithm::EdDsa]);
    assert_eq!(demands.audiences, ["api"]);
    assert_eq!(demands.types, ["at+jwt", ""]);
    let KeySource::PublicKeyFile { path, kid } = &issuer.source else {
        panic!("{:?}", issuer.source);
    };
    assert_eq!(
        (path.to_str(), kid.as_deref()),
        (Some("/k.pem"), Some("k1"))
    );
    let without = with("").unwrap().config;
    assert!(!without.semantics.verifies && without.issuer_keys.is_empty());
}

#[test]
fn keys_travel_by_https_or_not_beyond_this_machine() {
    let url = |url: &str| with(&format!("algorithms = [\"ES256\"]\njwks_url = {url:?}"));
    for good in [
        "https://issuer.example/jwks",
        "HTTPS://issuer.example",
        "http://localhost:8080/jwks",
        "http://127.0.0.1/jwks",
        "http://127.9.9.9/jwks",
        "http://[::1]:1/jwks",
    ] {
        assert!(url(good).is_ok(), "{good}");
    }
    for bad in [
        "http://issuer.example/jwks",
        "http://localhost.example/jwks",
        "http://127.0.0.1.example/jwks",
        "http://localhost@issuer.example/jwks",
        "http://0.0.0.0/jwks",
        "http://10.0.0.1/jwks",
        "http://[::ffff:10.0.0.1]/jwks",
        "file:///etc/jwks",
        "data:application/json,{}",
        "issuer.example/jwks",
        "",
    ] {
        let error = url(bad).unwrap_err().to_string();
        assert!(error.contains("issuers[i].jwks_url"), "{bad}: {error}");
    }
}

#[test]
fn what_does_not_go_together_is_refused_with_what_does() {
    const PEM: &str = "public_key_file = \"k\"";
    for (rest, part) in [
        (PEM.to_owned(), "algorithms are not given"),
        (format!("algorithms = []\n{PEM}"), "at least one algorithm"),
        (
            format!("algorithms = [\"none\"]\n{PEM}"),
            "is not an algorithm",
        ),
        (
            format!("algorithms = [\"es256\"]\n{PEM}"),
            "is not an algorithm",
        ),
        (
            format!("algorithms = [\"HS256\"]\n{PEM}"),
            "does not go with public_key_file",
        ),
        (
            "algorithms = [\"ES256\"]\nsecret_file = \"k\"".to_owned(),
            "does not go with secret_file",
        ),
        (
            "algorithms = [\"HS256\"]\njwks_url = \"https://i\"".to_owned(),
            "does not go with jwks_url",
        ),
        ("algorithms = [\"ES256\"]".to_owned(), "no keys"),
        ("audiences = [\"api\"]".to_owned(), "no keys"),
        ("kid = \"k\"".to_owned(), "no keys"),
        (
            format!("algorithms = [\"ES256\"]\n{PEM}\njwks_file = \"k\""),
            "is given too",
        ),
        (
            format!("algorithms = [\"ES256\"]\n{PEM}\njwks_ca_file = \"k\""),
            "jwks_url only",
        ),
        (
            "algorithms = [\"ES256\"]\njwks_file = \"k\"\nkid = \"k\"".to_owned(),
            "their own `kid`",
        ),
        (
            format!("algorithms = [\"ES256\"]\naudiences = []\n{PEM}"),
            "the list is empty",
        ),
        (
            format!("algorithms = [\"ES256\"]\ntypes = []\n{PEM}"),
            "the list is empty",
        ),
        (
            "jwks_uri = \"https://i\"".to_owned(),
            "did you mean \"jwks_url\"?",
        ),
    ] {
        let error = with(&rest).unwrap_err().to_string();
        assert!(error.contains(part), "{rest}: {error}");
    }
}

use clap::Parser as _;

use crate::{config::Environment, model::UnixNanos, token};

use super::*;

#[derive(Debug, clap::Parser)]
struct Line {
    #[command(subcommand)]
    command: TokenCommand,
}

/// Runs a command line at second 1,700,000,000.5; its exit code and what it printed.
fn run_line(line: &[&str]) -> Result<(u8, String), Failure> {
    let line = Line::try_parse_from(["token"].iter().chain(line)).unwrap();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut context = Context {
        environment: &Environment::default(),
        now: UnixNanos::from_nanos(1_700_000_000_500_000_000),
        input: &mut std::io::empty(),
        out: &mut out,
        err: &mut err,
    };
    let code = run(line.command, &mut context)?;
    Ok((code, String::from_utf8(out).unwrap().trim().to_owned()))
}

fn minted(line: &[&str]) -> String {
    run_line(&[&["mint"], line].concat()).unwrap().1
}

fn inspected(token: &str) -> (u8, serde_json::Value) {
    let (code, json) = run_line(&["inspect", token, "--output", "json"]).unwrap();
    (code, serde_json::from_str(&json).unwrap())
}

#[test]
fn a_minted_token_says_what_it_was_asked_to() {
    let token = minted(&[
        "--iss",
        "https://i",
        "--sub",
        "ada",
        "--sid",
        "s",
        "--kid",
        "k",
        "--version",
        "3",
        "--auth-time",
        "-1h",
        "--claim",
        "tenant=acme",
    ]);
    let (code, shown) = inspected(&token);
    assert_eq!(code, 0, "{shown}");
    assert_eq!(
        (&shown["alg"], &shown["kid"]),
        (&"HS256".into(), &"k".into())
    );
    let claim = |name: &str| {
        let claims = shown["claims"].as_array().unwrap();
        let claim = claims.iter().find(|claim| claim["name"] == name);
        claim.unwrap()["value"].as_str().unwrap().to_owned()
    };
    assert_eq!(claim("iat"), "2023-11-14T22:13:20Z");
    assert_eq!(claim("exp"), "2023-11-14T23:13:20Z");
    assert_eq!(claim("auth_time"), "2023-11-14T21:13:20Z");
    assert_eq!((claim("version"), claim("jti").len()), ("3".to_owned(), 32));
    let kinds: Vec<&str> = shown["targets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|target| target["kind"].as_str().unwrap())
        .collect();
    for kind in ["token", "user", "session", "key", "issuer"] {
        assert!(kinds.contains(&kind), "{kinds:?}");
    }
}

#[test]
fn a_claim_that_is_null_is_left_out_and_a_token_that_cannot_be_used_fails() {
    let (code, shown) = inspected(&minted(&["--iss", "i", "--claim", "exp=null"]));
    assert_eq!(
        (code, shown["problems"].as_array().unwrap().len()),
        (1, 1),
        "{shown}"
    );
    let (code, text) = run_line(&["inspect", "not a token"]).unwrap();
    assert!(code == 1 && text.starts_with("INVALID"), "{text}");
}

#[test]
fn an_expired_token_is_told_apart_from_one_that_is_wrong() {
    let (code, shown) = inspected(&minted(&["--iss", "i", "--iat", "-2h"]));
    assert_eq!(code, 0);
    assert_eq!(shown["notes"][0], "it expired 1h ago");
}

#[test]
fn a_fresh_key_is_kept_where_asked_for_and_never_overwritten() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = tempfile::tempdir().unwrap();
    for (alg, flag) in [("HS256", "--secret-file"), ("es256", "--key-file")] {
        let path = directory.path().join(alg);
        let key = path.to_str().unwrap();
        let token = minted(&["--alg", alg, "--write-key", key, "--iss", "i", "--no-jti"]);
        assert_eq!(token.split('.').count(), 3);
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        minted(&["--alg", alg, flag, key, "--iss", "i"]);
        let again = run_line(&["mint", "--alg", alg, "--write-key", key, "--iss", "i"]);
        assert!(again.unwrap_err().to_string().contains("File exists"));
    }
    assert!(directory.path().join("es256.pub").exists());
    let wrong = run_line(&["mint", "--key-file", "k"]).unwrap_err();
    assert!(wrong.to_string().contains("add --alg ES256"), "{wrong}");
}

#[test]
fn a_fraction_of_a_second_is_kept_when_it_was_given() {
    let token = minted(&["--iss", "i", "--iat", "1700000000.25"]);
    let mut buffer = token::Buffer::default();
    let semantics = crate::model::Semantics::default();
    let claims = token::decode(&token, &mut buffer, &semantics, token::Wanted::default());
    let iat = claims.unwrap().iat.unwrap();
    assert_eq!(iat, UnixNanos::from_nanos(1_700_000_000_250_000_000));
}

#[test]
fn a_made_key_signs_and_its_public_half_verifies_for_every_algorithm() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    for (_, alg) in token::algorithm::Algorithm::ALL {
        let key = path(alg);
        let (code, out) =
            run_line(&["keygen", "--alg", alg, "--write-key", &key, "--kid", "k1"]).unwrap();
        assert_eq!(code, 0);
        let is_secret = alg.starts_with("HS");
        let (source, flag) = if is_secret {
            assert_eq!(out, "", "a secret is shown");
            (
                format!("secret_file = {key:?}\nkid = \"k1\""),
                "--secret-file",
            )
        } else {
            let jwks = path("jwks.json");
            std::fs::write(&jwks, out.lines().last().unwrap()).unwrap();
            assert!(out.starts_with("-----BEGIN PUBLIC KEY-----") && !out.contains("PRIVATE"));
            (format!("jwks_file = {jwks:?}"), "--key-file")
        };
        let config = path("rescind.toml");
        let file = format!("[[issuers]]\niss = \"i\"\nalgorithms = [\"{alg}\"]\n{source}\n");
        std::fs::write(&config, file).unwrap();
        let mint = ["--alg", alg, flag, &key, "--iss", "i", "--kid"];
        let verified = |kid: &str| {
            let token = minted(&[&mint[..], &[kid]].concat());
            let line = [
                "inspect", &token, "--verify", "--config", &config, "--output", "json",
            ];
            let (code, json) = run_line(&line).unwrap();
            let shown: serde_json::Value = serde_json::from_str(&json).unwrap();
            (code, shown["verification"].clone())
        };
        let (code, steps) = verified("k1");
        assert_eq!(code, 0, "{alg}: {steps}");
        let (code, steps) = verified("k2");
        let failed: Vec<&str> = steps
            .as_array()
            .unwrap()
            .iter()
            .filter(|step| step["ok"] == false)
            .map(|step| step["step"].as_str().unwrap())
            .collect();
        assert_eq!(
            (code, failed),
            (1, vec!["key", "signature"]),
            "{alg}: {steps}"
        );
    }
}

#[test]
fn inspect_tells_every_step_at_which_a_token_fails() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let (key, config) = (path("key.pem"), path("rescind.toml"));
    run_line(&["keygen", "--alg", "ES256", "--write-key", &key]).unwrap();
    let public = format!("{key}.pub");
    let settings = |rest: &str| {
        let file = format!(
            "[[issuers]]\niss = \"https://i\"\nalgorithms = [\"ES256\"]\naudiences = [\"api\"]\n\
             types = [\"at+jwt\"]\npublic_key_file = {public:?}\n{rest}"
        );
        std::fs::write(&config, file).unwrap();
    };
    settings("");
    let told = |line: &[&str]| {
        let token = minted(line);
        let line = ["inspect", &token, "--verify", "--config", &config];
        run_line(&line).unwrap()
    };
    let es256 = ["--alg", "ES256", "--key-file", &key, "--iss", "https://i"];
    let (code, out) = told(&[&es256[..], &["--typ", "at+jwt", "--claim", "aud=api"]].concat());
    assert!(code == 0 && !out.contains("NO"), "{out}");
    // Everything at once, since mending one at a time takes long.
    let (code, out) = told(&["--iss", "https://i", "--claim", "aud=other", "--iat", "-2h"]);
    assert_eq!(code, 1);
    for part in [
        "none of the algorithms configured for this issuer (ES256)",
        "none of the types configured",
        "`aud` holds none",
        "it expired 1h ago",
        "no algorithm to verify it with",
    ] {
        assert!(out.contains(part), "{part} is not in:\n{out}");
    }
    let (code, out) = told(&["--iss", "https://j"]);
    assert!(
        code == 1 && out.contains("configured with keys: https://i"),
        "{out}"
    );
    std::fs::write(&public, "gone").unwrap();
    let (code, out) = told(&es256);
    assert!(code == 1 && out.contains("exactly one key in PEM"), "{out}");
}

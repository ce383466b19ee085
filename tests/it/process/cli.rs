//! The commands, as people and scripts run them against a sidecar.

use serde_json::Value;

use crate::harness::{
    PATIENCE,
    api::ISS,
    command::{Output, output_of, output_with, program},
    eventually,
    sidecar::{Launch, Sidecar},
};

impl Sidecar {
    /// Runs a command that talks to this sidecar.
    fn run(&self, arguments: &[&str]) -> Output {
        output_of(self.command().args(arguments))
    }

    /// The same, for one that reads standard input.
    fn run_with(&self, arguments: &[&str], input: &str) -> Output {
        let mut command = self.command();
        let command = command.args(arguments).stdin(std::process::Stdio::piped());
        output_with(command, input)
    }

    /// The exit code of `check`, and what it says.
    fn check(&self, token: &str) -> (i32, Value) {
        let output = self.run_with(&["check", "-", "--output", "json"], token);
        assert!(!output.stderr.contains(token) && !output.stdout.contains(token));
        (output.code, json(&output))
    }

    /// The answer of a command that succeeds.
    fn json(&self, arguments: &[&str]) -> Value {
        let output = self.run(&[arguments, &["--output", "json"]].concat());
        assert_eq!(output.code, 0, "{arguments:?}: {output:?}");
        json(&output)
    }
}

fn json(output: &Output) -> Value {
    serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

/// A token with a claim for each kind of target.
fn mint(iss: &str, more: &[&str]) -> String {
    let output = output_of(
        program()
            .args(["token", "mint", "--iss", iss, "--sub", "ada", "--sid", "s1"])
            .args([
                "--client-id",
                "app",
                "--kid",
                "k1",
                "--claim",
                "tenant=acme",
            ])
            .args(more),
    );
    assert_eq!(output.code, 0, "{output:?}");
    output.stdout.trim().to_owned()
}

fn inspect(token: &str) -> Value {
    let inspect = ["token", "inspect", token, "--output", "json"];
    json(&output_of(program().args(inspect)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_tells_the_verdict_by_its_exit_code() {
    let sidecar = Launch::ephemeral().start().await;
    let token = mint(ISS, &[]);
    let (code, answer) = sidecar.check(&token);
    assert_eq!(
        (code, &answer["verdict"]),
        (0, &"active".into()),
        "{answer}"
    );

    let why = ["--reason", "device_lost", "--comment", "in a taxi"];
    let revoke = [&["revoke", "--jwt", "-"], &why[..]].concat();
    let output = sidecar.run_with(&revoke, &token);
    assert_eq!(output.code, 0, "{output:?}");
    let (code, answer) = sidecar.check(&token);
    assert_eq!(
        (code, &answer["verdict"]),
        (3, &"revoked".into()),
        "{answer}"
    );
    let found = &answer["match"];
    assert_eq!(found["reason"], "device_lost", "{answer}");
    assert_eq!(found["comment"], "in a taxi", "{answer}");
    let shown = sidecar.run(&["check", &token]);
    assert_eq!(shown.code, 3);
    assert!(shown.stdout.starts_with("REVOKED\n"), "{shown:?}");

    for (token, verdict) in [
        (mint(ISS, &["--iat", "-3h", "--ttl", "1h"]), "expired"),
        (mint(ISS, &["--claim", "nbf=4000000000"]), "not_yet_valid"),
        (mint(ISS, &["--claim", "exp=null"]), "invalid"),
        ("no.token.at-all".to_owned(), "invalid"),
    ] {
        let (code, answer) = sidecar.check(&token);
        assert_eq!((code, &answer["verdict"]), (4, &verdict.into()), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_of_target_is_revoked_listed_and_restored() {
    let tenants = Launch::ephemeral()
        .flag("--revocable-claims")
        .flag("tenant");
    let sidecar = tenants.start().await;
    for (kind, target, revoke, restore) in [
        ("token", &["--jti", "j1"][..], &[][..], &[][..]),
        ("user", &["--sub", "ada"], &[], &["--rule", "issued_before"]),
        ("session", &["--sid", "s1"], &["--all"], &["--rule", "all"]),
        (
            "client",
            &["--client-id", "app"],
            &["--all"],
            &["--rule", "all"],
        ),
        ("key", &["--kid", "k1"], &["--all"], &["--rule", "all"]),
        (
            "claim",
            &["--claim", "tenant=acme"],
            &["--issued-before", "+30s"],
            &["--rule", "issued_before"],
        ),
        (
            "issuer",
            &["--issuer"],
            &["--authenticated-before", "now", "--version-below", "3"],
            &["--rule", "authenticated_before", "--rule", "version_below"],
        ),
    ] {
        let iss = format!("https://{kind}.example");
        let token = mint(&iss, &["--jti", "j1", "--iat", "-2m"]);
        assert_eq!(sidecar.check(&token).0, 0, "{kind}");
        let named = [&["--iss", &iss], target].concat();

        let tried = [&["revoke", "--validate-only"], &named[..], revoke].concat();
        assert_eq!(sidecar.json(&tried)["validate_only"], true);
        assert_eq!(sidecar.check(&token).0, 0, "{kind}: it was only tried");

        let receipts = sidecar.json(&[&["revoke"], &named[..], revoke].concat());
        let receipt = &receipts["receipts"][0];
        assert_eq!(receipt["target"]["kind"], kind, "{receipt}");
        let (code, answer) = sidecar.check(&token);
        assert_eq!(code, 3, "{kind}: {answer}");
        assert_eq!(answer["match"]["target"]["kind"], kind, "{answer}");
        let listed = sidecar.json(&["list", "--iss", &iss, "--kind", kind]);
        assert_eq!(listed["target"], receipt["target"], "{listed}");
        assert_eq!(listed["in_force"], receipt["in_force"], "{listed}");

        let restored = sidecar.json(&[&["restore"], &named[..], restore].concat());
        assert_eq!(restored["receipts"][0]["in_force"], Value::Array(vec![]));
        assert_eq!(sidecar.check(&token).0, 0, "{kind}: restored");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_without_an_id_is_revoked_by_the_digest_that_inspect_tells() {
    let sidecar = Launch::ephemeral().start().await;
    let (token, other) = (
        mint(ISS, &["--no-jti"]),
        mint(ISS, &["--no-jti", "--claim", "sid=s2"]),
    );
    let told = inspect(&token);
    let digest = told["targets"][0]["signing_input_sha256"].as_str().unwrap();
    let named = [
        "--iss",
        ISS,
        "--signing-input-sha256",
        digest,
        "--exp",
        "+1h",
    ];
    sidecar.json(&[&["revoke"], &named[..]].concat());
    assert_eq!(sidecar.check(&token).0, 3);
    assert_eq!(sidecar.check(&other).0, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revoke_user_logs_out_all_other_devices() {
    let sidecar = Launch::ephemeral().start().await;
    let laptop = mint(ISS, &["--iat", "-1m"]);
    let phone = mint(ISS, &["--iat", "-1m", "--claim", "sid=s2"]);
    let user = ["revoke-user", "--iss", ISS, "--sub", "ada"];
    let spare = ["--except-sid", "s1", "--request-id", "one click"];
    let request = [&user[..], &spare].concat();
    let receipt = sidecar.json(&request);
    assert_eq!((sidecar.check(&laptop).0, sidecar.check(&phone).0), (0, 3));
    // Another click on the same button.
    let in_force = |receipts: &Value| receipts["receipts"][0]["in_force"].clone();
    assert_eq!(in_force(&sidecar.json(&request)), in_force(&receipt));
    assert_eq!(sidecar.json(&["status"])["journal"]["head"], 1);
    // The same id may not mean something else.
    let other = [&user[..], &["--all", "--request-id", "one click"]].concat();
    let refused = sidecar.run(&other);
    assert_eq!(refused.code, 1, "{refused:?}");
    for part in ["request_id", "InvalidArgument", &sidecar.address] {
        assert!(refused.stderr.contains(part), "{part}: {refused:?}");
    }
    let shown = sidecar.run(&user).stdout;
    assert!(shown.contains("a token issued from"), "{shown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn status_and_healthcheck_tell_what_holds() {
    let sidecar = Launch::ephemeral().start().await;
    sidecar.json(&["revoke", "--iss", ISS, "--sub", "ada"]);
    sidecar.json(&["revoke", "--iss", ISS, "--jti", "a1"]);
    let status = sidecar.json(&["status"]);
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(status["ready"], true);
    assert_eq!(status["journal"]["healthy"], true);
    assert_eq!(status["journal"]["durable"], false, "it is ephemeral");
    assert_eq!(status["journal"]["head"], 2);
    let live = status["live"].as_array().unwrap();
    for kind in ["token", "user"] {
        let found = live.iter().find(|live| live["kind"] == kind).unwrap();
        assert_eq!(found["count"], 1, "{kind}");
    }
    assert_eq!(status["watchers"], Value::Array(vec![]));
    let people = sidecar.run(&["status"]);
    assert!(
        people.code == 0 && people.stdout.contains("ready"),
        "{people:?}"
    );
    let health = sidecar.run(&["healthcheck"]);
    assert_eq!((health.code, &*health.stdout), (0, "SERVING\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_can_accept_the_clock() {
    let data_dir = tempfile::tempdir().unwrap();
    let quick = Launch::on(data_dir.path())
        .flag("--sweep-interval")
        .flag("10ms");
    let sidecar = quick.start().await;
    let trusted = |sidecar: &Sidecar| sidecar.json(&["status"])["clock"]["trusted"] == true;
    assert!(!trusted(&sidecar), "it settles for ten minutes");
    let data_dir = data_dir.path().to_str().unwrap();
    let accept = ["journal", "accept-clock", "--data-dir", data_dir];
    let accepted = output_of(program().args(accept));
    assert_eq!(accepted.code, 0, "{accepted:?}");
    eventually(PATIENCE, "trust", || trusted(&sidecar).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_unix_socket_is_as_good_as_a_port() {
    let directory = tempfile::tempdir().unwrap();
    let address = format!("unix:{}/api.sock", directory.path().display());
    let both = Launch::ephemeral().flag("--listen").flag(&address);
    let sidecar = both.start().await;
    let revoke = ["revoke", "--iss", ISS, "--sub", "ada", "--output", "json"];
    let receipts = json(&sidecar.run(&[&revoke[..], &["--address", &address]].concat()));
    let actor = receipts["receipts"][0]["in_force"][0]["actor"].as_str();
    assert!(actor.unwrap().starts_with("unix:uid="), "{receipts}");
    assert_eq!(sidecar.check(&mint(ISS, &["--iat", "-1m"])).0, 3);
}

#[test]
fn nobody_at_the_address_is_told_with_what_to_do() {
    // A port that nobody listens on, since this listener is gone.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap().to_string();
    drop(free);
    for command in [&["check", "a.b.c"][..], &["status"], &["healthcheck"]] {
        let output = output_of(program().args(command).args(["--address", &address]));
        assert_eq!(output.code, 1, "{output:?}");
        for part in [
            "cannot reach",
            &address,
            "refused",
            "rescind serve",
            "--address",
        ] {
            assert!(output.stderr.contains(part), "{part}: {output:?}");
        }
        assert_eq!(output.stdout, "");
    }
}

#[test]
fn wrong_usage_is_exit_code_two_and_says_what_is_wrong() {
    for (arguments, part) in [
        (&[][..], "Usage:"),
        (&["frobnicate"], "frobnicate"),
        (&["check"], "TOKEN"),
        (&["check", ""], "the token is empty"),
        (&["check", "--claims", "[]"], "not a JSON object"),
        (&["revoke", "--iss", ISS], "--jti"),
        (&["revoke", "--sub", "ada"], "--iss"),
        (
            &["revoke", "--iss", ISS, "--sub", "a", "--sid", "b"],
            "cannot be used with",
        ),
        (&["revoke", "--iss", ISS, "--claim", "tenant"], "NAME=VALUE"),
        (
            &["revoke", "--iss", ISS, "--sub", "a", "--reason", "spite"],
            "password_changed",
        ),
        (
            &[
                "revoke",
                "--iss",
                ISS,
                "--sub",
                "a",
                "--issued-before",
                "noon",
            ],
            "seconds since",
        ),
        (
            &["restore", "--iss", ISS, "--sub", "a", "--rule", "some"],
            "issued_before",
        ),
        (&["status", "--address", "nowhere"], "HOST:PORT"),
        (&["status", "--timeout", "soon"], "--timeout"),
        (&["serve", "--listen", "nowhere"], "listen"),
        (&["token", "inspect", ""], "the token is empty"),
        (&["config", "show", "--max-live", "few"], "max_live"),
        (&["completions", "cmd.exe"], "bash"),
    ] {
        let output = output_of(program().args(arguments));
        assert_eq!(output.code, 2, "{arguments:?}: {output:?}");
        assert!(output.stderr.contains(part), "{arguments:?}: {output:?}");
        assert_eq!(output.stdout, "", "{arguments:?}");
    }
}

#[test]
fn help_and_version_are_no_failures() {
    for arguments in [
        &["--help"][..],
        &["--version"],
        &["serve", "--help"],
        &["help", "watch"],
    ] {
        let output = output_of(program().args(arguments));
        assert_eq!((output.code, &*output.stderr), (0, ""), "{arguments:?}");
        assert!(!output.stdout.is_empty(), "{arguments:?}");
    }
}

#[test]
fn completions_are_scripts_that_the_shell_takes() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = output_of(program().args(["completions", shell]));
        assert_eq!(output.code, 0);
        assert!(output.stdout.contains("revoke-user"), "{shell}");
    }
    let script = output_of(program().args(["completions", "bash"])).stdout;
    let mut bash = std::process::Command::new("bash");
    let complete = "source /dev/stdin && complete -p rescind";
    let bash = bash
        .args(["-c", complete])
        .stdin(std::process::Stdio::piped());
    let taken = output_with(bash, &script);
    assert_eq!(taken.code, 0, "{taken:?}");
}

#[test]
fn a_token_is_minted_and_explained_without_a_server() {
    let told = inspect(&mint(ISS, &["--alg", "ES256", "--jti", "j1"]));
    assert_eq!(
        (&told["alg"], &told["kid"]),
        (&"ES256".into(), &"k1".into())
    );
    let kinds = told["targets"].as_array().unwrap().iter();
    let kinds: Vec<_> = kinds
        .map(|target| target["kind"].as_str().unwrap())
        .collect();
    for kind in ["token", "user", "session", "client", "key", "issuer"] {
        assert!(kinds.contains(&kind), "{kind}: {kinds:?}");
    }
    let output = output_of(program().args(["token", "inspect", "not-a-token"]));
    assert_ne!(output.code, 0);
    assert!(!output.stdout.contains("not-a-token"), "{output:?}");
}

#[test]
fn config_says_what_would_hold_and_why() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("rescind.toml");
    std::fs::write(&file, "max_live = 500\n").unwrap();
    let file = file.to_str().unwrap();
    let good = output_of(program().args(["config", "check", file]));
    assert_eq!(good.code, 0, "{good:?}");
    let show = ["config", "show", "--config", file, "--output", "json"];
    let shown = json(&output_of(
        program().env("RESCIND_LEEWAY", "30s").args(show),
    ));
    assert_eq!(shown["max_live"]["value"], 500, "{shown}");
    assert!(shown["max_live"]["source"].as_str().unwrap().contains(file));
    assert_eq!(shown["leeway"]["source"], "RESCIND_LEEWAY");
    std::fs::write(file, "max_live = 5\n").unwrap();
    let bad = output_of(program().args(["config", "check", file]));
    assert_eq!(bad.code, 1, "{bad:?}");
    assert!(bad.stderr.starts_with("error: max_live"), "{bad:?}");
}

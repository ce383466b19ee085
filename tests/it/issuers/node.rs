//! A sidecar for one issuer, with the settings that the docs advise, worked by its commands.

use std::{path::Path, process::Stdio};

use serde_json::Value;

use crate::harness::{
    PATIENCE,
    api::now_s,
    command::{Output, output_of, output_with},
    eventually,
    sidecar::{Launch, Sidecar},
};

use super::{docs, login::Token};

/// A sidecar.
#[derive(Debug)]
pub(super) struct Node {
    sidecar: Sidecar,
    iss: String,
    directory: tempfile::TempDir,
}

/// What Check says.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) verdict: String,
    pub(super) verified: bool,
    pub(super) detail: String,
    /// The kind of what was revoked.
    pub(super) matched: String,
}

impl Node {
    /// Starts one with the docs' settings for a kind of issuer.
    pub(super) async fn start(kind: &str, iss: &str) -> Self {
        Self::with_settings(&docs::settings(kind, iss), iss).await
    }

    pub(super) async fn with_settings(settings: &str, iss: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let config = directory.path().join("rescind.toml");
        std::fs::write(&config, settings).unwrap();
        let node = Self {
            sidecar: launch(directory.path()).start().await,
            iss: iss.to_owned(),
            directory,
        };
        // A Check waits for them too, but no longer than a busy machine may take.
        let fetched = || node.issuer_status()["keys_age_s"].as_u64();
        eventually(PATIENCE, "the issuer's keys", fetched).await;
        node
    }

    /// Kills it, and starts it on the same directory.
    pub(super) async fn restart(self) -> Self {
        let Self {
            sidecar,
            iss,
            directory,
        } = self;
        sidecar.kill();
        Self {
            sidecar: launch(directory.path()).start().await,
            iss,
            directory,
        }
    }

    pub(super) fn check(&self, token: &Token) -> Answer {
        let answer = self.run_on(&token.text, &["check", "-"]);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Answer {
            verdict: text(&answer["verdict"]),
            verified: answer["signature_verified"] == true,
            detail: text(&answer["detail"]),
            matched: text(&answer["match"]["target"]["kind"]),
        }
    }

    /// Asserts that a token passes, its signature verified.
    #[track_caller]
    pub(super) fn assert_active(&self, token: &Token) {
        let answer = self.check(token);
        assert_eq!(
            (&*answer.verdict, answer.verified),
            ("active", true),
            "{answer:?} {token:?}"
        );
    }

    /// Asserts that a token is denied by a revocation of that kind.
    #[track_caller]
    pub(super) fn assert_revoked(&self, token: &Token, kind: &str) {
        let answer = self.check(token);
        let seen = (&*answer.verdict, &*answer.matched);
        assert_eq!(seen, ("revoked", kind), "{answer:?} {token:?}");
    }

    /// Asserts that a token is INVALID, and that what Check says of it has this in it.
    #[track_caller]
    pub(super) fn assert_invalid(&self, token: &Token, part: &str) {
        let answer = self.check(token);
        assert_eq!(answer.verdict, "invalid", "{answer:?} {token:?}");
        assert!(answer.detail.contains(part), "{answer:?} {token:?}");
    }

    /// Revokes a token by itself.
    pub(super) fn revoke_jwt(&self, token: &Token) {
        self.run_on(&token.text, &["revoke", "--jwt", "-"]);
    }

    /// Revokes something of the issuer; waits until it gives tokens that count as newer. Returns
    /// what the receipt warns of.
    pub(super) async fn revoke(&self, what: &[&str]) -> String {
        let revoke = ["revoke", "--iss", &self.iss];
        let receipts = self.json(&[&revoke, what].concat());
        let warnings = receipts["receipts"][0]["warnings"].to_string();
        let Some(not_before) = receipts["receipts"][0]["not_before"].as_str() else {
            return warnings;
        };
        let not_before: jiff::Timestamp = not_before.parse().unwrap();
        let until_s = not_before.as_duration().as_secs_f64();
        eventually(PATIENCE, "the next second", || {
            (now_s() >= until_s).then_some(())
        })
        .await;
        warnings
    }

    /// Takes a revocation back.
    pub(super) fn restore(&self, what: &[&str]) {
        let restore = ["restore", "--iss", &self.iss];
        self.json(&[&restore, what].concat());
    }

    /// What `rescind status` tells of the issuer.
    pub(super) fn issuer_status(&self) -> Value {
        let status = self.json(&["status"]);
        assert_eq!(status["verifies_signatures"], true);
        status["issuers"][0].clone()
    }

    /// What `rescind token inspect` finds good to know.
    pub(super) fn notes(&self, token: &Token) -> String {
        self.run_on(&token.text, &["token", "inspect", "-"])["notes"].to_string()
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let mut command = self.sidecar.command();
        json(&output_of(
            command.args(arguments).args(["--output", "json"]),
        ))
    }

    /// The same with a token on standard input; `check` exits with its verdict.
    fn run_on(&self, token: &str, arguments: &[&str]) -> Value {
        let mut command = self.sidecar.command();
        let command = command.args(arguments).args(["--output", "json"]);
        json(&output_with(command.stdin(Stdio::piped()), token))
    }
}

fn launch(directory: &Path) -> Launch {
    Launch::on(&directory.join("data"))
        .flag("--config")
        .flag(directory.join("rescind.toml"))
}

fn json(output: &Output) -> Value {
    let answer = serde_json::from_str(&output.stdout);
    answer.unwrap_or_else(|error| panic!("{error}: exit code {}: {}", output.code, output.stderr))
}

//! The commands against the real service, over a unix socket.

use std::{path::PathBuf, sync::Arc, time::Duration};

use tokio::{net::UnixListener, sync::Notify};
use tokio_stream::wrappers::UnixListenerStream;
use tokio_util::sync::CancellationToken;

use crate::{
    fleet::Fleet,
    journal::{Journal, Storage},
    ledger::{Ledger, Options},
    model::Semantics,
    server::{Access, SERVICE, Service},
};

use super::*;

/// A node on a socket in a directory of its own, served by whoever polls [`Node::serve`].
struct Node {
    directory: tempfile::TempDir,
    ledger: Ledger,
    stop: CancellationToken,
}

impl Node {
    fn new() -> Self {
        let options = Options {
            clock: Arc::new(SystemClock),
            semantics: Arc::new(Semantics::default()),
            live_max: 1_000,
            sweep_settle: Duration::ZERO,
            accept_changed_meaning: false,
        };
        let journal = Journal::open(&Storage::Memory).unwrap();
        let (ledger, _writer) = Ledger::open(journal, &options).unwrap();
        Self {
            directory: tempfile::tempdir().unwrap(),
            ledger,
            stop: CancellationToken::new(),
        }
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("api.sock")
    }

    async fn serve(&self) {
        let incoming = UnixListenerStream::new(UnixListener::bind(self.socket()).unwrap());
        let (health, health_service) = tonic_health::server::health_reporter();
        health
            .set_service_status(SERVICE, tonic_health::ServingStatus::Serving)
            .await;
        let fleet = Arc::new(Fleet::alone(Arc::new(SystemClock)));
        tonic::transport::Server::builder()
            .add_service(Service::new(
                self.ledger.clone(),
                fleet,
                None,
                Access::default(),
                self.stop.clone(),
            ))
            .add_service(health_service)
            .serve_with_incoming_shutdown(incoming, self.stop.cancelled())
            .await
            .unwrap();
    }

    /// Runs one command; its exit code, output and messages.
    async fn run(&self, line: &[&str]) -> (u8, String, String) {
        let mut err = Vec::new();
        let (code, out) = self.run_with(line, &mut err).await;
        (code, out, String::from_utf8(err).unwrap())
    }

    async fn run_with(&self, line: &[&str], err: &mut dyn Write) -> (u8, String) {
        let address = format!("unix:{}", self.socket().display());
        let line = ["rescind"].iter().chain(line).copied();
        let cli = Cli::try_parse_from(line).unwrap();
        let mut out = Vec::new();
        let mut context = Context {
            environment: &Environment::of([("RESCIND_ADDRESS", &address)]),
            now: SystemClock.wall(),
            input: &mut std::io::empty(),
            out: &mut out,
            err,
        };
        let code = match call(cli.command, &mut context).await {
            Ok(code) => code,
            Err(failure) => {
                failure.write(context.err).unwrap();
                failure.exit_code()
            }
        };
        (code, String::from_utf8(out).unwrap())
    }
}

/// A token of ada's that was issued a while ago.
fn token() -> String {
    let line = [
        "token", "mint", "--iss", "i", "--sub", "ada", "--iat", "-5m",
    ];
    let command = Cli::try_parse_from(["rescind"].iter().chain(&line))
        .unwrap()
        .command;
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut context = Context {
        environment: &Environment::default(),
        now: SystemClock.wall(),
        input: &mut std::io::empty(),
        out: &mut out,
        err: &mut err,
    };
    dispatch(command, &mut context).unwrap();
    String::from_utf8(out).unwrap().trim().to_owned()
}

#[tokio::test]
async fn a_user_is_checked_logged_out_listed_and_let_in_again() {
    let node = Node::new();
    let commands = async {
        let token = token();
        let (code, out, _) = node.run(&["check", &token]).await;
        assert_eq!((code, out.lines().next()), (0, Some("ACTIVE")));
        let user = ["--iss", "i", "--sub", "ada"];
        let revoke = [&["revoke-user"][..], &user, &["--reason", "logout"]].concat();
        let (code, out, err) = node.run(&revoke).await;
        assert_eq!(code, 0, "{err}");
        assert!(out.starts_with("revoked: user ada of i\n"), "{out}");
        let (code, out, _) = node.run(&["check", &token]).await;
        assert_eq!((code, out.lines().next()), (3, Some("REVOKED")));
        let (code, out, _) = node.run(&["list", "--output", "json"]).await;
        let listed: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!((code, &listed["target"]["sub"]), (0, &"ada".into()));
        let restore = [&["restore"][..], &user, &["--rule", "issued_before"]].concat();
        let (code, out, err) = node.run(&restore).await;
        assert_eq!(code, 0, "{err}");
        assert!(out.contains("nothing is in force"), "{out}");
        assert_eq!(node.run(&["check", &token]).await.0, 0);
        let (code, out, _) = node.run(&["check", "nonsense"]).await;
        assert_eq!((code, out.lines().next()), (4, Some("INVALID")));
        let (code, out, _) = node.run(&["healthcheck"]).await;
        assert_eq!((code, out.as_str()), (0, "SERVING\n"));
        let (code, out, _) = node.run(&["status"]).await;
        assert!(code == 0 && out.contains("in memory only"), "{out}");
    };
    tokio::select! {
        biased; // binds the socket before the first command looks for it
        () = node.serve() => panic!("the server ended"),
        () = commands => {}
    }
}

#[tokio::test]
async fn a_refusal_is_told_with_its_field_and_nothing_is_changed() {
    let node = Node::new();
    let commands = async {
        let line = ["revoke", "--iss", "i", "--claim", "tenant=acme"];
        let (code, out, err) = node.run(&line).await;
        assert_eq!((code, out.as_str()), (1, ""));
        assert!(err.contains("code InvalidArgument, reason "), "{err}");
        assert!(err.starts_with("error: rules"), "{err}");
        assert_eq!(node.run(&["list", "--output", "json"]).await.1, "");
    };
    tokio::select! {
        biased; // binds the socket before the first command looks for it
        () = node.serve() => panic!("the server ended"),
        () = commands => {}
    }
}

/// Messages, and a sign when the first has come.
struct Heard {
    text: Vec<u8>,
    sign: Arc<Notify>,
}

impl Write for Heard {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.sign.notify_one();
        self.text.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn jtis(out: &str) -> Vec<String> {
    let jti = |line: &str| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        line["target"]["jti"].as_str().unwrap().to_owned()
    };
    out.lines().map(jti).collect()
}

#[tokio::test]
async fn a_watch_waits_for_its_server_and_goes_on_where_it_stopped() {
    let node = Node::new();
    let cursor = node.directory.path().join("cursor");
    let cursor = cursor.to_str().unwrap();
    let watch = [
        "watch",
        "--output",
        "json",
        "--until-caught-up",
        "--cursor-file",
        cursor,
    ];
    let revoke = async |jti: &str| {
        let (code, _, err) = node.run(&["revoke", "--iss", "i", "--jti", jti]).await;
        assert_eq!(code, 0, "{err}");
    };
    let sign = Arc::new(Notify::new());
    let mut heard = Heard {
        text: Vec::new(),
        sign: Arc::clone(&sign),
    };
    let commands = async {
        let (code, out) = node.run_with(&watch, &mut heard).await;
        assert_eq!((code, out.as_str()), (0, ""));
        let err = String::from_utf8(heard.text).unwrap();
        assert!(err.contains("cannot reach Rescind at unix:") && err.contains("going on in"));
        revoke("a").await;
        revoke("b").await;
        assert_eq!(jtis(&node.run(&watch).await.1), ["a", "b"]);
        revoke("c").await;
        assert_eq!(jtis(&node.run(&watch).await.1), ["c"]);
        // A cursor belongs to its filters.
        let other = [&watch[..], &["--kinds", "user"]].concat();
        let (code, _, err) = node.run(&other).await;
        assert!(code == 1 && err.contains("code InvalidArgument"), "{err}");
    };
    // The socket is there only once the watch has failed to find it.
    let late = async {
        sign.notified().await;
        node.serve().await;
    };
    tokio::select! {
        () = late => panic!("the server ended"),
        () = commands => {}
    }
}

#[tokio::test]
async fn a_watch_that_may_not_reconnect_fails_when_the_server_ends() {
    let node = Node::new();
    let watch = [
        "watch",
        "--events",
        "all",
        "--exit-on-disconnect",
        "--heartbeat",
        "200ms",
    ];
    let stop = async {
        while !node.run(&["status"]).await.1.contains("rescind watch") {}
        node.stop.cancel();
    };
    let ((), (code, out, err), ()) = tokio::join!(biased; node.serve(), node.run(&watch), stop);
    assert_eq!(code, 1, "{err}");
    assert!(out.starts_with("-- watching node "), "{out}");
    assert!(err.contains("code Unavailable"), "{err}");
}

#[tokio::test]
async fn the_conformance_cases_are_played_against_a_live_server() {
    let node = Node::new();
    let commands = async {
        // Twice, since a case must not stand in its own way.
        for _ in 0..2 {
            let line = [
                "conformance",
                "--case",
                "same_second",
                "--case",
                "raised_bounds",
            ];
            let (code, out, err) = node.run(&line).await;
            assert_eq!(code, 0, "{out}{err}");
            assert!(out.contains("passed   logout after login"), "{out}");
            assert!(out.contains("skipped  lowering and raising"), "{out}");
            assert!(out.contains(" passed, 0 failed, "), "{out}");
        }
        let (code, _, err) = node.run(&["conformance", "--case", "no such case"]).await;
        assert!(code == 2 && err.contains("no case"), "{err}");
    };
    tokio::select! {
        biased; // binds the socket before the first command looks for it
        () = node.serve() => panic!("the server ended"),
        () = commands => {}
    }
}

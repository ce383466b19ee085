//! `/metrics`, `/livez` and `/readyz`, as a scraper and a kubelet meet them.

use std::{
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
    path::Path,
};

use crate::harness::{
    api::{self, Thing},
    sidecar::Launch,
};

/// The status line and the body that a path is answered with.
fn get(socket: &Path, path: &str) -> (String, String) {
    let mut stream = UnixStream::connect(socket).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.lines().next().unwrap();
    (status.to_owned(), body.to_owned())
}

fn has(body: &str, line: &str) {
    assert!(
        body.lines().any(|shown| shown == line),
        "{line} is not in:\n{body}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_read_what_a_node_holds_and_how_old_its_keys_are() {
    let directory = tempfile::tempdir().unwrap();
    let (socket, file) = (
        directory.path().join("ops.sock"),
        directory.path().join("rescind.toml"),
    );
    // Nobody listens there: the set was never fetched.
    let issuer = "[[issuers]]\niss = \"https://issuer.example\"\nalgorithms = [\"ES256\"]\n\
                  audiences = [\"api\"]\njwks_url = \"http://127.0.0.1:9/jwks\"\n";
    std::fs::write(&file, issuer).unwrap();
    let sidecar = Launch::ephemeral()
        .flag("--config")
        .flag(&file)
        .flag("--ops-listen")
        .flag(format!("unix:{}", socket.display()))
        .start()
        .await;
    let mut client = sidecar.client().await;
    client
        .revoke(api::revoke(&[Thing::User("ada".to_owned())]))
        .await
        .unwrap();

    let (status, body) = get(&socket, "/metrics");
    assert!(status.contains("200"), "{status}");
    for line in [
        "rescind_ready 1",
        "rescind_staleness_seconds 0",
        "rescind_live_revocations{kind=\"user\"} 1",
        "rescind_journal_healthy 1",
        "rescind_issuer_keys{issuer=\"https://issuer.example\"} 0",
        "rescind_issuer_keys_age_seconds{issuer=\"https://issuer.example\"} +Inf",
    ] {
        has(&body, line);
    }
    for (path, said) in [("/livez", "ok"), ("/readyz", "ready")] {
        let (status, body) = get(&socket, path);
        assert!(status.contains("200"), "{path}: {status}");
        has(&body, said);
    }
    assert!(get(&socket, "/else").0.contains("404"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_joins_is_alive_and_says_what_it_waits_for() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("ops.sock");
    let mut sidecar = Launch::ephemeral()
        .flag("--ops-listen")
        .flag(format!("unix:{}", socket.display()))
        .flag("--peer")
        .flag("127.0.0.1:9")
        .spawn();
    sidecar.wait_until_bound().await;
    let (status, body) = crate::harness::eventually(crate::harness::PATIENCE, "readyz", || {
        UnixStream::connect(&socket)
            .ok()
            .map(|_| get(&socket, "/readyz"))
    })
    .await;
    assert!(status.contains("503"), "{status}");
    assert!(body.contains("caught up with 0 of 1"), "{body}");
    assert!(get(&socket, "/livez").0.contains("200"));
    has(
        &get(&socket, "/metrics").1,
        "rescind_staleness_seconds +Inf",
    );
}

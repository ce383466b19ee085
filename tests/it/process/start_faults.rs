//! Whatever is wrong at a start is told in one line: what, where, and what to do.

use std::{fs, net::TcpListener, os::unix::fs::FileExt as _, path::Path, process::Command};

use crate::harness::{
    api::{self, Thing},
    command::{output_of, program},
    sidecar::Launch,
};

/// Starts a sidecar that must refuse to; the one line that it says.
fn refused(code: i32, arrange: impl FnOnce(&mut Command)) -> String {
    let mut command = program();
    command.args(["serve", "--log-filter", "off"]);
    arrange(&mut command);
    let output = output_of(&mut command);
    assert_eq!(output.code, code, "{output:?}");
    assert_eq!(output.stdout, "");
    let lines: Vec<_> = output.stderr.lines().collect();
    let [line] = lines[..] else {
        panic!("not one line: {}", output.stderr);
    };
    let line = line.strip_prefix("error: ").unwrap();
    // A cause is told once, not by the error and again by its source.
    let parts: Vec<_> = line.split(": ").collect();
    for (place, part) in parts.iter().enumerate() {
        assert!(!parts[..place].contains(part), "{part:?} twice: {line}");
    }
    line.to_owned()
}

fn says(line: &str, parts: &[&str]) {
    for part in parts {
        assert!(line.contains(part), "no {part:?} in: {line}");
    }
}

/// Refused because of its data directory.
fn refused_on(data_dir: &Path) -> String {
    refused(1, |command| {
        let listen = ["--listen", "127.0.0.1:0"];
        command.args(listen).arg("--data-dir").arg(data_dir);
    })
}

/// A journal that a sidecar has written to.
async fn journal() -> (tempfile::TempDir, std::path::PathBuf) {
    let data_dir = tempfile::tempdir().unwrap();
    let sidecar = Launch::on(data_dir.path()).start().await;
    let things: Vec<_> = (0..1_000).map(|n| Thing::User(n.to_string())).collect();
    let request = api::revoke(&things);
    sidecar.client().await.revoke(request).await.unwrap();
    sidecar.kill();
    let file = data_dir.path().join("journal.redb");
    (data_dir, file)
}

#[test]
fn a_port_that_is_taken_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let line = refused(1, |command| {
        command.args(["--ephemeral", "--listen", &address]);
    });
    says(&line, &[&address, "in use", "--listen"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_unix_socket_that_answers_is_somebody_elses() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("api.sock");
    let listen = format!("unix:{}", path.display());
    let first = Launch::ephemeral().flag("--listen").flag(&listen);
    let first = first.start().await;
    let again = |command: &mut Command| {
        command.args(["--ephemeral", "--listen", &listen]);
    };
    says(
        &refused(1, again),
        &[&listen, "another process", "--listen"],
    );
    // Once its process was killed it is only a file, and in nobody's way.
    first.kill();
    assert!(path.exists());
    let second = Launch::ephemeral().flag("--listen").flag(&listen);
    second.start().await;
}

#[test]
fn a_unix_socket_that_cannot_be_made_is_named() {
    let line = refused(1, |command| {
        let listen = ["--listen", "unix:/no/such/directory/api.sock"];
        command.arg("--ephemeral").args(listen);
    });
    says(&line, &["unix:/no/such/directory/api.sock", "--listen"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_data_directory_in_use_is_named() {
    let data_dir = tempfile::tempdir().unwrap();
    let first = Launch::on(data_dir.path()).start().await;
    let line = refused_on(data_dir.path());
    let path = data_dir.path().join("journal.redb");
    says(&line, &[path.to_str().unwrap(), "in use", "--data-dir"]);
    // The first takes no harm.
    let request = api::revoke(&[Thing::User("ada".to_owned())]);
    first.client().await.revoke(request).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_journal_is_refused_and_not_touched() {
    let (data_dir, path) = journal().await;
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    // A page of every kind of row is among the first megabyte.
    for page in (1..256).step_by(3) {
        file.write_all_at(&[0xa5; 64], page * 4_096 + 128).unwrap();
    }
    let damaged = fs::read(&path).unwrap();
    let line = refused_on(data_dir.path());
    let parts = [
        "damaged",
        data_dir.path().to_str().unwrap(),
        "backup",
        "move it away",
    ];
    says(&line, &parts);
    assert!(fs::read(&path).unwrap() == damaged, "it was written to");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_that_was_cut_short_is_refused() {
    let (data_dir, path) = journal().await;
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    for length in [file.metadata().unwrap().len() / 2, 4_096, 100, 1] {
        file.set_len(length).unwrap();
        let line = refused_on(data_dir.path());
        says(
            &line,
            &["damaged", data_dir.path().to_str().unwrap(), "backup"],
        );
    }
}

#[test]
fn a_file_that_is_no_journal_is_refused_and_not_touched() {
    let data_dir = tempfile::tempdir().unwrap();
    let path = data_dir.path().join("journal.redb");
    fs::write(&path, "my diary\n").unwrap();
    let line = refused_on(data_dir.path());
    says(
        &line,
        &["not a journal", data_dir.path().to_str().unwrap(), "backup"],
    );
    assert_eq!(fs::read_to_string(&path).unwrap(), "my diary\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newer_format_is_refused_and_not_touched() {
    let (data_dir, path) = journal().await;
    let meta = redb::TableDefinition::<&str, &[u8]>::new("meta");
    let db = redb::Database::open(&path).unwrap();
    let write = db.begin_write().unwrap();
    let newer = 2_u64.to_be_bytes();
    write
        .open_table(meta)
        .unwrap()
        .insert("format", newer.as_slice())
        .unwrap();
    write.commit().unwrap();
    drop(db);
    let line = refused_on(data_dir.path());
    let parts = [
        "format 2",
        data_dir.path().to_str().unwrap(),
        "at least as new",
    ];
    says(&line, &parts);
}

#[test]
fn a_data_directory_that_cannot_be_used_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let in_the_way = directory.path().join("file");
    fs::write(&in_the_way, "").unwrap();
    let not_a_file = directory.path().join("journal");
    fs::create_dir_all(not_a_file.join("journal.redb")).unwrap();
    // Root may write nearly everywhere, but nobody makes directories in /proc.
    for path in [
        in_the_way.join("data"),
        in_the_way.clone(),
        not_a_file,
        "/proc/rescind".into(),
    ] {
        let line = refused_on(&path);
        says(&line, &[path.to_str().unwrap(), "--data-dir"]);
    }
}

#[test]
fn an_address_file_that_cannot_be_written_is_named() {
    let line = refused(1, |command| {
        let flags = ["--ephemeral", "--listen", "127.0.0.1:0"];
        command.args(flags);
        command.args(["--address-file", "/no/such/directory/address.json"]);
    });
    says(
        &line,
        &["/no/such/directory/address.json", "--address-file"],
    );
}

#[test]
fn an_unknown_key_is_answered_with_the_nearest_known_one() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("rescind.toml");
    fs::write(&file, "max_token_lifetme = \"1d\"\n").unwrap();
    let line = refused(1, |command| {
        command.arg("--config").arg(&file);
    });
    let parts = [
        file.to_str().unwrap(),
        "max_token_lifetme",
        "did you mean \"max_token_lifetime\"",
    ];
    says(&line, &parts);
}

#[test]
fn a_value_that_cannot_be_is_told_with_where_it_stands() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("rescind.toml");
    fs::write(&file, "leeway = \"soon\"\n").unwrap();
    let line = refused(1, |command| {
        command.arg("--config").arg(&file);
    });
    says(&line, &["leeway", file.to_str().unwrap(), "such as 60s"]);
    // On the command line it is wrong usage.
    let line = refused(2, |command| {
        command.args(["--leeway", "6m"]);
    });
    says(&line, &["leeway", "--leeway", "from 0s to 5m"]);
    let line = refused(1, |command| {
        command.env("RESCIND_LEEWAY", "6m");
    });
    says(&line, &["leeway", "RESCIND_LEEWAY", "from 0s to 5m"]);
    fs::write(&file, "leeway = \n").unwrap();
    let line = refused(1, |command| {
        command.arg("--config").arg(&file);
    });
    says(&line, &[file.to_str().unwrap(), "line 1", "not valid TOML"]);
    let line = refused(1, |command| {
        command.args(["--config", "/no/such/file.toml"]);
    });
    says(&line, &["/no/such/file.toml", "--config"]);
}

#[test]
fn an_address_that_others_can_reach_needs_insecure() {
    let line = refused(2, |command| {
        command.args(["--ephemeral", "--listen", "0.0.0.0:0"]);
    });
    says(&line, &["listen", "0.0.0.0:0", "--insecure"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_that_change_what_revocations_mean_must_be_accepted() {
    let data_dir = tempfile::tempdir().unwrap();
    let launch = Launch::on(data_dir.path());
    let before = launch.clone().flag("--default-issuer").flag(api::ISS);
    let sidecar = before.start().await;
    let request = api::revoke(&[Thing::User("ada".to_owned())]);
    sidecar.client().await.revoke(request).await.unwrap();
    sidecar.kill();
    for (flag, value, what) in [
        (
            "--default-issuer",
            "https://other.example",
            "default_issuer",
        ),
        ("--claims", "sub=userId", "claim sub"),
    ] {
        let line = refused(1, |command| {
            command.args(["--listen", "127.0.0.1:0", "--data-dir"]);
            command.arg(data_dir.path()).args([flag, value]);
            if flag != "--default-issuer" {
                command.args(["--default-issuer", api::ISS]);
            }
        });
        says(&line, &[what, api::ISS, "--accept-changed-meaning"]);
    }
    let accepted = launch
        .flag("--default-issuer")
        .flag("https://other.example")
        .flag("--accept-changed-meaning");
    accepted.start().await;
}

/// `: > journal.redb` forgot every revocation in silence, and so did a journal that was gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_that_is_gone_or_empty_must_be_accepted() {
    for how in ["has 0 bytes", "is gone"] {
        let data_dir = tempfile::tempdir().unwrap();
        let launch = Launch::on(data_dir.path());
        let sidecar = launch.start().await;
        let request = api::revoke(&[Thing::User("ada".to_owned())]);
        sidecar.client().await.revoke(request).await.unwrap();
        sidecar.kill();
        let journal = data_dir.path().join("journal.redb");
        match how {
            "is gone" => fs::remove_file(journal).unwrap(),
            _ => fs::write(journal, b"").unwrap(),
        }
        let line = refused(1, |command| {
            command.args(["--listen", "127.0.0.1:0", "--data-dir"]);
            command.arg(data_dir.path());
        });
        says(&line, &["journal.redb", how, "--accept-empty-journal"]);
        launch.flag("--accept-empty-journal").start().await;
    }
}

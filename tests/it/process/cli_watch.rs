//! `rescind watch`, killed and run again.

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead as _, BufReader, Lines},
    path::Path,
    process::{Child, ChildStdout, Stdio},
};

use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::harness::{
    PATIENCE,
    api::{self, Thing},
    command::output_of,
    eventually,
    sidecar::{Client, Launch, Sidecar},
};

/// A watch that goes on for ever, and what it prints.
struct Watch {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Watch {
    fn start(sidecar: &Sidecar, cursor_file: &Path, events: &str) -> Self {
        let mut child = sidecar
            .command()
            .args(["watch", "--output", "json", "--events", events])
            .arg("--cursor-file")
            .arg(cursor_file)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    fn next(&mut self) -> Line {
        Line::of(&self.lines.next().unwrap().unwrap()).unwrap()
    }

    /// SIGKILL; the whole lines that were in the pipe.
    fn kill(mut self) -> Vec<Line> {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.lines
            .by_ref()
            .map_while(|line| Line::of(&line.unwrap()))
            .collect()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // It may be gone already, which is as good.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A line: which user was revoked, if any was, and its cursor.
#[derive(Debug)]
struct Line {
    sub: Option<String>,
    cursor: String,
}

impl Line {
    /// `None` for a line that was cut.
    fn of(text: &str) -> Option<Self> {
        let line: Value = serde_json::from_str(text).ok()?;
        Some(Self {
            sub: line["target"]["sub"].as_str().map(str::to_owned),
            cursor: line["cursor"].as_str().unwrap().to_owned(),
        })
    }

    fn is_of(&self, sub: &str) -> bool {
        self.sub.as_deref() == Some(sub)
    }
}

fn saved(cursor_file: &Path) -> Option<String> {
    let text = fs::read_to_string(cursor_file).ok()?;
    Some(text.trim().to_owned())
}

async fn revoke(client: &mut Client, subs: &[String]) {
    let things: Vec<_> = subs.iter().cloned().map(Thing::User).collect();
    client.revoke(api::revoke(&things)).await.unwrap();
}

fn names(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{prefix}{n}")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_killed_after_its_last_line_goes_on_with_the_next() {
    let data_dir = tempfile::tempdir().unwrap();
    let cursor_file = data_dir.path().join("cursor");
    let launch = Launch::on(data_dir.path());
    let mut sidecar = launch.start().await;
    for round in 0..3 {
        let subs = names(&format!("{round}-"), 10);
        revoke(&mut sidecar.client().await, &subs).await;
        let mut watch = Watch::start(&sidecar, &cursor_file, "revocations");
        let lines: Vec<_> = subs.iter().map(|_| watch.next()).collect();
        for (line, sub) in lines.iter().zip(&subs) {
            assert!(line.is_of(sub), "round {round}: {line:?}");
        }
        let last = &lines.last().unwrap().cursor;
        let what = "the cursor file behind the last line";
        eventually(PATIENCE, what, || {
            (saved(&cursor_file).as_ref() == Some(last)).then_some(())
        })
        .await;
        assert!(watch.kill().is_empty());
        // A restart of the server is nothing to a cursor either.
        sidecar.kill();
        sidecar = launch.start().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_killed_in_the_middle_loses_nothing_and_repeats_only_what_it_had_not_saved() {
    let directory = tempfile::tempdir().unwrap();
    let cursor_file = directory.path().join("cursor");
    let sidecar = Launch::ephemeral().start().await;
    let mut client = sidecar.client().await;
    let enough = CancellationToken::new();
    let until = enough.clone();
    let writing = tokio::spawn(async move {
        let mut all = Vec::new();
        while !until.is_cancelled() {
            let count = all.len();
            let subs = names(&format!("{count}-"), 1 + count % 7);
            revoke(&mut client, &subs).await;
            all.extend(subs);
        }
        all
    });
    let mut told = BTreeSet::new();
    let mut safe = BTreeSet::new();
    for round in 0..6 {
        let mut watch = Watch::start(&sidecar, &cursor_file, "all");
        // At least until what stands in the file is no longer what it began with.
        let mut lines = vec![watch.next()];
        let hello = lines[0].cursor.clone();
        while lines.len() < round * 20 || saved(&cursor_file).is_none_or(|saved| saved == hello) {
            lines.push(watch.next());
        }
        lines.extend(watch.kill());
        // The first line that carries the saved cursor ends its message (those after it may carry
        // it too, as where to go on from): what stands up to it must not come again.
        let saved = saved(&cursor_file);
        let place = lines
            .iter()
            .position(|line| Some(&line.cursor) == saved.as_ref());
        let mut now_safe = Vec::new();
        for (at, line) in lines.into_iter().enumerate() {
            let Some(sub) = line.sub else { continue };
            assert!(!safe.contains(&sub), "repeated: {sub}");
            if place.is_some_and(|place| at <= place) {
                now_safe.push(sub.clone());
            }
            told.insert(sub);
        }
        safe.extend(now_safe);
    }
    assert!(!safe.is_empty());
    enough.cancel();
    let all = writing.await.unwrap();
    let rest = output_of(
        sidecar
            .command()
            .args([
                "watch",
                "--output",
                "json",
                "--until-caught-up",
                "--cursor-file",
            ])
            .arg(&cursor_file),
    );
    assert_eq!(rest.code, 0, "{rest:?}");
    for line in rest.stdout.lines() {
        let sub = Line::of(line).unwrap().sub.unwrap();
        assert!(!safe.contains(&sub), "repeated: {sub}");
        told.insert(sub);
    }
    assert_eq!(told, all.into_iter().collect());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_outlives_the_server_and_goes_on_where_it_stopped() {
    let data_dir = tempfile::tempdir().unwrap();
    let cursor_file = data_dir.path().join("cursor");
    let address = format!("unix:{}/api.sock", data_dir.path().display());
    let launch = Launch::on(data_dir.path()).flag("--listen").flag(&address);
    let sidecar = launch.start().await;
    let before = names("before-", 3);
    revoke(&mut sidecar.client().await, &before).await;
    let mut at_socket = sidecar.command();
    at_socket.env("RESCIND_ADDRESS", &address);
    let mut child = at_socket
        .args(["watch", "--output", "json", "--cursor-file"])
        .arg(&cursor_file)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut watch = Watch { child, lines };
    for sub in &before {
        assert!(watch.next().is_of(sub));
    }
    sidecar.kill();
    let sidecar = launch.start().await;
    let after = names("after-", 3);
    revoke(&mut sidecar.client().await, &after).await;
    for sub in &after {
        assert!(watch.next().is_of(sub), "after a restart");
    }
}

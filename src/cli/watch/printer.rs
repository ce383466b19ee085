//! What a watch prints, and the cursor that follows the output.

use std::{io::Write, path::PathBuf, time::Duration};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::Serialize;

use crate::{
    atomic_file,
    proto::{
        Records,
        v1::{self, watch_revocations_response::Event},
    },
};

use super::{
    super::{
        failure::Failure,
        output::{self, Format},
        time::rfc3339,
        view::{Revocation, clean, hex},
        words::{MODES, word},
    },
    read_cursor,
};

/// What to print.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Events {
    /// Revocations only.
    #[default]
    Revocations,
    /// Also how the watch goes.
    All,
}

/// One line of JSON.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Line {
    Hello {
        node_id: String,
        boot: String,
        watch_id: u64,
        mode: &'static str,
        settings_digest: String,
        cursor: String,
    },
    Revocation {
        #[serde(flatten)]
        revocation: Revocation,
        node_id: String,
        cursor: String,
    },
    CaughtUp {
        ready: bool,
        node_id: String,
        cursor: String,
    },
    Heartbeat {
        #[serde(skip_serializing_if = "Option::is_none")]
        server_time: Option<String>,
        head: u64,
        staleness_ms: u64,
        node_id: String,
        cursor: String,
    },
}

/// Prints messages, and keeps the cursor behind what was printed.
#[derive(Debug)]
pub(super) struct Printer {
    format: Format,
    events: Events,
    cursor_file: Option<PathBuf>,
    /// Everything up to here has been handed to the reader of the output.
    cursor: Vec<u8>,
    node_id: String,
}

impl Printer {
    /// Goes on from the cursor in the file, if there is one.
    pub(super) fn new(
        format: Format,
        events: Events,
        cursor_file: Option<PathBuf>,
    ) -> Result<Self, Failure> {
        let cursor = match &cursor_file {
            Some(path) => read_cursor(path)?,
            None => Vec::new(),
        };
        Ok(Self {
            format,
            events,
            cursor_file,
            cursor,
            node_id: String::new(),
        })
    }

    /// Where to go on from.
    pub(super) fn cursor(&self) -> &[u8] {
        &self.cursor
    }

    /// Prints a message, and only then moves the cursor past it.
    pub(super) fn take(
        &mut self,
        message: v1::WatchRevocationsResponse,
        out: &mut dyn Write,
    ) -> Result<(), Failure> {
        let lines = self.lines(message.event, &message.cursor);
        for line in &lines {
            match self.format {
                Format::Json => output::json(out, line)?,
                Format::Table => writeln!(out, "{}", for_people(line))?,
            }
        }
        if !lines.is_empty() {
            out.flush()?;
        }
        // A server that sends no cursor with a message means: as before.
        if !message.cursor.is_empty() && message.cursor != self.cursor {
            self.save(&message.cursor)?;
            self.cursor = message.cursor;
        }
        Ok(())
    }

    fn save(&self, cursor: &[u8]) -> Result<(), Failure> {
        let Some(path) = &self.cursor_file else {
            return Ok(());
        };
        let text = format!("{}\n", BASE64_STANDARD.encode(cursor));
        atomic_file::write(path, text.as_bytes()).map_err(|error| {
            Failure::Local(format!(
                "cannot write the cursor file {}: {error}",
                path.display()
            ))
        })
    }

    fn lines(&mut self, event: Option<Event>, after: &[u8]) -> Vec<Line> {
        let after = BASE64_STANDARD.encode(after);
        if let Some(Event::Hello(hello)) = &event {
            self.node_id.clone_from(&hello.node_id);
        }
        let node_id = self.node_id.clone();
        let line = match event {
            Some(Event::Records(records)) => return self.revocations(records, &after),
            _ if self.events == Events::Revocations => return Vec::new(),
            Some(Event::Hello(hello)) => Line::Hello {
                mode: word(&MODES, hello.mode),
                node_id,
                boot: hello.boot,
                watch_id: hello.watch_id,
                settings_digest: hex(&hello.settings_digest),
                cursor: after,
            },
            Some(Event::CaughtUp(caught_up)) => Line::CaughtUp {
                ready: caught_up.ready,
                node_id,
                cursor: after,
            },
            Some(Event::Heartbeat(heartbeat)) => Line::Heartbeat {
                server_time: heartbeat.server_time.as_ref().map(rfc3339),
                head: heartbeat.head,
                staleness_ms: millis(heartbeat.staleness),
                node_id,
                cursor: after,
            },
            // An event that a newer server knows.
            None => return Vec::new(),
        };
        vec![line]
    }

    /// The message's cursor is safe only once all of its lines are dealt with, so that all but the
    /// last carry the cursor before: who stores the cursor of any line loses nothing.
    fn revocations(&self, records: Records, after: &str) -> Vec<Line> {
        let before = BASE64_STANDARD.encode(&self.cursor);
        let last = records.revocations.len().saturating_sub(1);
        let line = |(place, revocation): (usize, v1::Revocation)| Line::Revocation {
            revocation: revocation.into(),
            node_id: self.node_id.clone(),
            cursor: if place == last { after } else { &before }.to_owned(),
        };
        records
            .revocations
            .into_iter()
            .enumerate()
            .map(line)
            .collect()
    }
}

fn millis(duration: Option<prost_types::Duration>) -> u64 {
    duration
        .and_then(|duration| Duration::try_from(duration).ok())
        .and_then(|duration| u64::try_from(duration.as_millis()).ok())
        .unwrap_or_default()
}

fn for_people(line: &Line) -> String {
    match line {
        Line::Hello { node_id, mode, .. } => format!("-- watching node {node_id}, {mode}"),
        Line::Revocation { revocation, .. } => format!(
            "{}  {}  {}",
            revocation.changed_at.as_deref().unwrap_or("-"),
            revocation.target,
            revocation.summary()
        ),
        Line::CaughtUp { ready, .. } => {
            if *ready {
                "-- caught up".to_owned()
            } else {
                "-- caught up with a node that is not ready itself".to_owned()
            }
        }
        Line::Heartbeat {
            server_time, head, ..
        } => format!(
            "-- {}: nothing new, head {head}",
            clean(server_time.as_deref().unwrap_or("-"))
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, io};

    use super::*;

    fn records(cursor: &str, subs: &[&str]) -> v1::WatchRevocationsResponse {
        let revocation = |sub: &&str| v1::Revocation {
            target: Some(v1::Target {
                kind: Some(v1::target::Kind::User(v1::UserTarget {
                    iss: "i".to_owned(),
                    sub: (*sub).to_owned(),
                })),
            }),
            lifted: vec![v1::RuleKind::All.into()],
            changed_at: Some(prost_types::Timestamp {
                seconds: 1_700_000_000,
                nanos: 0,
            }),
            ..v1::Revocation::default()
        };
        v1::WatchRevocationsResponse {
            cursor: cursor.into(),
            event: Some(Event::Records(Records {
                encoded: Vec::new(),
                revocations: subs.iter().map(revocation).collect(),
            })),
        }
    }

    fn hello() -> v1::WatchRevocationsResponse {
        v1::WatchRevocationsResponse {
            cursor: b"c0".to_vec(),
            event: Some(Event::Hello(v1::Hello {
                node_id: "00000000000000aa".to_owned(),
                mode: v1::WatchMode::Beginning.into(),
                ..v1::Hello::default()
            })),
        }
    }

    fn printer(events: Events, cursor_file: Option<PathBuf>) -> Printer {
        Printer::new(Format::Json, events, cursor_file).unwrap()
    }

    #[test]
    fn lines_have_a_stable_shape_and_cursors_that_lose_nothing() {
        let mut out = Vec::new();
        let mut printer = printer(Events::Revocations, None);
        printer.take(hello(), &mut out).unwrap();
        printer
            .take(records("c1", &["ada", "bob"]), &mut out)
            .unwrap();
        let line = |sub: &str, cursor: &str| {
            format!(
                "{{\"type\":\"revocation\",\"target\":{{\"kind\":\"user\",\"iss\":\"i\",\
                 \"sub\":\"{sub}\"}},\"in_force\":[],\"lifted\":[\"all\"],\
                 \"changed_at\":\"2023-11-14T22:13:20Z\",\"node_id\":\"00000000000000aa\",\
                 \"cursor\":\"{cursor}\"}}\n"
            )
        };
        let expected = line("ada", &BASE64_STANDARD.encode("c0"))
            + &line("bob", &BASE64_STANDARD.encode("c1"));
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn all_events_are_printed_where_asked_for() {
        let mut out = Vec::new();
        let mut printer = printer(Events::All, None);
        printer.take(hello(), &mut out).unwrap();
        for event in [
            Event::CaughtUp(v1::CaughtUp { ready: true }),
            Event::Heartbeat(v1::Heartbeat {
                head: 7,
                staleness: Some(prost_types::Duration {
                    seconds: 1,
                    nanos: 5_000_000,
                }),
                ..v1::Heartbeat::default()
            }),
        ] {
            let message = v1::WatchRevocationsResponse {
                cursor: Vec::new(),
                event: Some(event),
            };
            printer.take(message, &mut out).unwrap();
        }
        let out = String::from_utf8(out).unwrap();
        for part in [
            "\"type\":\"hello\",\"node_id\":\"00000000000000aa\"",
            "\"mode\":\"beginning\"",
            "\"type\":\"caught_up\",\"ready\":true",
            "\"type\":\"heartbeat\",\"head\":7,\"staleness_ms\":1005",
        ] {
            assert!(out.contains(part), "{part} is not in {out}");
        }
        assert_eq!(printer.cursor(), b"c0");
    }

    /// Takes lines, but fails to pass them on.
    struct Stuck;

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
    }

    #[test]
    fn the_cursor_moves_only_after_the_lines_were_passed_on() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cursor");
        let mut first = printer(Events::Revocations, Some(path.clone()));
        first
            .take(records("c1", &["ada"]), &mut Vec::new())
            .unwrap();
        let saved = fs::read_to_string(&path).unwrap();
        assert_eq!(saved.trim(), BASE64_STANDARD.encode("c1"));
        first.take(records("c2", &["bob"]), &mut Stuck).unwrap_err();
        assert_eq!(first.cursor(), b"c1");
        let second = printer(Events::Revocations, Some(path.clone()));
        assert_eq!(second.cursor(), b"c1");
        // What is no cursor is said so, before anything is printed twice.
        fs::write(&path, "not a cursor!").unwrap();
        let failure = Printer::new(Format::Json, Events::All, Some(path)).unwrap_err();
        assert!(failure.to_string().contains("holds no cursor"), "{failure}");
    }
}

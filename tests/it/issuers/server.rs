//! An issuer in a process of its own.

use std::{
    io::{BufRead as _, BufReader, Read, Write as _},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

/// How long an issuer may take until it listens: the first time it is downloaded, and Keycloak builds
/// itself while the other tests have the processors.
const START_PATIENCE: Duration = Duration::from_secs(600);

/// A script of `tests/issuers` at work. It ends when its standard input does, so that it outlives this
/// process in no case, however that ends.
#[derive(Debug)]
pub(super) struct Server {
    /// Where it listens.
    pub(super) url: String,
    child: Child,
    said: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Starts it and waits until it listens, or tells why it does not.
    pub(super) fn start(script: &str, arguments: &[&str]) -> Result<Self, String> {
        let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/issuers");
        // With what this process has in its environment, since it installs what it needs.
        let mut child = Command::new(tests.join(script))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{script}: {error}"))?;
        let said = Arc::default();
        follow(child.stdout.take().unwrap(), &said);
        follow(child.stderr.take().unwrap(), &said);
        let mut server = Self {
            url: String::new(),
            child,
            said,
        };
        server.url = server
            .answer(0, "Listening on: ", START_PATIENCE)
            .map_err(|error| format!("{script}: {error}"))?;
        Ok(server)
    }

    /// Says a line to it; what it answers after `part`.
    pub(super) fn ask(&mut self, line: &str, part: &str) -> String {
        let from = self.said.lock().unwrap().len();
        let stdin = self.child.stdin.as_mut().unwrap();
        writeln!(stdin, "{line}").unwrap();
        self.answer(from, part, crate::harness::PATIENCE).unwrap()
    }

    /// What it says after `part`, in a line after the first `from`.
    fn answer(&mut self, from: usize, part: &str, patience: Duration) -> Result<String, String> {
        let began = Instant::now();
        loop {
            let ended = self.child.try_wait().unwrap();
            let said = self.said.lock().unwrap();
            let mut lines = said[from..].iter();
            if let Some((_, rest)) = lines.find_map(|line| line.split_once(part)) {
                return Ok(rest.trim().to_owned());
            }
            let why = match ended {
                Some(status) => format!("ended, {status}"),
                None if began.elapsed() > patience => format!("no {part:?} in {patience:?}"),
                None => {
                    drop(said);
                    std::thread::sleep(Duration::from_millis(5));
                    continue;
                }
            };
            return Err(format!("{why}; it said:\n{}", said.join("\n")));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The script ends what it started, which killing it would not.
        drop(self.child.stdin.take());
        drop(self.child.wait());
        if std::thread::panicking() {
            println!(
                "-- the issuer said:\n{}",
                self.said.lock().unwrap().join("\n")
            );
        }
    }
}

fn follow(pipe: impl Read + Send + 'static, said: &Arc<Mutex<Vec<String>>>) {
    let said = Arc::clone(said);
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            said.lock().unwrap().push(line);
        }
    });
}

//! The real program, in a process of its own.

use std::{
    ffi::{OsStr, OsString},
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Condvar, Mutex},
    time::{Duration, Instant},
};

use rescind::proto::v1::revocation_service_client::RevocationServiceClient;
use rustix::process::{Pid, Signal, kill_process};
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use super::{PATIENCE, command::program, eventually, small_disk::with_mounts_of, within};

/// The API's client.
pub(crate) type Client = RevocationServiceClient<Channel>;

/// How to start a sidecar.
#[derive(Clone, Debug)]
pub(crate) struct Launch {
    flags: Vec<OsString>,
    mounts_of: Option<u32>,
}

impl Launch {
    /// One that keeps nothing.
    pub(crate) fn ephemeral() -> Self {
        Self::bare().flag("--ephemeral")
    }

    /// One that keeps its journal in a directory.
    pub(crate) fn on(data_dir: &Path) -> Self {
        Self::bare().flag("--data-dir").flag(data_dir)
    }

    fn bare() -> Self {
        Self {
            flags: Vec::new(),
            mounts_of: None,
        }
    }

    /// It sees the file systems that a process has mounted for itself.
    pub(crate) fn with_mounts_of(mut self, pid: u32) -> Self {
        self.mounts_of = Some(pid);
        self
    }

    fn command(&self) -> Command {
        let Some(pid) = self.mounts_of else {
            return program();
        };
        let mut command = with_mounts_of(pid);
        command.env_clear().arg(program().get_program());
        command
    }

    pub(crate) fn flag(mut self, flag: impl AsRef<OsStr>) -> Self {
        self.flags.push(flag.as_ref().to_owned());
        self
    }

    /// Starts the process and awaits nothing.
    pub(crate) fn spawn(&self) -> Sidecar {
        let scratch = tempfile::tempdir().unwrap();
        let address_file = scratch.path().join("addresses.json");
        let mut child = self
            .command()
            .args(["serve", "--listen", "127.0.0.1:0", "--log-format", "json"])
            .arg("--address-file")
            .arg(&address_file)
            .args(&self.flags)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let log = Arc::<Log>::default();
        let writer = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                writer.add(line);
            }
        });
        Sidecar {
            child,
            log,
            began: Instant::now(),
            ready_after: Duration::ZERO,
            address: String::new(),
            address_file,
            _scratch: scratch,
        }
    }

    /// Starts the process and waits until it says that it is ready.
    pub(crate) async fn start(&self) -> Sidecar {
        let mut sidecar = self.spawn();
        sidecar.wait_until_ready().await;
        sidecar
    }
}

/// What the process wrote to its standard error so far.
#[derive(Debug, Default)]
struct Log {
    lines: Mutex<Vec<String>>,
    grown: Condvar,
}

impl Log {
    fn add(&self, line: String) {
        self.lines.lock().unwrap().push(line);
        self.grown.notify_all();
    }
}

/// A running sidecar; killed when dropped.
#[derive(Debug)]
pub(crate) struct Sidecar {
    child: Child,
    log: Arc<Log>,
    /// When it was started.
    pub(crate) began: Instant,
    /// How long it took from the start until it said SERVING.
    pub(crate) ready_after: Duration,
    /// `HOST:PORT`.
    pub(crate) address: String,
    address_file: PathBuf,
    _scratch: tempfile::TempDir,
}

impl Sidecar {
    pub(crate) async fn wait_until_ready(&mut self) {
        self.wait_until_bound().await;
        let mut health = HealthClient::new(self.channel().await);
        let serving = async {
            let request = HealthCheckRequest::default();
            let mut states = health.watch(request).await.unwrap().into_inner();
            while let Some(state) = states.message().await.unwrap() {
                if state.status() == ServingStatus::Serving {
                    return;
                }
            }
            panic!("the health watch ended before it said SERVING");
        };
        within(PATIENCE, "SERVING", serving).await;
        self.ready_after = self.began.elapsed();
    }

    /// Until it answers at all: a node that joins is not ready before it has met others.
    pub(crate) async fn wait_until_bound(&mut self) {
        let text = eventually(PATIENCE, "the address file", || {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("ended before it was ready, {status}:\n{}", self.stderr());
            }
            std::fs::read_to_string(&self.address_file).ok()
        })
        .await;
        let addresses: serde_json::Value = serde_json::from_str(&text).unwrap();
        addresses["listen"][0]
            .as_str()
            .unwrap()
            .clone_into(&mut self.address);
    }

    /// The number of the process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A connection of its own.
    pub(crate) async fn channel(&self) -> Channel {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address)).unwrap();
        within(PATIENCE, "a connection", endpoint.connect())
            .await
            .unwrap()
    }

    /// A client with a connection of its own.
    pub(crate) async fn client(&self) -> Client {
        Client::new(self.channel().await)
    }

    /// A command of the program that talks to this sidecar.
    pub(crate) fn command(&self) -> Command {
        let mut command = program();
        command.env("RESCIND_ADDRESS", &self.address);
        command
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// SIGKILL, and waits until the process is gone.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// How the process ends by itself.
    pub(crate) async fn exit(&mut self, deadline: Duration) -> ExitStatus {
        let log = Arc::clone(&self.log);
        let child = &mut self.child;
        let what = "the end of the process";
        let status = eventually(deadline, what, || child.try_wait().unwrap()).await;
        // What it said last has been read to its end once the pipe's reader is gone.
        let what = "the end of its standard error";
        eventually(PATIENCE, what, || {
            (Arc::strong_count(&log) == 2).then_some(())
        })
        .await;
        status
    }

    /// Everything it wrote to standard error so far.
    pub(crate) fn stderr(&self) -> String {
        self.log.lines.lock().unwrap().join("\n")
    }

    /// Waits until a line of the log has this in it.
    pub(crate) fn wait_for_log(&self, part: &str) {
        let lines = self.log.lines.lock().unwrap();
        let is_missing = |lines: &mut Vec<String>| !lines.iter().any(|line| line.contains(part));
        let (lines, waited) = self
            .log
            .grown
            .wait_timeout_while(lines, PATIENCE, is_missing)
            .unwrap();
        assert!(!waited.timed_out(), "no {part:?} in:\n{}", lines.join("\n"));
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        // It may be gone already, which is as good.
        drop(self.child.kill());
        drop(self.child.wait());
        if std::thread::panicking() {
            println!("-- the sidecar's log:\n{}", self.stderr());
        }
    }
}

//! Fleets of real processes, and what happens to processes: they are killed, stopped and copied,
//! their links and their disks fail, and those who watch them do not read.
//!
//! What must hold is checked by [`truth`]: nothing acknowledged is lost (I1), all nodes end equal
//! (I3), staleness is never below the truth (I4), nothing is revoked that nobody revoked (I6), and
//! all that without a person (I9).

mod clones;
mod compared;
mod disks;
mod joining;
mod kills;
mod leaves;
mod links;
mod partitions;
mod stopped;
mod toxiproxy;
mod truth;
mod watchers;

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rescind::proto::v1;
use tonic::transport::Endpoint;

use crate::harness::{
    PATIENCE,
    sidecar::{Client, Launch, Sidecar},
};

/// A number from the environment: CI plays less than somebody who looks for trouble.
fn asked_for(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// Past the capture of tests that pass: figures are for whoever reads CI's log.
fn tell(figures: &str) {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{figures}").unwrap();
}

/// Where the sockets and journals of some nodes are. A node has the same socket after each restart.
struct Site {
    directory: tempfile::TempDir,
}

impl Site {
    fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
        }
    }

    fn socket(&self, name: &str) -> PathBuf {
        self.directory.path().join(format!("{name}.sock"))
    }

    fn at(&self, name: &str) -> String {
        format!("unix:{}", self.socket(name).display())
    }

    fn data_dir(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A node that follows nobody.
    fn node(&self, name: &str) -> Launch {
        self.node_on(name, &self.data_dir(name))
    }

    fn node_on(&self, name: &str, data_dir: &Path) -> Launch {
        Launch::on(data_dir)
            .flag("--listen")
            .flag(self.at(name))
            .flag("--insecure")
    }

    /// A member of a mesh of these.
    fn member(&self, name: &str, all: &[&str]) -> Launch {
        let others = all.iter().filter(|other| **other != name);
        others.fold(self.node(name), |launch, other| {
            launch.flag("--peer").flag(self.at(other))
        })
    }

    /// A leaf of these hubs.
    fn leaf(&self, name: &str, hubs: &[&str]) -> Launch {
        hubs.iter().fold(self.node(name), |launch, hub| {
            launch.flag("--hub").flag(self.at(hub))
        })
    }

    /// A client that finds the node again after a restart.
    fn client(&self, name: &str) -> Client {
        let endpoint = Endpoint::from_shared(self.at(name)).unwrap();
        Client::new(endpoint.connect_lazy())
    }
}

/// Starts all of a fleet at once and waits until every one of them is ready.
async fn start_all(launches: &[Launch]) -> Vec<Sidecar> {
    let mut sidecars: Vec<_> = launches.iter().map(Launch::spawn).collect();
    for sidecar in &mut sidecars {
        sidecar.wait_until_ready().await;
    }
    sidecars
}

async fn status(client: &mut Client) -> v1::GetStatusResponse {
    let answer = client.get_status(v1::GetStatusRequest::default()).await;
    answer.unwrap().into_inner()
}

/// Asks for the status until it is so, and how long that took.
async fn until(
    what: &str,
    client: &mut Client,
    is_so: impl Fn(&v1::GetStatusResponse) -> bool,
) -> Duration {
    until_within(PATIENCE, what, client, is_so).await
}

async fn until_within(
    deadline: Duration,
    what: &str,
    client: &mut Client,
    is_so: impl Fn(&v1::GetStatusResponse) -> bool,
) -> Duration {
    let began = Instant::now();
    loop {
        let now = client.get_status(v1::GetStatusRequest::default()).await;
        let last = match now {
            Ok(status) if is_so(status.get_ref()) => return began.elapsed(),
            Ok(status) => format!("{:#?}", status.into_inner()),
            Err(status) => status.to_string(),
        };
        assert!(
            began.elapsed() < deadline,
            "not within {deadline:?}: {what}; {last}"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// How stale a node says that it is.
fn staleness(status: &v1::GetStatusResponse) -> Option<Duration> {
    status
        .staleness
        .and_then(|staleness| Duration::try_from(staleness).ok())
}

fn is_fresh(status: &v1::GetStatusResponse) -> bool {
    staleness(status).is_some_and(|staleness| staleness < Duration::from_secs(3))
}

/// A wait for all followers, for that long.
fn for_all(within: Duration) -> v1::WaitFor {
    v1::WaitFor {
        who: Some(v1::wait_for::Who::AllFollowers(true)),
        timeout: prost_types::Duration::try_from(within).ok(),
    }
}

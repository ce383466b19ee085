//! Nodes as processes, and a link between two of them that can be cut.

use std::{
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rescind::proto::v1::{
    self, Verdict, check_request::Credential, revocation_service_client::RevocationServiceClient,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tonic::transport::{Channel, Endpoint};

const ISS: &str = "https://issuer.example";

pub(crate) type Api = RevocationServiceClient<Channel>;

/// One process; killed when dropped.
pub(crate) struct Node {
    pub(crate) address: String,
    pub(crate) api: Api,
    process: Child,
}

/// Some processes, and the directory with all their data.
pub(crate) struct Fleet {
    pub(crate) nodes: Vec<Node>,
    disks: Disks,
}

/// A fleet that does not run: where each node listens and which flags say whom it follows.
pub(crate) struct Disks {
    members: Vec<(String, Vec<String>)>,
    directory: tempfile::TempDir,
}

impl Fleet {
    /// A mesh of so many, all ready.
    pub(crate) async fn mesh(count: usize) -> Self {
        let addresses: Vec<String> = (0..count).map(|_| free_address()).collect();
        let members = addresses.iter().map(|own| {
            let others = addresses.iter().filter(|other| *other != own);
            let flags = others.flat_map(|other| ["--peer".to_owned(), other.clone()]);
            (own.clone(), flags.collect())
        });
        Self::of(members.collect()).await
    }

    /// A node that follows nobody.
    pub(crate) async fn alone() -> Self {
        Self::of(vec![(free_address(), Vec::new())]).await
    }

    /// A node that follows one address.
    pub(crate) async fn following(address: &str) -> Self {
        let flags = ["--peer", address].map(str::to_owned);
        Self::of(vec![(free_address(), flags.into())]).await
    }

    /// A leaf of one hub.
    pub(crate) async fn leaf_of(hub: &str) -> Self {
        let flags = ["--hub", hub].map(str::to_owned);
        Self::of(vec![(free_address(), flags.into())]).await
    }

    async fn of(members: Vec<(String, Vec<String>)>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        Disks { members, directory }.start().await
    }

    /// Kills it.
    pub(crate) fn stop(self) -> Disks {
        drop(self.nodes);
        self.disks
    }
}

impl Disks {
    /// All processes, until all are ready.
    pub(crate) async fn start(self) -> Fleet {
        let mut processes = Vec::new();
        for (number, (own, flags)) in self.members.iter().enumerate() {
            let data: PathBuf = self.directory.path().join(number.to_string());
            let process = Command::new(env!("CARGO_BIN_EXE_rescind"))
                .args([
                    "serve",
                    "--insecure",
                    "--listen",
                    own,
                    "--log-filter",
                    "error",
                ])
                .arg("--data-dir")
                .arg(data)
                .args(["--max-live", "20000000"])
                .args(flags)
                .stdout(Stdio::null())
                .spawn()
                .unwrap();
            processes.push((own.clone(), process));
        }
        let mut nodes = Vec::new();
        for (address, process) in processes {
            let api = until_ready(&address).await;
            nodes.push(Node {
                address,
                api,
                process,
            });
        }
        Fleet { nodes, disks: self }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

impl Node {
    pub(crate) async fn connect(&self) -> Api {
        connect(&self.address).await.unwrap()
    }

    /// Resident bytes.
    pub(crate) fn memory(&self) -> u64 {
        let path = format!("/proc/{}/statm", self.process.id());
        let pages = std::fs::read_to_string(path).unwrap();
        let resident: u64 = pages.split(' ').nth(1).unwrap().parse().unwrap();
        resident * 4096
    }

    /// CPU time spent, of the user and of the system for it.
    pub(crate) fn cpu(&self) -> Duration {
        let path = format!("/proc/{}/stat", self.process.id());
        let stat = std::fs::read_to_string(path).unwrap();
        let (_, fields) = stat.rsplit_once(") ").unwrap();
        let ticks = fields.split(' ').skip(11).take(2);
        let ticks: u64 = ticks.map(|field| field.parse::<u64>().unwrap()).sum();
        Duration::from_millis(ticks * 10)
    }
}

fn free_address() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

async fn connect(address: &str) -> Option<Api> {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    endpoint.connect().await.ok().map(Api::new)
}

async fn until_ready(address: &str) -> Api {
    loop {
        if let Some(mut api) = connect(address).await {
            let status = api.get_status(v1::GetStatusRequest::default()).await;
            if status.is_ok_and(|status| status.get_ref().ready) {
                return api;
            }
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub(crate) fn user(sub: &str) -> v1::RevokeUserRequest {
    v1::RevokeUserRequest {
        iss: ISS.to_owned(),
        sub: sub.to_owned(),
        ..v1::RevokeUserRequest::default()
    }
}

pub(crate) async fn revoke(node: &Node, sub: &str) {
    node.api.clone().revoke_user(user(sub)).await.unwrap();
}

/// `NAME-0`, `NAME-1` and so on, a thousand at a time.
pub(crate) async fn revoke_many(node: &Node, name: &str, count: u64) {
    for first in (0..count).step_by(1_000) {
        let targets = (first..count.min(first + 1_000)).map(|number| v1::Target {
            kind: Some(v1::target::Kind::User(v1::UserTarget {
                iss: ISS.to_owned(),
                sub: format!("{name}-{number}"),
            })),
        });
        let request = v1::RevokeRequest {
            targets: targets.collect(),
            ..v1::RevokeRequest::default()
        };
        node.api.clone().revoke(request).await.unwrap();
    }
}

/// Whether a token of a user, issued a minute ago, is denied for good.
pub(crate) async fn is_denied(node: &Node, sub: &str) -> bool {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let claims = v1::Claims {
        iss: ISS.to_owned(),
        jti: "j".to_owned(),
        sub: sub.to_owned(),
        iat: Some(now.as_secs_f64() - 60.0),
        exp: Some(now.as_secs_f64() + 600.0),
        ..v1::Claims::default()
    };
    let request = v1::CheckRequest {
        credential: Some(Credential::Claims(claims)),
        ..v1::CheckRequest::default()
    };
    let answer = node.api.clone().check(request).await;
    answer.is_ok_and(|answer| answer.get_ref().verdict() == Verdict::Revoked)
}

pub(crate) async fn until_denied(node: &Node, sub: &str) {
    while !is_denied(node, sub).await {
        tokio::task::yield_now().await;
    }
}

/// A link to a node that can be cut: then it takes connections, and swallows what is sent.
pub(crate) struct Proxy {
    pub(crate) address: String,
    is_cut: Arc<AtomicBool>,
}

impl Proxy {
    pub(crate) async fn to(target: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Self {
            address: listener.local_addr().unwrap().to_string(),
            is_cut: Arc::default(),
        };
        let (target, is_cut) = (target.to_owned(), Arc::clone(&proxy.is_cut));
        tokio::spawn(async move {
            while let Ok((from, _)) = listener.accept().await {
                let Ok(to) = TcpStream::connect(&target).await else {
                    continue;
                };
                let (from, to) = (from.into_split(), to.into_split());
                tokio::spawn(pump(from.0, to.1, Arc::clone(&is_cut)));
                tokio::spawn(pump(to.0, from.1, Arc::clone(&is_cut)));
            }
        });
        proxy
    }

    pub(crate) fn cut(&self, is_cut: bool) {
        self.is_cut.store(is_cut, Ordering::SeqCst);
    }
}

/// What was swallowed is gone: such a connection never works again.
async fn pump(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    is_cut: Arc<AtomicBool>,
) {
    let mut buffer = vec![0; 64 * 1024];
    let mut is_broken = false;
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        is_broken |= is_cut.load(Ordering::SeqCst);
        if !is_broken && to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}

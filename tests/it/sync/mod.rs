//! Several nodes in this process, each the whole app, on sockets of a directory of their own.

mod handing_up;
mod mesh;
mod told;
mod waiting;
mod waiting_leaf;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use rescind::{
    app::App,
    clock::SystemClock,
    config::{Config, Listen, Storage},
    journal::{self, Journal, JournalError},
    proto::v1::{self, Verdict},
    sync::{Address, Settings},
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::transport::Endpoint;

use crate::harness::node::Api;

/// How long anything may take before a test says that it did not happen.
const PATIENCE: Duration = Duration::from_secs(20);

/// A directory with the sockets and journals of some nodes.
struct Site {
    directory: tempfile::TempDir,
}

/// A node that runs.
struct Member {
    api: Api,
    stop: CancellationToken,
    running: JoinHandle<anyhow::Result<()>>,
    data_dir: PathBuf,
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

    fn address(&self, name: &str) -> Address {
        Address::Unix(self.socket(name))
    }

    fn data_dir(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn addresses(&self, names: &[&str]) -> Vec<Address> {
        names.iter().map(|name| self.address(name)).collect()
    }

    /// A member of a mesh of these.
    async fn member(&self, name: &str, all: &[&str]) -> Member {
        let others: Vec<_> = all.iter().copied().filter(|other| *other != name).collect();
        self.node(name, |config| config.follow.peers = self.addresses(&others))
            .await
    }

    /// A mesh of these, all ready.
    async fn mesh<const N: usize>(&self, all: [&str; N]) -> [Member; N] {
        let members = all.map(|name| self.member(name, &all));
        let members = futures_util::future::join_all(members).await;
        for member in &members {
            member.until_ready().await;
        }
        members.try_into().ok().unwrap()
    }

    /// A leaf of these hubs.
    async fn leaf(&self, name: &str, hubs: &[&str]) -> Member {
        self.node(name, |config| config.follow.hubs = self.addresses(hubs))
            .await
    }

    async fn node(&self, name: &str, set: impl FnOnce(&mut Config)) -> Member {
        let mut config = Config {
            listen: vec![Listen::Unix(self.socket(name))],
            storage: Storage::Directory(self.data_dir(name)),
            insecure: true,
            follow: Settings::default(),
            ..Config::default()
        };
        set(&mut config);
        let app = App::bind(config, Arc::new(SystemClock)).await.unwrap();
        let stop = CancellationToken::new();
        let running = tokio::spawn(app.run(stop.clone()));
        Member {
            api: connect(&self.socket(name)).await,
            stop,
            running,
            data_dir: self.data_dir(name),
        }
    }
}

async fn connect(socket: &Path) -> Api {
    let endpoint = Endpoint::from_shared(format!("unix:{}", socket.display())).unwrap();
    Api::new(endpoint.connect().await.unwrap())
}

impl Member {
    async fn until_followed_by(&self, count: usize) {
        self.until("followed", async |node| {
            let followers = node.status().await.followers;
            let connected = followers.iter().filter(|follower| follower.connected);
            connected.count() == count
        })
        .await;
    }

    async fn revoke_user(&self, sub: &str) -> v1::RevokeUserResponse {
        self.revoke_user_and_wait(sub, None).await
    }

    async fn revoke_user_and_wait(
        &self,
        sub: &str,
        wait_for: Option<v1::WaitFor>,
    ) -> v1::RevokeUserResponse {
        let request = v1::RevokeUserRequest {
            iss: "i".to_owned(),
            sub: sub.to_owned(),
            wait_for,
            ..v1::RevokeUserRequest::default()
        };
        let answer = self.api.clone().revoke_user(request).await;
        answer.unwrap().into_inner()
    }

    /// What Check says of a token of a user, issued a minute ago.
    async fn check(&self, sub: &str) -> Result<Verdict, tonic::Status> {
        self.check_within(sub, None).await
    }

    async fn check_within(
        &self,
        sub: &str,
        max_staleness: Option<prost_types::Duration>,
    ) -> Result<Verdict, tonic::Status> {
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap()
            .as_secs_f64();
        let claims = v1::Claims {
            iss: "i".to_owned(),
            jti: "j".to_owned(),
            sub: sub.to_owned(),
            iat: Some(now - 60.0),
            exp: Some(now + 600.0),
            ..v1::Claims::default()
        };
        let request = v1::CheckRequest {
            credential: Some(v1::check_request::Credential::Claims(claims)),
            max_staleness,
        };
        let answer = self.api.clone().check(request).await?;
        Ok(answer.into_inner().verdict())
    }

    async fn status(&self) -> v1::GetStatusResponse {
        let answer = self
            .api
            .clone()
            .get_status(v1::GetStatusRequest::default())
            .await;
        answer.unwrap().into_inner()
    }

    async fn until(&self, what: &str, is_so: impl AsyncFn(&Self) -> bool) -> Duration {
        let began = Instant::now();
        while !is_so(self).await {
            assert!(
                began.elapsed() < PATIENCE,
                "{what}: not within {PATIENCE:?}; {:#?}",
                self.status().await
            );
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        began.elapsed()
    }

    async fn until_ready(&self) {
        self.until("ready", async |node| node.status().await.ready)
            .await;
    }

    async fn until_revoked(&self, sub: &str) -> Duration {
        self.until("revoked", async |node| {
            matches!(node.check(sub).await, Ok(Verdict::Revoked))
        })
        .await
    }

    /// Stops it, and waits until its journal is free: a reading that was under way ends a moment later.
    async fn stop(self) {
        self.stop.cancel();
        drop(self.api);
        self.running.await.unwrap().unwrap();
        let storage = journal::Storage::Directory(self.data_dir);
        let began = Instant::now();
        while let Err(JournalError::InUse { path }) = Journal::open(&storage) {
            assert!(began.elapsed() < PATIENCE, "{path} is still in use");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

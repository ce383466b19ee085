//! Following other nodes: peers of a mesh, hubs of a leaf.
//!
//! ```text
//!  discovery ─► follow: connect ─► watch ─► ledger: merge + cursor in one transaction
//!                  │                 └─► acks: what is durable here, and nonces for staleness
//!                  ├─► outbox (leaves): hands up what the hub has not
//!                  └─► repair: compares digests now and then, reads again what silently differs
//! ```
//! What is learnt of upstreams goes into [`crate::fleet`], where Check and GetStatus read it.
//!
//! **Invariant:** a cursor is committed with the records that it came with, and an acknowledgement
//! is sent after that.

mod acks;
mod address;
mod backoff;
mod connection;
mod discovery;
mod follow;
mod held;
mod net;
mod outbox;
mod repair;

use std::{future::Future, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use crate::{
    fleet::{Fleet, Kind, Role},
    ledger::Ledger,
    limits,
};

pub use address::{Address, AddressError};
pub use net::{Io, Net, Place, SystemNet};

/// Whom to follow, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Members of the same mesh.
    pub peers: Vec<Address>,
    /// Hubs that this leaf follows.
    pub hubs: Vec<Address>,
    /// How many others the names among them have; `None`: as many as they list.
    pub expected_peers: Option<usize>,
    /// How often digests are compared.
    pub digests_interval: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            peers: Vec::new(),
            hubs: Vec::new(),
            expected_peers: None,
            digests_interval: limits::DIGESTS_INTERVAL,
        }
    }
}

/// What following is done with.
#[derive(Clone, Debug)]
pub struct Sync {
    ledger: Ledger,
    fleet: Arc<Fleet>,
    net: Arc<dyn Net>,
    settings: Arc<Settings>,
}

impl Sync {
    /// Of one node.
    pub fn new(ledger: Ledger, fleet: Arc<Fleet>, net: Arc<dyn Net>, settings: Settings) -> Self {
        Self {
            ledger,
            fleet,
            net,
            settings: Arc::new(settings),
        }
    }

    /// One task for each configured entry, to run until `stop`. The entries count for readiness and
    /// staleness from now on.
    pub fn tasks(&self, stop: &CancellationToken) -> Vec<BoxFuture<'static, ()>> {
        let peers = self.settings.peers.iter().map(|at| (at, Kind::Peer));
        let hubs = self.settings.hubs.iter().map(|at| (at, Kind::Hub));
        let entries = peers.chain(hubs);
        entries
            .map(|(address, kind)| self.follow_all_at(address.clone(), kind, stop.clone()))
            .collect()
    }

    fn follow_all_at(
        &self,
        address: Address,
        kind: Kind,
        stop: CancellationToken,
    ) -> BoxFuture<'static, ()> {
        let expected = match address {
            Address::Dns { .. } => self.settings.expected_peers,
            Address::Host { .. } | Address::Unix(_) => None,
        };
        let group = self
            .fleet
            .upstreams
            .add(address.to_string(), kind, expected);
        let sync = self.clone();
        Box::pin(async move {
            let followed = discovery::follow_all(&sync, &group, &address, &stop);
            until(&stop, Box::pin(followed)).await;
        })
    }

    /// What this node is to those that it follows in this way.
    fn role(kind: Kind) -> Role {
        match kind {
            Kind::Peer => Role::Peer,
            Kind::Hub => Role::Leaf,
        }
    }
}

async fn until(stop: &CancellationToken, task: impl Future<Output = ()>) {
    tokio::select! {
        biased;
        () = stop.cancelled() => {}
        () = task => {}
    }
}

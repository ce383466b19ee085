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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Members of the same mesh.
    pub peers: Vec<Address>,
    /// Hubs that this leaf follows.
    pub hubs: Vec<Address>,
    /// How many others the names among them have; `None`: as many as they list.
    pub expected_peers: Option<usize>,
    /// How digests are compared.
    pub digests: Comparing,
}

/// How digests are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Comparing {
    /// How often.
    pub interval: Duration,
    /// What was written more recently than this is left out: it may be on its way.
    pub young: Duration,
    /// The time between two looks at ranges that differ.
    pub again: Duration,
}

impl Default for Comparing {
    fn default() -> Self {
        Self {
            interval: limits::DIGESTS_INTERVAL,
            young: limits::DIGESTS_YOUNG,
            again: limits::DIGESTS_AGAIN,
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
        let is_name = matches!(address, Address::Dns { .. });
        let group = self.fleet.upstreams.add(
            address.to_string(),
            kind,
            is_name,
            self.settings.expected_peers,
        );
        if !is_name {
            // From the first moment on it is there to be waited for, and shown.
            group.member(&address.to_string());
        }
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

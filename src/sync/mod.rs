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
mod asking;
mod backoff;
mod connection;
mod discovery;
mod follow;
mod gathered;
mod held;
mod leads;
mod net;
mod outbox;
mod repair;
mod session;

use std::{future::Future, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use crate::{
    fleet::{Fleet, Group, Kind, Role},
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
    entries: Vec<(Address, Arc<Group>)>,
}

impl Sync {
    /// Of one node. The configured entries count for readiness and staleness from now on: make this
    /// before anybody can ask.
    pub fn new(ledger: Ledger, fleet: Arc<Fleet>, net: Arc<dyn Net>, settings: Settings) -> Self {
        let peers = settings.peers.iter().map(|at| (at, Kind::Peer));
        let hubs = settings.hubs.iter().map(|at| (at, Kind::Hub));
        let entry = |(address, kind): (&Address, Kind)| {
            let (name, expected) = (address.to_string(), settings.expected_peers);
            let is_name = matches!(address, Address::Dns { .. });
            let group = fleet.upstreams.add(name.clone(), kind, is_name, expected);
            if !is_name {
                group.member(&name);
            }
            (address.clone(), group)
        };
        let entries = peers.chain(hubs).map(entry).collect();
        Self {
            ledger,
            fleet,
            net,
            settings: Arc::new(settings),
            entries,
        }
    }

    /// One task for each configured entry, to run until `stop`.
    pub fn tasks(&self, stop: &CancellationToken) -> Vec<BoxFuture<'static, ()>> {
        let entries = self.entries.iter();
        entries
            .map(|(address, group)| {
                let (sync, stop) = (self.clone(), stop.clone());
                let (address, group) = (address.clone(), Arc::clone(group));
                let task = async move {
                    let followed = discovery::follow_all(&sync, &group, &address, &stop);
                    until(&stop, Box::pin(followed)).await;
                };
                Box::pin(task) as BoxFuture<'static, ()>
            })
            .collect()
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

//! What a node knows of the nodes that it follows, and of those that follow it.
//!
//! `sync` writes here what it learns of upstreams, `server` what followers say; both read. Nothing
//! here does any I/O.
//!
//! **Invariant:** staleness is never under-reported: everything that an upstream acknowledged longer
//! ago than that is enforced here.

mod followers;
mod handup;
mod join;
mod upstream;
mod upstreams;

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;

use crate::{clock::Clock, limits, model::Boot};

pub use followers::{Followers, KnownFollower, Moment, Propagation, Reached, Role, Wait, Who};
pub use handup::{AskHub, HandUp, HubPlace, both_ways};
pub use join::{Join, JoinPolicy};
use upstreams::LevelSince;

pub use upstream::{Compared, Kind, Phase, Upstream, UpstreamView};
pub use upstreams::{Group, Upstreams};

/// Both directions.
#[derive(Debug)]
pub struct Fleet {
    /// Whom this node follows.
    pub upstreams: Upstreams,
    /// Who follows it.
    pub followers: Followers,
    /// Of a leaf: callers that wait for a hub.
    pub hand_up: HandUp,
    compare: watch::Sender<()>,
    clock: Arc<dyn Clock>,
    join: Join,
    /// How old its knowledge may be for an ACTIVE, unless the caller says; `None`: any age.
    max_staleness: Option<Duration>,
}

/// Why nothing can be said to be ACTIVE.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotFresh {
    /// The node has not joined yet.
    #[error(
        "nothing here denies this token, and the node has yet to catch up with those it follows: \
         see `rescind status`"
    )]
    Joining,
    /// It knows less than was asked for.
    #[error(
        "nothing here denies this token, and what the node knows of others is {}, which is \
         more than max_staleness ({bound:?})",
        staleness.map_or("of unknown age".to_owned(), |staleness| format!("{staleness:?} old"))
    )]
    Stale {
        /// How old its knowledge is; `None`: it has never been level.
        staleness: Option<Duration>,
        /// How old it may be.
        bound: Duration,
    },
}

/// How much a node knew of others at some moment.
#[derive(Clone, Copy, Debug)]
pub struct Knowledge {
    is_ready: bool,
    level: LevelSince,
}

impl Fleet {
    /// Of a node that has not met anybody.
    pub fn new(clock: Arc<dyn Clock>, join: Join, max_staleness: Option<Duration>) -> Self {
        let steady = clock.steady();
        Self {
            upstreams: Upstreams::default(),
            followers: Followers::default(),
            hand_up: HandUp::default(),
            compare: watch::Sender::new(()),
            clock,
            join: join.started(steady),
            max_staleness,
        }
    }

    /// Of a node that follows nobody.
    pub fn alone(clock: Arc<dyn Clock>) -> Self {
        Self::new(clock, Join::default(), None)
    }

    /// How old this node's knowledge of others may be; `None`: it has never been level with them.
    pub fn staleness(&self) -> Option<Duration> {
        self.upstreams.level().staleness(|| self.clock.steady())
    }

    /// Whether it has all that it should have had at its start.
    pub fn is_ready(&self) -> bool {
        self.join.is_over(&self.upstreams, || self.clock.steady())
    }

    /// Until it is ready.
    pub async fn joined(&self) {
        while !self.is_ready() {
            tokio::time::sleep(limits::JOIN_POLL).await;
        }
    }

    /// What it waits for, for people; empty when ready.
    pub fn not_ready_because(&self) -> String {
        if self.is_ready() {
            return String::new();
        }
        self.join.detail(&self.upstreams, self.clock.steady())
    }

    /// What is known now. Taken before a token is looked up: what arrives between the look and the
    /// answer makes the node fresher, and the look no better.
    pub fn knowledge(&self) -> Knowledge {
        Knowledge {
            is_ready: self.is_ready(),
            level: self.upstreams.level(),
        }
    }

    /// How stale that knowledge is by now; `None`: the node had never been level.
    pub fn staleness_of(&self, knowledge: Knowledge) -> Option<Duration> {
        knowledge.level.staleness(|| self.clock.steady())
    }

    /// Whether it suffices to say that a token may be used. Returns how stale it is.
    pub fn may_say_active(
        &self,
        knowledge: Knowledge,
        asked: Option<Duration>,
    ) -> Result<Duration, NotFresh> {
        if !knowledge.is_ready {
            return Err(NotFresh::Joining);
        }
        let staleness = self.staleness_of(knowledge);
        match (staleness, asked.or(self.max_staleness)) {
            (Some(staleness), None) => Ok(staleness),
            (Some(staleness), Some(bound)) if staleness <= bound => Ok(staleness),
            // Nobody ever answered, and the operator said to go on alone.
            (None, None) => Ok(Duration::MAX),
            (_, Some(bound)) => Err(NotFresh::Stale { staleness, bound }),
        }
    }

    /// Somebody wants digests compared now.
    pub fn compare_now(&self) {
        self.compare.send_replace(());
    }

    /// Changes when somebody does.
    pub fn compare_asked(&self) -> watch::Receiver<()> {
        self.compare.subscribe()
    }

    /// The steady clock, by which ages are counted.
    pub fn steady(&self) -> Duration {
        self.clock.steady()
    }
}

/// A node's identity, as its journal gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u64);

impl std::fmt::Display for NodeId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl NodeId {
    /// From 16 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let is_whole = text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit());
        let number = is_whole.then(|| u64::from_str_radix(text, 16).ok());
        number.flatten().map(Self)
    }
}

/// One run of one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// The node.
    pub node: NodeId,
    /// Which run of it.
    pub boot: Boot,
}

#[cfg(test)]
mod tests;

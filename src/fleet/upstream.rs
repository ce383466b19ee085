//! One node that this one follows, and what is known of it.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use crate::model::UnixNanos;

use super::{
    Run,
    upstreams::{Level, lock},
};

/// What an upstream is to this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A member of the same mesh: all of them are followed.
    Peer,
    /// One of several that know the same: the best of them counts.
    Hub,
}

impl Kind {
    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Peer => "peer",
            Self::Hub => "hub",
        }
    }
}

/// Where a connection stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// No connection yet.
    #[default]
    Connecting,
    /// It sends what this node has missed.
    CatchingUp,
    /// It has been caught up with.
    Following,
    /// The last connection ended in an error.
    Failed,
    /// It is this node.
    Itself,
}

impl Phase {
    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::CatchingUp => "catching-up",
            Self::Following => "following",
            Self::Failed => "failed",
            Self::Itself => "self",
        }
    }
}

/// What is known of one upstream.
#[derive(Clone, Debug, Default)]
pub struct UpstreamView {
    /// Where its connection stands.
    pub phase: Phase,
    /// Who it is, once met.
    pub run: Option<Run>,
    /// When this connection began.
    pub connected_at: Option<UnixNanos>,
    /// What went wrong last.
    pub last_error: String,
    /// Whether it was caught up with once in this run.
    pub has_caught_up: bool,
    /// Whether it was itself ready then, or since.
    pub is_ready: bool,
    /// By the steady clock: everything that it had acknowledged by then is enforced here.
    pub heard_at: Option<Duration>,
    /// By the steady clock: everything that anybody it speaks for had acknowledged by then is. Of a
    /// peer the same, since every peer is followed; a hub also tells how stale it is itself.
    pub level_at: Option<Duration>,
    /// How stale it last said to be itself; `None`: it has never been level, or has not said.
    pub staleness: Option<Duration>,
    /// The last seq of its journal that was dealt with.
    pub seq: u64,
    /// The newest seq of its journal, as far as it said.
    pub head: u64,
    /// Records received in this run.
    pub received: u64,
    /// How many of them changed something.
    pub changed: u64,
    /// How many could not be taken in.
    pub refused: u64,
    /// Whether its settings give records another meaning.
    pub settings_differ: bool,
    /// Ranges of keys that silently differed and were read again.
    pub ranges_healed: u64,
    /// What came of comparing digests last.
    pub compared: Option<Compared>,
    /// Of a hub: records to be handed up yet.
    pub outbox: u64,
    /// Of a hub: records that it took of this node in this run.
    pub handed_up: u64,
    /// Of a hub: how often it was found that it may lack what this node holds; then everything is
    /// handed up again.
    pub hand_ups: u64,
}

/// What came of comparing digests.
#[derive(Clone, Debug)]
pub struct Compared {
    /// When.
    pub at: UnixNanos,
    /// In how many ranges of keys they differed; or why they were not compared.
    pub differing: Result<u32, String>,
}

/// One address that is followed.
#[derive(Debug)]
pub struct Upstream {
    /// Where.
    pub address: String,
    /// What it is to this node.
    pub kind: Kind,
    view: Mutex<UpstreamView>,
    /// Whether its name, if it was found by one, had it when that was last resolved.
    is_listed: AtomicBool,
    level: Arc<Level>,
}

impl Upstream {
    /// Nothing is known of it yet.
    pub(super) fn new(address: String, kind: Kind, level: Arc<Level>) -> Self {
        Self {
            address,
            kind,
            view: Mutex::default(),
            is_listed: AtomicBool::new(true),
            level,
        }
    }

    /// Whether its name has it, as far as is known.
    pub(super) fn is_listed(&self) -> bool {
        self.is_listed.load(Ordering::Relaxed)
    }

    /// Its name was resolved.
    pub(super) fn note_listed(&self, is_listed: bool) {
        self.is_listed.store(is_listed, Ordering::Relaxed);
    }

    /// What is known of it.
    pub fn view(&self) -> UpstreamView {
        lock(&self.view).clone()
    }

    /// This run of this node answers at the address. What another node that answered there before had
    /// acknowledged says nothing of this one.
    pub fn met(&self, run: Run) {
        self.update(|view| {
            if view.run.is_some_and(|before| before.node != run.node) {
                (view.heard_at, view.level_at, view.staleness) = (None, None, None);
                (view.has_caught_up, view.is_ready) = (false, false);
                (view.seq, view.head) = (0, 0);
                view.compared = None;
            }
            view.run = Some(run);
        });
    }

    /// A nonce that was sent at `sent_at` was echoed by an upstream that is `staleness` stale itself;
    /// `None`: it has never been level. What was once true of the past stays true.
    pub fn heard(&self, sent_at: Duration, staleness: Option<Duration>) {
        let level_at = match self.kind {
            Kind::Peer => Some(sent_at),
            Kind::Hub => staleness.map(|theirs| sent_at.saturating_sub(theirs)),
        };
        self.update(|view| {
            view.staleness = staleness;
            view.heard_at = view.heard_at.max(Some(sent_at));
            view.level_at = view.level_at.max(level_at);
        });
    }

    /// Notes what was learnt. Since when this node is level is asked by each Check: it is computed when
    /// something that it depends on has changed, not with each record that comes.
    pub fn update(&self, learnt: impl FnOnce(&mut UpstreamView)) {
        let mut view = lock(&self.view);
        let decides = |view: &UpstreamView| (view.phase, view.run, view.level_at);
        let before = decides(&view);
        learnt(&mut view);
        let is_moved = decides(&view) != before;
        drop(view);
        if is_moved {
            self.level.compute();
        }
    }
}

//! When a node that follows others may answer.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use crate::limits;

use super::Upstreams;

/// What to do when nobody ready was met in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum JoinPolicy {
    /// Go on waiting: a node that never synced never says ACTIVE.
    #[default]
    Wait,
    /// Answer by what this node knows itself.
    Alone,
}

/// The terms of joining, and whether it is over.
#[derive(Debug)]
pub struct Join {
    policy: JoinPolicy,
    timeout: Duration,
    began: Duration,
    is_over: AtomicBool,
}

impl Default for Join {
    fn default() -> Self {
        Self::new(JoinPolicy::default(), limits::JOIN_TIMEOUT_DEFAULT)
    }
}

impl Join {
    /// These terms.
    pub fn new(policy: JoinPolicy, timeout: Duration) -> Self {
        Self {
            policy,
            timeout,
            began: Duration::ZERO,
            is_over: AtomicBool::new(false),
        }
    }

    pub(super) fn started(mut self, steady: Duration) -> Self {
        self.began = steady;
        self
    }

    /// Once over, it stays over: staleness speaks from then on.
    pub(super) fn is_over(&self, upstreams: &Upstreams, steady: impl Fn() -> Duration) -> bool {
        if self.is_over.load(Ordering::Relaxed) {
            return true;
        }
        let is_over = upstreams.are_none()
            || upstreams.have_one_ready()
            // A mesh of which all wait for each other: together they know all that there is.
            || upstreams.all_have_answered()
            || (self.policy == JoinPolicy::Alone && self.waited(steady()) >= self.timeout);
        if is_over {
            self.is_over.store(true, Ordering::Relaxed);
        }
        is_over
    }

    pub(super) fn detail(&self, upstreams: &Upstreams, steady: Duration) -> String {
        let waiting = upstreams.waiting_for().join("; ");
        let left = self.timeout.saturating_sub(self.waited(steady));
        let next = match self.policy {
            _ if !left.is_zero() && self.policy == JoinPolicy::Alone => {
                format!("goes on alone in {} s (join = \"alone\")", left.as_secs())
            }
            JoinPolicy::Alone => "goes on alone".to_owned(),
            JoinPolicy::Wait => {
                "waits until one is ready, or all peers have answered; join = \"alone\" would go \
                 on without them"
                    .to_owned()
            }
        };
        format!("joining: {waiting}: {next}")
    }

    fn waited(&self, steady: Duration) -> Duration {
        steady.saturating_sub(self.began)
    }
}

//! What the writer is asked to do, and how it answers.

use tokio::sync::oneshot;

use crate::model::{Bounds, UnixNanos};

use super::{
    order::{Merge, Merged, Receipt, Restore, Revoke, WriteError},
    sweep::Swept,
};

pub(super) type Answer<T> = oneshot::Sender<Result<T, WriteError>>;

/// What the writer is asked to do.
#[derive(Debug)]
pub(super) enum Command {
    Revoke(Revoke, Answer<Vec<Receipt>>),
    Restore(Restore, Answer<Vec<Receipt>>),
    Merge(Merge, Answer<Merged>),
    Remember(String, Vec<u8>, Answer<()>),
    Sweep(Answer<Swept>),
    AcceptClock(Answer<()>),
    /// How far the clocks of issuers are ahead is to be written down.
    SaveLeads(Answer<()>),
    /// Check found revocations that are kept too short.
    KeepSharedJtis,
    /// Another node says that it is this time.
    ClockOfPeer(UnixNanos, Answer<()>),
    /// What there is was taken over from a node that keeps by these bounds.
    CaughtUpFrom(Bounds, Answer<()>),
}

/// What a command came to, to be answered once it is durable.
pub(super) enum Done {
    Receipts(Answer<Vec<Receipt>>, Result<Vec<Receipt>, WriteError>),
    Merged(Answer<Merged>, Merged),
    Swept(Answer<Swept>, Swept),
    Noted(Answer<()>),
    /// Nobody waits.
    Unasked,
}

impl Command {
    /// Whether it is still done when the journal has failed: what others revoked is enforced from
    /// memory, as long as this process lives.
    pub(super) fn goes_on_from_memory(&self) -> bool {
        match self {
            Self::Merge(order, _) => !order.handed_up,
            Self::KeepSharedJtis
            | Self::Remember(..)
            | Self::ClockOfPeer(..)
            | Self::CaughtUpFrom(..) => true,
            Self::Revoke(..)
            | Self::Restore(..)
            | Self::Sweep(_)
            | Self::AcceptClock(_)
            | Self::SaveLeads(_) => false,
        }
    }

    pub(super) fn refuse(self, error: &WriteError) {
        match self {
            Self::Revoke(_, answer) | Self::Restore(_, answer) => send(answer, Err(error.clone())),
            Self::Merge(_, answer) => send(answer, Err(error.clone())),
            Self::Sweep(answer) => send(answer, Err(error.clone())),
            Self::KeepSharedJtis => {}
            Self::Remember(_, _, answer)
            | Self::AcceptClock(answer)
            | Self::SaveLeads(answer)
            | Self::ClockOfPeer(_, answer)
            | Self::CaughtUpFrom(_, answer) => send(answer, Err(error.clone())),
        }
    }
}

impl Done {
    pub(super) fn answer(self) {
        match self {
            Self::Receipts(answer, result) => send(answer, result),
            Self::Merged(answer, merged) => send(answer, Ok(merged)),
            Self::Swept(answer, swept) => send(answer, Ok(swept)),
            Self::Noted(answer) => send(answer, Ok(())),
            Self::Unasked => {}
        }
    }

    pub(super) fn refuse(self, error: &WriteError) {
        match self {
            // What is wrong in itself stays wrong, whatever became of its neighbours.
            Self::Receipts(answer, Err(own)) => send(answer, Err(own)),
            Self::Receipts(answer, Ok(_)) => send(answer, Err(error.clone())),
            Self::Merged(answer, _) => send(answer, Err(error.clone())),
            Self::Swept(answer, _) => send(answer, Err(error.clone())),
            Self::Noted(answer) => send(answer, Err(error.clone())),
            Self::Unasked => {}
        }
    }
}

/// A caller that went away meanwhile needs no answer; what it asked for holds all the same.
pub(super) fn send<T>(answer: Answer<T>, result: Result<T, WriteError>) {
    drop(answer.send(result));
}

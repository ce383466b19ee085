//! From the signal to the exit.

use std::future::Future;

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::limits;

/// SIGTERM and SIGINT end, SIGHUP reloads.
#[derive(Debug)]
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    pub(super) fn listen() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hang_up: listen(SignalKind::hangup())?,
        })
    }

    /// Waits for the end; on SIGHUP reloads.
    async fn end(&mut self, reload: impl Fn()) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hang_up.recv() => {
                    tracing::info!("SIGHUP: reloading");
                    reload();
                }
            }
        }
    }
}

/// Runs a node until it ends: the first signal drains it, the second aborts.
pub(super) async fn until_done(
    node: impl Future<Output = anyhow::Result<()>>,
    stop: CancellationToken,
    mut signals: Signals,
    reload: impl Fn(),
) -> anyhow::Result<()> {
    let mut node = std::pin::pin!(node);
    tokio::select! {
        ended = &mut node => return ended,
        () = signals.end(&reload) => stop.cancel(),
    }
    tokio::select! {
        ended = &mut node => ended,
        () = tokio::time::sleep(limits::DRAIN_MAX) => {
            tracing::warn!("connections were still open at the end of the drain: cut");
            Ok(())
        }
        () = signals.end(&reload) => anyhow::bail!("aborted by a second signal"),
    }
}

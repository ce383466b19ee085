//! The one place that spawns: every task has a name and is joined.

use std::future::Future;

use anyhow::Context as _;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// The tasks of a node. The first that fails stops the rest.
#[derive(Debug)]
pub(super) struct Tasks {
    set: JoinSet<anyhow::Result<()>>,
    stop: CancellationToken,
}

impl Tasks {
    pub(super) fn new(stop: CancellationToken) -> Self {
        Self {
            set: JoinSet::new(),
            stop,
        }
    }

    /// Starts a task.
    #[expect(clippy::disallowed_methods, reason = "this is the task module")]
    pub(super) fn spawn(
        &mut self,
        name: &'static str,
        task: impl Future<Output = anyhow::Result<()>> + Send + 'static,
    ) {
        let stop = self.stop.clone();
        self.set.spawn(async move {
            let ended = task.await.with_context(|| format!("the {name} failed"));
            if let Err(error) = &ended {
                tracing::error!(task = name, error = format!("{error:#}"), "task failed");
                stop.cancel();
            }
            ended
        });
    }

    /// Waits for all of them; the first failure is told.
    pub(super) async fn join(mut self) -> anyhow::Result<()> {
        let mut ended = Ok(());
        while let Some(task) = self.set.join_next().await {
            let task = task.context("a task was cut short").flatten();
            ended = ended.and(task);
        }
        ended
    }
}

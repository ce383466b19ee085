//! Asking a hub how far what was handed up to it has spread.

use futures_util::{FutureExt as _, future::BoxFuture};
use std::{sync::Arc, time::Duration};
use tokio::sync::Semaphore;

use crate::{
    fleet::{AskHub, Fleet, Propagation, Who},
    limits,
    proto::v1,
};

use super::connection::Client;

/// One connection to a hub, and how this node begins what it hands up there.
#[derive(Debug)]
pub(super) struct Asking {
    fleet: Arc<Fleet>,
    client: Client,
    opening: v1::MergeRecordsRequest,
    /// What is handed up goes over the same connection, and must find room there.
    turns: Semaphore,
}

impl Asking {
    pub(super) fn new(
        fleet: &Arc<Fleet>,
        client: Client,
        opening: v1::MergeRecordsRequest,
    ) -> Self {
        Self {
            fleet: Arc::clone(fleet),
            client,
            opening,
            turns: Semaphore::new(limits::HUB_ASKED_MAX),
        }
    }

    /// It waits for what was handed up before: so nothing is handed up with the question.
    async fn spread(&self, who: Who, until: Duration) -> Option<Propagation> {
        let _turn = self.turns.acquire().await.ok()?;
        let left = until.saturating_sub(self.fleet.steady());
        let margin = limits::HUB_ANSWER_MARGIN.min(left / 4);
        let within = left.saturating_sub(margin).min(limits::WAIT_FOR_MAX);
        if within.is_zero() {
            return None;
        }
        let request = v1::MergeRecordsRequest {
            wait_for: Some(v1::WaitFor {
                who: Some(match who {
                    Who::All => v1::wait_for::Who::AllFollowers(true),
                    Who::Count(count) => v1::wait_for::Who::Followers(count),
                }),
                timeout: prost_types::Duration::try_from(within).ok(),
            }),
            ..self.opening.clone()
        };
        let mut client = self.client.clone();
        let question = futures_util::stream::iter([request]);
        let answer = client.merge_records(question).await.ok()?.into_inner();
        let spread = answer.propagation?;
        Some(Propagation {
            expected: spread.expected,
            applied: spread.applied,
            pending: spread.pending,
        })
    }
}

impl AskHub for Asking {
    fn ask(&self, who: Who, until: Duration) -> BoxFuture<'_, Option<Propagation>> {
        self.spread(who, until).boxed()
    }
}

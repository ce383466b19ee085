//! A leaf tells its hub how far the clocks of issuers are ahead; what a hub and peers know comes with
//! their heartbeats.

use std::convert::Infallible;

use futures_util::stream;
use tokio::time::{sleep, timeout};

use crate::{
    fleet::{NodeId, Run},
    limits,
    proto::v1,
    wire,
};

use super::{Sync, connection::Client};

/// Tells whatever is news, as long as the connection holds. A hub that does not take it is told again:
/// that alone is no reason to give up following it.
pub(super) async fn tell_hub(
    sync: &Sync,
    mut client: Client,
    run: Run,
    role: v1::FollowerRole,
) -> Infallible {
    let mut versions = sync.ledger.leads();
    let mut told = 0;
    loop {
        let newest = *versions.borrow_and_update();
        if newest == told {
            if versions.changed().await.is_err() {
                // The ledger outlives those who follow.
                std::future::pending::<()>().await;
            }
            continue;
        }
        let (leads, through) = sync.ledger.leads_after(told);
        if leads.is_empty() {
            told = through;
            continue;
        }
        let message = v1::MergeRecordsRequest {
            hub_boot: run.boot.0,
            follower: Some(v1::Follower {
                node_id: NodeId(sync.ledger.node()).to_string(),
                role: role.into(),
            }),
            clock_leads: wire::leads_out(leads),
            ..v1::MergeRecordsRequest::default()
        };
        let call = client.merge_records(stream::iter([message]));
        match timeout(limits::PEER_CALL_TIMEOUT, call).await {
            Ok(Ok(_)) => {
                told = through;
                sleep(limits::CLOCK_LEAD_DELAY).await;
            }
            Ok(Err(status)) => {
                tracing::debug!(
                    error = status.message(),
                    "clock leads are not taken by the hub"
                );
                sleep(limits::PEER_HEARTBEAT).await;
            }
            Err(_) => tracing::debug!("clock leads: no answer from the hub in time"),
        }
    }
}

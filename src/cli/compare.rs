//! `rescind status --compare`: waits until this node has compared what it holds with those it follows.

use std::{collections::BTreeSet, io::Write, time::Duration};

use prost_types::Timestamp;

use crate::{
    limits,
    proto::v1::{self, GetStatusResponse, UpstreamStatus},
};

use super::{connect::Client, failure::Failure};

/// How often it is looked whether it is done.
const POLL: Duration = Duration::from_millis(100);

/// The status once every node that answered at first has been compared with, or has gone away. The
/// comparison was asked for with the first one.
pub(super) async fn until_done(
    client: &mut Client,
    first: GetStatusResponse,
    err: &mut dyn Write,
) -> Result<GetStatusResponse, Failure> {
    let before = first
        .upstreams
        .iter()
        .filter(|upstream| is_connected(upstream));
    let mut left: BTreeSet<_> = before.map(seen).collect();
    if left.is_empty() {
        writeln!(
            err,
            "no node that this one follows is connected: nothing was compared"
        )?;
        return Ok(first);
    }
    writeln!(err, "comparing with {} other nodes", left.len())?;
    let mut status = first;
    let comparing = async {
        while !left.is_empty() {
            tokio::time::sleep(POLL).await;
            let call = client.rpc.get_status(v1::GetStatusRequest::default());
            status = client.server.answer(call).await?;
            let still = status
                .upstreams
                .iter()
                .filter(|upstream| is_connected(upstream));
            let still: BTreeSet<_> = still.map(seen).collect();
            left.retain(|upstream| still.contains(upstream));
        }
        Ok::<_, Failure>(())
    };
    if let Ok(compared) = tokio::time::timeout(limits::COMPARE_WAIT_MAX, comparing).await {
        compared?;
    }
    for upstream in &mut status.upstreams {
        if left.contains(&seen(upstream)) {
            "no answer in time".clone_into(&mut upstream.not_compared_because);
        }
    }
    Ok(status)
}

/// Whether each node that is followed was compared with and holds the same.
pub(super) fn is_equal(status: &GetStatusResponse) -> bool {
    let others = status
        .upstreams
        .iter()
        .filter(|upstream| upstream.state != "self");
    others.clone().all(|upstream| {
        is_connected(upstream)
            && upstream.compared_at.is_some()
            && upstream.not_compared_because.is_empty()
            && upstream.ranges_differing == 0
    })
}

fn is_connected(upstream: &UpstreamStatus) -> bool {
    matches!(upstream.state.as_str(), "catching-up" | "following")
}

/// One upstream with its last comparison.
fn seen(upstream: &UpstreamStatus) -> (String, Option<(i64, i32)>) {
    let at = upstream.compared_at.as_ref();
    let at = at.map(|Timestamp { seconds, nanos }| (*seconds, *nanos));
    (upstream.address.clone(), at)
}

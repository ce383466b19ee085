//! Anti-entropy: what should be equal is compared now and then, and read again where it is not.

use tokio::time::timeout;

use crate::{
    fleet::{Kind, Upstream},
    ledger::{Digested, Digests, Merge},
    limits,
    proto::v1::{self, watch_revocations_response::Event},
    wire,
};

use super::{
    Sync,
    connection::{self, Ask, Client, Ended},
    follow::role_of,
};

/// Compares with an upstream again and again, as long as the connection holds.
pub(super) async fn run(sync: &Sync, upstream: &Upstream, mut client: Client) -> Ended {
    loop {
        sync.fleet.compare_due(sync.settings.digests.interval).await;
        if let Err(ended) = compare(sync, upstream, &mut client).await {
            return ended;
        }
    }
}

/// Ranges that differ twice, some time apart, silently differ: they are read again.
async fn compare(sync: &Sync, upstream: &Upstream, client: &mut Client) -> Result<(), Ended> {
    let Some(first) = differing(sync, upstream, client).await? else {
        return Ok(());
    };
    if first.is_empty() {
        return Ok(());
    }
    tokio::time::sleep(sync.settings.digests.again).await;
    let Some(second) = differing(sync, upstream, client).await? else {
        return Ok(());
    };
    let ranges: Vec<u32> = first
        .into_iter()
        .filter(|range| second.contains(range))
        .map(u32::from)
        .collect();
    if ranges.is_empty() {
        return Ok(());
    }
    let changed = read_again(sync, upstream, client, &ranges).await?;
    tracing::error!(
        upstream = upstream.address,
        ranges = ranges.len(),
        changed,
        "this node and its upstream had silently come to hold different records: read again"
    );
    upstream.update(|view| view.ranges_healed += ranges.len() as u64);
    if upstream.kind == Kind::Peer {
        // A peer finds and reads by itself what it lacks.
        return Ok(());
    }
    upstream.update(|view| view.hand_ups += 1);
    Err(
        "it may lack what this node holds: handing everything up again"
            .to_owned()
            .into(),
    )
}

/// The ranges that differ now; `None` when the upstream makes no digests for this node, or not now.
async fn differing(
    sync: &Sync,
    upstream: &Upstream,
    client: &mut Client,
) -> Result<Option<Vec<u16>>, Ended> {
    let wall = sync.ledger.wall();
    let of = Digested {
        written_before: wall.minus(sync.settings.digests.young),
        runs_out_after: wall.plus(limits::DIGESTS_OLD),
    };
    let request = v1::GetDigestsRequest {
        written_before_ns: of.written_before.nanos(),
        runs_out_after_ns: of.runs_out_after.nanos(),
    };
    let theirs = match timeout(limits::DIGESTS_INTERVAL, client.get_digests(request)).await {
        Ok(Ok(answer)) => answer.into_inner(),
        Ok(Err(status)) => {
            tracing::info!(
                upstream = upstream.address,
                error = status.message(),
                "digests were not compared"
            );
            return Ok(None);
        }
        Err(_) => return Err("comparing digests: no answer in time".to_owned().into()),
    };
    let ours = sync.ledger.digests(of).await;
    let ours = ours.map_err(|error| format!("the journal cannot be read: {error}"))?;
    let theirs = Digests {
        ranges: theirs
            .digests
            .chunks_exact(8)
            .map(|digest| digest.try_into().map_or(0, u64::from_be_bytes))
            .collect(),
        records: theirs.records,
    };
    tracing::debug!(
        upstream = upstream.address,
        ours = ours.records,
        theirs = theirs.records,
        "digests compared"
    );
    Ok(Some(ours.differing(&theirs)))
}

async fn read_again(
    sync: &Sync,
    upstream: &Upstream,
    client: &mut Client,
    ranges: &[u32],
) -> Result<u64, Ended> {
    let ask = Ask {
        start: v1::Start::Beginning,
        ranges: ranges.to_vec(),
        ..Ask::default()
    };
    let role = role_of(upstream.kind);
    let mut begun = connection::watch(client, &sync.ledger, role, ask).await?;
    let mut changed = 0;
    loop {
        let message = timeout(limits::PEER_CALL_TIMEOUT, begun.messages.message());
        let message = message
            .await
            .map_err(|_| "reading again: it has fallen silent".to_owned())??
            .ok_or_else(|| "reading again: it ended the watch".to_owned())?;
        match message.event {
            Some(Event::Records(records)) => {
                let records = records.revocations.into_iter();
                let order = Merge {
                    records: records
                        .filter_map(|sent| wire::record_in(sent).ok())
                        .collect(),
                    afresh: true,
                    ..Merge::default()
                };
                let merged = sync.ledger.merge(order).await;
                changed += merged.map_err(|error| error.to_string())?.changed;
            }
            Some(Event::CaughtUp(_)) => return Ok(changed),
            _ => {}
        }
    }
}

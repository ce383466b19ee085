//! Anti-entropy: what should be equal is compared now and then, and read again where it is not.

use tokio::time::timeout;

use crate::{
    fleet::{Compared, Kind, Upstream},
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
    let mut asked = sync.fleet.compare_asked();
    loop {
        tokio::select! {
            biased;
            // The fleet outlives those who follow.
            _ = asked.changed() => {}
            () = tokio::time::sleep(sync.settings.digests.interval) => {}
        }
        let began = sync.fleet.steady();
        if let Err(ended) = compare(sync, upstream, &mut client).await {
            return ended;
        }
        // However often somebody asks, half of the time is left for other work.
        let took = sync.fleet.steady().saturating_sub(began);
        tokio::time::sleep(took).await;
    }
}

/// Ranges that differ twice, some time apart, silently differ: they are read again.
async fn compare(sync: &Sync, upstream: &Upstream, client: &mut Client) -> Result<(), Ended> {
    let first = look(sync, upstream, client).await?;
    if first.is_empty() {
        return Ok(());
    }
    tokio::time::sleep(sync.settings.digests.again).await;
    let second = look(sync, upstream, client).await?;
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

/// The ranges that differ now, as far as the upstream makes digests for this node.
async fn look(sync: &Sync, upstream: &Upstream, client: &mut Client) -> Result<Vec<u16>, Ended> {
    let differing = differing(sync, client).await?;
    match &differing {
        Ok(ranges) if ranges.is_empty() => {}
        Ok(ranges) => tracing::warn!(
            upstream = upstream.address,
            ranges = ranges.len(),
            "digests differ: it is looked at again, and read again if they still do"
        ),
        Err(because) => tracing::info!(
            upstream = upstream.address,
            error = because,
            "digests were not compared"
        ),
    }
    let count = |ranges: &Vec<u16>| u32::try_from(ranges.len()).unwrap_or(u32::MAX);
    let compared = Compared {
        at: sync.ledger.wall(),
        differing: differing.as_ref().map(count).map_err(String::clone),
    };
    upstream.update(|view| view.compared = Some(compared));
    Ok(differing.unwrap_or_default())
}

/// The ranges that differ now; or why the upstream makes no digests for this node, or not now.
async fn differing(sync: &Sync, client: &mut Client) -> Result<Result<Vec<u16>, String>, Ended> {
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
        Ok(Err(status)) => return Ok(Err(status.message().to_owned())),
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
    Ok(Ok(ours.differing(&theirs)))
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

//! Anti-entropy: what should be equal is compared now and then, and read again where it is not.

use std::time::Duration;

use tokio::time::timeout;
use tonic::{Response, Status};
use tonic_types::StatusExt as _;

use crate::{
    fleet::{Compared, Kind, Upstream},
    ledger::{Digested, Digests, Merge},
    limits,
    proto::v1::{self, watch_revocations_response::Event},
};

use super::{
    Sync,
    backoff::Backoff,
    connection::{self, Ask, Client, Ended},
    follow::role_of,
    session::read,
};

/// Compares with an upstream again and again, as long as the connection holds.
pub(super) async fn run(
    sync: &Sync,
    upstream: &Upstream,
    client: Client,
    random: &mut Backoff,
) -> Ended {
    let mut asked = sync.fleet.compare_asked();
    let interval = sync.settings.digests.interval;
    let mut pause = first_pause(interval, random);
    let mut with = With {
        sync,
        upstream,
        client,
        random,
        suspected: Vec::new(),
    };
    loop {
        tokio::select! {
            biased;
            // The fleet outlives those who follow.
            _ = asked.changed() => {}
            () = tokio::time::sleep(pause) => {}
        }
        pause = interval;
        let began = sync.fleet.steady();
        if let Err(ended) = with.compare().await {
            return ended;
        }
        // However often somebody asks, half of the time is left for other work.
        let took = sync.fleet.steady().saturating_sub(began);
        tokio::time::sleep(took).await;
    }
}

/// At some point of the interval: leaves that lost their hub together do not come together for ever.
fn first_pause(interval: Duration, random: &mut Backoff) -> Duration {
    interval.saturating_sub(random.part_of(interval))
}

/// With whom digests are compared.
struct With<'a> {
    sync: &'a Sync,
    upstream: &'a Upstream,
    client: Client,
    random: &'a mut Backoff,
    /// Ranges that differed and have yet to be looked at again.
    suspected: Vec<u16>,
}

impl With<'_> {
    /// Ranges that differ twice, some time apart, silently differ: they are read again.
    async fn compare(&mut self) -> Result<(), Ended> {
        let (sync, upstream) = (self.sync, self.upstream);
        let Some(mut differing) = self.look().await? else {
            return Ok(());
        };
        if self.suspected.is_empty() {
            if differing.is_empty() {
                return Ok(());
            }
            self.suspected = differing;
            tokio::time::sleep(sync.settings.digests.again).await;
            // A busy hub may have no turn for it: then this is what the next one is compared with.
            let Some(second) = self.look().await? else {
                return Ok(());
            };
            differing = second;
        }
        let suspected = std::mem::take(&mut self.suspected);
        let both = suspected.iter().filter(|range| differing.contains(range));
        let ranges: Vec<u32> = both.map(|range| u32::from(*range)).collect();
        if ranges.is_empty() {
            return Ok(());
        }
        let changed = read_again(sync, upstream, &mut self.client, &ranges).await?;
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
    async fn look(&mut self) -> Result<Option<Vec<u16>>, Ended> {
        let (sync, upstream) = (self.sync, self.upstream);
        let differing = self.differing().await?;
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
        Ok(differing.ok())
    }

    /// The ranges that differ now; or why the upstream makes no digests for this node, or not now.
    async fn differing(&mut self) -> Result<Result<Vec<u16>, String>, Ended> {
        let sync = self.sync;
        let wall = sync.ledger.wall();
        let of = Digested {
            written_before: wall.minus(sync.settings.digests.young),
            runs_out_after: wall.plus(limits::DIGESTS_OLD),
        };
        let request = v1::GetDigestsRequest {
            written_before_ns: of.written_before.nanos(),
            runs_out_after_ns: of.runs_out_after.nanos(),
        };
        let theirs = match self.theirs(request).await? {
            Ok(theirs) => theirs,
            Err(status) => return Ok(Err(status.message().to_owned())),
        };
        let ours = sync.ledger.digests(of, ()).await;
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

    /// Its digests. It makes them for one node at a time: when it is not the turn of this one, that
    /// may be soon.
    async fn theirs(
        &mut self,
        request: v1::GetDigestsRequest,
    ) -> Result<Result<v1::GetDigestsResponse, Status>, Ended> {
        let mut more_tries = 1..limits::DIGESTS_TRIES;
        loop {
            let answer = self.client.get_digests(request);
            match timeout(limits::DIGESTS_INTERVAL, answer).await {
                Ok(Err(status)) if is_not_its_turn(&status) && more_tries.next().is_some() => {
                    let within = self.sync.settings.digests.again;
                    tokio::time::sleep(self.random.part_of(within)).await;
                }
                Ok(answer) => return Ok(answer.map(Response::into_inner)),
                Err(_) => return Err("comparing digests: no answer in time".to_owned().into()),
            }
        }
    }
}

fn is_not_its_turn(status: &Status) -> bool {
    let info = status.get_details_error_info();
    info.is_some_and(|info| info.reason == "DIGESTS_UNDER_WAY")
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
                let (records, _) = read(upstream, records.revocations);
                let order = Merge {
                    records,
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A thousand leaves that lost one hub compared with the next one in step.
    #[test]
    fn leaves_that_come_together_compare_at_times_of_their_own() {
        let interval = limits::DIGESTS_INTERVAL;
        let pauses: Vec<_> = (1..=100_u64)
            .map(|leaf| Backoff::new(leaf.wrapping_mul(0x9E37_79B9_7F4A_7C15)))
            .map(|mut random| first_pause(interval, &mut random))
            .collect();
        for quarter in 1..=4 {
            let (after, until) = (interval * (quarter - 1) / 4, interval * quarter / 4);
            let here = pauses
                .iter()
                .filter(|pause| **pause > after && **pause <= until);
            assert!(here.count() > 10, "{pauses:?}");
        }
    }
}

//! One connection to an upstream: what it says is taken in.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use futures_util::{FutureExt as _, Stream, StreamExt as _};
use prost::Message as _;
use tonic::Status;

use crate::{
    fleet::{Phase, Run, Upstream, UpstreamView},
    ledger::{Cursor, Merge},
    limits,
    model::{Bounds, Record},
    proto::v1::{self, Heartbeat, watch_revocations_response::Event},
    wire,
};

use super::{
    Sync,
    acks::Acks,
    connection::Ended,
    held::{Held, Level},
};

/// One connection.
pub(super) struct Session {
    run: Run,
    pub(super) acks: Acks,
    pub(super) held: Held,
    /// Of a node that was never caught up with before: by which bounds it keeps what it sends.
    bounds_of_first: Option<Bounds>,
    /// Records that could not be read. From the first of them on the cursor stands still, and this
    /// connection says nothing of how level this node is: a record that it skipped for good would be
    /// a revocation that it misses without a word.
    refused: AtomicU64,
    has_caught_up: AtomicBool,
}

impl Session {
    pub(super) fn new(run: Run, watch_id: u64, bounds_of_first: Option<Bounds>) -> Self {
        Self {
            run,
            acks: Acks::new(watch_id),
            held: Held::default(),
            bounds_of_first,
            refused: AtomicU64::new(0),
            has_caught_up: AtomicBool::new(false),
        }
    }

    /// Until it is time to read again what could not be read: it may be gone, or written anew. Not
    /// before the rest was read, which may take long.
    pub(super) async fn to_be_read_again(&self) -> Ended {
        loop {
            tokio::time::sleep(limits::REFUSED_AGAIN).await;
            let refused = self.refused.load(Ordering::Relaxed);
            if refused > 0 && self.has_caught_up.load(Ordering::Relaxed) {
                return refusal(refused).into();
            }
        }
    }

    pub(super) fn is_whole(&self) -> bool {
        self.refused.load(Ordering::Relaxed) == 0
    }
}

/// A message with records, and the records of those behind it that have come already: one transaction
/// for all of them. What comes next and is none of them stays waiting.
pub(super) fn gather(
    mut message: v1::WatchRevocationsResponse,
    messages: &mut (impl Stream<Item = Result<v1::WatchRevocationsResponse, Status>> + Unpin),
    waiting: &mut Option<v1::WatchRevocationsResponse>,
) -> Result<v1::WatchRevocationsResponse, Ended> {
    let Some(Event::Records(records)) = &mut message.event else {
        return Ok(message);
    };
    let mut bytes = records.encoded_len();
    while records.revocations.len() < limits::MERGE_RECORDS_MAX && bytes < limits::MERGE_BYTES_MAX {
        let Some(Some(next)) = messages.next().now_or_never() else {
            break;
        };
        let next = next?;
        if let Some(Event::Records(more)) = next.event {
            bytes += more.encoded_len();
            records.revocations.extend(more.revocations);
            message.cursor = next.cursor;
        } else {
            *waiting = Some(next);
            break;
        }
    }
    Ok(message)
}

/// Deals with one message: what it says is enforced, and if the disk works durable, when this
/// returns.
pub(super) async fn take_in(
    sync: &Sync,
    upstream: &Upstream,
    session: &Session,
    durable: &mut Option<(Run, Vec<u8>)>,
    message: v1::WatchRevocationsResponse,
) -> Result<(), Ended> {
    let v1::WatchRevocationsResponse { cursor, event } = message;
    let mut order = Merge::default();
    let mut is_level = None;
    match event {
        Some(Event::Records(records)) => {
            order.records = readable(upstream, session, records.revocations);
        }
        Some(Event::CaughtUp(caught_up)) => {
            caught_up_with(sync, upstream, session, caught_up).await?;
        }
        Some(Event::Heartbeat(heartbeat)) => is_level = Some(heartbeat),
        Some(Event::Hello(_)) | None => {}
    }
    // As when the disk has failed: what can be read is enforced, and the cursor stands still.
    let is_whole = session.is_whole();
    order.place = is_whole.then(|| (Sync::cursor_name(session.run), cursor.clone()));
    let merged = sync
        .ledger
        .merge(order)
        .await
        .map_err(|error| error.to_string())?;
    session.held.add(&merged.held, &cursor);
    if merged.durable && is_whole {
        *durable = Some((session.run, cursor.clone()));
        session.acks.durable(cursor.clone(), merged.changed > 0);
    }
    let at = Cursor::decode(&cursor);
    upstream.update(|view| {
        view.changed += merged.changed;
        if let Some(at) = at.filter(|_| is_whole) {
            (view.seq, view.head) = (at.seq, view.head.max(at.head));
        }
    });
    if let Some(heartbeat) = is_level {
        hear(sync, upstream, session, &heartbeat).await;
    }
    Ok(())
}

/// Those of the records that can be read.
fn readable(upstream: &Upstream, session: &Session, sent: Vec<v1::Revocation>) -> Vec<Record> {
    let received = sent.len() as u64;
    let (records, refused) = read(upstream, sent);
    let before = session.refused.fetch_add(refused, Ordering::Relaxed);
    upstream.update(|view| {
        view.received += received;
        if before + refused > 0 {
            view.last_error = refusal(before + refused);
        }
    });
    records
}

/// Those of the records that can be read, and how many cannot: those are told of.
pub(super) fn read(upstream: &Upstream, sent: Vec<v1::Revocation>) -> (Vec<Record>, u64) {
    let mut records = Vec::with_capacity(sent.len());
    let mut refused = 0;
    for revocation in sent {
        match wire::record_in(revocation) {
            Ok(record) => records.push(record),
            Err(problem) => {
                tracing::error!(
                    upstream = upstream.address,
                    problem,
                    "a record cannot be taken in"
                );
                refused += 1;
            }
        }
    }
    upstream.update(|view| view.refused += refused);
    (records, refused)
}

fn refusal(count: u64) -> String {
    format!(
        "{count} of its records cannot be read here, and this node is not level with it until they \
         can: the log names them; upgrade this node"
    )
}

pub(super) fn caught_up_name(run: Run) -> String {
    format!("caught-up:{}", run.node)
}

async fn caught_up_with(
    sync: &Sync,
    upstream: &Upstream,
    session: &Session,
    caught_up: v1::CaughtUp,
) -> Result<(), Ended> {
    session.has_caught_up.store(true, Ordering::Relaxed);
    // Also when not all of it could be read: what this log has to give is not in what was refused.
    session.held.reached(if caught_up.ready {
        Level::Ready
    } else {
        Level::CaughtUp
    });
    if !session.is_whole() {
        upstream.update(|view| view.phase = Phase::Following);
        return Ok(());
    }
    if let Some(bounds) = &session.bounds_of_first {
        let known = sync.ledger.caught_up_from(bounds.clone()).await;
        known.map_err(|error| error.to_string())?;
        // After that: the raise must never be on disk later than the word that it was made.
        let noted = sync.ledger.remember(caught_up_name(session.run), vec![1]);
        noted.await.map_err(|error| error.to_string())?;
    }
    tracing::info!(
        upstream = upstream.address,
        ready = caught_up.ready,
        "caught up"
    );
    upstream.update(|view| {
        view.phase = Phase::Following;
        view.has_caught_up = true;
        view.is_ready = caught_up.ready;
    });
    Ok(())
}

async fn hear(sync: &Sync, upstream: &Upstream, session: &Session, heartbeat: &Heartbeat) {
    let sent_at = match heartbeat.nonce {
        0 => None,
        nonce => session.acks.echoed(nonce),
    };
    let leads = wire::leads_in(heartbeat.clock_leads.clone());
    sync.ledger.learn_leads(leads);
    let theirs = heartbeat
        .staleness
        .and_then(|staleness| staleness.try_into().ok());
    let has_all = |view: &UpstreamView| {
        view.phase == Phase::Following && (view.seq >= heartbeat.head || !session.is_whole())
    };
    upstream.update(|view| {
        view.head = heartbeat.head;
        view.is_ready |= heartbeat.ready && session.is_whole() && has_all(view);
    });
    if heartbeat.ready && has_all(&upstream.view()) {
        session.held.reached(Level::Ready);
    }
    if let Some(sent_at) = sent_at
        && session.is_whole()
    {
        upstream.heard(sent_at, theirs);
    }
    if let Some(time) = heartbeat.server_time
        && sent_at.is_some()
    {
        let time = wire::time_in(time);
        // Whether it is believed does not concern this connection.
        drop(sync.ledger.hear_of_time(time).await);
    }
}

#[cfg(test)]
mod tests;

//! `WatchRevocations`: a loop that reads after its cursor, sends, and waits to be woken.

use std::{pin::Pin, sync::Arc, time::Duration};

use futures_util::{Stream, stream};
use prost::bytes::Bytes;
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::{
    fleet::{Fleet, Reached, Role, Run},
    ledger::{Chunk, Cursor, Fed, Ledger, Reader, Resume},
    limits,
    model::{Boot, Record},
    proto::{
        Records,
        v1::{
            self, CaughtUp, Heartbeat, Hello, WatchMode, WatchRevocationsResponse,
            watch_revocations_response::Event,
        },
    },
    wire,
};

use super::{
    filter::Filter,
    follow::reached,
    inward, outward,
    status::{self, BadField},
    watchers::{Follower, Watching},
};

/// What a watch answers with.
pub(super) type Answers =
    Pin<Box<dyn Stream<Item = Result<WatchRevocationsResponse, Status>> + Send>>;

/// What a watch asks for.
#[derive(Debug)]
pub(super) struct Asked {
    filter: Filter,
    cursor: Option<Cursor>,
    start: v1::Start,
    heartbeat: Duration,
    /// The name it gave.
    pub(super) watcher: String,
    /// The node that watches, if it is one.
    pub(super) follower: Option<Follower>,
}

impl Asked {
    /// How far the watcher has come, as its cursor says.
    pub(super) fn reached(&self, ledger: &Ledger) -> Reached {
        let reached = self.cursor.and_then(|cursor| reached(ledger, cursor));
        reached.unwrap_or_default()
    }
}

/// Reads what a watch asks for.
pub(super) fn parse(request: v1::WatchRevocationsRequest) -> Result<Asked, BadField> {
    let filter = Filter::of_watch(&request)?;
    let start = v1::Start::try_from(request.start).map_err(|_| {
        let problem = format!("{} is not a Start: give BEGINNING or NOW", request.start);
        BadField::new("start", problem)
    })?;
    let cursor = match request.cursor.as_slice() {
        [] => None,
        bytes => Some(cursor(bytes, filter.digest())?),
    };
    let follower = follower(&request)?;
    if follower.is_some() && filter.is_of_people() {
        return Err(BadField::new(
            "exclude_origin",
            "is for nodes that follow this one, which need all records: leave kinds and issuers out",
        ));
    }
    Ok(Asked {
        follower,
        filter,
        cursor,
        start,
        heartbeat: heartbeat(request.heartbeat)?,
        watcher: inward::bounded(request.watcher, "watcher", limits::IDENTIFIER_BYTES_MAX)?,
    })
}

/// A node that follows this one names itself and its boot.
fn follower(request: &v1::WatchRevocationsRequest) -> Result<Option<Follower>, BadField> {
    let named = request.follower.as_ref();
    let Some(named) = named.filter(|_| request.exclude_origin != 0) else {
        if named.is_some() || request.exclude_origin != 0 {
            return Err(BadField::new(
                "exclude_origin",
                "and follower go together: a node that follows this one gives both",
            ));
        }
        return Ok(None);
    };
    let (node, role) = inward::follower(named, "follower")?;
    let boot = Boot(request.exclude_origin);
    Ok(Some(Follower {
        run: Run { node, boot },
        role,
    }))
}

fn cursor(bytes: &[u8], filters: u64) -> Result<Cursor, BadField> {
    let cursor = Cursor::decode(bytes).ok_or_else(|| {
        let problem = format!(
            "these {} bytes never were a cursor: send the last one received as it came, or none",
            bytes.len()
        );
        BadField::new("cursor", problem)
    })?;
    if cursor.filters != filters {
        return Err(BadField::new(
            "cursor",
            "is of a watch with other kinds or issuers: begin anew to change them",
        ));
    }
    Ok(cursor)
}

fn heartbeat(asked: Option<prost_types::Duration>) -> Result<Duration, BadField> {
    let Some(asked) = asked else {
        return Ok(limits::HEARTBEAT_DEFAULT);
    };
    let bounds = limits::HEARTBEAT_MIN..=limits::HEARTBEAT_MAX;
    inward::duration(asked)
        .filter(|heartbeat| bounds.contains(heartbeat))
        .ok_or_else(|| {
            let problem = format!(
                "is {} s and {} ns, and 0.2 s to 60 s are allowed",
                asked.seconds, asked.nanos
            );
            BadField::new("heartbeat", problem)
        })
}

/// A follower's nonce, and what was true when it was looked at: once everything from before is sent,
/// the echo says so.
#[derive(Clone, Copy, Default)]
struct Heard {
    nonce: u64,
    head: u64,
    staleness: Option<Duration>,
    ready: bool,
    echoed: bool,
}

/// One watch.
struct Watch {
    ledger: Ledger,
    filter: Filter,
    follower: Option<Follower>,
    filters: u64,
    mode: WatchMode,
    /// Everything up to here was sent, or is not shown.
    seq: u64,
    /// Up to where the last message's cursor went.
    told: u64,
    /// The newest seq of whatever was read so far. A target that was superseded while this watch
    /// read stands at or before it: a watcher that has come here has missed nothing.
    caught_up_at: u64,
    said_hello: bool,
    said_caught_up: bool,
    heartbeat: Duration,
    last_sent: Instant,
    last_heartbeat: Instant,
    /// Since when there is something to relay to a peer that it usually has from somebody else.
    relaying_since: Option<Instant>,
    heard: Heard,
    fleet: Arc<Fleet>,
    head: watch::Receiver<u64>,
    /// What is learnt of the clocks of issuers, and up to which version of it the follower was told.
    leads: watch::Receiver<u64>,
    leads_told: u64,
    stop: CancellationToken,
    stopped: bool,
    watching: Watching,
}

/// Begins a watch.
pub(super) fn watch(
    ledger: Ledger,
    fleet: Arc<Fleet>,
    asked: Asked,
    stop: CancellationToken,
    watching: Watching,
) -> Answers {
    let head = ledger.subscribe();
    let now = *head.borrow();
    let (seq, mode) = match (
        asked.cursor.map(|cursor| ledger.resume(cursor)),
        asked.start,
    ) {
        (Some(Resume::After(seq)), _) => (seq, WatchMode::Resumed),
        (Some(Resume::Reset), _) => (0, WatchMode::Reset),
        (None, v1::Start::Now) => (now, WatchMode::Now),
        (None, _) => (0, WatchMode::Beginning),
    };
    watching.at(seq);
    let watch = Watch {
        leads: ledger.leads(),
        leads_told: 0,
        filters: asked.filter.digest(),
        filter: asked.filter,
        follower: asked.follower,
        ledger,
        mode,
        seq,
        told: seq,
        // What the cursor's reader knew to exist is waited for, also while it is not shown yet.
        caught_up_at: match mode {
            WatchMode::Resumed => asked.cursor.map_or(now, |cursor| now.max(cursor.head)),
            _ => now,
        },
        said_hello: false,
        said_caught_up: false,
        heartbeat: asked.heartbeat,
        last_sent: Instant::now(),
        last_heartbeat: Instant::now(),
        relaying_since: None,
        heard: Heard {
            echoed: true,
            ..Heard::default()
        },
        fleet,
        head,
        stop,
        stopped: false,
        watching,
    };
    Box::pin(stream::unfold(watch, |mut watch| async {
        let next = watch.next().await?;
        Some((next, watch))
    }))
}

impl Watch {
    async fn next(&mut self) -> Option<Result<WatchRevocationsResponse, Status>> {
        if self.stopped {
            return None;
        }
        let next = self.event().await;
        if let Err(status) = &next {
            self.stopped = true;
            self.watching.refused(status.message());
        }
        self.last_sent = Instant::now();
        self.told = self.seq;
        Some(next.map(|event| {
            WatchRevocationsResponse {
                cursor: self
                    .ledger
                    .cursor(self.seq, self.caught_up_at, self.filters)
                    .encode(),
                event: Some(event),
            }
        }))
    }

    async fn event(&mut self) -> Result<Event, Status> {
        if !self.said_hello {
            self.said_hello = true;
            return Ok(Event::Hello(self.hello()));
        }
        loop {
            if self.stop.is_cancelled() {
                return Err(status::shutting_down());
            }
            if self.watching.is_cloned() {
                return Err(status::cloned());
            }
            self.hear();
            let now = self.state_of_node();
            let head = *self.head.borrow_and_update();
            if !self.heard.echoed && self.seq >= self.heard.head && self.has_missed_nothing() {
                self.heard.echoed = true;
                return Ok(Event::Heartbeat(self.sign_of_life(self.heard)));
            }
            // Before records and CaughtUp: by these a "now" that comes next is late enough.
            if self.has_leads_to_tell() && self.heartbeat_due() <= Instant::now() {
                return Ok(Event::Heartbeat(self.sign_of_life(now)));
            }
            let hold_until = self.hold_until(head);
            if self.seq < head && hold_until.is_none() {
                let records = self.records().await?;
                if self.seq >= head {
                    self.relaying_since = None;
                }
                if let Some(records) = records {
                    return Ok(Event::Records(records));
                }
                // Nothing of that is shown; a watcher that sees little is told of life meanwhile.
                if self.last_sent.elapsed() < self.heartbeat {
                    continue;
                }
            }
            if !self.said_caught_up && self.has_missed_nothing() {
                self.said_caught_up = true;
                return Ok(Event::CaughtUp(CaughtUp { ready: now.ready }));
            }
            let heartbeat_due = self.heartbeat_due();
            tokio::select! {
                // In this order, so that a simulation repeats: what is due before what goes on.
                biased;
                () = tokio::time::sleep_until(hold_until.unwrap_or(heartbeat_due)), if hold_until.is_some() => {}
                () = tokio::time::sleep_until(heartbeat_due) => {
                    return Ok(Event::Heartbeat(self.sign_of_life(now)));
                }
                () = self.stop.cancelled() => {}
                () = self.watching.cloned() => {}
                () = self.watching.poked() => {}
                _ = self.leads.changed(), if self.follower.is_some() => {}
                // The ledger outlives every watch: should it not, the watch ends by its stop.
                _ = self.head.changed() => {}
            }
        }
    }

    /// Until when what there is to tell is kept back: what this node has from others itself, a peer
    /// usually has from them too. What came to this node first never waits, and not all watchers do.
    fn hold_until(&mut self, head: u64) -> Option<Instant> {
        let is_peer = |follower: Follower| follower.role == Role::Peer;
        let waits = self.said_caught_up && self.follower.is_some_and(is_peer);
        if !waits || self.seq >= head || self.seq < self.ledger.first_head() {
            return None;
        }
        let now = Instant::now();
        let until = *self.relaying_since.get_or_insert(now) + limits::RELAY_PATIENCE;
        (until > now).then_some(until)
    }

    /// Whether everything that was acknowledged at or before this place has been read: what was
    /// superseded ahead of this watch stands further on, and was not met before that.
    fn has_missed_nothing(&self) -> bool {
        self.seq >= self.caught_up_at
    }

    /// A follower is told of life all the time: by that it knows how stale it is.
    fn heartbeat_due(&self) -> Instant {
        // What was left out as its own moves its cursor all the same: somebody may wait for that.
        if self.follower.is_some() && self.seq > self.told {
            return self.last_sent;
        }
        let last = if self.follower.is_some() {
            self.last_heartbeat
        } else {
            self.last_sent
        };
        let within = if self.has_leads_to_tell() {
            limits::CLOCK_LEAD_DELAY
        } else {
            self.heartbeat
        };
        last + within
    }

    /// A token that this node called ACTIVE may be issued, by its issuer's clock, in the future: the
    /// others must know by how much before they revoke.
    fn has_leads_to_tell(&self) -> bool {
        self.follower.is_some() && *self.leads.borrow() > self.leads_told
    }

    /// Takes up a nonce, once the one before is echoed. The nonce first, the rest after it: so what
    /// was acknowledged before it came stands at or before this head.
    fn hear(&mut self) {
        let nonce = self.watching.place.nonce();
        if self.heard.echoed && nonce != self.heard.nonce {
            self.heard = Heard {
                nonce,
                echoed: false,
                ..self.state_of_node()
            };
        }
    }

    /// What this node can say of itself, and up to which seq that is in its journal.
    fn state_of_node(&self) -> Heard {
        let (ready, staleness) = (self.fleet.is_ready(), self.fleet.staleness());
        Heard {
            // Never before its echo is due: what stands before it may not be sent yet.
            nonce: if self.heard.echoed {
                self.heard.nonce
            } else {
                0
            },
            staleness,
            ready,
            head: *self.head.borrow(),
            echoed: true,
        }
    }

    /// The next records that are shown, as many as fit one message.
    async fn records(&mut self) -> Result<Option<Records>, Status> {
        let Chunk {
            records,
            through,
            newest,
        } = self
            .ledger
            .read_after(self.seq, limits::WATCH_BATCH_RECORDS_MAX)
            .await
            .map_err(|error| status::of_journal(&error))?;
        self.caught_up_at = self.caught_up_at.max(newest);
        let mut encoded = Vec::new();
        let mut bytes = 0;
        let mut seq = through;
        for (at, record) in &records {
            if self.shows(record) {
                let shown = self.encoded(record);
                bytes += shown.len();
                if bytes > limits::WATCH_BATCH_BYTES_MAX && !encoded.is_empty() {
                    break;
                }
                encoded.push(shown);
            }
            seq = *at;
        }
        // Cut short by its size, a message ends with its last record.
        let is_whole = records.last().is_none_or(|(last, _)| *last == seq);
        self.seq = if is_whole { through } else { seq };
        self.watching.at(self.seq);
        Ok((!encoded.is_empty()).then(|| Records {
            encoded,
            ..Records::default()
        }))
    }

    fn encoded(&self, record: &Fed) -> Bytes {
        let message = |record| prost::Message::encode_to_vec(&record);
        match self.follower {
            Some(_) => record.encoded(Reader::Node, |record| message(wire::record_out(record))),
            None => record.encoded(Reader::Person, |record| {
                message(outward::revocation(record))
            }),
        }
    }

    fn shows(&self, record: &Record) -> bool {
        let is_echo = self
            .follower
            .is_some_and(|follower| record.origin == Some(follower.run.boot));
        !is_echo && self.filter.shows(record)
    }

    fn hello(&self) -> Hello {
        Hello {
            node_id: format!("{:016x}", self.ledger.node()),
            boot: format!("{:016x}", self.ledger.boot().0),
            watch_id: self.watching.id(),
            mode: self.mode.into(),
            settings_digest: self.ledger.semantics().digest().to_vec(),
            bounds: match self.follower {
                Some(_) => wire::bounds_out(&self.ledger.bounds()),
                None => Vec::new(),
            },
        }
    }

    fn sign_of_life(&mut self, of: Heard) -> Heartbeat {
        self.last_heartbeat = Instant::now();
        let mut leads = Vec::new();
        if self.has_leads_to_tell() {
            (leads, self.leads_told) = self.ledger.leads_after(self.leads_told);
        }
        Heartbeat {
            clock_leads: wire::leads_out(leads),
            server_time: outward::time(self.ledger.wall()),
            head: of.head,
            staleness: outward::staleness(of.staleness),
            nonce: of.nonce,
            ready: of.ready,
        }
    }
}

#[cfg(test)]
mod tests;

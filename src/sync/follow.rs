//! Following one node: connect, watch from where we stand, take in, acknowledge.

use std::sync::Arc;

use futures_util::FutureExt as _;

use crate::{
    fleet::{Kind, Phase, Role, Run, Upstream},
    ledger::{Cursor, Merge},
    limits,
    model::Record,
    proto::v1::{self, Heartbeat, WatchMode, watch_revocations_response::Event},
    wire,
};

use super::{
    Place, Sync,
    acks::Acks,
    backoff::Backoff,
    connection::{self, Ask, Begun, Client, Ended, Messages},
    held::Held,
    net::{self, Pulse},
    outbox::Outbox,
    repair,
};

/// One node to follow.
pub(super) struct Follow {
    sync: Sync,
    upstream: Arc<Upstream>,
    place: Place,
    /// Who answered there last, and the last cursor up to which everything is durable here.
    met: Option<Run>,
    durable: Option<(Run, Vec<u8>)>,
    outbox: Outbox,
    backoff: Backoff,
    /// Changed when everything is to be read again, be it while there is no connection.
    rewinds: tokio::sync::watch::Receiver<()>,
}

/// A watch that has begun, and of which node it was thought to be.
struct Begin {
    client: Client,
    pulse: Pulse,
    begun: Begun,
    wanted: Run,
    is_first: bool,
}

/// One connection.
struct Session {
    run: Run,
    acks: Acks,
    held: Held,
    /// Of a node that was never followed before: by which bounds it keeps what it sends.
    bounds_of_first: Option<crate::model::Bounds>,
}

impl Follow {
    pub(super) fn new(sync: &Sync, upstream: Arc<Upstream>, place: Place) -> Self {
        let address = blake3::hash(upstream.address.as_bytes());
        let seed = address
            .as_bytes()
            .first_chunk()
            .map_or(1, |first| u64::from_be_bytes(*first));
        Self {
            backoff: Backoff::new(seed ^ sync.ledger.boot().0),
            outbox: Outbox::new(sync, &upstream),
            sync: sync.clone(),
            upstream,
            place,
            met: None,
            durable: None,
            rewinds: sync.ledger.rewinds(),
        }
    }

    /// Follows it for ever.
    pub(super) async fn run(mut self) {
        loop {
            let Err(ended) = self.connection().await else {
                continue;
            };
            let pause = match ended {
                Ended::Itself => {
                    self.upstream.update(|view| {
                        view.phase = Phase::Itself;
                        view.last_error.clear();
                    });
                    limits::ITSELF_INTERVAL
                }
                Ended::Failed(error) => {
                    self.note_failure(error);
                    self.backoff.next()
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    fn note_failure(&mut self, error: String) {
        let before = self.upstream.view();
        if before.phase == Phase::Following {
            self.backoff.reset();
        }
        if before.last_error != error {
            tracing::warn!(upstream = self.upstream.address, error, "not following");
        }
        self.upstream.update(|view| {
            view.phase = Phase::Failed;
            view.last_error = error;
            view.connected_at = None;
        });
    }

    /// One connection, until it ends.
    async fn connection(&mut self) -> Result<(), Ended> {
        let Begin {
            client,
            pulse,
            begun,
            wanted,
            is_first,
        } = self.begin().await?;
        self.met = Some(begun.run);
        self.upstream.met(begun.run);
        if begun.run.node != wanted.node {
            // The cursor is of another node: it would read everything again for nothing.
            return Err("another node answers at this address now".to_owned().into());
        }
        self.follow((client, pulse), begun, is_first).await
    }

    /// A watch that has begun. Over a slow link that takes long, so there is patience with the first
    /// try; over one that swallowed the first try and works again there is an answer to a later one.
    async fn begin(&self) -> Result<Begin, Ended> {
        let eager = async {
            loop {
                let next = tokio::time::sleep(limits::PEER_EAGER_INTERVAL);
                next.await;
                let again = tokio::time::timeout(limits::PEER_EAGER_INTERVAL, self.try_to_begin());
                if let Ok(Ok(begin)) = again.await {
                    return begin;
                }
            }
        };
        tokio::select! {
            biased;
            patient = self.try_to_begin() => patient,
            begin = eager => Ok(begin),
        }
    }

    async fn try_to_begin(&self) -> Result<Begin, Ended> {
        let (channel, pulse) = net::channel(&self.sync.net, &self.place).await?;
        let mut client = connection::client(channel);
        let wanted = match self.met {
            Some(run) => run,
            None => self.probe(&mut client).await?,
        };
        let cursor = self.cursor(wanted).await?;
        let is_first = cursor.is_empty();
        let ask = Ask {
            cursor,
            start: v1::Start::Beginning,
            ..Ask::default()
        };
        let begun = connection::watch(&mut client, &self.sync.ledger, self.role(), ask).await?;
        Ok(Begin {
            client,
            pulse,
            begun,
            wanted,
            is_first,
        })
    }

    /// Who answers at this address: only then is it known which cursor to go on from.
    async fn probe(&self, client: &mut Client) -> Result<Run, Ended> {
        self.upstream.update(|view| {
            // It stays this node itself until somebody else answers: nobody is to be waited for.
            if view.phase != Phase::Itself {
                view.phase = Phase::Connecting;
            }
        });
        let ask = Ask {
            start: v1::Start::Now,
            ..Ask::default()
        };
        let begun = connection::watch(client, &self.sync.ledger, self.role(), ask).await?;
        Ok(begun.run)
    }

    async fn cursor(&self, run: Run) -> Result<Vec<u8>, Ended> {
        if let Some((of, cursor)) = &self.durable
            && of.node == run.node
        {
            return Ok(cursor.clone());
        }
        let name = Sync::cursor_name(run);
        let cursor = self.sync.ledger.remembered(name).await;
        let cursor = cursor.map_err(|error| format!("the journal cannot be read: {error}"))?;
        Ok(cursor.unwrap_or_default())
    }

    async fn follow(
        &mut self,
        (client, pulse): (Client, Pulse),
        begun: Begun,
        is_first: bool,
    ) -> Result<(), Ended> {
        let Begun {
            run,
            hello,
            mut messages,
        } = begun;
        self.note_met(run, &hello);
        let bounds = wire::bounds_in(hello.bounds.clone());
        let session = Session {
            acks: Acks::new(hello.watch_id),
            held: Held::default(),
            bounds_of_first: bounds.filter(|_| is_first && hello.mode() != WatchMode::Resumed),
            run,
        };
        let Self {
            sync,
            upstream,
            durable,
            outbox,
            backoff,
            rewinds,
            ..
        } = self;
        let reading = async {
            let mut waiting = None;
            loop {
                let message = if let Some(message) = waiting.take() {
                    message
                } else {
                    // Silence counts only while something is waited for: a disk may be slow.
                    tokio::select! {
                        biased;
                        message = next_message(&mut messages) => message?,
                        () = pulse.lost() => return Err("it has fallen silent".to_owned().into()),
                    }
                };
                let message = gather(message, &mut messages, &mut waiting)?;
                take_in(sync, upstream, &session, durable, message).await?;
                if upstream.view().phase == Phase::Following {
                    backoff.reset();
                }
            }
        };
        tokio::select! {
            biased;
            ended = reading => ended,
            error = session.acks.run(client.clone(), &sync.fleet) => Err(error.into()),
            error = outbox.run(client.clone(), run, &session.held), if upstream.kind == Kind::Hub => {
                Err(error)
            }
            error = repair::run(sync, upstream, client) => Err(error),
            _ = rewinds.changed() => {
                *durable = Some((run, Vec::new()));
                Err("the clock was set back: reading everything again".to_owned().into())
            }
        }
    }

    fn note_met(&self, run: Run, hello: &v1::Hello) {
        let settings_differ = hello.settings_digest != self.sync.ledger.semantics().digest();
        if settings_differ && !self.upstream.view().settings_differ {
            tracing::warn!(
                upstream = self.upstream.address,
                "its lifetimes, leeway, default_issuer or claim names differ from those of this \
                 node: they may judge the same token differently; make their settings equal"
            );
        }
        tracing::info!(
            upstream = self.upstream.address,
            node = %run.node,
            mode = hello.mode().as_str_name(),
            "following"
        );
        let now = self.sync.ledger.wall();
        self.upstream.update(|view| {
            view.phase = Phase::CatchingUp;
            view.connected_at = Some(now);
            view.last_error.clear();
            view.is_ready = false;
            view.settings_differ = settings_differ;
        });
    }

    fn role(&self) -> v1::FollowerRole {
        role_of(self.upstream.kind)
    }
}

pub(super) fn role_of(kind: Kind) -> v1::FollowerRole {
    match Sync::role(kind) {
        Role::Peer => v1::FollowerRole::Peer,
        Role::Leaf => v1::FollowerRole::Leaf,
    }
}

async fn next_message(messages: &mut Messages) -> Result<v1::WatchRevocationsResponse, Ended> {
    let message = tokio::time::timeout(limits::PEER_CALL_TIMEOUT, messages.message());
    let message = message
        .await
        .map_err(|_| "a message did not come to its end in time".to_owned())??;
    message.ok_or_else(|| "it ended the watch".to_owned().into())
}

/// A message with records, and the records of those behind it that have come already: one transaction
/// for all of them. What comes next and is none of them stays waiting.
fn gather(
    mut message: v1::WatchRevocationsResponse,
    messages: &mut Messages,
    waiting: &mut Option<v1::WatchRevocationsResponse>,
) -> Result<v1::WatchRevocationsResponse, Ended> {
    let Some(Event::Records(records)) = &mut message.event else {
        return Ok(message);
    };
    while records.revocations.len() < limits::MERGE_RECORDS_MAX {
        let Some(next) = messages.message().now_or_never() else {
            break;
        };
        let Some(next) = next? else { break };
        if let Some(Event::Records(more)) = next.event {
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
async fn take_in(
    sync: &Sync,
    upstream: &Upstream,
    session: &Session,
    durable: &mut Option<(Run, Vec<u8>)>,
    message: v1::WatchRevocationsResponse,
) -> Result<(), Ended> {
    let v1::WatchRevocationsResponse { cursor, event } = message;
    let place = (Sync::cursor_name(session.run), cursor.clone());
    let mut order = Merge {
        place: Some(place),
        ..Merge::default()
    };
    let mut is_level = None;
    match event {
        Some(Event::Records(records)) => {
            order.records = readable(upstream, records.revocations);
        }
        Some(Event::CaughtUp(caught_up)) => {
            caught_up_with(sync, upstream, session, caught_up).await?;
        }
        Some(Event::Heartbeat(heartbeat)) => is_level = Some(heartbeat),
        Some(Event::Hello(_)) | None => {}
    }
    let merged = sync
        .ledger
        .merge(order)
        .await
        .map_err(|error| error.to_string())?;
    session
        .held
        .add(merged.held.iter().flatten().copied(), &cursor);
    if merged.durable {
        *durable = Some((session.run, cursor.clone()));
        session.acks.durable(cursor.clone(), merged.changed > 0);
    }
    let at = Cursor::decode(&cursor);
    upstream.update(|view| {
        view.changed += merged.changed;
        if let Some(at) = at {
            (view.seq, view.head) = (at.seq, view.head.max(at.head));
        }
    });
    if let Some(heartbeat) = is_level {
        hear(sync, upstream, session, &heartbeat).await;
    }
    Ok(())
}

/// Those of the records that can be read: the others harm nobody but are not hidden.
fn readable(upstream: &Upstream, sent: Vec<v1::Revocation>) -> Vec<Record> {
    let received = sent.len() as u64;
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
    upstream.update(|view| {
        view.received += received;
        view.refused += refused;
    });
    records
}

async fn caught_up_with(
    sync: &Sync,
    upstream: &Upstream,
    session: &Session,
    caught_up: v1::CaughtUp,
) -> Result<(), Ended> {
    if let Some(bounds) = &session.bounds_of_first {
        let known = sync.ledger.caught_up_from(bounds.clone()).await;
        known.map_err(|error| error.to_string())?;
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
    let theirs = heartbeat
        .staleness
        .and_then(|staleness| staleness.try_into().ok());
    upstream.update(|view| {
        view.head = heartbeat.head;
        view.is_ready |= heartbeat.ready;
    });
    if let Some(sent_at) = sent_at {
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

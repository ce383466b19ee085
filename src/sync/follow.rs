//! Following one node: connect, watch from where we stand, take in, acknowledge.

use std::sync::Arc;

use crate::{
    fleet::{Kind, NodeId, Phase, Role, Run, Upstream},
    limits,
    proto::v1::{self, watch_revocations_response::Event},
    wire,
};

use super::{
    Place, Sync,
    backoff::Backoff,
    connection::{self, Ask, Begun, Client, Ended, Messages},
    leads,
    net::{self, Pulse},
    outbox::Outbox,
    repair,
    session::{Session, caught_up_name, gather, take_in},
};

/// One node to follow.
pub(super) struct Follow {
    sync: Sync,
    upstream: Arc<Upstream>,
    place: Place,
    /// Who answered there last, and the last cursor up to which everything is durable here.
    met: Option<Run>,
    durable: Option<(Run, Vec<u8>)>,
    /// Whom it has caught up with, as far as that may not be in the journal yet.
    caught_up: Option<NodeId>,
    outbox: Outbox,
    backoff: Backoff,
    /// When digests are compared.
    comparing: Backoff,
    /// Changed when everything is to be read again, be it while there is no connection.
    rewinds: tokio::sync::watch::Receiver<bool>,
}

/// A watch that has begun, and of which node it was thought to be.
struct Begin {
    client: Client,
    pulse: Pulse,
    begun: Begun,
    wanted: Run,
    is_first: bool,
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
            comparing: Backoff::new(seed.rotate_left(32) ^ sync.ledger.boot().0),
            outbox: Outbox::new(sync, &upstream),
            sync: sync.clone(),
            upstream,
            place,
            met: None,
            durable: None,
            caught_up: None,
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
                    self.warn_of_itself();
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

    /// Of a list of all peers a node is itself one. As a leaf of itself it would wait for ever for hubs
    /// that wait for it.
    fn warn_of_itself(&self) {
        let is_new = self.upstream.view().phase != Phase::Itself;
        if is_new && self.upstream.kind == Kind::Hub {
            tracing::warn!(
                hub = self.upstream.address,
                "this node is one of its own hubs: hubs follow each other as peers"
            );
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
        let is_first = self.is_first(wanted).await?;
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

    /// Whether this node has never caught up with it. A cursor is no sign of that: there is one after
    /// the first message.
    async fn is_first(&self, run: Run) -> Result<bool, Ended> {
        if self.caught_up == Some(run.node) {
            return Ok(false);
        }
        let known = self.sync.ledger.remembered(caught_up_name(run)).await;
        let known = known.map_err(|error| format!("the journal cannot be read: {error}"))?;
        Ok(known.is_none())
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
        let session = Session::new(run, hello.watch_id, bounds.filter(|_| is_first));
        let Self {
            sync,
            upstream,
            durable,
            caught_up,
            outbox,
            backoff,
            comparing,
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
                let is_caught_up = matches!(message.event, Some(Event::CaughtUp(_)));
                take_in(sync, upstream, &session, durable, message).await?;
                if is_caught_up && session.is_whole() {
                    *caught_up = Some(run.node);
                }
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
            never = leads::tell_hub(sync, client.clone(), run, role_of(upstream.kind)),
                if upstream.kind == Kind::Hub => match never {},
            error = repair::run(sync, upstream, client, comparing) => Err(error),
            error = session.to_be_read_again() => Err(error),
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

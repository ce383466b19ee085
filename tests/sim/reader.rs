//! Somebody who watches a node over the network, and believes what the watch says.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use hyper_util::rt::TokioIo;
use rescind::{
    ledger::Cursor,
    proto::v1::{
        self, RuleKind, WatchMode, revocation_service_client::RevocationServiceClient, target,
        watch_revocations_response::Event,
    },
    sync::{Net as _, Place},
};
use tonic::{
    Status,
    transport::{Channel, Endpoint},
};

use crate::{
    history::{Victim, knows},
    net::{Now, PORT, SimNet},
    world::World,
};

pub(crate) type Client = RevocationServiceClient<Channel>;

/// What a reader knows, and what it was told.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// Users that are banned.
    pub(crate) banned: BTreeSet<String>,
    /// Since its last question, it was told that it had caught up.
    pub(crate) caught_up: Option<CaughtUp>,
    /// How its watches began.
    pub(crate) modes: Vec<WatchMode>,
    cursor: Vec<u8>,
    /// What the node had, oldest first.
    had: Vec<Had>,
}

/// Which writes a node had.
#[derive(Clone, Debug)]
struct Had {
    disk: u64,
    at: Duration,
    writes: Vec<usize>,
}

/// It was told that it knows everything from before it asked.
#[derive(Clone, Debug)]
pub(crate) struct CaughtUp {
    pub(crate) asked_at: Duration,
    pub(crate) banned: BTreeSet<String>,
}

/// A reader.
#[derive(Clone, Debug)]
pub(crate) struct Reader {
    pub(crate) node: usize,
    known: Arc<Mutex<Known>>,
}

impl Reader {
    pub(crate) fn known<T>(&self, look: impl FnOnce(&mut Known) -> T) -> T {
        look(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn watch(&self, name: &str, now: &Now) -> Result<(), String> {
        let mut client = connect(name).await?;
        let asked_at = now.get();
        let request = v1::WatchRevocationsRequest {
            cursor: self.known(|known| known.cursor.clone()),
            watcher: "a reader".to_owned(),
            ..v1::WatchRevocationsRequest::default()
        };
        let told = |status: Status| status.message().to_owned();
        let mut messages = client
            .watch_revocations(request)
            .await
            .map_err(told)?
            .into_inner();
        // After a RESET only what is told again is so; until it has caught up nobody can tell.
        let mut anew: Option<BTreeSet<String>> = None;
        let mut last_seq = 0;
        loop {
            let next = tokio::time::timeout(Duration::from_secs(7), messages.message());
            let message = next
                .await
                .map_err(|_| "silence")?
                .map_err(told)?
                .ok_or("its end")?;
            let at = Cursor::decode(&message.cursor).ok_or("a cursor that is none")?;
            assert!(
                at.seq >= last_seq,
                "I5: a watch went back from {last_seq} to {}",
                at.seq
            );
            last_seq = at.seq;
            self.known(|known| {
                match message.event {
                    Some(Event::Hello(hello)) => {
                        known.modes.push(hello.mode());
                        if hello.mode() != WatchMode::Resumed {
                            anew = Some(BTreeSet::new());
                        }
                    }
                    Some(Event::Records(records)) => {
                        let banned = anew.as_mut().unwrap_or(&mut known.banned);
                        records
                            .revocations
                            .iter()
                            .for_each(|told| take_in(banned, told));
                    }
                    Some(Event::CaughtUp(_)) => {
                        if let Some(anew) = anew.take() {
                            known.banned = anew;
                        }
                        let banned = known.banned.clone();
                        known.caught_up = Some(CaughtUp { asked_at, banned });
                    }
                    Some(Event::Heartbeat(_)) | None => {}
                }
                // What was told in a first reading that was cut short is told again.
                if anew.is_none() {
                    known.cursor.clone_from(&message.cursor);
                }
            });
        }
    }
}

fn take_in(banned: &mut BTreeSet<String>, told: &v1::Revocation) {
    let kind = told.target.as_ref().and_then(|target| target.kind.as_ref());
    let Some(target::Kind::User(user)) = kind else {
        return;
    };
    if told
        .in_force
        .iter()
        .any(|rule| rule.rule() == RuleKind::All)
    {
        banned.insert(user.sub.clone());
    } else {
        banned.remove(&user.sub);
    }
}

/// A client of a node, from the host that this runs on.
pub(crate) async fn connect(name: &str) -> Result<Client, String> {
    let place = Place::Host(name.to_owned(), PORT);
    let connection = SimNet::default().connect(&place);
    let connection = tokio::time::timeout(Duration::from_secs(2), connection)
        .await
        .map_err(|_| "no connection")?
        .map_err(|error| error.to_string())?;
    let mut connection = Some(TokioIo::new(connection));
    let connector = tower::service_fn(move |_| {
        let connection = connection.take();
        std::future::ready(connection.ok_or_else(|| std::io::Error::other("it has ended")))
    });
    let channel = Endpoint::from_static("http://node.invalid")
        .connect_with_connector(connector)
        .await
        .map_err(|error| error.to_string())?;
    Ok(Client::new(channel))
}

impl World {
    /// Somebody who watches a node through whatever happens to it.
    pub(crate) fn reader(&mut self, node: usize) -> Reader {
        let reader = Reader {
            node,
            known: Arc::default(),
        };
        let (name, now, running) = (
            self.nodes[node].name.clone(),
            self.now.clone(),
            reader.clone(),
        );
        self.sim.host("reader", move || {
            let (name, now, running) = (name.clone(), now.clone(), running.clone());
            async move {
                loop {
                    drop(running.watch(&name, &now).await);
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            }
        });
        reader
    }

    /// **I5**: who was told that it caught up knows every ban that the node had before it asked – its
    /// own and those of others – unless it was lifted or the node's disk went.
    pub(crate) fn caught_up_means_it(&self, reader: &Reader) {
        let disk = self.nodes[reader.node].disks;
        let told = reader.known(|known| known.caught_up.take());
        if let Some(told) = told {
            let had = reader.known(|known| {
                let mut newest_first = known.had.iter().rev();
                let before = newest_first.find(|had| had.disk == disk && had.at < told.asked_at);
                before.map(|had| had.writes.clone())
            });
            for number in had.unwrap_or_default() {
                let write = &self.history.writes[number];
                let Victim::Any(sub) = &write.victim else {
                    continue;
                };
                let is_told = told.banned.contains(sub) || self.history.is_lifted(write);
                self.hold("I5", is_told, || format!("{told:?} lacks {write:?}"));
            }
        }
        if self.live(reader.node).is_none() {
            return;
        }
        let state = self.state(reader.node);
        let writes = self.history.writes.iter();
        let has = writes.filter(|write| knows(&state, &write.target, write.kind, write.dot));
        let had = Had {
            disk,
            at: self.now.get(),
            writes: has.map(|write| write.number).collect(),
        };
        reader.known(|known| known.had.push(had));
    }

    /// **I5**: once all is quiet, a reader knows exactly what the node has: nothing was left out and
    /// nothing came in the wrong order.
    pub(crate) fn reader_knows_all(&mut self, reader: &Reader) {
        // It may still wait for the silence of a connection that was cut.
        self.run_until(
            "I5: the reader knows all",
            Duration::from_secs(20),
            |world| reader.known(|known| known.banned.clone()) == world.banned(reader.node),
        );
    }
}

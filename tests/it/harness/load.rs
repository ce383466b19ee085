//! Writers that keep a server busy, and remember exactly what they were promised.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use rescind::proto::v1::{self, RuleKind, Verdict};
use tokio::task::JoinSet;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::{
    api::{self, ISS, Thing},
    random::Random,
    sidecar::{Client, Sidecar},
};

/// Users and sessions of one writer: few, so that they are revoked and restored again and again.
const NAMES: u64 = 6;
/// The greatest batch.
const BATCH_MAX: u64 = 40;

/// One caller: one request after the other, on targets of its own.
#[derive(Debug)]
struct Writer {
    name: usize,
    random: Random,
    fresh: u64,
    /// What was acknowledged, or was seen to hold after a start: whether it is revoked.
    known: BTreeMap<Thing, bool>,
    /// What the last request was about, when nobody said what became of it.
    unknown: Option<Ask>,
    /// What changed since it was last looked at.
    touched: Vec<Thing>,
}

/// What a writer asks for.
#[derive(Clone, Debug)]
enum Ask {
    Revoke(Vec<Thing>),
    RevokeUser(Thing),
    Restore(Thing),
}

impl Ask {
    fn things(&self) -> &[Thing] {
        match self {
            Self::Revoke(things) => things,
            Self::RevokeUser(thing) | Self::Restore(thing) => std::slice::from_ref(thing),
        }
    }

    fn revokes(&self) -> bool {
        !matches!(self, Self::Restore(_))
    }
}

impl Writer {
    fn fresh(&mut self, kind: &str) -> String {
        self.fresh += 1;
        format!("{kind}-{}-{}", self.name, self.fresh)
    }

    fn next(&mut self) -> Ask {
        let name = format!("{}-{}", self.name, self.random.below(NAMES));
        match self.random.below(10) {
            0..3 => Ask::Revoke(vec![Thing::Token(self.fresh("token"))]),
            3 => Ask::Revoke(vec![Thing::User(name)]),
            4 => Ask::Revoke(vec![Thing::Session(name)]),
            5 => Ask::RevokeUser(Thing::User(name)),
            6 | 7 => self.batch(),
            _ => {
                let revoked: Vec<_> = self.known.iter().filter(|(_, is)| **is).collect();
                if revoked.is_empty() {
                    return self.batch();
                }
                let place = self.random.below(revoked.len() as u64);
                Ask::Restore(revoked[usize::try_from(place).unwrap()].0.clone())
            }
        }
    }

    /// Of things that nobody ever named, so that a part of it is told from the whole.
    fn batch(&mut self) -> Ask {
        let count = 2 + self.random.below(BATCH_MAX - 1);
        let things = (0..count).map(|n| match n % 3 {
            0 => Thing::Token(self.fresh("batch")),
            1 => Thing::User(self.fresh("batch")),
            _ => Thing::Session(self.fresh("batch")),
        });
        Ask::Revoke(things.collect())
    }

    /// Writes until the server is gone.
    async fn run(mut self, mut client: Client, acknowledged: Arc<AtomicU64>) -> Self {
        loop {
            let ask = self.next();
            match send(&mut client, &ask).await {
                Ok(()) => {
                    for thing in ask.things() {
                        self.known.insert(thing.clone(), ask.revokes());
                        self.touched.push(thing.clone());
                    }
                    acknowledged.fetch_add(1, Ordering::Relaxed);
                }
                Err(status) => {
                    // A refusal is an answer, and these requests deserve none but one.
                    let info = status.get_details_error_info();
                    let is_gone = info.is_none_or(|info| info.reason == "SHUTTING_DOWN");
                    assert!(is_gone, "{ask:?}: {status:?}");
                    assert_ne!(status.code(), Code::InvalidArgument, "{status:?}");
                    self.touched.extend_from_slice(ask.things());
                    self.unknown = Some(ask);
                    return self;
                }
            }
        }
    }

    /// Compares what a restarted server says with what this writer was promised.
    fn compare(&mut self, now: &BTreeMap<Thing, bool>) {
        if let Some(ask) = self.unknown.take() {
            let things = ask.things();
            let done = |thing: &&Thing| now[*thing] == ask.revokes();
            let count = things.iter().filter(done).count();
            if things.len() > 1 {
                assert!(count == 0 || count == things.len(), "half of {ask:?}");
            }
            for thing in things {
                // What was revoked before stays so whether or not it was revoked again.
                let was = self.known.get(thing).copied().unwrap_or(false);
                assert!(
                    now[thing] == was || now[thing] == ask.revokes(),
                    "{thing:?} was revoked ({was}), and is now ({}), after {ask:?}",
                    now[thing]
                );
                self.known.insert(thing.clone(), now[thing]);
            }
        }
        for (thing, is_revoked) in now {
            if let Some(known) = self.known.get(thing) {
                assert_eq!(
                    is_revoked, known,
                    "{thing:?}: whether it is revoked, and whether that was acknowledged last"
                );
            }
        }
    }
}

async fn send(client: &mut Client, ask: &Ask) -> Result<(), Status> {
    match ask {
        Ask::Revoke(things) => client.revoke(api::revoke(things)).await.map(drop),
        Ask::RevokeUser(thing) => {
            let Thing::User(sub) = thing.clone() else {
                unreachable!("only users are asked for");
            };
            let request = v1::RevokeUserRequest {
                iss: ISS.to_owned(),
                sub,
                ..v1::RevokeUserRequest::default()
            };
            client.revoke_user(request).await.map(drop)
        }
        Ask::Restore(thing) => {
            let rules = match thing {
                Thing::Token(_) => vec![],
                Thing::User(_) | Thing::Session(_) => vec![RuleKind::IssuedBefore.into()],
            };
            let request = v1::RestoreRequest {
                targets: vec![thing.target()],
                rules,
                ..v1::RestoreRequest::default()
            };
            client.restore(request).await.map(drop)
        }
    }
}

/// All writers between two runs of the server.
#[derive(Debug)]
pub(crate) struct Load {
    writers: Vec<Writer>,
    /// Before everything that is ever revoked here.
    began_s: f64,
}

/// All writers at work.
#[derive(Debug)]
pub(crate) struct Running {
    writers: JoinSet<Writer>,
    began_s: f64,
    /// How many requests were acknowledged so far.
    pub(crate) acknowledged: Arc<AtomicU64>,
}

impl Load {
    pub(crate) fn new(writers: usize, random: &mut Random) -> Self {
        let writer = |name| Writer {
            name,
            random: Random::new(random.next()),
            fresh: 0,
            known: BTreeMap::new(),
            unknown: None,
            touched: Vec::new(),
        };
        Self {
            writers: (0..writers).map(writer).collect(),
            began_s: api::now_s(),
        }
    }

    /// Starts all writers, a few on each connection.
    pub(crate) async fn start(self, sidecar: &Sidecar) -> Running {
        let acknowledged = Arc::<AtomicU64>::default();
        let mut writers = JoinSet::new();
        let mut client = sidecar.client().await;
        for writer in self.writers {
            if writer.name % 4 == 0 {
                client = sidecar.client().await;
            }
            writers.spawn(writer.run(client.clone(), Arc::clone(&acknowledged)));
        }
        Running {
            writers,
            began_s: self.began_s,
            acknowledged,
        }
    }

    /// Asks a restarted server about everything that changed since the last look, or about all.
    /// Returns how many things it asked about.
    pub(crate) async fn check(&mut self, sidecar: &Sidecar, all: bool) -> usize {
        let mut client = sidecar.client().await;
        let mut asked = 0;
        for writer in &mut self.writers {
            let mut things = std::mem::take(&mut writer.touched);
            if all {
                things.extend(writer.known.keys().cloned());
            }
            things.sort_unstable();
            things.dedup();
            asked += things.len();
            let now = verdicts(&mut client, things, self.began_s - 1.0).await;
            writer.compare(&now);
        }
        asked
    }
}

impl Running {
    /// Waits until every writer has seen the server go.
    pub(crate) async fn stopped(self) -> Load {
        let mut writers = self.writers.join_all().await;
        writers.sort_unstable_by_key(|writer| writer.name);
        Load {
            writers,
            began_s: self.began_s,
        }
    }
}

/// Whether each of these is revoked, for tokens issued then.
async fn verdicts(client: &mut Client, things: Vec<Thing>, iat: f64) -> BTreeMap<Thing, bool> {
    let mut verdicts = BTreeMap::new();
    for things in things.chunks(1_000) {
        let checks = things.iter().map(|thing| thing.question(iat)).collect();
        let request = v1::CheckBatchRequest { checks };
        let answer = client.check_batch(request).await.unwrap().into_inner();
        assert_eq!(answer.results.len(), things.len());
        for (thing, result) in things.iter().zip(&answer.results) {
            let is_revoked = match result.verdict() {
                Verdict::Revoked => true,
                Verdict::Active => false,
                _ => panic!("{thing:?}: {result:?}"),
            };
            assert_eq!(result.active, !is_revoked, "{thing:?}: {result:?}");
            verdicts.insert(thing.clone(), is_revoked);
        }
    }
    verdicts
}

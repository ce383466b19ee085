//! What was asked for and acknowledged, and whether nodes say the same.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use rescind::proto::v1::{self, TargetKind, Verdict};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::Code;

use super::status;
use crate::harness::{
    PATIENCE,
    api::{self, ISS, Thing},
    random::Random,
    sidecar::Client,
};

/// Samples are taken of this many of the newest acknowledged writes, or of twice, four times and up to
/// 32 times as many: over a slow link those of a long while may be on their way yet.
const NEWEST: usize = 64;

/// What was asked for and acknowledged.
#[derive(Debug)]
pub(super) struct Truth {
    began_s: f64,
    asked: Mutex<BTreeSet<String>>,
    acknowledged: Mutex<Vec<(String, Instant)>>,
    /// Those of which followers must tell by their staleness that they lack them: a leaf's own,
    /// before a hub has them, are not.
    shared: Mutex<Vec<(String, Instant)>>,
    pub(super) stop: CancellationToken,
}

/// Whose acknowledgement it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// A node that others follow.
    Upstream,
    /// A leaf, which only its hubs hear of it.
    Leaf,
}

/// What samples of one node's answers came to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Samples {
    pub(super) active: u64,
    pub(super) revoked: u64,
    pub(super) refused: u64,
    /// The greatest staleness of an ACTIVE, in milliseconds.
    pub(super) stalest_ms: u32,
}

impl Truth {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            began_s: api::now_s(),
            asked: Mutex::default(),
            acknowledged: Mutex::default(),
            shared: Mutex::default(),
            stop: CancellationToken::new(),
        })
    }

    /// How many writes were acknowledged.
    pub(super) fn len(&self) -> usize {
        self.acknowledged.lock().unwrap().len()
    }

    /// The newest write that was acknowledged by a node that others follow.
    pub(super) fn newest(&self) -> Option<(String, Instant)> {
        self.shared.lock().unwrap().last().cloned()
    }

    /// The first write that was acknowledged by such a node after a moment.
    pub(super) fn first_after(&self, moment: Instant) -> Option<(String, Instant)> {
        let shared = self.shared.lock().unwrap();
        shared.iter().find(|(_, at)| *at > moment).cloned()
    }

    /// A question that only a revocation of this user answers with REVOKED.
    pub(super) fn question(&self, sub: &str) -> v1::CheckRequest {
        Thing::User(sub.to_owned()).question(self.began_s - 1.0)
    }

    /// Revokes a user, and remembers what was promised.
    pub(super) async fn revoke(
        &self,
        client: &mut Client,
        sub: &str,
        by: By,
    ) -> Result<(), tonic::Status> {
        self.asked.lock().unwrap().insert(sub.to_owned());
        let request = v1::RevokeUserRequest {
            iss: ISS.to_owned(),
            sub: sub.to_owned(),
            comment: "x".repeat(200),
            ..v1::RevokeUserRequest::default()
        };
        client.revoke_user(request).await?;
        let acknowledged = (sub.to_owned(), Instant::now());
        if by == By::Upstream {
            self.shared.lock().unwrap().push(acknowledged.clone());
        }
        self.acknowledged.lock().unwrap().push(acknowledged);
        Ok(())
    }

    /// Revokes many at once, with much to keep of each.
    pub(super) async fn revoke_many(&self, client: &mut Client, subs: &[String]) {
        self.asked.lock().unwrap().extend(subs.iter().cloned());
        let things: Vec<_> = subs.iter().cloned().map(Thing::User).collect();
        let request = v1::RevokeRequest {
            comment: "x".repeat(1_024),
            ..api::revoke(&things)
        };
        client.revoke(request).await.unwrap();
        let now = Instant::now();
        let acknowledged = subs.iter().map(|sub| (sub.clone(), now));
        self.acknowledged.lock().unwrap().extend(acknowledged);
    }

    /// Writes at a node until told to stop, whatever becomes of the node meanwhile.
    pub(super) fn write(
        self: &Arc<Self>,
        name: &str,
        mut client: Client,
        by: By,
        every: Duration,
    ) -> JoinHandle<()> {
        let (truth, name) = (Arc::clone(self), name.to_owned());
        tokio::spawn(async move {
            let mut pace = tokio::time::interval(every);
            pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            for n in 0_u64.. {
                pace.tick().await;
                if truth.stop.is_cancelled() {
                    return;
                }
                let sub = format!("{name}-{n}");
                let written = truth.revoke(&mut client, &sub, by);
                // Of one that nobody answered it is not known whether it holds.
                let _unknown = tokio::time::timeout(Duration::from_secs(3), written).await;
            }
        })
    }

    /// Asks a node again and again until told to stop, and compares each answer with the truth.
    pub(super) fn sample(
        self: &Arc<Self>,
        node: &str,
        client: Client,
        seed: u64,
    ) -> JoinHandle<Samples> {
        let (truth, node) = (Arc::clone(self), node.to_owned());
        let mut random = Random::new(seed);
        tokio::spawn(async move {
            let mut samples = Samples::default();
            let mut pace = tokio::time::interval(Duration::from_millis(4));
            pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            while !truth.stop.is_cancelled() {
                pace.tick().await;
                let Some((sub, at)) = truth.recent(&mut random) else {
                    continue;
                };
                let asked = (Instant::now(), truth.question(&sub));
                let look = truth.look(&node, &client, (&sub, at), asked);
                if let Ok(look) = tokio::time::timeout(Duration::from_secs(3), look).await {
                    samples.add(look);
                }
                truth.nobody_else(&node, client.clone(), &mut random).await;
            }
            samples
        })
    }

    fn recent(&self, random: &mut Random) -> Option<(String, Instant)> {
        let shared = self.shared.lock().unwrap();
        let newest = shared.len().min(NEWEST << random.below(6));
        let back = 1 + random.below(u64::try_from(newest).unwrap().max(1));
        let place = shared.len().checked_sub(usize::try_from(back).unwrap())?;
        shared.get(place).cloned()
    }

    /// Asks about one user, revoked at that moment. `asked`: the node looks no earlier than that.
    /// An ACTIVE with a staleness claims that everything acknowledged longer ago is enforced.
    pub(super) async fn look(
        &self,
        node: &str,
        client: &Client,
        (sub, acknowledged): (&str, Instant),
        (asked, question): (Instant, v1::CheckRequest),
    ) -> Samples {
        let bound = question.max_staleness;
        let answer = client.clone().check(question).await;
        let mut samples = Samples::default();
        match answer.map(tonic::Response::into_inner) {
            Ok(answer) if answer.verdict() == Verdict::Revoked => samples.revoked = 1,
            Ok(answer) => {
                assert_eq!(answer.verdict(), Verdict::Active, "{answer:?}");
                let claimed = Duration::from_millis(answer.staleness_ms.into());
                let truly = asked.saturating_duration_since(acknowledged);
                assert!(
                    truly <= claimed,
                    "{node} says that it is {claimed:?} stale and that {sub} is ACTIVE, whose \
                     revocation was acknowledged {truly:?} before it was asked"
                );
                let bound = bound.map(|bound| Duration::try_from(bound).unwrap());
                assert!(bound.is_none_or(|bound| claimed <= bound), "{answer:?}");
                samples.active = 1;
                samples.stalest_ms = answer.staleness_ms;
            }
            Err(status) => {
                let may_be = [Code::Unavailable, Code::Cancelled, Code::Unknown];
                assert!(may_be.contains(&status.code()), "{node}: {status:?}");
                samples.refused = 1;
            }
        }
        samples
    }

    /// Somebody whom nobody revoked is not revoked.
    async fn nobody_else(&self, node: &str, mut client: Client, random: &mut Random) {
        let sub = format!("nobody-{}", random.below(1_000));
        let answer = client.check(self.question(&sub));
        if let Ok(Ok(answer)) = tokio::time::timeout(Duration::from_secs(3), answer).await {
            let answer = answer.into_inner();
            assert_eq!(answer.verdict(), Verdict::Active, "{node}: {sub}");
        }
    }

    /// Waits until every node denies everything that was acknowledged; then all must hold the same,
    /// and nothing that nobody asked for. Returns how many users are revoked.
    pub(super) async fn all_end_equal(&self, nodes: &mut [(&str, Client)]) -> usize {
        let acknowledged = self.acknowledged.lock().unwrap().clone();
        let asked: Vec<String> = self.asked.lock().unwrap().iter().cloned().collect();
        let began = Instant::now();
        loop {
            let mut wrong = String::new();
            let mut first: Option<BTreeMap<String, bool>> = None;
            for (name, client) in nodes.iter_mut() {
                let revoked = match self.revoked(client, &asked).await {
                    Ok(revoked) => revoked,
                    Err(status) => {
                        wrong = format!("{name}: {status:?}");
                        break;
                    }
                };
                let lacks = acknowledged.iter().filter(|(sub, _)| !revoked[sub]);
                let lacks: Vec<_> = lacks.map(|(sub, _)| sub).collect();
                if !lacks.is_empty() {
                    wrong = format!("{name} lacks {} acknowledged: {lacks:.200?}", lacks.len());
                    break;
                }
                let holds = revoked.values().filter(|is| **is).count();
                if users(client).await != holds as u64 {
                    wrong = format!("{name} holds something that nobody asked for");
                    break;
                }
                if first.get_or_insert_with(|| revoked.clone()) != &revoked {
                    wrong = format!("{name} and the first differ");
                    break;
                }
            }
            if wrong.is_empty() {
                let revoked = first.unwrap_or_default();
                return revoked.values().filter(|is| **is).count();
            }
            assert!(began.elapsed() < PATIENCE, "after {PATIENCE:?}: {wrong}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Of each of these whether it is revoked; an error while the node is away or not ready.
    async fn revoked(
        &self,
        client: &mut Client,
        subs: &[String],
    ) -> Result<BTreeMap<String, bool>, tonic::Status> {
        let mut revoked = BTreeMap::new();
        for subs in subs.chunks(1_000) {
            let checks = subs.iter().map(|sub| self.question(sub)).collect();
            let answer = client.check_batch(v1::CheckBatchRequest { checks }).await?;
            for (sub, result) in subs.iter().zip(answer.into_inner().results) {
                match result.verdict() {
                    Verdict::Revoked => revoked.insert(sub.clone(), true),
                    Verdict::Active => revoked.insert(sub.clone(), false),
                    _ => return Err(tonic::Status::unavailable(format!("{result:?}"))),
                };
            }
        }
        Ok(revoked)
    }
}

/// How many users a node holds something of.
async fn users(client: &mut Client) -> u64 {
    let live = status(client).await.live;
    let users = live.iter().find(|count| count.kind() == TargetKind::User);
    users.map_or(0, |count| count.count)
}

impl Samples {
    pub(super) fn add(&mut self, other: Self) {
        self.active += other.active;
        self.revoked += other.revoked;
        self.refused += other.refused;
        self.stalest_ms = self.stalest_ms.max(other.stalest_ms);
    }
}

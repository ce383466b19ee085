//! Callers of a leaf that wait until a hub, and its followers, have what they wrote.
//!
//! A leaf hands up to each of its hubs and notes here how far each has come. Whoever waits asks the
//! first hub that has the write who else has it, each for itself: nobody waits for another's followers,
//! and nothing is kept of a caller that has gone away or been answered.

use std::{
    collections::BTreeMap,
    fmt::Debug,
    future::Future,
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::future::BoxFuture;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::limits;

use super::{Propagation, Wait, Who};

/// A connection to a hub, by which it can be asked.
pub trait AskHub: Debug + Send + Sync {
    /// How far what was handed up to this hub has spread from there, at the latest at `until` of the
    /// steady clock; `None`: it did not say.
    fn ask(&self, who: Who, until: Duration) -> BoxFuture<'_, Option<Propagation>>;
}

/// One connection to one hub.
#[derive(Debug)]
struct Hub {
    address: String,
    asked_by: Box<dyn AskHub>,
    /// The hub has whatever was written here up to this seq.
    through: AtomicU64,
    /// The connection has ended: what was asked by it is not answered any more.
    ended: CancellationToken,
}

/// What the hubs have and what is waited for, by numbers given one after another.
#[derive(Debug, Default)]
struct Known {
    last: u64,
    hubs: BTreeMap<u64, Arc<Hub>>,
    wanted: BTreeMap<u64, u64>,
}

impl Known {
    fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }
}

/// The hubs, and those who wait for them.
#[derive(Debug)]
pub struct HandUp {
    known: Mutex<Known>,
    news: watch::Sender<()>,
}

impl Default for HandUp {
    fn default() -> Self {
        Self {
            known: Mutex::default(),
            news: watch::Sender::new(()),
        }
    }
}

/// A hub's place among those that can be asked, as long as its connection holds.
#[derive(Debug)]
pub struct HubPlace<'a> {
    hand_up: &'a HandUp,
    number: u64,
    hub: Arc<Hub>,
    _ends: DropGuard,
}

impl HubPlace<'_> {
    /// The hub has whatever was written here up to a seq, wherever that stands by now.
    pub fn has(&self, through: u64) {
        if self.hub.through.fetch_max(through, Ordering::AcqRel) < through {
            self.hand_up.news.send_replace(());
        }
    }

    /// Whether somebody waits for what the hub is not known to have.
    pub fn is_wanted(&self) -> bool {
        let through = self.hub.through.load(Ordering::Acquire);
        let known = self.hand_up.lock();
        known.wanted.values().any(|seq| *seq > through)
    }
}

impl Drop for HubPlace<'_> {
    fn drop(&mut self) {
        self.hand_up.lock().hubs.remove(&self.number);
        self.hand_up.news.send_replace(());
    }
}

/// Somebody waits for a seq.
struct Wanted<'a> {
    hand_up: &'a HandUp,
    number: u64,
}

impl Drop for Wanted<'_> {
    fn drop(&mut self) {
        self.hand_up.lock().wanted.remove(&self.number);
    }
}

/// What a wait that ends before its answer has to say.
#[derive(Debug, Default)]
struct SoFar {
    /// The last hub that was found to have it.
    has_it: Option<String>,
}

impl HandUp {
    /// A connection to a hub begins.
    pub fn connected(&self, address: &str, asked_by: Box<dyn AskHub>) -> HubPlace<'_> {
        let hub = Arc::new(Hub {
            address: address.to_owned(),
            asked_by,
            through: AtomicU64::new(0),
            ended: CancellationToken::new(),
        });
        let mut known = self.lock();
        let number = known.next();
        known.hubs.insert(number, Arc::clone(&hub));
        HubPlace {
            hand_up: self,
            number,
            _ends: hub.ended.clone().drop_guard(),
            hub,
        }
    }

    /// Waits until a hub has it and answers for its followers, or for as long as was asked: then it
    /// says what is known. `until`: the same end by the steady clock; `hubs`: all that there should be.
    pub async fn wait(&self, asked: Wait, until: Duration, hubs: Vec<String>) -> Propagation {
        let _wanted = self.want(asked.seq);
        let mut so_far = SoFar::default();
        let answered = self.ask_around(asked, until, &mut so_far);
        match tokio::time::timeout(asked.within, answered).await {
            Ok(spread) => spread,
            Err(_) => so_far.tell(asked.who, hubs),
        }
    }

    /// Asks one hub that has it after another until one answers.
    async fn ask_around(&self, asked: Wait, until: Duration, so_far: &mut SoFar) -> Propagation {
        let mut news = self.news.subscribe();
        let mut tried = Vec::new();
        loop {
            news.mark_unchanged();
            let Some((number, hub)) = self.hub_with(asked.seq, &tried) else {
                // The sender lives as long as what is waited on here.
                drop(news.changed().await);
                continue;
            };
            so_far.has_it = Some(hub.address.clone());
            let answer = hub.asked_by.ask(asked.who, until);
            if let Some(Some(spread)) = hub.ended.run_until_cancelled(answer).await {
                return with_hub(spread);
            }
            tried.push(number);
        }
    }

    /// A hub that has a seq, and was not tried by this connection.
    fn hub_with(&self, seq: u64, tried: &[u64]) -> Option<(u64, Arc<Hub>)> {
        let known = self.lock();
        let mut hubs = known.hubs.iter();
        hubs.find(|(number, hub)| {
            !tried.contains(number) && hub.through.load(Ordering::Acquire) >= seq
        })
        .map(|(number, hub)| (*number, Arc::clone(hub)))
    }

    fn want(&self, seq: u64) -> Wanted<'_> {
        let mut known = self.lock();
        let number = known.next();
        known.wanted.insert(number, seq);
        drop(known);
        self.news.send_replace(());
        let hand_up = self;
        Wanted { hand_up, number }
    }

    /// Changes when somebody begins to wait, and when a hub has more.
    pub fn news(&self) -> watch::Receiver<()> {
        self.news.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a node's own followers say and what its hub says, together. Whichever has as many as were
/// asked for is answer enough.
pub async fn both_ways(
    who: Who,
    own: impl Future<Output = Propagation>,
    by_hub: impl Future<Output = Propagation>,
) -> Propagation {
    let (mut own, mut by_hub) = (pin!(own), pin!(by_hub));
    let is_enough = |spread: &Propagation| who != Who::All && spread.applied >= spread.expected;
    tokio::select! {
        biased;
        spread = &mut own => if is_enough(&spread) {
            spread
        } else {
            together(who, spread, by_hub.await)
        },
        spread = &mut by_hub => if is_enough(&spread) {
            spread
        } else {
            together(who, own.await, spread)
        },
    }
}

fn together(who: Who, own: Propagation, by_hub: Propagation) -> Propagation {
    let expected = match who {
        Who::All => own.expected.saturating_add(by_hub.expected),
        Who::Count(_) => by_hub.expected,
    };
    let applied = own.applied.saturating_add(by_hub.applied).min(expected);
    let mut pending = Vec::new();
    if applied < expected {
        pending.extend(by_hub.pending.into_iter().chain(own.pending));
        pending.truncate(limits::PENDING_NAMED_MAX);
    }
    Propagation {
        expected,
        applied,
        pending,
    }
}

/// The hub itself has it too.
fn with_hub(spread: Propagation) -> Propagation {
    Propagation {
        expected: spread.expected.saturating_add(1),
        applied: spread.applied.saturating_add(1),
        pending: spread.pending,
    }
}

impl SoFar {
    fn tell(self, who: Who, hubs: Vec<String>) -> Propagation {
        let Some(hub) = self.has_it else {
            return Propagation {
                expected: 1,
                applied: 0,
                pending: hubs
                    .into_iter()
                    .map(|hub| format!("hub {hub}: no hub is known to have it yet"))
                    .collect(),
            };
        };
        // How many follow that hub it has not said: at least one more was waited for.
        let others = match who {
            Who::All => 1,
            Who::Count(count) => count,
        };
        Propagation {
            expected: others.saturating_add(1),
            applied: 1,
            pending: vec![format!(
                "hub {hub}: it has it, and has not said in time who else does"
            )],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_millis(20);

    /// A hub that says this, or nothing.
    #[derive(Debug)]
    struct Says(Option<Propagation>);

    impl AskHub for Says {
        fn ask(&self, _: Who, _: Duration) -> BoxFuture<'_, Option<Propagation>> {
            Box::pin(std::future::ready(self.0.clone()))
        }
    }

    fn spread(expected: u32, applied: u32) -> Propagation {
        Propagation {
            expected,
            applied,
            pending: (applied..expected).map(|n| n.to_string()).collect(),
        }
    }

    fn wait(hand_up: &HandUp) -> impl Future<Output = Propagation> {
        let asked = Wait {
            seq: 5,
            who: Who::All,
            within: PATIENCE,
            except: None,
        };
        hand_up.wait(asked, PATIENCE, vec!["a".to_owned()])
    }

    /// Whoever waited while no hub was connected stayed in the memory for ever.
    #[tokio::test]
    async fn nothing_is_kept_of_those_who_no_longer_wait() {
        let hand_up = HandUp::default();
        let nobody = wait(&hand_up).await;
        assert_eq!((nobody.expected, nobody.applied), (1, 0));
        assert_eq!(nobody.pending, ["hub a: no hub is known to have it yet"]);
        assert!(hand_up.lock().wanted.is_empty(), "after its timeout");

        let mut gone = Box::pin(wait(&hand_up));
        assert!(futures_util::poll!(&mut gone).is_pending());
        assert_eq!(hand_up.lock().wanted.len(), 1);
        drop(gone);
        assert!(hand_up.lock().wanted.is_empty(), "of a caller that left");

        let place = hand_up.connected("a", Box::new(Says(Some(spread(2, 1)))));
        place.has(5);
        let answer = wait(&hand_up).await;
        assert_eq!((answer.expected, answer.applied), (3, 2));
        assert!(hand_up.lock().wanted.is_empty(), "after an answer");
        drop(place);
        assert!(hand_up.lock().hubs.is_empty());
    }

    #[tokio::test]
    async fn another_hub_is_asked_when_one_does_not_say_and_only_one_that_has_it() {
        let hand_up = HandUp::default();
        let behind = hand_up.connected("behind", Box::new(Says(Some(spread(9, 9)))));
        behind.has(4);
        assert!(!behind.is_wanted());
        let mute = hand_up.connected("mute", Box::new(Says(None)));
        mute.has(5);
        let answer = wait(&hand_up).await;
        assert_eq!((answer.expected, answer.applied), (2, 1), "{answer:?}");
        assert!(answer.pending[0].starts_with("hub mute: it has it"));

        let late = wait(&hand_up);
        let says = hand_up.connected("says", Box::new(Says(Some(spread(1, 1)))));
        let (answer, ()) = tokio::join!(late, async {
            assert!(says.is_wanted() && behind.is_wanted() && !mute.is_wanted());
            says.has(7);
        });
        assert_eq!(answer, spread(2, 2));
    }

    #[tokio::test]
    async fn a_node_with_followers_and_hubs_answers_for_both() {
        let ready = std::future::ready;
        let both = both_ways(Who::All, ready(spread(2, 1)), ready(spread(3, 2)));
        let both = both.await;
        assert_eq!((both.expected, both.applied), (5, 3));
        assert_eq!(both.pending, ["2", "1"]);
        let two = both_ways(Who::Count(2), ready(spread(2, 2)), std::future::pending());
        assert_eq!(two.await, spread(2, 2));
        let two = both_ways(Who::Count(2), std::future::pending(), ready(spread(3, 3)));
        assert_eq!(two.await, spread(3, 3));
        let two = both_ways(Who::Count(2), ready(spread(2, 1)), ready(spread(3, 2)));
        assert_eq!(two.await, spread(3, 3));
    }
}

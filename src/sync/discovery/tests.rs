//! Names whose addresses change, by a resolver that says what it is told to, and a clock that stands
//! still while nothing waits.

use std::{io, sync::Mutex};

use super::*;
use crate::{
    clock::{Clock, ManualClock},
    fleet::{Fleet, Join, NodeId, Run},
    journal::{Journal, Storage},
    ledger::{Ledger, Options},
    model::{Boot, Semantics, UnixNanos},
    sync::{Io, Net, Settings},
};

const SECOND: Duration = Duration::from_secs(1);

/// What a resolver answers.
#[derive(Clone, Debug)]
enum Answer {
    Addresses(Vec<SocketAddr>),
    Failure,
    Never,
}

/// A network in which nobody can be reached.
#[derive(Debug)]
struct Scripted {
    answer: Mutex<Answer>,
    tries: Mutex<Vec<Instant>>,
}

impl Net for Scripted {
    fn resolve(&self, _: &str, _: u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
        let answer = self.answer.lock().unwrap().clone();
        Box::pin(async move {
            match answer {
                Answer::Addresses(addresses) => Ok(addresses),
                Answer::Failure => Err(io::Error::other("the resolver failed")),
                Answer::Never => std::future::pending().await,
            }
        })
    }

    fn connect(&self, _: &Place) -> BoxFuture<'static, io::Result<Box<dyn Io>>> {
        self.tries.lock().unwrap().push(Instant::now());
        let refused = io::ErrorKind::ConnectionRefused.into();
        Box::pin(std::future::ready(Err(refused)))
    }
}

/// A node that follows a name.
struct Following {
    net: Arc<Scripted>,
    fleet: Arc<Fleet>,
    task: BoxFuture<'static, ()>,
}

impl Following {
    fn of(answer: Answer) -> Self {
        let clock = ManualClock::new(UnixNanos::from_secs(1));
        // No clock of a real machine starts at nought.
        clock.advance(1_000 * SECOND);
        let clock: Arc<dyn Clock> = Arc::new(clock);
        let options = Options {
            clock: Arc::clone(&clock),
            semantics: Arc::new(Semantics::default()),
            live_max: 1_000,
            sweep_settle: limits::SWEEP_SETTLE_DEFAULT,
            accept_changed_meaning: false,
        };
        let journal = Journal::open(&Storage::Memory).unwrap();
        let ledger = Ledger::open_inline(journal, &options, || 7).unwrap();
        let fleet = Arc::new(Fleet::new(clock, Join::default(), None));
        let net = Arc::new(Scripted {
            answer: Mutex::new(answer),
            tries: Mutex::default(),
        });
        let settings = Settings {
            peers: vec!["dns:mesh:1".parse().unwrap()],
            ..Settings::default()
        };
        let sync = Sync::new(ledger, Arc::clone(&fleet), Arc::clone(&net) as _, settings);
        let task = sync.tasks(&CancellationToken::new()).remove(0);
        Self { net, fleet, task }
    }

    async fn answer(&mut self, answer: Answer, span: Duration) {
        *self.net.answer.lock().unwrap() = answer;
        let over = tokio::time::timeout(span, &mut self.task).await;
        over.unwrap_err();
    }

    fn addresses(&self) -> Vec<String> {
        let list = self.fleet.upstreams.list().into_iter();
        list.map(|(upstream, _)| upstream.address.clone()).collect()
    }
}

fn addresses(texts: &[&str]) -> Answer {
    Answer::Addresses(texts.iter().map(|text| text.parse().unwrap()).collect())
}

#[tokio::test(start_paused = true)]
async fn an_address_that_joins_is_followed_whatever_its_family() {
    let mut following = Following::of(addresses(&["10.0.0.1:1"]));
    following.answer(addresses(&["10.0.0.1:1"]), SECOND).await;
    assert_eq!(following.addresses(), ["10.0.0.1:1"]);
    let both = addresses(&["10.0.0.1:1", "[fd00::2]:1"]);
    following.answer(both, limits::DNS_INTERVAL + SECOND).await;
    assert_eq!(following.addresses(), ["10.0.0.1:1", "[fd00::2]:1"]);
}

#[tokio::test(start_paused = true)]
async fn an_address_that_leaves_counts_until_answers_have_lacked_it_for_long() {
    let (both, one) = (
        addresses(&["10.0.0.1:1", "10.0.0.2:1"]),
        addresses(&["10.0.0.1:1"]),
    );
    let mut following = Following::of(both.clone());
    following.answer(both.clone(), SECOND).await;
    let nearly = limits::DNS_LACKED.saturating_sub(limits::DNS_INTERVAL);
    following.answer(one.clone(), nearly).await;
    // Time without answers is none in which they lack anybody.
    for none in [Answer::Failure, addresses(&[]), Answer::Never] {
        following.answer(none, limits::DNS_LACKED * 2).await;
        assert_eq!(following.addresses().len(), 2);
    }
    // An answer that has it begins the time anew.
    following.answer(both, limits::DNS_INTERVAL * 3).await;
    following.answer(one.clone(), nearly).await;
    assert_eq!(following.addresses().len(), 2);
    following.answer(one, limits::DNS_INTERVAL * 3).await;
    assert_eq!(following.addresses(), ["10.0.0.1:1"]);
}

/// A pod that was replaced has its disk and its name, and another address. Until its name had lacked
/// the old one for five minutes, every other node was as stale as that.
#[tokio::test(start_paused = true)]
async fn a_node_that_changed_its_address_counts_by_the_new_one() {
    let mut following = Following::of(addresses(&["10.0.0.1:1"]));
    following.answer(addresses(&["10.0.0.1:1"]), SECOND).await;
    let fleet = Arc::clone(&following.fleet);
    let run = |node| Run {
        node: NodeId(node),
        boot: Boot(node),
    };
    let member = |place: usize| fleet.upstreams.list().remove(place).0;
    member(0).met(run(1));
    member(0).heard(fleet.steady().saturating_sub(100 * SECOND), None);
    let moved = addresses(&["10.0.0.2:1"]);
    let soon = limits::DNS_INTERVAL + SECOND;
    following.answer(moved.clone(), soon).await;
    assert_eq!(fleet.staleness(), None, "who is there was never met");
    member(1).met(run(2));
    member(1).heard(fleet.steady(), None);
    let staleness = fleet.staleness();
    assert_eq!(staleness, Some(100 * SECOND), "it is another node");
    member(1).met(run(1));
    assert_eq!(fleet.staleness(), None, "not level with it there yet");
    member(1).heard(fleet.steady(), None);
    assert_eq!(fleet.staleness(), Some(Duration::ZERO));
    // Both are listed: who knows who is at the old one now?
    let both = addresses(&["10.0.0.1:1", "10.0.0.2:1"]);
    following.answer(both, soon).await;
    assert_eq!(fleet.staleness(), Some(100 * SECOND));
}

/// A resolver that hung stopped all records, acknowledgements and nonces of its name.
#[tokio::test(start_paused = true)]
async fn a_slow_resolver_does_not_stop_what_is_followed() {
    let mut following = Following::of(addresses(&["10.0.0.1:1"]));
    following.answer(addresses(&["10.0.0.1:1"]), SECOND).await;
    following.answer(Answer::Never, 60 * SECOND).await;
    let tries = following.net.tries.lock().unwrap();
    let pauses = tries.windows(2).map(|pair| pair[1] - pair[0]);
    assert!(tries.len() > 30);
    assert!(pauses.max().unwrap() <= limits::PEER_BACKOFF_MAX + SECOND / 10);
}

#[tokio::test(start_paused = true)]
async fn more_addresses_than_are_followed_are_told_and_are_not_level() {
    let count = |count: usize| {
        let all = (0..count).map(|host| format!("10.0.0.{host}:1"));
        Answer::Addresses(all.map(|text| text.parse().unwrap()).collect())
    };
    let mut following = Following::of(count(limits::UPSTREAMS_MAX));
    let at_bound = count(limits::UPSTREAMS_MAX);
    following.answer(at_bound.clone(), SECOND).await;
    let fleet = Arc::clone(&following.fleet);
    let hear = || {
        for (upstream, _) in fleet.upstreams.list() {
            if upstream.address != "dns:mesh:1" {
                upstream.heard(fleet.steady(), None);
            }
        }
    };
    hear();
    assert_eq!(following.addresses().len(), limits::UPSTREAMS_MAX);
    assert_eq!(fleet.staleness(), Some(Duration::ZERO));

    let soon = limits::DNS_INTERVAL + SECOND;
    let beyond = count(limits::UPSTREAMS_MAX + 1);
    following.answer(beyond, soon).await;
    hear();
    assert_eq!(following.addresses().len(), limits::UPSTREAMS_MAX + 1);
    assert_eq!(fleet.staleness(), None);
    let (told, view) = fleet.upstreams.list().pop().unwrap();
    assert_eq!(told.address, "dns:mesh:1");
    assert!(
        view.last_error.contains("65 addresses, and 64"),
        "{}",
        view.last_error
    );

    following.answer(at_bound, soon).await;
    assert_eq!(following.addresses().len(), limits::UPSTREAMS_MAX);
    assert_eq!(fleet.staleness(), Some(Duration::ZERO));
}

//! What a watch sends when, by a clock that stands still while nothing waits.

use std::sync::Arc;

use futures_util::StreamExt as _;

use super::*;
use crate::{
    clock::ManualClock,
    fleet::NodeId,
    journal::{Journal, Storage},
    ledger::{AskedRules, Merge, Named, Options, Revoke, Terms, TokenEnd},
    model::{
        Dot, KeptBy, Note, Reason, Request, Rule, RuleKind, Semantics, Target, UnixNanos, What,
    },
    server::watchers::Watchers,
};

fn ledger() -> (Ledger, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(UnixNanos::from_secs(1_700_000_000)));
    let options = Options {
        clock: Arc::clone(&clock) as _,
        semantics: Arc::new(Semantics::default()),
        live_max: 1_000,
        sweep_settle: limits::SWEEP_SETTLE_DEFAULT,
        accept_changed_meaning: false,
    };
    let journal = Journal::open(&Storage::Memory).unwrap();
    let mut random = 0;
    let ledger = Ledger::open_inline(journal, &options, || {
        random += 1;
        random
    });
    (ledger.unwrap(), clock)
}

/// A watch of another node that has caught up.
async fn follow(ledger: &Ledger, clock: &Arc<ManualClock>, role: Role) -> Answers {
    let fleet = Arc::new(Fleet::alone(Arc::clone(clock) as _));
    let follower = Follower {
        run: Run {
            node: NodeId(7),
            boot: Boot(70),
        },
        role,
    };
    let watchers = Arc::new(Watchers::default());
    let watching = watchers.open(String::new(), String::new(), Some(follower), &fleet, ledger);
    let asked = Asked {
        filter: Filter::default(),
        cursor: None,
        start: v1::Start::Beginning,
        heartbeat: limits::HEARTBEAT_MAX,
        watcher: String::new(),
        follower: Some(follower),
    };
    let stop = CancellationToken::new();
    let mut answers = watch(ledger.clone(), fleet, asked, stop, watching.unwrap());
    while !matches!(next(&mut answers).await, Event::CaughtUp(_)) {}
    answers
}

async fn next(answers: &mut Answers) -> Event {
    answers.next().await.unwrap().unwrap().event.unwrap()
}

/// How many records come next, and after how long.
async fn records(answers: &mut Answers) -> (usize, Duration) {
    let began = Instant::now();
    loop {
        if let Event::Records(records) = next(answers).await {
            return (records.encoded.len(), began.elapsed());
        }
    }
}

fn user(sub: &str) -> Target {
    Target {
        iss: "i".to_owned(),
        what: What::User(sub.to_owned()),
    }
}

/// As another node wrote it.
async fn take_in(ledger: &Ledger, sub: &str, handed_up: bool) {
    let request = Request {
        cut_off: 5,
        until: UnixNanos::FOREVER,
        kept_by: KeptBy::Itself,
        kept_from: UnixNanos::ZERO,
        except: Vec::new(),
    };
    let dot = Dot {
        boot: Boot(80),
        counter: 1,
    };
    let rule = Rule::default().revoke(dot, &request, &Note::default());
    let record = Record {
        target: user(sub),
        rules: [(RuleKind::IssuedBefore, rule)].into(),
        origin: Some(Boot(80)),
    };
    let order = Merge {
        records: vec![record],
        handed_up,
        ..Merge::default()
    };
    assert_eq!(ledger.merge(order).await.unwrap().changed, 1);
}

async fn revoke(ledger: &Ledger, sub: &str) {
    let order = Revoke {
        targets: vec![Named {
            target: user(sub),
            end: TokenEnd::Unknown,
        }],
        rules: AskedRules::default(),
        expires_at: None,
        reason: Reason::Logout,
        terms: Terms::default(),
    };
    ledger.revoke(order).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_peer_is_told_at_once_what_came_here_first_and_a_moment_later_what_others_have_told_it() {
    let (ledger, clock) = ledger();
    let mut peer = follow(&ledger, &clock, Role::Peer).await;
    take_in(&ledger, "a", false).await;
    take_in(&ledger, "b", false).await;
    assert_eq!(records(&mut peer).await, (2, limits::RELAY_PATIENCE));
    revoke(&ledger, "c").await;
    assert_eq!(records(&mut peer).await, (1, Duration::ZERO));
    take_in(&ledger, "d", false).await;
    take_in(&ledger, "e", true).await;
    // In order: what is told at once takes along what stands before it.
    assert_eq!(records(&mut peer).await, (2, Duration::ZERO));
    take_in(&ledger, "f", false).await;
    assert_eq!(records(&mut peer).await, (1, limits::RELAY_PATIENCE));
}

#[tokio::test(start_paused = true)]
async fn a_leaf_has_nobody_else_to_hear_it_from() {
    let (ledger, clock) = ledger();
    let mut leaf = follow(&ledger, &clock, Role::Leaf).await;
    take_in(&ledger, "a", false).await;
    assert_eq!(records(&mut leaf).await, (1, Duration::ZERO));
}

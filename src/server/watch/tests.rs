//! What a watch sends when, by a clock that stands still while nothing waits.

use std::sync::Arc;

use futures_util::StreamExt as _;

use super::*;
use crate::{
    clock::ManualClock,
    fleet::NodeId,
    journal::{Journal, Storage},
    ledger::{AskedRules, Merge, Named, Options, Revoke, Terms, TokenEnd},
    model::{Reason, Semantics, UnixNanos, sample},
    server::watchers::{Place, Watchers},
};

fn ledger() -> (Ledger, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(UnixNanos::from_secs(1_700_000_000)));
    let options = Options {
        clock: Arc::clone(&clock) as _,
        semantics: Arc::new(Semantics::default()),
        live_max: 10_000,
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
    let (mut answers, _) = begin(ledger, clock, role);
    while !matches!(next(&mut answers).await, Event::CaughtUp(_)) {}
    answers
}

/// A watch of another node, and where its nonces are put down.
fn begin(ledger: &Ledger, clock: &Arc<ManualClock>, role: Role) -> (Answers, Arc<Place>) {
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
    let watching = watching.unwrap();
    let place = Arc::clone(&watching.place);
    let asked = Asked {
        filter: Filter::default(),
        cursor: None,
        start: v1::Start::Beginning,
        heartbeat: limits::HEARTBEAT_MAX,
        watcher: String::new(),
        follower: Some(follower),
    };
    let stop = CancellationToken::new();
    let answers = watch(ledger.clone(), fleet, asked, stop, watching);
    (answers, place)
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

/// As another node wrote it.
async fn take_in(ledger: &Ledger, sub: &str, handed_up: bool) {
    take_in_all(ledger, &[sub.to_owned()], handed_up).await;
}

async fn take_in_all(ledger: &Ledger, subs: &[String], handed_up: bool) {
    let record = |sub: &String| sample::log_out(sub, Boot(80));
    let order = Merge {
        records: subs.iter().map(record).collect(),
        handed_up,
        ..Merge::default()
    };
    let merged = ledger.merge(order).await.unwrap();
    assert_eq!(merged.changed, subs.len() as u64);
}

async fn revoke(ledger: &Ledger, sub: &str) {
    let order = Revoke {
        targets: vec![Named {
            target: sample::user(sub),
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

/// What another node has of a user's revocations: as many messages are as full as they get.
fn many(of: &str, messages: usize) -> Vec<String> {
    let count = messages * limits::WATCH_BATCH_RECORDS_MAX;
    (0..count).map(|number| format!("{of}{number}")).collect()
}

fn is_of(sub: &str, records: &Records) -> bool {
    let wanted = wire::record_out(&Record::new(sample::user(sub))).target;
    let sent = records.encoded.iter();
    sent.map(|bytes| <v1::Revocation as prost::Message>::decode(bytes.clone()).unwrap())
        .any(|sent| sent.target == wanted)
}

/// A write stood in the third message of a follower that caught up. Its target was revoked again, far
/// behind: the third message came without it, and its cursor and the echo of the follower's nonce
/// both said that it had come.
#[tokio::test(start_paused = true)]
async fn neither_an_echo_nor_an_acknowledgement_passes_what_was_superseded_ahead() {
    let (ledger, clock) = ledger();
    take_in_all(&ledger, &many("a", 2), false).await;
    revoke(&ledger, "ada").await;
    take_in_all(&ledger, &many("b", 1), false).await;
    let written = ledger.condition().head;
    let (mut answers, place) = begin(&ledger, &clock, Role::Leaf);
    assert!(matches!(next(&mut answers).await, Event::Hello(_)));
    place.hear(1);
    assert!(matches!(next(&mut answers).await, Event::Records(_)));
    take_in_all(&ledger, &many("c", 3), false).await;
    revoke(&ledger, "ada").await;

    let (mut has_come, mut passed, mut is_echoed) = (false, false, false);
    while !is_echoed {
        let message = answers.next().await.unwrap().unwrap();
        let cursor = Cursor::decode(&message.cursor).unwrap();
        match message.event.unwrap() {
            Event::Records(records) => has_come |= is_of("ada", &records),
            Event::Heartbeat(heartbeat) => is_echoed = heartbeat.nonce == 1,
            _ => {}
        }
        passed |= cursor.seq >= written && !has_come;
        let reached = reached(&ledger, cursor).unwrap();
        assert_eq!(
            (reached.is_complete, is_echoed && !has_come),
            (has_come, false)
        );
    }
    assert!(
        passed,
        "it never stood behind the place of a row that it had not seen"
    );
}

/// Whoever is written to all the time is level all the same, again and again.
#[tokio::test(start_paused = true)]
async fn a_follower_under_load_is_complete_with_every_read_that_comes_to_the_end() {
    let (ledger, clock) = ledger();
    let (mut answers, place) = begin(&ledger, &clock, Role::Leaf);
    for round in 1..100 {
        place.hear(round);
        take_in(&ledger, &format!("{round}"), false).await;
        let mut is_echoed = false;
        while !is_echoed {
            let message = answers.next().await.unwrap().unwrap();
            if let Some(Event::Heartbeat(heartbeat)) = message.event {
                is_echoed = heartbeat.nonce == round;
            }
            let cursor = Cursor::decode(&message.cursor).unwrap();
            assert!(cursor.is_complete());
        }
    }
}

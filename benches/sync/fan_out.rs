//! Many who watch one hub while it takes revocations at a steady rate.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use rescind::proto::v1::{self, watch_revocations_response::Event};
use tokio::task::JoinSet;

use super::{
    fleet::{self, Api, Fleet},
    shown,
};

const RATE: u64 = 1_000;
const SECONDS: u64 = 10;

/// Who watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    /// Tools of people, which read.
    Tools,
    /// Leaves, which also acknowledge and send nonces, as [`rescind::sync`] does.
    Leaves,
}

/// What watchers send beside the watch.
#[derive(Debug, Default)]
struct Sent {
    acks: AtomicU64,
}

pub(crate) async fn bench() {
    println!(
        "\n| {RATE} revocations/s for {SECONDS} s to | delivery p50 | p99 | max | hub CPU per delivery \
         | acks/s | hub memory each, at rest | at most |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for who in [Who::Tools, Who::Leaves] {
        for count in [100, 1_000] {
            fan_out(who, count).await;
        }
    }
}

async fn fan_out(who: Who, count: usize) {
    let hub = Fleet::alone().await;
    let hub = &hub.nodes[0];
    // What it keeps of revocations whoever watches is no cost of watchers.
    fleet::revoke_many(hub, "before", 4 * RATE * SECONDS).await;
    let idle = hub.memory();
    let began = Instant::now();
    let sent: &'static Sent = Box::leak(Box::default());
    let mut watchers = JoinSet::new();
    for number in 0..count {
        let api = hub.connect().await;
        watchers.spawn(watch(who, number, api, began, sent));
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (memory, cpu) = (hub.memory(), hub.cpu());
    let loaded = Instant::now();
    let writes = tokio::spawn(write(hub.api.clone(), began));
    let mut most = memory;
    let mut late = Vec::new();
    let mut look = tokio::time::interval(Duration::from_millis(100));
    while !watchers.is_empty() {
        tokio::select! {
            watched = watchers.join_next() => late.extend(watched.unwrap().unwrap()),
            _ = look.tick() => most = most.max(hub.memory()),
        }
    }
    writes.await.unwrap();
    let deliveries = late.len() as f64;
    let spent = hub.cpu().saturating_sub(cpu);
    let each = |bytes: u64| bytes.saturating_sub(idle) as f64 / 1024.0 / count as f64;
    println!(
        "| {count} {who:?} | {} | {:.1} µs | {:.0} | {:.1} KiB | {:.1} KiB |",
        shown(late),
        spent.as_secs_f64() * 1e6 / deliveries,
        sent.acks.load(Ordering::Relaxed) as f64 / loaded.elapsed().as_secs_f64(),
        each(memory),
        each(most),
    );
}

/// Reads until everything has come; how late each came.
async fn watch(
    who: Who,
    number: usize,
    mut api: Api,
    began: Instant,
    sent: &'static Sent,
) -> Vec<Duration> {
    let mut request = v1::WatchRevocationsRequest {
        start: v1::Start::Now.into(),
        ..v1::WatchRevocationsRequest::default()
    };
    if who == Who::Leaves {
        request.exclude_origin = number as u64 + 1;
        request.heartbeat = Some(prost_types::Duration {
            seconds: 1,
            nanos: 0,
        });
        request.follower = Some(v1::Follower {
            node_id: format!("{:016x}", number + 1),
            role: v1::FollowerRole::Leaf.into(),
        });
    }
    let mut messages = api.watch_revocations(request).await.unwrap().into_inner();
    let (newest, cursors) = tokio::sync::watch::channel(Vec::new());
    let mut acks = JoinSet::new();
    let mut late = Vec::new();
    while late.len() < usize::try_from(RATE * SECONDS).unwrap() {
        let message = messages
            .message()
            .await
            .unwrap()
            .expect("the watch goes on");
        let now = began.elapsed();
        match message.event {
            Some(Event::Hello(hello)) if who == Who::Leaves => {
                acks.spawn(acknowledge(
                    api.clone(),
                    hello.watch_id,
                    cursors.clone(),
                    sent,
                ));
            }
            Some(Event::Records(records)) => {
                late.extend(records.revocations.iter().map(|revocation| {
                    now.saturating_sub(Duration::from_nanos(sent_at(revocation)))
                }));
                newest.send_replace(message.cursor);
            }
            _ => {}
        }
    }
    late
}

/// Users are named by when they were revoked.
fn sent_at(revocation: &v1::Revocation) -> u64 {
    let target = revocation.target.as_ref().unwrap();
    let Some(v1::target::Kind::User(user)) = &target.kind else {
        unreachable!("only users are revoked: {target:?}");
    };
    let (sent, _) = user.sub.split_once('-').unwrap();
    sent.parse().unwrap()
}

/// One word at a time, seldomer while the hub is busy, and a nonce each second.
async fn acknowledge(
    mut api: Api,
    watch_id: u64,
    mut cursors: tokio::sync::watch::Receiver<Vec<u8>>,
    sent: &'static Sent,
) {
    let mut nonce = 0;
    let mut nonce_due = Instant::now();
    loop {
        let due = nonce_due.saturating_duration_since(Instant::now());
        let news = tokio::time::timeout(due, cursors.changed()).await;
        let is_due = news.is_err();
        if is_due {
            nonce += 1;
            nonce_due = Instant::now() + Duration::from_secs(1);
        }
        let began = Instant::now();
        let request = v1::AckWatchRequest {
            watch_id,
            cursor: cursors.borrow_and_update().clone(),
            nonce: if is_due { nonce } else { 0 },
        };
        api.ack_watch(request).await.unwrap();
        sent.acks.fetch_add(1, Ordering::Relaxed);
        let pause = began.elapsed() * 4;
        tokio::time::sleep(pause.clamp(Duration::from_millis(2), Duration::from_millis(100))).await;
    }
}

async fn write(api: Api, began: Instant) {
    let mut ticks = tokio::time::interval(Duration::from_micros(1_000_000 / RATE));
    let mut writes = JoinSet::new();
    for number in 0..RATE * SECONDS {
        ticks.tick().await;
        let mut api = api.clone();
        writes.spawn(async move {
            let sub = format!("{}-{number}", began.elapsed().as_nanos());
            api.revoke_user(fleet::user(&sub)).await.unwrap();
        });
    }
    writes.join_all().await;
}

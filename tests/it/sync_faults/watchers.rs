//! Many who watch at once, and some who do not read.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use rescind::proto::v1::{self, watch_revocations_response::Event};
use tonic::{Streaming, transport::Endpoint};

use super::{
    Site, asked_for, start_all, tell,
    truth::{By, Truth},
};
use crate::harness::{
    PATIENCE,
    api::{self, Thing},
    sidecar::{Client, Sidecar},
    within,
};

/// What a watcher has come to know: of each target its newest record, as text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Known {
    cursor: Vec<u8>,
    records: BTreeMap<String, String>,
}

impl Known {
    /// Reads until it has caught up, or until the connection breaks; whether it has.
    async fn read(&mut self, events: &mut Streaming<v1::WatchRevocationsResponse>) -> bool {
        while let Ok(Some(message)) = events.message().await {
            self.cursor = message.cursor;
            match message.event {
                Some(Event::Records(records)) => self.take_in(records),
                Some(Event::CaughtUp(_)) => return true,
                _ => {}
            }
        }
        false
    }

    fn take_in(&mut self, records: rescind::proto::Records) {
        for record in records.revocations {
            let target = format!("{:?}", record.target);
            self.records.insert(target, format!("{record:?}"));
        }
    }

    /// Reads until it knows the same as another.
    async fn read_until(
        &mut self,
        events: &mut Streaming<v1::WatchRevocationsResponse>,
        other: &Self,
    ) {
        while self.records != other.records {
            let message = events.message().await.unwrap().unwrap();
            if let Some(Event::Records(records)) = message.event {
                self.take_in(records);
            }
        }
    }

    async fn watch(
        &mut self,
        mut client: Client,
    ) -> Option<Streaming<v1::WatchRevocationsResponse>> {
        let request = v1::WatchRevocationsRequest {
            cursor: self.cursor.clone(),
            ..v1::WatchRevocationsRequest::default()
        };
        let mut events = client.watch_revocations(request).await.ok()?.into_inner();
        self.read(&mut events).await.then_some(events)
    }

    /// Watches until it has caught up, connecting again as often as it takes.
    async fn catch_up(mut self, site: &Site) -> (Self, Streaming<v1::WatchRevocationsResponse>) {
        loop {
            if let Some(events) = self.watch(site.client("a")).await {
                return (self, events);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Resident memory of a process.
fn rss_kib(sidecar: &Sidecar) -> u64 {
    let path = format!("/proc/{}/status", sidecar.pid());
    let text = std::fs::read_to_string(path).unwrap();
    let line = text
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Revokes the same thousand users again and again: the state stays as large as it was.
async fn write_again(client: &mut Client, rounds: usize) {
    write(client, rounds, 1_000).await;
}

async fn write(client: &mut Client, rounds: usize, users: usize) {
    let things: Vec<_> = (0..users).map(|n| Thing::User(n.to_string())).collect();
    for _ in 0..rounds {
        let request = v1::RevokeRequest {
            comment: "x".repeat(1_024),
            ..api::revoke(&things)
        };
        client.revoke(request).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_watchers_that_come_back_at_once_all_end_with_the_same() {
    let count = usize::try_from(asked_for("RESCIND_WATCHERS", 500)).unwrap();
    let site = Arc::new(Site::new());
    let launch = site.node("a");
    let mut a = launch.start().await;
    write(&mut site.client("a"), 1, 200).await;
    let mut watching = Vec::new();
    for _ in 0..count {
        watching.push(Known::default().catch_up(&site).await);
    }
    let before = rss_kib(&a);
    a.kill();
    // All find it gone, and come back while it starts.
    let back = watching.into_iter().map(|(mut known, mut events)| {
        let site = Arc::clone(&site);
        tokio::spawn(async move {
            known.read(&mut events).await;
            known.catch_up(&site).await
        })
    });
    let back: Vec<_> = back.collect();
    a = launch.start().await;
    let began = Instant::now();
    let back = futures_util::future::join_all(back);
    let mut watching: Vec<_> = within(PATIENCE, "all are back", back)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    let took = began.elapsed();

    // And they go on: everybody hears of what comes next.
    write(&mut site.client("a"), 1, 200).await;
    let (fresh, _) = Known::default().catch_up(&site).await;
    let equal = watching
        .iter_mut()
        .map(|(known, events)| known.read_until(events, &fresh));
    let began = Instant::now();
    within(
        PATIENCE,
        "all know the same",
        futures_util::future::join_all(equal),
    )
    .await;
    let after = rss_kib(&a);
    tell(&format!(
        "{count} watchers were back {took:.1?} after the start, and knew the next 200 within \
         {:.1?}; VmRSS {before} KiB before, {after} KiB after",
        began.elapsed()
    ));
    assert!(
        after < before + 256 * 1_024,
        "{before} KiB, then {after} KiB"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watchers_that_stop_reading_delay_nobody_and_cost_bounded_memory() {
    let span = Duration::from_secs(asked_for("RESCIND_STALLED_S", 60));
    let site = Site::new();
    let nodes = start_all(&[site.node("a")]).await;
    let mut client = site.client("a");
    write_again(&mut client, 1).await;
    let mut stalled = Vec::new();
    for _ in 0..20 {
        let endpoint = Endpoint::from_shared(site.at("a")).unwrap();
        let stalls = Client::new(endpoint.connect().await.unwrap());
        let request = v1::WatchRevocationsRequest::default();
        let events = stalls.clone().watch_revocations(request).await.unwrap();
        stalled.push(events.into_inner());
    }
    let (_, mut reads) = Known::default().catch_up(&site).await;
    write_again(&mut client, 2).await;
    let before = rss_kib(&nodes[0]);
    let truth = Truth::new();
    let (mut most_kib, mut slowest, mut n) = (before, Duration::ZERO, 0);
    let began = Instant::now();
    while began.elapsed() < span {
        write_again(&mut client, 1).await;
        n += 1;
        let sub = format!("canary-{n}");
        truth.revoke(&mut client, &sub, By::Upstream).await.unwrap();
        let sent = Instant::now();
        let comes = async {
            loop {
                let message = reads.message().await.unwrap().unwrap();
                if format!("{:?}", message.event).contains(&sub) {
                    return;
                }
            }
        };
        within(PATIENCE, "the news", comes).await;
        slowest = slowest.max(sent.elapsed());
        most_kib = most_kib.max(rss_kib(&nodes[0]));
    }
    let (fresh, _) = Known::default().catch_up(&site).await;
    let catching_up = stalled.into_iter().map(|mut events| {
        let fresh = &fresh;
        async move { Known::default().read_until(&mut events, fresh).await }
    });
    let catching_up = futures_util::future::join_all(catching_up);
    within(PATIENCE, "those that stalled", catching_up).await;
    tell(&format!(
        "20 watchers did not read for {span:?} while {n},000 records came: news within \
         {slowest:.1?} elsewhere; VmRSS {before} KiB before, {most_kib} KiB at most"
    ));
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
    assert!(
        most_kib < before + 96 * 1_024,
        "{before} KiB, then {most_kib} KiB"
    );
}

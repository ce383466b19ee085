//! How fast revocations spread, with real processes on this machine: `cargo bench --bench sync`, or a
//! part of it: `cargo bench --bench sync -- mesh`, `partition`, `join`, `watchers`.
//!
//! Prints, in one run: acknowledgement → denied on every node for meshes of 2, 4, 8 and 16; recovery
//! after a partition (30 s, or `RESCIND_PARTITION_S`); a leaf that joins a hub with 1 M records (or
//! `RESCIND_JOIN_RECORDS`) under load, and what digests of those cost; and a hub with 100 and 1,000
//! watchers, with the CPU and memory that they cost it.

#![expect(
    clippy::cast_precision_loss,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench is no part of the process: it reads its own clock, and fails by panicking"
)]

#[path = "sync/fleet.rs"]
mod fleet;
#[path = "sync/join.rs"]
mod join;

use std::time::{Duration, Instant};

use fleet::{Fleet, Proxy, is_denied, revoke, revoke_many, until_denied};
use rescind::proto::v1::{self, watch_revocations_response::Event};

fn main() {
    let args: Vec<_> = std::env::args()
        .skip(1)
        .filter(|arg| arg != "--bench")
        .collect();
    // What a test runner asks of every bench.
    if args.iter().any(|arg| arg == "--test" || arg == "--list") {
        return;
    }
    let is_wanted = |name: &str| args.is_empty() || args.iter().any(|arg| arg == name);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        if is_wanted("mesh") {
            println!("| acknowledged → denied on every node | p50 | p99 | max |\n|---|---|---|---|");
            for nodes in [2, 4, 8, 16] {
                spread(nodes).await;
            }
        }
        if is_wanted("partition") {
            recovery().await;
        }
        if is_wanted("join") {
            join::bench().await;
        }
        if is_wanted("watchers") {
            println!("\n| watchers | delivery p50 | p99 | max | hub CPU per delivery | hub memory per watcher |");
            println!("|---|---|---|---|---|---|");
            for watchers in [100, 1_000] {
                fan_out(watchers).await;
            }
        }
    });
}

/// A number from the environment.
fn asked_for(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

fn shown(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let at = |part: usize| times[(times.len() * part / 100).min(times.len() - 1)];
    let ms = |time: Duration| format!("{:.2} ms", time.as_secs_f64() * 1e3);
    format!("{} | {} | {}", ms(at(50)), ms(at(99)), ms(at(100)))
}

/// One revocation after the other, each on the next node, until all the others deny.
async fn spread(nodes: usize) {
    let fleet = Fleet::mesh(nodes).await;
    let mut times = Vec::new();
    for number in 0..300 {
        let sub = format!("user-{number}");
        revoke(&fleet.nodes[number % nodes], &sub).await;
        let acknowledged = Instant::now();
        for node in &fleet.nodes {
            until_denied(node, &sub).await;
        }
        times.push(acknowledged.elapsed());
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    println!("| mesh of {nodes} | {} |", shown(times));
}

/// The link between two nodes swallows everything for a while; from when it does not any more until
/// what was revoked meanwhile is denied on the other side.
async fn recovery() {
    let partition = Duration::from_secs(asked_for("RESCIND_PARTITION_S").unwrap_or(30));
    let mut times = Vec::new();
    for _ in 0..3 {
        let a = Fleet::alone().await;
        let proxy = Proxy::to(&a.nodes[0].address).await;
        let b = Fleet::following(&proxy.address).await;
        revoke(&a.nodes[0], "before").await;
        until_denied(&b.nodes[0], "before").await;
        proxy.cut(true);
        revoke_many(&a.nodes[0], "during", 1_000).await;
        tokio::time::sleep(partition).await;
        assert!(!is_denied(&b.nodes[0], "during-999").await);
        proxy.cut(false);
        let healed = Instant::now();
        until_denied(&b.nodes[0], "during-999").await;
        times.push(healed.elapsed());
    }
    println!(
        "\nafter a partition of {partition:?}, p50 | p99 | max: {}",
        shown(times)
    );
}

/// Watchers on one hub while it takes 1,000 revocations a second for ten seconds.
async fn fan_out(count: usize) {
    const RATE: u64 = 1_000;
    const SECONDS: u64 = 10;
    let hub = Fleet::alone().await;
    let hub = &hub.nodes[0];
    let idle = hub.memory();
    let began = Instant::now();
    let mut watchers = Vec::new();
    let channels: Vec<_> =
        futures_util::future::join_all((0..count.div_ceil(100)).map(|_| hub.connect())).await;
    for number in 0..count {
        let mut api = channels[number / 100].clone();
        watchers.push(tokio::spawn(async move {
            let request = v1::WatchRevocationsRequest::default();
            let mut messages = api.watch_revocations(request).await.unwrap().into_inner();
            let mut late = Vec::new();
            while late.len() < usize::try_from(RATE * SECONDS).unwrap() {
                let message = messages
                    .message()
                    .await
                    .unwrap()
                    .expect("the watch goes on");
                let Some(Event::Records(records)) = message.event else {
                    continue;
                };
                let now = began.elapsed();
                for revocation in records.revocations {
                    let sent = revocation.in_force[0].comment.parse().unwrap();
                    late.push(now.saturating_sub(Duration::from_nanos(sent)));
                }
            }
            late
        }));
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (memory, cpu) = (hub.memory(), hub.cpu());
    let mut ticks = tokio::time::interval(Duration::from_micros(1_000_000 / RATE));
    let mut writes = Vec::new();
    for number in 0..RATE * SECONDS {
        ticks.tick().await;
        let mut api = hub.api.clone();
        writes.push(tokio::spawn(async move {
            let request = fleet::user(
                &format!("u-{number}"),
                &began.elapsed().as_nanos().to_string(),
            );
            api.revoke_user(request).await.unwrap();
        }));
    }
    let mut late = Vec::new();
    for watcher in watchers {
        late.extend(watcher.await.unwrap());
    }
    let deliveries = late.len() as f64;
    let spent = hub.cpu().saturating_sub(cpu);
    println!(
        "| {count} | {} | {:.1} µs | {:.1} KiB |",
        shown(late),
        spent.as_secs_f64() * 1e6 / deliveries,
        memory.saturating_sub(idle) as f64 / 1024.0 / count as f64
    );
    for write in writes {
        write.await.unwrap();
    }
}

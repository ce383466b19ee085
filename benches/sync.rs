//! How fast revocations spread, with real processes on this machine: `cargo bench --bench sync`, or a
//! part of it: `cargo bench --bench sync -- mesh`, `partition`, `join`, `watchers`.
//!
//! Prints, in one run: acknowledgement → denied on every node for meshes of 2, 4, 8 and 16; recovery
//! after a partition (30 s, or `RESCIND_PARTITION_S`); a leaf that joins a hub with 1 M records (or
//! `RESCIND_JOIN_RECORDS`) under load, and what digests of those cost; and a hub that 100 and 1,000
//! tools watch or leaves follow, with the CPU and memory that they cost it.

#![expect(
    clippy::cast_precision_loss,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench is no part of the process: it reads its own clock, and fails by panicking"
)]

#[path = "sync/fan_out.rs"]
mod fan_out;
#[path = "sync/fleet.rs"]
mod fleet;
#[path = "sync/join.rs"]
mod join;

use std::time::{Duration, Instant};

use fleet::{Fleet, Proxy, is_denied, revoke, revoke_many, until_denied};

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
            println!(
                "| acknowledged → denied on every node | p50 | p99 | max |\n|---|---|---|---|"
            );
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
            fan_out::bench().await;
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

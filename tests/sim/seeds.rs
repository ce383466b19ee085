//! Many seeds, and that one seed is one history.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicU64, Ordering},
};

use crate::schedule;

/// Histories played by `cargo test`.
const SEEDS: u64 = 200;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().expect("a number"))
}

#[test]
fn every_history_ends_well() {
    let seeds = match number("RESCIND_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("RESCIND_SEEDS").unwrap_or(SEEDS),
    };
    let next = AtomicU64::new(seeds.start);
    let failed = std::sync::Mutex::new(Vec::new());
    let play = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return;
            }
            if catch_unwind(AssertUnwindSafe(|| schedule::play(seed))).is_err() {
                failed.lock().expect("a list").push(seed);
            }
        }
    };
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(play);
        }
    });
    let failed = failed.into_inner().expect("a list");
    assert!(
        failed.is_empty(),
        "{} of {} histories end badly; play one again with RESCIND_SEED={}: {failed:?}",
        failed.len(),
        seeds.end - seeds.start,
        failed[0],
    );
}

#[test]
fn one_seed_is_one_history() {
    for seed in [1, 2, 3, 4] {
        assert_eq!(schedule::play(seed), schedule::play(seed), "seed {seed}");
    }
}

//! A deterministic simulation: real nodes on a simulated network, with simulated clocks and disks,
//! under the faults that issue 5 names.
//!
//! ```text
//!  schedule ─► world: sim.step(), faults, writes ─► node × n: the real ledger, server and sync
//!                  │                                     over a turmoil network, disk, clock
//!                  └─► invariants: I1 … I10, while it runs and when it is quiet again
//! ```
//! One seed is one history: `RESCIND_SEED=612 cargo test --test sim` plays it again, and
//! `RESCIND_SEEDS=5000` plays that many.
#![expect(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a simulation fails by panicking, and reads how many seeds to play"
)]

mod disk;
mod faults;
mod history;
mod invariants;
mod net;
mod node;
#[path = "../it/harness/random.rs"]
mod random;
mod reader;
mod regressions;
mod schedule;
mod seeds;
mod world;
mod writes;

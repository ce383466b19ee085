//! Integration tests: one binary, a module per behaviour.
#![expect(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test fails by panicking, reads its own environment and clock, and tells figures"
)]

mod conformance;
mod fuzz;
mod grpc;
mod harness;
mod issuers;
mod process;
mod sync;
mod sync_faults;
mod tidy;
mod verification;

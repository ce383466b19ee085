//! Integration tests: one binary, a module per behaviour.
#![expect(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, and runs a node beside itself"
)]

mod grpc;
mod harness;
mod verification;

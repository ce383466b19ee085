//! Integration tests: one binary, a module per behaviour.
#![expect(
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, and spawns what it watches from beside"
)]

mod grpc;
mod harness;

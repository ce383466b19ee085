//! The API over real gRPC.

mod bad_input;
mod check;
mod list;
mod say;
mod status;
mod watch;
mod write;

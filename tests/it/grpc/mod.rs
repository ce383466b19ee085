//! The API over real gRPC.
#![expect(clippy::too_many_lines, reason = "a table is as long as what it lists")]

mod bad_input;
mod check;
mod follow;
mod list;
pub(crate) mod say;
mod status;
mod watch;
mod write;

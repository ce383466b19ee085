//! WatchRevocations.

mod catching_up;
mod follower;

//! `WatchRevocations`.

mod catching_up;
mod follower;
mod history;
mod modes;

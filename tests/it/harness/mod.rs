//! What the tests stand on.

pub(crate) mod api;
pub(crate) mod command;
pub(crate) mod load;
pub(crate) mod node;
pub(crate) mod random;
pub(crate) mod sidecar;
pub(crate) mod small_disk;

use std::{
    future::Future,
    time::{Duration, Instant},
};

/// How long anything may take that takes moments: so long only because CI machines are busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Looks until there is something to see.
pub(crate) async fn eventually<T>(
    deadline: Duration,
    what: &str,
    mut look: impl FnMut() -> Option<T>,
) -> T {
    let began = Instant::now();
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(
            began.elapsed() < deadline,
            "not within {deadline:?}: {what}"
        );
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Awaits something that must happen soon.
pub(crate) async fn within<T>(
    deadline: Duration,
    what: &str,
    happens: impl Future<Output = T>,
) -> T {
    tokio::time::timeout(deadline, happens)
        .await
        .unwrap_or_else(|_elapsed| panic!("not within {deadline:?}: {what}"))
}

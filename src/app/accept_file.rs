//! The file by which `rescind journal accept-clock` speaks to a running node.

use std::path::Path;

use crate::{config::ACCEPT_CLOCK_FILE, limits, model::UnixNanos};

/// Whether a person has accepted the time lately; the file is gone afterwards.
pub(super) async fn take(data_dir: &Path, wall: UnixNanos) -> bool {
    let path = data_dir.join(ACCEPT_CLOCK_FILE);
    // Nearly always there is none. One that cannot be removed would be taken again and again.
    let Ok(text) = tokio::fs::read_to_string(&path).await else {
        return false;
    };
    if let Err(error) = tokio::fs::remove_file(&path).await {
        tracing::warn!(path = %path.display(), %error, "cannot be removed, so it is not followed");
        return false;
    }
    let said = text.trim().parse::<jiff::Timestamp>().ok();
    let said = said.and_then(|time| u64::try_from(time.as_nanosecond()).ok());
    let lately = said
        .map(UnixNanos::from_nanos)
        .is_some_and(|said| said.since(wall).max(wall.since(said)) <= limits::CLOCK_ACCEPT_MAX);
    if !lately {
        tracing::warn!("accept-clock was said at another time than it is now: not followed");
    }
    lately
}

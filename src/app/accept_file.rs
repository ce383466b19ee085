//! The file by which `rescind journal accept-clock` speaks to a running node.

use std::path::Path;

/// Its name in the data directory.
pub(crate) const NAME: &str = "accept-clock";

/// Whether a person has accepted the time; the file is gone afterwards.
pub(super) async fn take(data_dir: &Path) -> bool {
    // Nearly always there is none. One that cannot be removed would be taken again and again.
    tokio::fs::remove_file(data_dir.join(NAME)).await.is_ok()
}

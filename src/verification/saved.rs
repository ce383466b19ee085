//! The last good key set of an issuer, on disk: a restart while the issuer is down knows its keys.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{atomic_file, model::UnixNanos};

/// A key set as it was fetched.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Saved {
    /// From where: another URL's keys are not this one's.
    pub(super) url: String,
    /// When.
    pub(super) fetched_at: UnixNanos,
    /// The set, as it came.
    pub(super) jwks: String,
}

/// Where the key set of an issuer is kept.
pub(super) fn path(data_dir: &Path, iss: &str) -> PathBuf {
    let name: String = blake3::hash(iss.as_bytes())
        .to_hex()
        .chars()
        .take(16)
        .collect();
    data_dir.join(format!("jwks-{name}.json"))
}

impl Saved {
    /// The key set at `path`, if there is one of this URL.
    pub(super) fn read(path: &Path, url: &str) -> Option<Self> {
        let bytes = std::fs::read(path).ok()?;
        match serde_json::from_slice::<Self>(&bytes) {
            Ok(saved) if saved.url == url => Some(saved),
            Ok(_) => None,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "a saved key set cannot be read");
                None
            }
        }
    }

    /// Keeps it; a failure is told, and the next fetch tries again.
    pub(super) fn write(&self, path: &Path) {
        let bytes = serde_json::to_vec(self).unwrap_or_default();
        if let Err(error) = atomic_file::write(path, &bytes) {
            tracing::warn!(path = %path.display(), %error, "a key set cannot be saved");
        }
    }
}

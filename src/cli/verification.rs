//! Keys of issuers, for commands that need no server.

use crate::verification::Verification;

use super::failure::Failure;

/// Fetches all keys that are at URLs, once each.
pub(super) fn fetch(verification: &Verification) -> Result<(), Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Local(format!("cannot start the runtime: {error}")))?
        .block_on(verification.fetch_once());
    Ok(())
}

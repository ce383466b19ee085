//! What is kept in the journal beside revocations: who follows, since `wait_for` counts on whoever was
//! there in the last 24 hours, across a restart too; and how far the clocks of issuers are ahead, or a
//! revocation after a restart would spare tokens from before it.

use std::sync::Arc;

use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::{fleet::Fleet, journal::JournalError, ledger::Ledger, limits};

/// Under which name the journal keeps it.
const FOLLOWERS: &str = "followers";

/// Those who were there before.
pub async fn recall_followers(ledger: &Ledger, fleet: &Fleet) -> Result<(), JournalError> {
    let saved = ledger.remembered(FOLLOWERS.to_owned()).await?;
    fleet.followers.recall(&saved.unwrap_or_default());
    Ok(())
}

/// Notes who follows until `stop`: a moment after somebody new came, so that thousands who come
/// together are noted together, and now and then, so that those who stay are not taken for gone.
pub async fn keep_followers(ledger: Ledger, fleet: Arc<Fleet>, stop: CancellationToken) {
    let mut is_over = false;
    while !is_over {
        let due = async {
            let unsaved = fleet.followers.unsaved();
            drop(timeout(limits::FOLLOWERS_KEPT_INTERVAL, unsaved).await);
            sleep(limits::FOLLOWERS_KEPT_PATIENCE).await;
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => is_over = true,
            () = due => {}
        }
        let Some(saved) = fleet.followers.save(ledger.wall()) else {
            continue;
        };
        if let Err(error) = ledger.remember(FOLLOWERS.to_owned(), saved).await {
            tracing::warn!(%error, "who follows could not be noted");
        }
    }
}

/// Writes down how far the clocks of issuers are ahead, a moment after that was news, until `stop`.
pub async fn keep_leads(ledger: Ledger, stop: CancellationToken) {
    let mut versions = ledger.leads();
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            changed = versions.changed() => if changed.is_err() { return },
        }
        // A journal that failed is told of where it failed; what is known goes on counting.
        if let Err(error) = ledger.save_leads().await {
            tracing::debug!(%error, "clock leads are not saved");
        }
        sleep(limits::CLOCK_LEAD_DELAY).await;
    }
}

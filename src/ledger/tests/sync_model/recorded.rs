//! Schedules of `sync_model.py` itself, under which a fault shows that random ones seldom find:
//! README.md tells how they were recorded.

use super::{is_wrong_only_under, node::Protocol};

/// A hub forgets what it had acknowledged when its disk goes back in time. The leaf that handed
/// it up must notice, or nobody sends it again.
#[test]
fn an_outbox_that_trusts_an_old_ack_is_seen_to_be_wrong() {
    for text in [
        include_str!("old_outbox_612.json"),
        include_str!("old_outbox_803.json"),
    ] {
        let schedule = serde_json::from_str(text).unwrap();
        is_wrong_only_under(Protocol::OldOutbox, &schedule);
    }
}

//! How much is merged at once.

use futures_util::stream;

use super::*;
use crate::proto::Records;

fn message(bytes: usize) -> v1::WatchRevocationsResponse {
    let revocation = v1::Revocation {
        lifted_comment: "x".repeat(bytes),
        ..v1::Revocation::default()
    };
    v1::WatchRevocationsResponse {
        cursor: Vec::new(),
        event: Some(Event::Records(Records {
            revocations: vec![revocation],
            ..Records::default()
        })),
    }
}

fn gathered(bytes: usize) -> usize {
    let mut messages = stream::repeat_with(|| Ok(message(bytes)));
    let mut waiting = None;
    let message = gather(message(bytes), &mut messages, &mut waiting).unwrap();
    let Some(Event::Records(records)) = message.event else {
        panic!("no records");
    };
    records.revocations.len()
}

/// Records are bounded in number, and one may be large: a thousand of those were one transaction.
#[test]
fn what_is_merged_at_once_is_bounded_in_records_and_in_bytes() {
    assert_eq!(gathered(0), limits::MERGE_RECORDS_MAX);
    assert_eq!(gathered(limits::MERGE_BYTES_MAX / 4), 4);
}

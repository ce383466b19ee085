//! Digests of what is live, by range of keys: two nodes that agree on them hold the same.
//!
//! Both leave out what was written a moment ago, which may be on its way, and what is about to run
//! out, which one of them may have forgotten already.

use std::ops::ControlFlow;

use crate::{
    journal::{Journal, JournalError, canonical},
    model::{KEY_RANGES, Record, UnixNanos},
};

/// What is left out.
#[derive(Clone, Copy, Debug)]
pub struct Digested {
    /// What was written after this.
    pub written_before: UnixNanos,
    /// What runs out before this.
    pub runs_out_after: UnixNanos,
}

/// One digest for each range of keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digests {
    /// In the order of the ranges.
    pub ranges: Vec<u64>,
    /// How many records they are of.
    pub records: u64,
}

impl Digests {
    /// The ranges in which two differ.
    pub fn differing(&self, other: &Self) -> Vec<u16> {
        let pairs = self.ranges.iter().zip(&other.ranges);
        (0..)
            .zip(pairs)
            .filter_map(|(range, (ours, theirs))| (ours != theirs).then_some(range))
            .collect()
    }
}

/// Of everything in a journal.
pub(super) fn of(journal: &Journal, of: Digested) -> Result<Digests, JournalError> {
    let mut digests = Digests {
        ranges: vec![0; usize::from(KEY_RANGES)],
        records: 0,
    };
    journal.each_record(0, u64::MAX, |_, record| {
        let range = usize::from(record.target.key().range());
        if let (Some(digest), Some(sum)) = (digest(record, of), digests.ranges.get_mut(range)) {
            *sum ^= digest;
            digests.records += 1;
        }
        ControlFlow::Continue(())
    })?;
    Ok(digests)
}

fn digest(record: Record, of: Digested) -> Option<u64> {
    if record.changed_at() > of.written_before {
        return None;
    }
    let left = record.forget(of.runs_out_after);
    if left.is_empty() {
        return None;
    }
    let digest = blake3::hash(&canonical(&left));
    digest
        .as_bytes()
        .first_chunk()
        .map(|first| u64::from_be_bytes(*first))
}

//! The committed records, in order, for watchers: the newest from memory, the rest from the
//! journal. There is no queue per watcher, so a slow one delays nobody and loses no state.

use std::{
    collections::BTreeMap,
    ops::{Bound, ControlFlow},
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use prost::bytes::Bytes;
use tokio::sync::watch;

use crate::{
    journal::{Journal, JournalError},
    limits,
    model::Record,
};

use super::writer::Change;

/// A committed record, and what its watchers have made of it.
#[derive(Debug)]
pub struct Fed {
    record: Arc<Record>,
    /// Of its row in the journal.
    bytes: usize,
    /// For people and for nodes.
    encoded: [OnceLock<Bytes>; 2],
}

/// Who reads a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// People and their tools.
    Person,
    /// Another node.
    Node,
}

impl Fed {
    fn new(record: Arc<Record>, bytes: usize) -> Self {
        Self {
            record,
            bytes,
            encoded: Default::default(),
        }
    }

    /// The record as bytes for this reader: made once for all of them.
    pub fn encoded(&self, reader: Reader, encode: impl FnOnce(&Record) -> Vec<u8>) -> Bytes {
        let [person, node] = &self.encoded;
        let place = match reader {
            Reader::Person => person,
            Reader::Node => node,
        };
        place.get_or_init(|| encode(&self.record).into()).clone()
    }
}

impl std::ops::Deref for Fed {
    type Target = Record;

    fn deref(&self) -> &Record {
        &self.record
    }
}

/// Committed records, and how far a reader has come with them.
#[derive(Debug)]
pub struct Chunk {
    /// In order of their seqs.
    pub records: Vec<(u64, Arc<Fed>)>,
    /// Everything up to here has been read.
    pub through: u64,
    /// The newest seq that there was. What was superseded before this was read, and therefore is
    /// not here, comes at or before it.
    pub newest: u64,
}

/// The newest part of the log, and like the log: a target stands in it once, as it is now.
#[derive(Debug)]
struct Tail {
    /// What comes after this seq is held.
    base: u64,
    records: BTreeMap<u64, Arc<Fed>>,
    /// Of all their rows.
    bytes: usize,
}

/// What was committed last, and a wake-up for those who wait for more.
#[derive(Debug)]
pub(super) struct Feed {
    tail: Mutex<Tail>,
    head: watch::Sender<u64>,
}

impl Feed {
    pub(super) fn new(head: u64) -> Self {
        let tail = Tail {
            base: head,
            records: BTreeMap::new(),
            bytes: 0,
        };
        Self {
            tail: Mutex::new(tail),
            head: watch::Sender::new(head),
        }
    }

    /// Takes in what was committed, and wakes everybody if any of it is news.
    pub(super) fn publish(&self, changes: Vec<Change>) {
        let mut newest = None;
        let mut tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        for change in changes {
            if change.is_news {
                newest = Some(change.seq);
            }
            tail.take_in(change);
        }
        drop(tail);
        if let Some(head) = newest {
            self.head.send_replace(head);
        }
    }

    /// The seq of the newest committed record, and its changes.
    pub(super) fn subscribe(&self) -> watch::Receiver<u64> {
        self.head.subscribe()
    }

    pub(super) fn head(&self) -> u64 {
        *self.head.borrow()
    }

    /// Up to `count_max` records after a seq, if they are all in memory.
    pub(super) fn recent(&self, after: u64, count_max: usize) -> Option<Chunk> {
        let head = self.head().max(after);
        let tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        if after < tail.base {
            return None;
        }
        let records: Vec<_> = tail
            .records
            .range((Bound::Excluded(after), Bound::Included(head)))
            .take(count_max)
            .map(|(seq, record)| (*seq, Arc::clone(record)))
            .collect();
        let newest = tail.records.last_key_value().map_or(0, |(seq, _)| *seq);
        Some(Chunk {
            through: through(&records, count_max, head),
            newest: newest.max(head),
            records,
        })
    }
}

impl Tail {
    fn take_in(&mut self, change: Change) {
        if let Some(old) = change.superseded {
            self.drop_record(old);
        }
        self.drop_record(change.seq);
        if !change.record.is_empty() && change.seq > self.base {
            let fed = Arc::new(Fed::new(change.record, change.bytes));
            self.bytes += change.bytes;
            self.records.insert(change.seq, fed);
        }
        while self.records.len() > limits::TAIL_RECORDS_MAX || self.bytes > limits::TAIL_BYTES_MAX {
            let Some((oldest, _)) = self.records.first_key_value() else {
                break;
            };
            self.base = *oldest;
            self.drop_record(self.base);
        }
    }

    fn drop_record(&mut self, seq: u64) {
        if let Some(dropped) = self.records.remove(&seq) {
            self.bytes -= dropped.bytes;
        }
    }
}

/// Up to `count_max` records after a seq and up to another, from the journal.
pub(super) fn from_journal(
    journal: &Journal,
    after: u64,
    head: u64,
    count_max: usize,
) -> Result<Chunk, JournalError> {
    let mut records = Vec::new();
    let newest = journal.each_record(after, head, |seq, record| {
        records.push((seq, Arc::new(Fed::new(Arc::new(record), 0))));
        if records.len() < count_max {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    })?;
    Ok(Chunk {
        through: through(&records, count_max, head),
        newest: newest.max(head),
        records,
    })
}

/// A full chunk ends with its last record; any other has come to the head.
fn through(records: &[(u64, Arc<Fed>)], count_max: usize, head: u64) -> u64 {
    match records.last() {
        Some((seq, _)) if records.len() >= count_max => *seq,
        _ => head,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        journal::Live,
        model::{Boot, KeyKind, TargetKey, sample},
    };

    fn record(sub: &str) -> Arc<Record> {
        Arc::new(sample::log_out(sub, Boot(1)))
    }

    fn change(seq: u64, record: &Arc<Record>, superseded: Option<u64>, is_news: bool) -> Change {
        Change {
            key: TargetKey::from_bytes([0; 16]),
            seq,
            record: Arc::clone(record),
            bytes: 1_000,
            superseded,
            is_news,
            is_first: false,
        }
    }

    fn seqs(feed: &Feed, after: u64) -> Option<(Vec<u64>, u64)> {
        let chunk = feed.recent(after, 100)?;
        let seqs = chunk.records.iter().map(|(seq, _)| *seq).collect();
        Some((seqs, chunk.through))
    }

    #[test]
    fn a_target_stands_in_memory_once_and_not_at_all_once_it_is_forgotten() {
        let feed = Feed::new(0);
        let (a, b) = (record("a"), record("b"));
        let nothing = Arc::new(Record::new(sample::user("b")));
        feed.publish(vec![change(1, &a, None, true), change(2, &b, None, true)]);
        feed.publish(vec![change(3, &a, Some(1), true)]);
        assert_eq!(seqs(&feed, 0), Some((vec![2, 3], 3)));
        feed.publish(vec![change(2, &nothing, None, false)]);
        assert_eq!(seqs(&feed, 0), Some((vec![3], 3)));
        feed.publish(vec![change(3, &nothing, None, false)]);
        assert_eq!(seqs(&feed, 0), Some((vec![], 3)));
        assert_eq!(seqs(&feed, 3), Some((vec![], 3)));
    }

    #[test]
    fn memory_is_bounded_and_what_left_it_is_read_from_the_journal() {
        let feed = Feed::new(10);
        let a = record("a");
        assert_eq!(seqs(&feed, 9), None);
        let last = 10 + limits::TAIL_RECORDS_MAX as u64 + 3;
        feed.publish((11..=last).map(|seq| change(seq, &a, None, true)).collect());
        assert_eq!(seqs(&feed, 12), None);
        assert_eq!(seqs(&feed, 13).map(|(seqs, _)| seqs[0]), Some(14));
        // A part of what left was forgotten: it does not come back by that.
        feed.publish(vec![change(11, &a, None, false)]);
        assert_eq!(seqs(&feed, 13).map(|(seqs, _)| seqs[0]), Some(14));
    }

    #[test]
    fn large_records_leave_memory_sooner() {
        let feed = Feed::new(0);
        let large = |seq| Change {
            bytes: limits::TAIL_BYTES_MAX / 4,
            ..change(seq, &record("a"), None, true)
        };
        feed.publish((1..=4).map(large).collect());
        assert_eq!(seqs(&feed, 0), Some((vec![1, 2, 3, 4], 4)));
        feed.publish(vec![large(5)]);
        assert_eq!(seqs(&feed, 0), None);
        assert_eq!(seqs(&feed, 1), Some((vec![2, 3, 4, 5], 5)));
        // What superseded a large one is not counted beside it.
        let small = |seq, superseded| change(seq, &record("a"), Some(superseded), true);
        feed.publish((6..=9).map(|seq| small(seq, seq - 4)).collect());
        feed.publish((10..=12).map(large).collect());
        assert_eq!(seqs(&feed, 5).map(|(seqs, _)| seqs.len()), Some(7));
    }

    /// The journal knows of a commit a moment before the feed shows it. A watcher that read the
    /// journal in that moment neither saw the superseded record nor knew that there was another,
    /// and could be told that it had caught up.
    #[test]
    fn a_reader_knows_that_something_newer_exists_before_it_is_shown() {
        let journal = Journal::open(&crate::journal::Storage::Memory).unwrap();
        for (seq, superseded) in [(1, None), (2, Some(1))] {
            let a = record("a");
            let live = Live {
                kind: KeyKind::User,
                seq,
                slot: [0; 16],
            };
            journal
                .write(|tables| {
                    tables.put(&a.target.key(), &a, live, superseded)?;
                    Ok(ControlFlow::Continue(()))
                })
                .unwrap();
        }
        let chunk = from_journal(&journal, 0, 1, 100).unwrap();
        assert_eq!(
            (chunk.records.len(), chunk.through, chunk.newest),
            (0, 1, 2)
        );
    }
}

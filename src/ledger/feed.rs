//! The committed records, in order, for watchers: the newest from memory, the rest from the
//! journal. There is no queue per watcher, so a slow one delays nobody and loses no state.

use std::{
    collections::VecDeque,
    ops::ControlFlow,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::watch;

use crate::{
    journal::{Journal, JournalError},
    limits,
    model::Record,
};

/// Committed records, and how far a reader has come with them.
#[derive(Debug)]
pub struct Chunk {
    /// In order of their seqs.
    pub records: Vec<(u64, Arc<Record>)>,
    /// Everything up to here has been read.
    pub through: u64,
}

#[derive(Debug)]
struct Tail {
    /// What comes after this seq is held.
    base: u64,
    records: VecDeque<(u64, Arc<Record>)>,
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
            records: VecDeque::new(),
        };
        Self {
            tail: Mutex::new(tail),
            head: watch::Sender::new(head),
        }
    }

    /// Takes in what was committed, and wakes everybody.
    pub(super) fn publish(&self, records: impl IntoIterator<Item = (u64, Arc<Record>)>) {
        let mut tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        tail.records.extend(records);
        while tail.records.len() > limits::TAIL_RECORDS_MAX {
            if let Some((seq, _)) = tail.records.pop_front() {
                tail.base = seq;
            }
        }
        let newest = tail.records.back().map(|(seq, _)| *seq);
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
        let head = self.head();
        let tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        if after < tail.base {
            return None;
        }
        let first = tail.records.partition_point(|(seq, _)| *seq <= after);
        let records: Vec<_> = tail
            .records
            .iter()
            .skip(first)
            .take_while(|(seq, _)| *seq <= head)
            .take(count_max)
            .map(|(seq, record)| (*seq, Arc::clone(record)))
            .collect();
        Some(Chunk {
            through: through(&records, count_max, head),
            records,
        })
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
    journal.each_record(after, head, |seq, record| {
        records.push((seq, Arc::new(record)));
        if records.len() < count_max {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    })?;
    Ok(Chunk {
        through: through(&records, count_max, head),
        records,
    })
}

/// A full chunk ends with its last record; any other has come to the head.
fn through(records: &[(u64, Arc<Record>)], count_max: usize, head: u64) -> u64 {
    match records.last() {
        Some((seq, _)) if records.len() >= count_max => *seq,
        _ => head,
    }
}

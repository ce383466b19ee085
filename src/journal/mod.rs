//! The durable, compacted log of records: one redb file.
//!
//! A record that supersedes another deletes it in the same transaction, so the log is the state:
//! reading from 0 is the snapshot, reading from a cursor is the tail, and no cursor is too old.
//!
//! What the journal holds for the index (`live`) is sixteen opaque bytes a target, so that a start
//! with millions of tokens reads one table from end to end and decodes nothing.
//!
//! **Invariant:** only the ledger writes here, and what [`Journal::write`] returned for is on disk.

mod backing;
mod codec;
mod open;
mod place;
mod write;

use std::{
    ops::{Bound, ControlFlow},
    sync::{Arc, OnceLock},
};

use arc_swap::ArcSwap;
use redb::{Database, ReadableDatabase as _, ReadableTable as _, TableDefinition};

use backing::Disk;
pub use codec::canonical;
pub use open::Storage;
use place::Place;
pub use write::{AnsweredRequest, Tables};

use crate::model::{Boot, KeyKind, Record, TargetKey};

/// The greatest seq: seven bytes, which no node writes in a thousand years.
const SEQ_MAX: u64 = (1 << 56) - 1;

/// The version of the format; a greater one was written by a newer program.
const FORMAT: u64 = 1;

type Bytes = &'static [u8];
type Key = &'static [u8; 16];

/// seq → record.
const RECORDS: TableDefinition<'_, u64, Bytes> = TableDefinition::new("records");
/// target → its seq, and what the index needs of it.
const LIVE: TableDefinition<'_, Key, &'static [u8; 24]> = TableDefinition::new("live");
/// (bucket, seq): what to look at when that time has come.
const EXPIRY: TableDefinition<'_, (u64, u64), ()> = TableDefinition::new("expiry");
/// Everything of which there is one.
const META: TableDefinition<'_, &'static str, Bytes> = TableDefinition::new("meta");
/// Number of the boot → the boot and the head of the journal when it began.
const BOOTS: TableDefinition<'_, u64, (u64, u64)> = TableDefinition::new("boots");
/// Answered requests, by a digest of caller and id.
const REQUESTS: TableDefinition<'_, Key, Bytes> = TableDefinition::new("requests");
/// (when, request): which to forget first.
const REQUESTS_BY_AGE: TableDefinition<'_, (u64, Key), ()> =
    TableDefinition::new("requests_by_age");

/// What can go wrong with the journal.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// The data directory cannot be made or used.
    #[error(
        "cannot use the data directory {path}; give one that this user may write to with --data-dir"
    )]
    Directory {
        /// Which.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// Another process has it.
    #[error(
        "the journal {path} is in use by another process: run one rescind per data directory (--data-dir)"
    )]
    InUse {
        /// Which.
        path: String,
    },
    /// It cannot be read.
    #[error(
        "the journal is damaged ({0}): nothing was changed; restore the data directory from a \
         backup, or move it away and start anew - then what was revoked on this node alone is \
         forgotten and must be revoked again"
    )]
    Damaged(String),
    /// There was one, and it is not there.
    #[error(
        "the journal {path} {how}, and a start without it would forget everything that was revoked on \
         this node: put it back from a backup, or, if that may be forgotten, start once with \
         --accept-empty-journal"
    )]
    Lost {
        /// Where it was.
        path: String,
        /// What is there instead.
        how: &'static str,
    },
    /// The file that is open is no longer what the next start will find.
    #[error(
        "the journal was moved away from {path} or deleted while in use, so what is written now would \
         be gone after a restart"
    )]
    Moved {
        /// Where it was.
        path: String,
    },
    /// A newer program wrote it.
    #[error(
        "the journal has format {found} and this rescind reads up to {FORMAT}: run a rescind at \
         least as new as the one that wrote it"
    )]
    Newer {
        /// Its format.
        found: u64,
    },
    /// Reading or writing failed.
    #[error("the journal cannot be read or written")]
    Io(#[source] Box<redb::Error>),
    /// An earlier write failed.
    #[error("the journal takes no writes since one failed: {0}")]
    Failed(String),
}

impl<E: Into<redb::Error>> From<E> for JournalError {
    fn from(error: E) -> Self {
        match error.into() {
            redb::Error::Corrupted(what) => Self::Damaged(what),
            other => Self::Io(Box::new(other)),
        }
    }
}

/// One run of the process, as the journal knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BootSpan {
    /// Which.
    pub boot: Boot,
    /// The head of the journal when it began: it wrote what comes after.
    pub head_before: u64,
}

/// What stands in the journal of one target, without its record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Live {
    /// How the target is named.
    pub kind: KeyKind,
    /// Where the record is.
    pub seq: u64,
    /// What the index needs of it; all zero: the index needs the record.
    pub slot: [u8; 16],
}

impl Live {
    /// A seq takes seven bytes, so the eighth is free for the kind.
    fn to_bytes(self) -> [u8; 24] {
        let head = (self.kind as u64) << 56 | self.seq;
        let mut bytes = [0; 24];
        let (first, rest) = bytes.split_at_mut(8);
        first.copy_from_slice(&head.to_be_bytes());
        rest.copy_from_slice(&self.slot);
        bytes
    }

    fn from_bytes(bytes: &[u8; 24]) -> Result<Self, JournalError> {
        let (first, rest) = bytes.split_at(8);
        let head = first.try_into().map_or(0, u64::from_be_bytes);
        let kind = u32::try_from(head >> 56)
            .ok()
            .and_then(KeyKind::from_number)
            .ok_or_else(|| JournalError::Damaged("an unknown kind of target".to_owned()))?;
        Ok(Self {
            kind,
            seq: head & SEQ_MAX,
            slot: rest.try_into().unwrap_or_default(),
        })
    }
}

/// The journal.
#[derive(Debug)]
pub struct Journal {
    db: ArcSwap<Database>,
    disk: Disk,
    /// The database whose disk failed: kept, with its locks, until the process ends.
    failed: OnceLock<Arc<Database>>,
    /// Where its file is; `None`: in memory, or on a storage of a test's.
    place: Option<Place>,
    /// False for one in memory: it does not survive the process.
    pub durable: bool,
}

impl Journal {
    /// Everything that is live, in no particular order.
    pub fn each_live(
        &self,
        mut each: impl FnMut(TargetKey, Live) -> Result<(), JournalError>,
    ) -> Result<(), JournalError> {
        let table = self.db.load().begin_read()?.open_table(LIVE)?;
        for row in table.iter()? {
            let (key, live) = row?;
            each(
                TargetKey::from_bytes(*key.value()),
                Live::from_bytes(live.value())?,
            )?;
        }
        Ok(())
    }

    /// The record at a seq, if it is still the newest of its target.
    pub fn record(&self, seq: u64) -> Result<Option<Record>, JournalError> {
        let table = self.db.load().begin_read()?.open_table(RECORDS)?;
        let row = table.get(seq)?;
        row.map(|row| codec::decode(row.value())).transpose()
    }

    /// The records after one seq and up to another, in order and as they stood at one moment,
    /// until `each` has enough. Returns the newest seq of that moment.
    pub fn each_record(
        &self,
        after: u64,
        up_to: u64,
        mut each: impl FnMut(u64, Record) -> ControlFlow<()>,
    ) -> Result<u64, JournalError> {
        let table = self.db.load().begin_read()?.open_table(RECORDS)?;
        let newest = table.last()?.map_or(0, |(seq, _)| seq.value());
        for row in table.range((Bound::Excluded(after), Bound::Included(up_to)))? {
            let (seq, record) = row?;
            if each(seq.value(), codec::decode(record.value())?).is_break() {
                break;
            }
        }
        Ok(newest)
    }

    /// One of the things of which there is one.
    pub fn meta(&self, name: &str) -> Result<Option<Vec<u8>>, JournalError> {
        let table = self.db.load().begin_read()?.open_table(META)?;
        Ok(table.get(name)?.map(|value| value.value().to_vec()))
    }

    /// The boots that are remembered, oldest first.
    pub fn boots(&self) -> Result<Vec<BootSpan>, JournalError> {
        let table = self.db.load().begin_read()?.open_table(BOOTS)?;
        table
            .iter()?
            .map(|row| {
                let (boot, head_before) = row?.1.value();
                Ok(BootSpan {
                    boot: Boot(boot),
                    head_before,
                })
            })
            .collect()
    }
}

#[cfg(test)]
mod tests;

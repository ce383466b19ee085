//! Writing to the journal: one transaction at a time, durable when it returns.

use std::ops::ControlFlow;

use prost::Message as _;
use redb::{ReadableTable as _, ReadableTableMetadata as _, Table};

use crate::{
    limits,
    model::{Boot, Record, TargetKey, UnixNanos},
    proto::journal::Answered,
};

use super::{
    BOOTS, BootSpan, EXPIRY, Journal, JournalError, LIVE, Live, META, RECORDS, REQUESTS,
    REQUESTS_BY_AGE, codec,
};

/// What a transaction can do. It sees its own writes.
#[derive(Debug)]
pub struct Tables<'t> {
    records: Table<'t, u64, &'static [u8]>,
    live: Table<'t, &'static [u8; 16], &'static [u8; 24]>,
    expiry: Table<'t, (u64, u64), ()>,
    meta: Table<'t, &'static str, &'static [u8]>,
    boots: Table<'t, u64, (u64, u64)>,
    requests: Table<'t, &'static [u8; 16], &'static [u8]>,
    requests_by_age: Table<'t, (u64, &'static [u8; 16]), ()>,
}

impl Journal {
    /// Runs `work` in one transaction and makes it durable; `Break` leaves everything as it was.
    pub fn write<T>(
        &self,
        work: impl FnOnce(&mut Tables<'_>) -> Result<ControlFlow<T, T>, JournalError>,
    ) -> Result<T, JournalError> {
        // Once it has failed everything is in memory anyway.
        if let (Some(place), None) = (&self.place, self.failed.get()) {
            place.check()?;
        }
        let txn = self.db.load().begin_write()?;
        let done = {
            let mut tables = Tables {
                records: txn.open_table(RECORDS)?,
                live: txn.open_table(LIVE)?,
                expiry: txn.open_table(EXPIRY)?,
                meta: txn.open_table(META)?,
                boots: txn.open_table(BOOTS)?,
                requests: txn.open_table(REQUESTS)?,
                requests_by_age: txn.open_table(REQUESTS_BY_AGE)?,
            };
            work(&mut tables)?
        };
        match done {
            ControlFlow::Continue(value) => {
                txn.commit()?;
                Ok(value)
            }
            ControlFlow::Break(value) => {
                txn.abort()?;
                Ok(value)
            }
        }
    }
}

impl Tables<'_> {
    /// How many targets there is anything to remember of.
    pub fn count(&self) -> Result<u64, JournalError> {
        Ok(self.live.len()?)
    }

    /// Where a target's record is.
    pub fn live(&self, key: &TargetKey) -> Result<Option<Live>, JournalError> {
        let row = self.live.get(key.as_bytes())?;
        row.map(|row| Live::from_bytes(row.value())).transpose()
    }

    /// The record at a seq.
    pub fn record(&self, seq: u64) -> Result<Option<Record>, JournalError> {
        let row = self.records.get(seq)?;
        row.map(|row| codec::decode(row.value())).transpose()
    }

    /// Writes a record at `live.seq` in place of the one at `superseded`. Returns its size in bytes.
    pub fn put(
        &mut self,
        key: &TargetKey,
        record: &Record,
        live: Live,
        superseded: Option<u64>,
    ) -> Result<usize, JournalError> {
        if let Some(old) = superseded {
            self.drop_record(old)?;
        }
        let row = codec::encode(record);
        self.records.insert(live.seq, row.as_slice())?;
        self.live.insert(key.as_bytes(), &live.to_bytes())?;
        if let Some(end) = record.next_end() {
            self.expiry.insert((bucket(end), live.seq), ())?;
        }
        Ok(row.len())
    }

    /// Forgets a target altogether.
    pub fn delete(&mut self, key: &TargetKey, seq: u64) -> Result<(), JournalError> {
        self.drop_record(seq)?;
        self.live.remove(key.as_bytes())?;
        Ok(())
    }

    fn drop_record(&mut self, seq: u64) -> Result<(), JournalError> {
        let end = match self.records.remove(seq)? {
            Some(row) => codec::decode(row.value())?.next_end(),
            None => None,
        };
        if let Some(end) = end {
            self.expiry.remove((bucket(end), seq))?;
        }
        Ok(())
    }

    /// The seqs, at most `count_max`, of records with something to forget by `now`.
    pub fn expired(&self, now: UnixNanos, count_max: usize) -> Result<Vec<u64>, JournalError> {
        let end = (now.secs_floor() / limits::EXPIRY_BUCKET_S, 0);
        self.expiry
            .range(..end)?
            .take(count_max)
            .map(|row| Ok(row?.0.value().1))
            .collect()
    }

    /// Sets one of the things of which there is one.
    pub fn set_meta(&mut self, name: &str, value: &[u8]) -> Result<(), JournalError> {
        self.meta.insert(name, value)?;
        Ok(())
    }

    /// Notes a new boot, and forgets the oldest beyond the bound.
    pub fn add_boot(&mut self, span: BootSpan) -> Result<(), JournalError> {
        let next = self.boots.last()?.map_or(0, |row| row.0.value() + 1);
        self.boots.insert(next, (span.boot.0, span.head_before))?;
        while self.boots.len()? > limits::BOOTS_MAX as u64 {
            self.boots.pop_first()?;
        }
        Ok(())
    }

    /// What was answered to a request.
    pub fn answered(&self, key: &[u8; 16]) -> Result<Option<AnsweredRequest>, JournalError> {
        let Some(row) = self.requests.get(key)? else {
            return Ok(None);
        };
        let answered = Answered::decode(row.value())
            .map_err(|_| JournalError::Damaged("an answered request cannot be read".to_owned()))?;
        Ok(Some(AnsweredRequest {
            at: UnixNanos::from_nanos(answered.at),
            digest: answered.request_digest.try_into().unwrap_or_default(),
            boot: Boot(answered.boot),
            counters: (answered.counter_first, answered.counter_last),
        }))
    }

    /// Remembers a request, and forgets a few of those that are older than `oldest` or too many.
    pub fn remember(
        &mut self,
        key: &[u8; 16],
        request: &AnsweredRequest,
        oldest: UnixNanos,
    ) -> Result<(), JournalError> {
        let answered = Answered {
            at: request.at.nanos(),
            request_digest: request.digest.to_vec(),
            boot: request.boot.0,
            counter_first: request.counters.0,
            counter_last: request.counters.1,
        };
        self.forget_request(key)?;
        self.requests
            .insert(key, answered.encode_to_vec().as_slice())?;
        self.requests_by_age.insert((answered.at, key), ())?;
        for _ in 0..limits::REQUESTS_FORGOTTEN_MAX {
            let Some((age, key)) = self.oldest_request()? else {
                break;
            };
            let too_many = self.requests.len()? > limits::REQUEST_IDS_MAX;
            if age >= oldest.nanos() && !too_many {
                break;
            }
            self.requests_by_age.remove((age, &key))?;
            self.requests.remove(&key)?;
        }
        Ok(())
    }

    fn forget_request(&mut self, key: &[u8; 16]) -> Result<(), JournalError> {
        if let Some(old) = self.answered(key)? {
            self.requests_by_age.remove((old.at.nanos(), key))?;
            self.requests.remove(key)?;
        }
        Ok(())
    }

    fn oldest_request(&self) -> Result<Option<(u64, [u8; 16])>, JournalError> {
        let first = self.requests_by_age.first()?;
        Ok(first.map(|row| {
            let (age, key) = row.0.value();
            (age, *key)
        }))
    }
}

/// A request that was answered: its repeat is recognised by this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnsweredRequest {
    /// When.
    pub at: UnixNanos,
    /// 128 bits of BLAKE3 of the request.
    pub digest: [u8; 16],
    /// The boot that wrote.
    pub boot: Boot,
    /// The first and the last of its writes.
    pub counters: (u64, u64),
}

/// The bucket of an end: looked at once the whole bucket has passed.
fn bucket(end: UnixNanos) -> u64 {
    end.secs_floor() / limits::EXPIRY_BUCKET_S
}

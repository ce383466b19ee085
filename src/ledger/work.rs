//! The targets of one command, before they are written.

use std::collections::{HashMap, hash_map::Entry};

use crate::{
    journal::{JournalError, Tables},
    limits,
    model::{Record, Target, TargetKey, UnixNanos},
};

use super::{
    order::{Receipt, WriteError},
    plan,
    shared::{Shared, is_emergency},
};

/// Why a command was not carried out: it is wrong, or the journal is.
pub(super) enum Refused {
    Write(WriteError),
    Journal(JournalError),
}

impl From<WriteError> for Refused {
    fn from(error: WriteError) -> Self {
        Self::Write(error)
    }
}

impl From<JournalError> for Refused {
    fn from(error: JournalError) -> Self {
        Self::Journal(error)
    }
}

/// A target in the transaction at hand.
#[derive(Debug)]
pub(super) struct Staged {
    pub(super) record: Record,
    pub(super) superseded: Option<u64>,
    pub(super) is_changed: bool,
}

/// The targets of one command: each is read once, however often it is named.
#[derive(Debug, Default)]
pub(super) struct Work {
    pub(super) staged: HashMap<TargetKey, Staged>,
    /// In the order in which they were first named.
    pub(super) order: Vec<TargetKey>,
    /// One for each time that a target is named.
    named: Vec<(TargetKey, Vec<String>)>,
}

impl Work {
    pub(super) fn stage(
        &mut self,
        tables: &Tables<'_>,
        target: &Target,
    ) -> Result<&mut Staged, JournalError> {
        let key = target.key();
        Ok(match self.staged.entry(key) {
            Entry::Occupied(held) => held.into_mut(),
            Entry::Vacant(vacant) => {
                let superseded = tables.live(&key)?.map(|live| live.seq);
                let record = match superseded {
                    // To begin anew would lose what was revoked.
                    Some(seq) => tables.record(seq)?.ok_or_else(|| {
                        JournalError::Damaged("a target without its record".to_owned())
                    })?,
                    None => Record::new(target.clone()),
                };
                self.order.push(key);
                vacant.insert(Staged {
                    record,
                    superseded,
                    is_changed: false,
                })
            }
        })
    }

    pub(super) fn note(&mut self, target: &Target, warnings: Vec<String>) {
        self.named.push((target.key(), warnings));
    }

    /// Of records that were sent: where those that are held exactly so now stood before; zero:
    /// nowhere.
    pub(super) fn held_as_sent(&self, sent: &[(TargetKey, Record)]) -> Vec<Option<u64>> {
        let held = |(key, record): &(TargetKey, Record)| {
            let staged = self.staged.get(key)?;
            let is_same = staged.record.rules == record.rules && !record.is_empty();
            is_same.then_some(staged.superseded.unwrap_or_default())
        };
        sent.iter().map(held).collect()
    }

    pub(super) fn check_quota(&self, tables: &Tables<'_>, shared: &Shared) -> Result<(), Refused> {
        let held = tables.count()?;
        let added = |staged: &&Staged| staged.superseded.is_none() && staged.is_changed;
        let (mut usual, mut emergency) = (0_u64, 0_u64);
        for staged in self.staged.values().filter(added) {
            if is_emergency(staged.record.target.key_kind(), &staged.record) {
                emergency += 1;
            } else {
                usual += 1;
            }
        }
        let live_max = shared.live_max;
        let reserve = live_max / limits::LIVE_RESERVE_DIVISOR;
        let reserved = if usual > 0 && held + usual + emergency > live_max - reserve {
            ", a tenth being kept for keys, issuers, clients, claims and `all` on users"
        } else if emergency > 0 && held + emergency > live_max {
            ""
        } else {
            return Ok(());
        };
        Err(Refused::Write(WriteError::QuotaFull {
            live_max,
            held,
            reserved,
        }))
    }

    pub(super) fn receipts(&self, shared: &Shared, now: UnixNanos) -> Vec<Receipt> {
        self.named
            .iter()
            .filter_map(|(key, warnings)| {
                let record = self.staged.get(key)?.record.clone().forget(now);
                let seen = shared.sightings.claims(&record.target.iss);
                Some(plan::receipt(record, seen, warnings.clone()))
            })
            .collect()
    }
}

/// The receipts of a request that was answered before.
pub(super) fn what_holds<'a>(
    tables: &Tables<'_>,
    targets: impl Iterator<Item = &'a Target>,
    shared: &Shared,
    now: UnixNanos,
) -> Result<Vec<Receipt>, JournalError> {
    let mut work = Work::default();
    for target in targets {
        work.stage(tables, target)?;
        work.note(target, Vec::new());
    }
    Ok(work.receipts(shared, now))
}

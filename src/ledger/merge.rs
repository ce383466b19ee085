//! Taking in what other nodes sent.

use std::collections::HashMap;

use crate::{
    journal::{JournalError, Tables},
    model::{Boot, Entry, Record, Target, TargetKey, UnixNanos},
};

use super::{
    order::{Merge, Merged},
    shared::apply,
    trust::Trust,
    work::{Staged, Work},
    writer::{Change, Writer},
};

impl Writer {
    /// Joins records with what is held here. Only what changes the state is written and fed on, so
    /// floods end and loops are harmless.
    pub(super) fn merge(
        &mut self,
        order: Merge,
        tables: &mut Tables<'_>,
        changes: &mut Vec<Change>,
    ) -> Result<Merged, JournalError> {
        // What a trusted sweeper would forget at once would come back to others from here, and from
        // them to here again.
        // The clock is looked at now: it may have jumped since the last sweep. After it was set back,
        // what was forgotten too early is read again and must not be dropped once more.
        let now = self.shared.clock.wall();
        let forgotten = match self.sweeper.opine(&self.shared) {
            Trust::Trusted => now,
            _ => now.min(self.shared.swept()),
        };
        let mut is_dropped = false;
        let mut work = Work::default();
        let mut sent: Vec<(TargetKey, Option<Record>)> = Vec::with_capacity(order.records.len());
        for record in order.records {
            let key = record.target.key();
            let ends = record.next_end();
            is_dropped |= ends.is_some_and(|end| end <= forgotten);
            let record = Some(record.forget(forgotten)).filter(|record| !record.is_empty());
            if let Some(record) = record.clone() {
                let staged = work.stage(tables, &record.target)?;
                self.take_in(staged, record)?;
            }
            sent.push((key, record));
        }
        if is_dropped {
            self.sweeper.used(forgotten);
        }
        let held = work.held_as_sent(&sent);
        let first = changes.len();
        self.put_changed(work, tables, changes)?;
        let written = changes.get(first..).unwrap_or_default();
        // What others revoked is enforced from now on, however long the disk takes.
        for change in written {
            apply(&self.shared.index, change.key, &change.record, change.seq);
        }
        if let Some((name, place)) = order.place {
            self.places.insert(name, place);
        }
        let seqs: HashMap<_, _> = written
            .iter()
            .map(|change| (change.key, change.seq))
            .collect();
        Ok(Merged {
            changed: written.len() as u64,
            held: held
                .into_iter()
                .zip(&sent)
                .map(|(held, (key, _))| held.map(|old| seqs.get(key).copied().unwrap_or(old)))
                .collect(),
            head: self.head,
            durable: self.shared.failure.load().is_none(),
        })
    }

    fn take_in(&mut self, staged: &mut Staged, mut record: Record) -> Result<(), JournalError> {
        let is_ahead = self.dots.take_out_forged(&mut record);
        if let Some(joined) = staged.record.take_in(&record) {
            staged.record = joined;
            staged.is_changed = true;
        }
        if is_ahead {
            let boot = getrandom::u64()
                .map_err(|error| JournalError::Failed(format!("no random numbers: {error}")))?;
            tracing::error!(
                target = %staged.record.target,
                "a record claims to know writes that this node never made: forged or damaged, or \
                 its disk was cloned; going on under a fresh boot"
            );
            self.dots.renew(Boot(boot));
            self.restate(staged, |entry| entry.until);
        }
        let needed = |target: &Target, entry: &Entry| {
            let bounds = self.shared.bounds.load();
            bounds.kept_until(&target.iss, entry)
        };
        let target = staged.record.target.clone();
        let is_too_short = staged.record.rules.values().any(|rule| {
            let mut entries = rule.in_force();
            entries.any(|entry| needed(&target, entry) > entry.until)
        });
        if is_too_short {
            let bounds = self.shared.bounds.load_full();
            self.restate(staged, |entry| {
                bounds.kept_until(&target.iss, entry).max(entry.until)
            });
        }
        Ok(())
    }

    /// Writes what is in force again, as a write of this node.
    fn restate(&mut self, staged: &mut Staged, until: impl Fn(&Entry) -> UnixNanos) {
        for rule in staged.record.rules.values_mut() {
            if rule.in_force().next().is_none() {
                continue;
            }
            if let Some(restated) = rule.restate(self.dots.next(), &until) {
                *rule = restated;
                staged.record.origin = Some(self.shared.boot);
                staged.is_changed = true;
            }
        }
    }
}

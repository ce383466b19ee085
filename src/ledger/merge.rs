//! Taking in what other nodes sent.

use std::collections::HashMap;

use crate::{
    journal::{JournalError, Tables},
    model::{Boot, Dot, Entry, Record, Rule, Target, TargetKey, UnixNanos},
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
        // What a trusted sweeper would forget at once is not taken in: it would wander from node to
        // node for ever. By a clock that is not trusted nothing is left out, and the clock is looked at
        // now: it may have jumped since the last sweep.
        let now = self.shared.clock.wall();
        let run_out = match self.sweeper.opine(&self.shared) {
            Trust::Trusted => now,
            _ => UnixNanos::ZERO,
        };
        let mut is_dropped = false;
        let mut work = Work::default();
        let mut sent: Vec<(TargetKey, Record)> = Vec::with_capacity(order.records.len());
        for record in order.records {
            is_dropped |= record.next_end().is_some_and(|end| end <= run_out);
            let staged = work.stage(tables, &record.target)?;
            self.take_in(staged, record.clone(), run_out)?;
            sent.push((record.target.key(), record));
        }
        if is_dropped {
            self.sweeper.used(run_out);
        }
        let held = work.held_as_sent(&sent);
        let first = changes.len();
        self.put_changed(work, tables, changes)?;
        let written = changes.get_mut(first..).unwrap_or_default();
        // What others revoked is enforced from now on, however long the disk takes.
        for change in written.iter_mut() {
            change.is_first |= order.handed_up;
            apply(&self.shared.index, change.key, &change.record, change.seq);
        }
        if let Some((name, place)) = order.place {
            self.keep(name, place);
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
            left_out: is_dropped,
        })
    }

    /// First join, then keep longer, then leave out what has run out: in another order what a node
    /// with smaller bounds had nearly forgotten would be lost on one that needs it longer.
    fn take_in(
        &mut self,
        staged: &mut Staged,
        mut record: Record,
        run_out: UnixNanos,
    ) -> Result<(), JournalError> {
        let is_ahead = self.dots.take_out_forged(&mut record);
        let before = &staged.record;
        let mut after = before.take_in(&record).unwrap_or_else(|| before.clone());
        if is_ahead {
            self.renew_dots(&after.target)?;
            self.write_again(&mut after, |rule, dot| {
                rule.restate(dot, |entry| entry.until)
            });
        }
        let bounds = self.shared.bounds.load_full();
        let iss = after.target.iss.clone();
        let needed = |entry: &Entry| {
            let needed = bounds.kept_until(&iss, entry);
            if needed > run_out {
                needed
            } else {
                entry.until
            }
        };
        self.write_again(&mut after, |rule, dot| rule.keep_longer(dot, needed));
        let left = after.clone().forget(run_out);
        if left.rules != after.rules {
            after = Record {
                origin: None,
                ..left
            };
        }
        if after.rules != before.clone().forget(run_out).rules {
            staged.record = after;
            staged.is_changed = true;
        }
        Ok(())
    }

    fn renew_dots(&mut self, target: &Target) -> Result<(), JournalError> {
        let boot = getrandom::u64()
            .map_err(|error| JournalError::Failed(format!("no random numbers: {error}")))?;
        tracing::error!(
            %target,
            "a record claims to know writes that this node never made: forged or damaged, or its \
             disk was cloned; going on under a fresh boot"
        );
        self.dots.renew(Boot(boot));
        Ok(())
    }

    /// Writes of this node on what is in force, where there is one to make.
    fn write_again(&mut self, record: &mut Record, write: impl Fn(&Rule, Dot) -> Option<Rule>) {
        for rule in record.rules.values_mut() {
            if let Some(written) = write(rule, self.dots.coming()) {
                *rule = written;
                self.dots.next();
                record.origin = Some(self.shared.boot);
            }
        }
    }
}

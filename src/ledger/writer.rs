//! The one thread that writes.
//!
//! It gathers the writes that wait into one transaction, makes it durable, and only then shows
//! what it wrote to Check and to watchers, and answers.

use std::{
    collections::{BTreeMap, HashSet},
    ops::ControlFlow,
    sync::{Arc, atomic::Ordering},
};

use tokio::sync::mpsc;

use crate::{
    journal::{AnsweredRequest, JournalError, Live, Tables},
    limits,
    model::{Note, Reason, Record, TargetKey, UnixNanos},
};

use super::{
    command::{Command, Done, send},
    dots::Dots,
    order::{Merged, Receipt, RequestId, Restore, Revoke, Terms, WriteError},
    plan::{self, Setting},
    shared::{Shared, apply, slot_of},
    sweep::{self, Sweeper, Swept},
    validate,
    work::{Refused, Work, what_holds},
};

/// What a transaction changed, for the index and the feed.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) key: TargetKey,
    pub(super) seq: u64,
    pub(super) record: Arc<Record>,
    /// Of its row.
    pub(super) bytes: usize,
    /// Where the target's record stood before.
    pub(super) superseded: Option<u64>,
    /// Whether watchers see it: what is merely forgotten they forget by themselves.
    pub(super) is_news: bool,
    /// Whether it came to this node before any that it follows.
    pub(super) is_first: bool,
}

/// The writer's own state.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    pub(super) sweeper: Sweeper,
    pub(super) head: u64,
    pub(super) dots: Dots,
    /// What is to be written with the next commit, by name: a loss costs a repetition.
    pub(super) places: BTreeMap<String, Vec<u8>>,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, sweeper: Sweeper, counter: u64) -> Self {
        Self {
            head: shared.feed.head(),
            dots: Dots::new(shared.boot, counter),
            shared,
            sweeper,
            places: BTreeMap::new(),
        }
    }

    /// Writes until everybody who could ask is gone; then what waits for a commit gets one.
    pub(super) fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        while let Some(first) = commands.blocking_recv() {
            let mut group = vec![first];
            while group.len() < limits::GROUP_COMMIT_MAX
                && let Ok(next) = commands.try_recv()
            {
                group.push(next);
            }
            self.write(group);
        }
        self.end();
    }

    /// What waits for a commit gets one, and the next run is told that nothing is missing.
    fn end(mut self) {
        let boot = self.shared.boot.0.to_be_bytes().to_vec();
        self.keep(sweep::ENDED.to_owned(), boot);
        let (answer, _nobody) = tokio::sync::oneshot::channel();
        self.write(vec![Command::SaveLeads(answer)]);
    }

    /// Carries out a group of commands in one transaction, and answers them.
    pub(super) fn write(&mut self, group: Vec<Command>) {
        let failed = self.shared.failure.load_full();
        let (group, refused): (Vec<_>, Vec<_>) = group
            .into_iter()
            .partition(|command| failed.is_none() || command.goes_on_from_memory());
        for (command, failure) in refused.into_iter().zip(failed.iter().cycle()) {
            command.refuse(&WriteError::Unavailable((**failure).clone()));
        }
        let group = self.answer_light(group);
        if group.is_empty() {
            return;
        }
        let mut changes = Vec::new();
        let mut done = Vec::with_capacity(group.len());
        let mut group = group.into_iter();
        let shared = Arc::clone(&self.shared);
        let written = shared.journal.write(|tables| {
            for command in group.by_ref() {
                let (came_to, failed) = self.carry_out(command, tables, &mut changes);
                done.push(came_to);
                failed?;
            }
            let is_changed = !changes.is_empty() || self.sweeper.is_dirty();
            if is_changed {
                tables.set_meta("head", &self.head.to_be_bytes())?;
                for (name, place) in &self.places {
                    tables.set_meta(name, place)?;
                }
                shared.reserved.store(self.head, Ordering::SeqCst);
                self.sweeper.save(tables, &shared)?;
            }
            let held = tables.count()?;
            Ok(if is_changed {
                ControlFlow::Continue(held)
            } else {
                ControlFlow::Break(held)
            })
        });
        match written {
            Ok(held) => {
                shared.held.store(held, Ordering::Relaxed);
                // Places that came without changes wait for the next commit.
                if self.sweeper.is_dirty() || !changes.is_empty() {
                    self.places.clear();
                }
                self.show(changes);
                for done in done {
                    done.answer();
                }
            }
            Err(error) => {
                // Seqs and dots that were given are never given again: what the index took in ahead of
                // this commit stays there, and must not look newer than what comes next.
                let failure = self.fail(&error);
                self.go_on_in_memory();
                for done in done {
                    done.refuse(&failure);
                }
                for command in group {
                    command.refuse(&failure);
                }
            }
        }
    }

    /// Deals with what needs no transaction of its own, and returns the rest.
    fn answer_light(&mut self, group: Vec<Command>) -> Vec<Command> {
        let mut rest = Vec::with_capacity(group.len());
        for command in group {
            match command {
                Command::Remember(name, place, answer) => {
                    self.keep(name, place);
                    send(answer, Ok(()));
                }
                Command::ClockOfPeer(time, answer) => {
                    self.sweeper.hear_of(time, &self.shared);
                    send(answer, Ok(()));
                }
                Command::Merge(order, answer) if order.records.is_empty() => {
                    if let Some((name, place)) = order.place {
                        self.keep(name, place);
                    }
                    let merged = Merged {
                        head: self.head,
                        durable: self.shared.failure.load().is_none(),
                        ..Merged::default()
                    };
                    send(answer, Ok(merged));
                }
                other => rest.push(other),
            }
        }
        rest
    }

    /// Shows Check and the watchers what is durable now.
    fn show(&mut self, changes: Vec<Change>) {
        self.sweeper.committed(&self.shared);
        let first = changes.iter().filter(|change| change.is_first);
        if let Some(newest) = first.clone().map(|change| change.seq).max() {
            let mut known = self.shared.first();
            first.for_each(|change| known.insert(change.seq));
            drop(known);
            self.shared.first_head.store(newest, Ordering::Release);
        }
        // Within one transaction a target may be written more than once, and what came from others is
        // enforced ahead of the rest: only what stands in the end is shown.
        let superseded: HashSet<u64> = changes.iter().filter_map(|of| of.superseded).collect();
        let newest = |change: &&Change| !superseded.contains(&change.seq);
        for change in changes.iter().filter(newest) {
            apply(&self.shared.index, change.key, &change.record, change.seq);
        }
        self.shared.feed.publish(changes);
    }

    /// To be written with the next commit. What is only in memory must not look durable later.
    pub(super) fn keep(&mut self, name: String, place: Vec<u8>) {
        if self.shared.failure.load().is_none() {
            self.places.insert(name, place);
        }
    }

    /// What others revoke is still enforced, from memory, as long as this process lives.
    fn go_on_in_memory(&mut self) {
        self.places.clear();
        match self.shared.journal.go_on_in_memory() {
            Ok(()) => tracing::warn!("what other nodes revoke is enforced from memory from now on"),
            Err(error) => tracing::error!(
                error = %error_chain(&error),
                "what other nodes revoke from now on cannot be enforced: restart this node"
            ),
        }
    }

    fn fail(&self, error: &JournalError) -> WriteError {
        let chain = error_chain(error);
        let failure = format!(
            "the journal cannot be written ({chain}): writes are refused and Check goes on; free \
             or repair the disk, then restart"
        );
        tracing::error!(error = %chain, "journal failed");
        self.shared.failure.store(Some(Arc::new(failure.clone())));
        WriteError::Unavailable(failure)
    }

    /// What a command came to is answered even when the journal failed on it.
    fn carry_out(
        &mut self,
        command: Command,
        tables: &mut Tables<'_>,
        changes: &mut Vec<Change>,
    ) -> (Done, Result<(), JournalError>) {
        match command {
            Command::Revoke(order, answer) => {
                let result = self.revoke(&order, tables, changes);
                let (result, failed) = flatten(result);
                (Done::Receipts(answer, result), failed)
            }
            Command::Restore(order, answer) => {
                let result = self.restore(&order, tables, changes);
                let (result, failed) = flatten(result);
                (Done::Receipts(answer, result), failed)
            }
            Command::Merge(order, answer) => {
                let (merged, failed) = match self.merge(order, tables, changes) {
                    Ok(merged) => (merged, Ok(())),
                    Err(error) => (Merged::default(), Err(error)),
                };
                (Done::Merged(answer, merged), failed)
            }
            Command::KeepSharedJtis => (Done::Unasked, self.keep_shared_jtis(tables, changes)),
            Command::Sweep(answer) => {
                if let Err(error) = self.keep_shared_jtis(tables, changes) {
                    return (Done::Swept(answer, Swept::default()), Err(error));
                }
                // Once in a while what waits for a commit gets one.
                if !self.places.is_empty() {
                    self.sweeper.touch();
                }
                let (swept, failed) = match self.sweeper.sweep(&self.shared, tables, changes) {
                    Ok(swept) => (swept, Ok(())),
                    Err(error) => (Swept::default(), Err(error)),
                };
                (Done::Swept(answer, swept), failed)
            }
            Command::SaveLeads(answer) => {
                self.sweeper.notice_sightings(&self.shared);
                if !self.places.is_empty() {
                    self.sweeper.touch();
                }
                (Done::Noted(answer), Ok(()))
            }
            Command::AcceptClock(answer) => {
                self.sweeper.accept_clock(&self.shared);
                (Done::Noted(answer), Ok(()))
            }
            Command::CaughtUpFrom(theirs, answer) => {
                let ours = self.shared.bounds.load();
                let known = ours.caught_up_from(&theirs, self.shared.clock.wall());
                self.shared.bounds.store(Arc::new(known));
                self.sweeper.touch();
                (Done::Noted(answer), Ok(()))
            }
            // Answered before.
            Command::Remember(_, _, answer) | Command::ClockOfPeer(_, answer) => {
                (Done::Noted(answer), Ok(()))
            }
        }
    }

    fn revoke(
        &mut self,
        order: &Revoke,
        tables: &mut Tables<'_>,
        changes: &mut Vec<Change>,
    ) -> Result<Vec<Receipt>, Refused> {
        let now = self.shared.clock.wall();
        if is_repeat(tables, &order.terms, now)? {
            let targets = order.targets.iter().map(|named| &named.target);
            return Ok(what_holds(tables, targets, &self.shared, now)?);
        }
        let shared = Arc::clone(&self.shared);
        validate::end(order, now)?;
        let latest = self.sweeper.latest(now);
        let note = note(&order.terms, order.reason, now);
        let first = self.dots.given() + 1;
        let mut work = Work::default();
        for named in &order.targets {
            let iss = &named.target.iss;
            let settings = shared.semantics.of(iss);
            let at = Setting {
                settings,
                now,
                latest,
                lead: shared.sightings.lead(iss, now, settings.leeway),
                may_lack_lead: shared.may_lack_lead(now, settings.leeway),
                shares_jtis: shared.jtis.concerns(iss),
                seen: shared.sightings.claims(iss),
            };
            let requests = plan::requests(named, &order.rules, order.expires_at, at);
            let is_configured = shared.semantics.issuers.contains_key(iss);
            let mut warnings = plan::advice(named, &requests, is_configured, at);
            let staged = work.stage(tables, &named.target)?;
            staged.is_changed = true;
            staged.record.origin = Some(shared.boot);
            let next_dot = || self.dots.next();
            warnings.extend(plan::revoke(&mut staged.record, &requests, &note, next_dot));
            work.note(&named.target, warnings);
        }
        work.check_quota(tables, &shared)?;
        self.finish(work, &order.terms, first, now, tables, changes)
    }

    fn restore(
        &mut self,
        order: &Restore,
        tables: &mut Tables<'_>,
        changes: &mut Vec<Change>,
    ) -> Result<Vec<Receipt>, Refused> {
        let now = self.shared.clock.wall();
        if is_repeat(tables, &order.terms, now)? {
            return Ok(what_holds(tables, order.targets.iter(), &self.shared, now)?);
        }
        let note = note(&order.terms, Reason::Unspecified, now);
        let first = self.dots.given() + 1;
        let mut work = Work::default();
        let token_kinds = [crate::model::RuleKind::All];
        for target in &order.targets {
            let kinds = if target.is_token() {
                &token_kinds[..]
            } else {
                &order.kinds
            };
            let staged = work.stage(tables, target)?;
            let (lifted, warnings) =
                plan::restore(&mut staged.record, kinds, &note, || self.dots.next());
            if lifted {
                staged.is_changed = true;
                staged.record.origin = Some(self.shared.boot);
            }
            work.note(target, warnings);
        }
        self.finish(work, &order.terms, first, now, tables, changes)
    }

    /// Writes what was staged, unless it was only to be validated.
    fn finish(
        &mut self,
        work: Work,
        terms: &Terms,
        counter_first: u64,
        now: UnixNanos,
        tables: &mut Tables<'_>,
        changes: &mut Vec<Change>,
    ) -> Result<Vec<Receipt>, Refused> {
        let receipts = work.receipts(&self.shared, now);
        if terms.validate_only {
            return Ok(receipts);
        }
        self.put_changed(work, tables, changes)?;
        if let Some(id) = &terms.request_id {
            let answered = AnsweredRequest {
                at: now,
                digest: id.digest,
                boot: self.shared.boot,
                counters: (counter_first, self.dots.given()),
            };
            let oldest = now.minus(limits::REQUEST_ID_KEPT);
            tables.remember(&id.key, &answered, oldest)?;
            self.sweeper.touch();
        }
        Ok(receipts)
    }

    /// Writes what was changed, each at a seq of its own.
    pub(super) fn put_changed(
        &mut self,
        mut work: Work,
        tables: &mut Tables<'_>,
        changes: &mut Vec<Change>,
    ) -> Result<(), JournalError> {
        for key in work.order {
            let Some(staged) = work.staged.remove(&key).filter(|staged| staged.is_changed) else {
                continue;
            };
            self.head += 1;
            let bytes = put(tables, key, &staged.record, self.head, staged.superseded)?;
            changes.push(Change {
                key,
                seq: self.head,
                bytes,
                is_first: staged.record.origin == Some(self.shared.boot),
                record: Arc::new(staged.record),
                superseded: staged.superseded,
                is_news: true,
            });
        }
        Ok(())
    }
}

/// Writes a record, and what the index will need of it. Returns its size in bytes.
pub(super) fn put(
    tables: &mut Tables<'_>,
    key: TargetKey,
    record: &Record,
    seq: u64,
    superseded: Option<u64>,
) -> Result<usize, JournalError> {
    let live = Live {
        kind: record.target.key_kind(),
        seq,
        slot: slot_of(record, seq),
    };
    tables.put(&key, record, live, superseded)
}

fn note(terms: &Terms, reason: Reason, at: UnixNanos) -> Note {
    Note {
        at,
        reason,
        actor: terms.actor.clone(),
        comment: terms.comment.clone(),
    }
}

/// Whether this request was answered before.
fn is_repeat(tables: &Tables<'_>, terms: &Terms, now: UnixNanos) -> Result<bool, Refused> {
    let Some(RequestId { key, digest }) = &terms.request_id else {
        return Ok(false);
    };
    let answered = tables.answered(key)?;
    // A clock set back makes an answer look as if it were yet to come: then it is still known.
    let Some(answered) = answered.filter(|old| now.since(old.at) <= limits::REQUEST_ID_KEPT) else {
        return Ok(false);
    };
    if answered.digest == *digest {
        return Ok(true);
    }
    Err(Refused::Write(WriteError::invalid(
        "request_id",
        "another request had this request_id less than 10 minutes ago: use a fresh one for each \
         request, and the same one only to repeat it",
    )))
}

type Answered = Result<Vec<Receipt>, WriteError>;

/// A wrong command is answered alone; a failing journal fails the whole group.
fn flatten(result: Result<Vec<Receipt>, Refused>) -> (Answered, Result<(), JournalError>) {
    match result {
        Ok(receipts) => (Ok(receipts), Ok(())),
        Err(Refused::Write(error)) => (Err(error), Ok(())),
        Err(Refused::Journal(error)) => (Ok(Vec::new()), Err(error)),
    }
}

fn error_chain(error: &JournalError) -> String {
    let mut chain = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        chain.push_str(": ");
        chain.push_str(&cause.to_string());
        source = cause.source();
    }
    chain
}

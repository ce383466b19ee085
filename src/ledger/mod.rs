//! The one writer: validate → merge → journal → index → wake the feed → answer.
//!
//! **Invariant:** what it answered is on disk and Check on this node sees it; what it refused
//! changed nothing.

mod command;
mod cursor;
mod digests;
mod dots;
mod feed;
mod known;
mod merge;
mod order;
mod plan;
mod seqs;
mod shared;
mod shared_jti;
mod start;
mod sweep;
mod trust;
mod validate;
mod work;
mod writer;

use std::{
    ops::ControlFlow,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
};

use tokio::sync::{mpsc, oneshot, watch};

pub use cursor::{Cursor, Resume};
pub use digests::{Digested, Digests};
pub use feed::{Chunk, Fed, Reader};
pub use order::{
    AskedRules, Merge, Merged, Named, Receipt, RequestId, Restore, Revoke, Terms, TokenEnd,
    WriteError,
};
pub use seqs::Seqs;
pub use start::{Options, StartError};
pub use sweep::Swept;
pub use trust::Trust;

use crate::{
    decision::Grounds,
    index::SeenClaims,
    journal::{Journal, JournalError},
    limits,
    model::{
        Boot, Bounds, Claims, ClockLead, KeyKind, Record, Semantics, Target, TargetKind, UnixNanos,
        Verdict,
    },
};
use command::Command;
use shared::Shared;
use writer::Writer;

/// A handle to the ledger; clones share it. When the last is gone, the writer stops.
#[derive(Clone, Debug)]
pub struct Ledger {
    shared: Arc<Shared>,
    writing: Writing,
}

/// Who writes.
#[derive(Clone, Debug)]
enum Writing {
    /// A thread of its own, which gathers what waits.
    Thread(mpsc::Sender<Command>),
    /// Whoever asks, one at a time.
    Inline(Arc<Mutex<Writer>>),
}

/// Where the writer runs; joined when every handle is gone.
#[derive(Debug)]
pub struct WriterThread(std::thread::JoinHandle<()>);

impl WriterThread {
    /// Waits until everything that was asked is written. Drop every [`Ledger`] first.
    pub fn join(self) {
        // A writer that panicked has answered nobody: there is nothing left to say here.
        drop(self.0.join());
    }
}

/// How the ledger is, for status and health.
#[derive(Clone, Debug)]
pub struct Condition {
    /// The seq of the newest record.
    pub head: u64,
    /// Records held, lifted ones included.
    pub held: u64,
    /// Records at most.
    pub live_max: u64,
    /// Whether it survives the process.
    pub durable: bool,
    /// Why no writes are taken.
    pub failure: Option<String>,
    /// What the sweeper thinks of the wall clock.
    pub trust: Trust,
    /// The greatest time that a sweep used.
    pub swept: UnixNanos,
    /// How often a revocation was kept longer, since a token that shares its `jti` was met.
    pub shared_jtis: u64,
}

impl Ledger {
    /// Replays a journal and starts the writer.
    pub fn open(journal: Journal, options: &Options) -> Result<(Self, WriterThread), StartError> {
        let opened = start::open(journal, options, &mut start::random)?;
        let (commands, waiting) = mpsc::channel(limits::WRITE_QUEUE_MAX);
        let shared = opened.shared;
        let writer = Writer::new(Arc::clone(&shared), opened.sweeper, opened.counter);
        let thread = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || writer.run(waiting))
            .map_err(|source| {
                let path = "the writer's thread".to_owned();
                StartError::Journal(JournalError::Directory { path, source })
            })?;
        let writing = Writing::Thread(commands);
        Ok((Self { shared, writing }, WriterThread(thread)))
    }

    /// Replays a journal, for a simulation that must go the same way every time: no thread, and the
    /// caller's random numbers.
    pub fn open_inline(
        journal: Journal,
        options: &Options,
        mut random: impl FnMut() -> u64,
    ) -> Result<Self, StartError> {
        let opened = start::open(journal, options, &mut || Ok(random()))?;
        let writer = Writer::new(Arc::clone(&opened.shared), opened.sweeper, opened.counter);
        Ok(Self {
            shared: opened.shared,
            writing: Writing::Inline(Arc::new(Mutex::new(writer))),
        })
    }

    /// Judges a token by its claims, whose issuer is filled in.
    pub fn judge(&self, claims: &Claims<'_>) -> Verdict {
        let shared = &*self.shared;
        let wall = shared.clock.wall();
        let bounds = shared.bounds.load();
        let grounds = Grounds {
            semantics: &shared.semantics,
            bounds: &bounds,
            index: &shared.index,
            rewind: &shared.rewind,
            wall,
        };
        let verdict = grounds.judge(claims);
        if let Verdict::Revoked(found) = &verdict
            && shared_jti::is_jti(&found.target)
        {
            self.keep_as_long_as(claims, &found.target);
        }
        if !matches!(verdict, Verdict::Invalid(_)) {
            let seen = SeenClaims::of(claims);
            shared.sightings.note(&claims.iss, claims.iat, seen, wall);
        }
        verdict
    }

    /// Counts what was learnt of issuers, such as how far their clocks are ahead.
    pub fn leads(&self) -> watch::Receiver<u64> {
        self.shared.sightings.versions()
    }

    /// How far the clocks of issuers are ahead, as far as it is news after a version of
    /// [`Self::leads`], as much as fits one message; and the version up to which that is all.
    pub fn leads_after(&self, version: u64) -> (Vec<ClockLead>, u64) {
        self.shared.sightings.leads_after(version)
    }

    /// Another node saw how far the clocks of issuers are ahead.
    pub fn learn_leads(&self, leads: Vec<ClockLead>) {
        if !leads.is_empty() {
            self.shared.sightings.learn(leads, self.shared.clock.wall());
        }
    }

    /// Writes down what was learnt of issuers, if it is news.
    pub async fn save_leads(&self) -> Result<(), WriteError> {
        self.ask(Command::SaveLeads).await
    }

    /// A token that its revocation would not outlive is told to the writer, which keeps it longer. Check
    /// waits for nothing: what cannot be told now is told by the next Check, or found by a sweep.
    fn keep_as_long_as(&self, claims: &Claims<'_>, target: &Target) {
        let shared = &*self.shared;
        let settings = shared.semantics.of(&claims.iss);
        let Some(exp) = shared_jti::outlives(&shared.index, claims, settings) else {
            return;
        };
        if shared.jtis.leave(target, exp)
            && let Writing::Thread(commands) = &self.writing
            && commands.try_send(Command::KeepSharedJtis).is_err()
        {
            shared.jtis.not_told();
        }
    }

    /// The names of the claims that live revocations of an issuer speak of.
    pub fn claim_names(&self, iss: &str) -> Option<Arc<[Box<str>]>> {
        self.shared.index.claim_names(iss)
    }

    /// Whether any token is revoked by its digest: only then need a token with `jti` be hashed.
    pub fn knows_digests(&self) -> bool {
        self.shared.index.has(KeyKind::Digest)
    }

    /// Revokes targets atomically.
    pub async fn revoke(&self, order: Revoke) -> Result<Vec<Receipt>, WriteError> {
        validate::revoke(&order, &self.shared.semantics, self.shared.clock.wall())?;
        self.ask(|answer| Command::Revoke(order, answer)).await
    }

    /// Lifts rules of targets.
    pub async fn restore(&self, order: Restore) -> Result<Vec<Receipt>, WriteError> {
        validate::restore(&order)?;
        self.ask(|answer| Command::Restore(order, answer)).await
    }

    /// Takes in what another node sent.
    pub async fn merge(&self, mut order: Merge) -> Result<Merged, WriteError> {
        let known = &self.shared.known;
        let keys: Vec<_> = order.records.iter().map(known::key_of).collect();
        let before: Vec<_> = keys.iter().map(|key| known.get(key)).collect();
        if !order.afresh {
            let mut is_known = before.iter().map(Option::is_some);
            order
                .records
                .retain(|_| !is_known.next().unwrap_or_default());
        }
        let afresh = order.afresh;
        let mut merged = self.ask(|answer| Command::Merge(order, answer)).await?;
        let mut now = std::mem::take(&mut merged.held).into_iter();
        merged.held = before
            .into_iter()
            .map(|before| match before {
                Some(seq) if !afresh => (seq != 0).then_some(seq),
                _ => now.next().flatten(),
            })
            .collect();
        // What was left out by the clock is wanted again should the clock turn out to be wrong.
        if !merged.left_out {
            let held = merged.held.iter().map(|held| held.unwrap_or_default());
            known.add(keys.into_iter().zip(held));
        }
        Ok(merged)
    }

    /// Keeps something under a name, with the next commit.
    pub async fn remember(&self, name: String, place: Vec<u8>) -> Result<(), WriteError> {
        self.ask(|answer| Command::Remember(name, place, answer))
            .await
    }

    /// What was kept under a name, as far as it is on disk.
    pub async fn remembered(&self, name: String) -> Result<Option<Vec<u8>>, JournalError> {
        self.read(move |shared| shared.journal.meta(&name)).await
    }

    /// This node has caught up for the first time from one that keeps by these bounds.
    pub async fn caught_up_from(&self, theirs: Bounds) -> Result<(), WriteError> {
        self.ask(|answer| Command::CaughtUpFrom(theirs, answer))
            .await
    }

    /// The bounds by which revocations are kept here.
    pub fn bounds(&self) -> Arc<Bounds> {
        self.shared.bounds.load_full()
    }

    /// Digests of what is live, by range of keys. The whole journal is read for them, also for a
    /// caller that hangs up: `turn` is dropped after that.
    pub async fn digests<T>(&self, of: Digested, turn: T) -> Result<Digests, JournalError>
    where
        T: Send + 'static,
    {
        self.read(move |shared| {
            let digests = digests::of(&shared.journal, of);
            drop(turn);
            digests
        })
        .await
    }

    /// Another node says what time it is: one that agrees with our clock vouches for it.
    pub async fn hear_of_time(&self, theirs: UnixNanos) -> Result<(), WriteError> {
        self.ask(|answer| Command::ClockOfPeer(theirs, answer))
            .await
    }

    /// Forgets a slice of what has run out, if the clock is trusted.
    pub async fn sweep(&self) -> Result<Swept, WriteError> {
        self.ask(Command::Sweep).await
    }

    /// A person says that the wall clock is right.
    pub async fn accept_clock(&self) -> Result<(), WriteError> {
        self.ask(Command::AcceptClock).await
    }

    async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<T, WriteError>>) -> Command,
    ) -> Result<T, WriteError> {
        let (answer, answered) = oneshot::channel();
        match &self.writing {
            Writing::Thread(commands) => {
                let sent = commands.send(command(answer)).await;
                sent.map_err(|_| WriteError::Stopping)?;
            }
            Writing::Inline(writer) => {
                let mut writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
                writer.write(vec![command(answer)]);
            }
        }
        answered.await.map_err(|_| WriteError::Stopping)?
    }

    /// The record at a seq, if it is still the newest of its target.
    pub async fn record(&self, seq: u64) -> Result<Option<Record>, JournalError> {
        self.read(move |shared| shared.journal.record(seq)).await
    }

    /// Up to `count_max` committed records after a seq.
    pub async fn read_after(&self, after: u64, count_max: usize) -> Result<Chunk, JournalError> {
        if let Some(chunk) = self.shared.feed.recent(after, count_max) {
            return Ok(chunk);
        }
        self.read(move |shared| {
            feed::from_journal(&shared.journal, after, shared.feed.head(), count_max)
        })
        .await
    }

    /// Walks the records after a seq, in order and as they stood at one moment, until one is not
    /// taken. Returns what was gathered, and if there is more, after which seq to go on and the
    /// newest seq of that moment.
    pub async fn scan<T: Send + 'static>(
        &self,
        after: u64,
        mut gathered: T,
        mut take: impl FnMut(&mut T, &Record) -> ControlFlow<()> + Send + 'static,
    ) -> Result<(T, Option<(u64, u64)>), JournalError> {
        self.read(move |shared| {
            let head = shared.feed.head();
            let (mut through, mut more) = (after, false);
            let newest = shared.journal.each_record(after, u64::MAX, |seq, record| {
                // What was committed a moment ago may have superseded something below the head
                // and is not shown yet: so there is more.
                more = seq > head || take(&mut gathered, &record).is_break();
                if more {
                    return ControlFlow::Break(());
                }
                through = seq;
                ControlFlow::Continue(())
            })?;
            Ok((gathered, more.then_some((through, newest.max(head)))))
        })
        .await
    }

    /// Reading the journal may wait for a disk: never on a thread that answers Check.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Shared) -> Result<T, JournalError> + Send + 'static,
    ) -> Result<T, JournalError> {
        let shared = Arc::clone(&self.shared);
        if let Writing::Inline(_) = self.writing {
            return read(&shared);
        }
        tokio::task::spawn_blocking(move || read(&shared))
            .await
            .unwrap_or_else(|_| Err(JournalError::Failed("reading was cut short".to_owned())))
    }

    /// The seq of the newest committed record, and its changes.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.shared.feed.subscribe()
    }

    /// The seq of the newest record that came to this run before any upstream of it, or that it found
    /// when it began: what it wrote itself, and what followers handed up. Others cannot have it.
    pub fn first_head(&self) -> u64 {
        self.shared.first_head.load(Ordering::Acquire)
    }

    /// The first seq after another at which a record was written that came to this run first.
    pub fn first_after(&self, seq: u64) -> Option<u64> {
        self.shared.first().after(seq)
    }

    /// Whether what was written at a seq came to this run first.
    pub fn came_first(&self, seq: u64) -> bool {
        self.shared.first().has(seq)
    }

    /// Changes when what others have must be read again: the clock was set back, and what was
    /// forgotten by it may still be needed. Who is not connected just then must learn of it too, so
    /// whoever reads keeps one of these. A run that began like that says so at once: the one before may
    /// have ended in the middle of reading.
    pub fn rewinds(&self) -> watch::Receiver<bool> {
        let mut rewinds = self.shared.rewound.subscribe();
        if *rewinds.borrow() {
            rewinds.mark_changed();
        }
        rewinds
    }

    /// A cursor of this node, for a reader that has come to `seq` and for whom `newest` was the
    /// newest seq that there was. Only what is committed may stand in it: after a crash it must
    /// still be what this boot wrote.
    pub fn cursor(&self, seq: u64, newest: u64, filters: u64) -> Cursor {
        Cursor {
            node: self.shared.node,
            boot: self.shared.boot,
            head: newest.max(seq),
            seq,
            filters,
        }
    }

    /// Where a watch with this cursor goes on.
    pub fn resume(&self, cursor: Cursor) -> Resume {
        let shared = &*self.shared;
        // A cursor that was given in the middle of a commit says that the journal is a little
        // further than is shown yet.
        let reserved = shared.reserved.load(Ordering::SeqCst);
        let head = shared.feed.head();
        match cursor.resume(shared.node, &shared.boots, reserved.max(head)) {
            Resume::After(seq) => Resume::After(seq.min(head)),
            Resume::Reset => Resume::Reset,
        }
    }

    /// Which node this is; stays with its data directory.
    pub fn node(&self) -> u64 {
        self.shared.node
    }

    /// Which run of it.
    pub fn boot(&self) -> Boot {
        self.shared.boot
    }

    /// What gives records their meaning.
    pub fn semantics(&self) -> &Semantics {
        &self.shared.semantics
    }

    /// The wall clock.
    pub fn wall(&self) -> UnixNanos {
        self.shared.clock.wall()
    }

    /// How many targets of a kind are revoked.
    pub fn count(&self, kind: TargetKind) -> u64 {
        self.shared.index.count(kind)
    }

    /// How it is.
    pub fn condition(&self) -> Condition {
        let shared = &*self.shared;
        Condition {
            head: shared.feed.head(),
            held: shared.held.load(Ordering::Relaxed),
            live_max: shared.live_max,
            durable: shared.journal.durable,
            failure: shared.failure.load_full().map(|why| (*why).clone()),
            trust: **shared.trust.load(),
            swept: shared.swept(),
            shared_jtis: shared.jtis.extended.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests;

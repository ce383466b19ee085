//! The nodes of the model, and what two of them say to each other.

use std::{collections::BTreeMap, rc::Rc, time::Duration};

use crate::{
    journal::BootSpan,
    ledger::{Cursor, Resume},
    model::{
        Boot, CutOff, Dot, Entry, KeptBy, Note, Record, Request, RuleKind, Target, UnixNanos, What,
    },
};

use super::disk::{Disk, Key, Mark, Place};

/// `forget_grace`, and the leeway and difference of clocks that it covers: half of it each.
pub(super) const GRACE: Duration = Duration::from_secs(600);
pub(super) const LEEWAY: Duration = Duration::from_secs(300);

/// How the nodes go about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    /// As the design says.
    Designed,
    /// A leaf does not hand up what the hub's running boot gave it.
    SkipsHeld,
    /// Wrong: the same, and it does not look whether the hub runs as another boot meanwhile.
    SkipsHeldOfAnyBoot,
    /// Wrong: the same, and the mark keeps the hub's cursor of an earlier push.
    SkipsHeldUnderOldMark,
    /// Wrong: a joined record keeps the origin of what came.
    JoinedOrigin,
    /// Wrong: a leaf hands up only what it wrote itself.
    OwnRows,
    /// Wrong: an outbox position is trusted although the hub went back in time.
    OldOutbox,
}

impl Protocol {
    fn skips_held(self) -> bool {
        use Protocol::{SkipsHeld, SkipsHeldOfAnyBoot, SkipsHeldUnderOldMark};
        matches!(self, SkipsHeld | SkipsHeldOfAnyBoot | SkipsHeldUnderOldMark)
    }
}

/// What can be decided either way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Policy {
    pub(super) protocol: Protocol,
    /// What has run out is not taken in.
    pub(super) drops_expired: bool,
}

/// What a hub gave to a leaf, unchanged: the leaf's row, and the hub's boot.
#[derive(Clone, Copy, Debug)]
struct Held {
    seq: u64,
    boot: Boot,
}

/// What a node made of a record, to be judged.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) key: Key,
    pub(super) before: Rc<Record>,
    pub(super) after: Rc<Record>,
}

/// One node.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) disk: Rc<Disk>,
    /// What a crash leaves, and what others are shown.
    pub(super) synced: Rc<Disk>,
    pub(super) backup: Rc<Disk>,
    pub(super) boot: Boot,
    counter: u64,
    /// By hub and target; a process forgets it.
    held: BTreeMap<(Place, Key), Held>,
    /// The boots that the hubs had when this process last heard of them.
    heard: BTreeMap<Place, Boot>,
    pub(super) clock: UnixNanos,
    /// Whether it would sweep by that clock.
    pub(super) is_clock_trusted: bool,
    /// `max_token_lifetime`.
    pub(super) lifetime: Duration,
    pub(super) changes: Vec<Change>,
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) key: Key,
    pub(super) kind: RuleKind,
    pub(super) cut_off: CutOff,
    pub(super) until: UnixNanos,
    pub(super) kept_by: KeptBy,
    pub(super) kept_from: UnixNanos,
}

impl Node {
    pub(super) fn new(node: u64, boot: Boot) -> Self {
        let mut new = Self {
            disk: Rc::new(Disk::new(node)),
            synced: Rc::default(),
            backup: Rc::new(Disk::new(node)),
            boot,
            counter: 0,
            held: BTreeMap::new(),
            heard: BTreeMap::new(),
            clock: UnixNanos::ZERO,
            is_clock_trusted: true,
            lifetime: Duration::ZERO,
            changes: Vec::new(),
        };
        new.start(Rc::clone(&new.disk), boot);
        new
    }

    /// A process begins on a disk. What was kept by a lesser bound is kept longer, and that and its
    /// boot are durable before anything is served.
    fn start(&mut self, disk: Rc<Disk>, boot: Boot) {
        self.disk = disk;
        self.boot = boot;
        self.counter = 0;
        self.held.clear();
        self.heard.clear();
        let head_before = self.disk.head;
        let span = BootSpan { boot, head_before };
        Rc::make_mut(&mut self.disk).boots.push(span);
        for (_, key, record) in self.disk.after(0) {
            let mut longer = Record::clone(&record);
            if self.keep_longer(&mut longer) {
                self.put(key, longer);
            }
        }
        self.commit();
    }

    pub(super) fn commit(&mut self) {
        self.synced = Rc::clone(&self.disk);
    }

    pub(super) fn crash(&mut self, boot: Boot) {
        self.start(Rc::clone(&self.synced), boot);
    }

    pub(super) fn roll_back(&mut self, boot: Boot) {
        self.start(Rc::clone(&self.backup), boot);
    }

    pub(super) fn lose(&mut self, node: u64, boot: Boot) {
        self.start(Rc::new(Disk::new(node)), boot);
    }

    /// A greater bound counts from the next start on.
    pub(super) fn raise(&mut self, lifetime: Duration, boot: Boot) {
        self.lifetime = self.lifetime.max(lifetime);
        self.crash(boot);
    }

    fn next_dot(&mut self) -> Dot {
        self.counter += 1;
        Dot {
            boot: self.boot,
            counter: self.counter,
        }
    }

    pub(super) fn record(&self, key: Key) -> Rc<Record> {
        let held = self.disk.record(key).map(Rc::clone);
        held.unwrap_or_else(|| Rc::new(Record::new(target(key))))
    }

    fn put(&mut self, key: Key, after: Record) {
        let before = self.record(key);
        Rc::make_mut(&mut self.disk).write(key, after);
        self.note_change(key, before);
    }

    fn note_change(&mut self, key: Key, before: Rc<Record>) {
        let after = self.record(key);
        self.changes.push(Change { key, before, after });
    }

    fn note(&self) -> Note {
        Note {
            at: self.clock,
            ..Note::default()
        }
    }

    pub(super) fn revoke(&mut self, asked: Asked) -> Dot {
        let (dot, note) = (self.next_dot(), self.note());
        let mut record = Record::clone(&self.record(asked.key));
        let rule = record.rules.entry(asked.kind).or_default();
        let request = Request {
            cut_off: asked.cut_off,
            until: asked.until,
            kept_by: asked.kept_by,
            kept_from: asked.kept_from,
            except: Vec::new(),
        };
        *rule = rule.revoke(dot, &request, &note);
        record.origin = Some(self.boot);
        self.put(asked.key, record);
        dot
    }

    /// `None` when nothing was in force.
    pub(super) fn lift(&mut self, key: Key, kind: RuleKind) -> Option<Dot> {
        let mut record = Record::clone(&self.record(key));
        let rule = record.rules.get_mut(&kind)?;
        rule.in_force().next()?;
        let (dot, note) = (self.next_dot(), self.note());
        *rule = rule.lift(dot, &note)?;
        record.origin = Some(self.boot);
        self.put(key, record);
        Some(dot)
    }

    /// Until when this node needs an entry to be kept, by its own bounds.
    pub(super) fn needs(&self, entry: &Entry) -> UnixNanos {
        let by_bound = entry.kept_from.plus(self.lifetime + GRACE);
        match entry.kept_by {
            KeptBy::Itself => entry.until,
            KeptBy::TokenLifetime | KeptBy::SessionLifetime => entry.until.max(by_bound),
        }
    }

    /// What this node needs for longer it writes again, as a write of its own; not what has run
    /// out by its own bounds too: that would come back to life wherever it is met. A clock that is
    /// not trusted cannot tell.
    fn keep_longer(&mut self, record: &mut Record) -> bool {
        let mut is_changed = false;
        for rule in record.rules.values_mut() {
            let dot = Dot {
                boot: self.boot,
                counter: self.counter + 1,
            };
            let needed = |entry: &Entry| {
                let needed = self.needs(entry);
                let has_run_out = self.is_clock_trusted && needed <= self.clock;
                if has_run_out { entry.until } else { needed }
            };
            if let Some(longer) = rule.keep_longer(dot, needed) {
                *rule = longer;
                self.counter += 1;
                is_changed = true;
            }
        }
        if is_changed {
            record.origin = Some(self.boot);
        }
        is_changed
    }

    /// Takes a record in, whoever sent it.
    fn take_in(&mut self, key: Key, theirs: &Record, policy: Policy) {
        let ours = self.record(key);
        let Some(mut joined) = ours.take_in(theirs) else {
            return;
        };
        if policy.protocol == Protocol::JoinedOrigin {
            joined.origin = theirs.origin;
        }
        // First longer, then dropped: what has run out elsewhere may be needed here.
        self.keep_longer(&mut joined);
        if policy.drops_expired && self.is_clock_trusted {
            let left = joined.clone().forget(self.clock);
            if left.rules == Record::clone(&ours).forget(self.clock).rules {
                return;
            }
            if left.rules != joined.rules {
                joined = Record {
                    origin: None,
                    ..left
                };
            }
        }
        self.put(key, joined);
    }

    /// Forgets what has run out by this node's clock. Nobody is told.
    pub(super) fn sweep(&mut self) {
        if !self.is_clock_trusted {
            return;
        }
        for (seq, key, record) in self.disk.after(0) {
            if record.next_end().is_some_and(|end| end <= self.clock) {
                let left = Record::clone(&record).forget(self.clock);
                Rc::make_mut(&mut self.disk).forget(seq, key, left);
                self.note_change(key, record);
            }
        }
    }

    /// The cursor of a watcher that came to `seq`.
    fn cursor(&self, seq: u64) -> Cursor {
        Cursor {
            node: self.synced.node,
            boot: self.boot,
            head: self.synced.head,
            seq,
            filters: 0,
        }
    }

    fn resume(&self, cursor: Cursor) -> Resume {
        let synced = &self.synced;
        cursor.resume(synced.node, &synced.boots, synced.head)
    }

    /// Watches another node, up to `count` records.
    pub(super) fn pull(&mut self, from: Place, upstream: &Self, count: usize, policy: Policy) {
        let resumed = self.disk.cursors.get(&from).map(|at| upstream.resume(*at));
        let start = match resumed {
            Some(Resume::After(seq)) => seq,
            Some(Resume::Reset) | None => 0,
        };
        // Only committed records are fed.
        let pending = upstream.synced.after(start);
        let last = match pending.get(count.wrapping_sub(1)) {
            Some((seq, ..)) if pending.len() > count => *seq,
            _ => upstream.synced.head,
        };
        self.heard.insert(from, upstream.boot);
        for (_, key, theirs) in pending.into_iter().take(count) {
            if theirs.origin == Some(self.boot) {
                continue;
            }
            self.take_in(key, &theirs, policy);
            let is_held = self.record(key).rules == theirs.rules;
            if let Some(seq) = self.disk.live.get(&key).filter(|_| is_held) {
                let (seq, boot) = (*seq, upstream.boot);
                self.held.insert((from, key), Held { seq, boot });
            }
        }
        let cursor = upstream.cursor(last);
        if self.disk.cursors.get(&from) != Some(&cursor) {
            Rc::make_mut(&mut self.disk).cursors.insert(from, cursor);
        }
    }

    /// Hands up to `count` records of the log to a hub, whoever wrote them.
    pub(super) fn push(&mut self, to: Place, hub: &mut Self, count: usize, policy: Policy) {
        let mark = self.disk.outbox.get(&to).copied();
        let mark = mark.filter(|mark| {
            mark.node == self.synced.node
                && (policy.protocol == Protocol::OldOutbox
                    || hub.resume(mark.hub) == Resume::After(mark.hub.seq))
        });
        let mut rows = self.synced.after(mark.map_or(0, |mark| mark.seq));
        rows.truncate(count);
        let Some((last, ..)) = rows.last() else {
            return;
        };
        let last = *last;
        if policy.protocol == Protocol::OwnRows {
            let own = |boot: Boot| self.synced.boots.iter().any(|span| span.boot == boot);
            rows.retain(|(_, _, record)| record.origin.is_some_and(own));
        }
        let offered = rows.len();
        if policy.protocol.skips_held() {
            rows.retain(|(seq, key, _)| !self.knows_held((to, *key), *seq, policy.protocol));
        }
        let skipped = offered - rows.len();
        let is_sent = !rows.is_empty();
        for (_, key, record) in rows {
            hub.take_in(key, &record, policy);
        }
        // Acknowledged once durable.
        hub.commit();
        let mut acked = hub.cursor(hub.synced.head);
        let begun_anew = self.heard.get(&to) != Some(&hub.boot);
        if skipped > 0 && begun_anew && policy.protocol != Protocol::SkipsHeldOfAnyBoot {
            // The hub runs anew since this leaf last heard of it: what was skipped might be missing
            // there, and the mark stays.
            return;
        }
        if skipped > 0 && !is_sent {
            // Nothing was sent, so there is no ack: the cursor of the watch stands for it.
            let marked = mark.map(|mark| mark.hub);
            let watched = self.disk.cursors.get(&to).copied();
            acked = if policy.protocol == Protocol::SkipsHeldUnderOldMark {
                marked.unwrap_or(acked)
            } else {
                later(marked, watched).unwrap_or(acked)
            };
        }
        let node = self.synced.node;
        let (seq, hub) = (last, acked);
        let outbox = &mut Rc::make_mut(&mut self.disk).outbox;
        outbox.insert(to, Mark { node, seq, hub });
    }

    /// Whether a hub gave this row and runs still.
    fn knows_held(&self, at: (Place, Key), seq: u64, protocol: Protocol) -> bool {
        self.held.get(&at).is_some_and(|held| {
            let runs_still = self.heard.get(&at.0) == Some(&held.boot);
            held.seq == seq && (runs_still || protocol == Protocol::SkipsHeldOfAnyBoot)
        })
    }
}

/// Of two cursors that the hub takes, the one that fails first when it goes back in time. That of
/// the watch is of the running boot, so the other one is later only within the same boot.
fn later(mark: Option<Cursor>, watched: Option<Cursor>) -> Option<Cursor> {
    match (mark, watched) {
        (Some(mark), Some(watched)) if mark.boot == watched.boot && mark.head > watched.head => {
            Some(mark)
        }
        (mark, watched) => watched.or(mark),
    }
}

fn target(key: Key) -> Target {
    Target {
        iss: String::new(),
        what: What::User(key.to_string()),
    }
}

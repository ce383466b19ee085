//! What a node of the model keeps: a compacted log, and where it stands with others.

use std::{collections::BTreeMap, rc::Rc};

use crate::{
    journal::BootSpan,
    ledger::Cursor,
    model::{Dot, Record, RuleKind},
};

/// Which of the nodes.
pub(super) type Place = usize;
/// Which of the targets.
pub(super) type Key = usize;

/// How far a leaf has handed up its log to a hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) node: u64,
    pub(super) seq: u64,
    /// Where the hub was when it had taken all of that in.
    pub(super) hub: Cursor,
}

/// What survives a process, once it is synced.
#[derive(Clone, Debug, Default)]
pub(super) struct Disk {
    pub(super) node: u64,
    pub(super) head: u64,
    pub(super) log: BTreeMap<u64, (Key, Rc<Record>)>,
    pub(super) live: BTreeMap<Key, u64>,
    pub(super) boots: Vec<BootSpan>,
    pub(super) cursors: BTreeMap<Place, Cursor>,
    pub(super) outbox: BTreeMap<Place, Mark>,
}

impl Disk {
    pub(super) fn new(node: u64) -> Self {
        Self {
            node,
            ..Self::default()
        }
    }

    pub(super) fn record(&self, key: Key) -> Option<&Rc<Record>> {
        let (_, record) = self.log.get(self.live.get(&key)?)?;
        Some(record)
    }

    pub(super) fn after(&self, seq: u64) -> Vec<(u64, Key, Rc<Record>)> {
        self.log
            .range(seq + 1..)
            .map(|(seq, (key, record))| (*seq, *key, Rc::clone(record)))
            .collect()
    }

    /// Whether nothing was written since it was that one, but for what was swept.
    pub(super) fn stands_at(self: &Rc<Self>, other: &Rc<Self>) -> bool {
        let of = |disk: &Self| (disk.head, disk.boots.len());
        Rc::ptr_eq(self, other)
            || of(self) == of(other) && self.cursors == other.cursors && self.outbox == other.outbox
    }

    /// Whether it has taken a write in.
    pub(super) fn knows(&self, key: Key, kind: RuleKind, dot: Dot) -> bool {
        self.record(key)
            .and_then(|record| record.rules.get(&kind))
            .is_some_and(|rule| rule.knows(dot))
    }

    pub(super) fn write(&mut self, key: Key, record: Record) {
        self.head += 1;
        if let Some(superseded) = self.live.insert(key, self.head) {
            self.log.remove(&superseded);
        }
        self.log.insert(self.head, (key, Rc::new(record)));
    }

    /// What is left of a record after a sweep stands where it stood.
    pub(super) fn forget(&mut self, seq: u64, key: Key, left: Record) {
        if left.is_empty() {
            self.log.remove(&seq);
            self.live.remove(&key);
        } else {
            self.log.insert(seq, (key, Rc::new(left)));
        }
    }
}

//! The whole state of one target.

use std::collections::BTreeMap;

use super::{Boot, Note, Rule, RuleKind, Target, UnixNanos};

/// The whole state of one target, as the journal keeps it and the feed streams it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Record {
    /// What it is about.
    pub target: Target,
    /// The kinds of rule that have any state.
    pub rules: BTreeMap<RuleKind, Rule>,
    /// The boot whose write this is, as long as nothing was joined to it: that one need not be
    /// told of it.
    pub origin: Option<Boot>,
}

impl Record {
    /// Nothing said of a target yet.
    pub fn new(target: Target) -> Self {
        Self {
            target,
            rules: BTreeMap::new(),
            origin: None,
        }
    }

    /// Whether there is nothing to remember.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Whether any rule is in force.
    pub fn is_in_force(&self) -> bool {
        self.rules
            .values()
            .any(|rule| rule.in_force().next().is_some())
    }

    /// This state with what came from elsewhere; `None` when it holds all of that already.
    #[must_use]
    pub fn take_in(&self, theirs: &Self) -> Option<Self> {
        let mut joined = self.join(theirs);
        if joined.rules == self.rules {
            return None;
        }
        // To leave a joined record out of what its origin is sent would lose what was joined.
        joined.origin = theirs.origin.filter(|_| joined.rules == theirs.rules);
        Some(joined)
    }

    /// Both states of one target; as a joined state it is nobody's write.
    #[must_use]
    pub fn join(&self, other: &Self) -> Self {
        let mut rules = self.rules.clone();
        for (kind, theirs) in &other.rules {
            let joined = rules.get(kind).map_or_else(
                // Joined with nothing, so that it is normal even when it came from outside.
                || Rule::default().join(theirs),
                |ours| ours.join(theirs),
            );
            rules.insert(*kind, joined);
        }
        Self {
            target: self.target.clone(),
            rules,
            origin: None,
        }
    }

    /// Without what has run out.
    #[must_use]
    pub fn forget(mut self, now: UnixNanos) -> Self {
        self.rules = self
            .rules
            .into_iter()
            .map(|(kind, rule)| (kind, rule.forget(now)))
            .filter(|(_, rule)| !rule.is_empty())
            .collect();
        self
    }

    /// When there will next be something to forget; `None`: never.
    pub fn next_end(&self) -> Option<UnixNanos> {
        self.rules.values().filter_map(Rule::next_end).min()
    }

    /// The kinds that were lifted and are not in force again.
    pub fn lifted(&self) -> impl Iterator<Item = (RuleKind, &Note)> {
        self.rules
            .iter()
            .filter_map(|(kind, rule)| Some((*kind, rule.lifted()?)))
    }

    /// When it was last written.
    pub fn changed_at(&self) -> UnixNanos {
        self.rules
            .values()
            .flat_map(|rule| rule.entries.values())
            .map(|entry| entry.note.at)
            .max()
            .unwrap_or_default()
    }
}

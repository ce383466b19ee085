//! How the states of one kind of rule of one target merge: a dotted version vector set.
//!
//! A dot names one write. The context says, per boot, up to which dot this state has taken
//! everything in; an entry that is in the context but not among the entries was replaced or lifted
//! by somebody who had seen it. A writer states the join of its request with every entry it knows,
//! so one entry is the usual case, and a second exists only between nodes that have not heard of
//! each other.
//!
//! A lift is an entry too, with the cut-off zero, which denies nothing: so it has a dot, an author
//! and a time, and merges by the same law as everything else.
//!
//! **Invariant:** [`Rule::join`] is commutative, associative and idempotent, and no clock orders
//! anything.

use std::collections::BTreeMap;

use super::{Reason, UnixNanos};

/// One run of a process: 64 random bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Boot(pub u64);

/// One write, named for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Dot {
    /// The run that wrote.
    pub boot: Boot,
    /// Which of its writes; the first is 1.
    pub counter: u64,
}

/// The kinds of rule. The numbers are those of the API and of the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum RuleKind {
    /// Every token, until the instant that is the cut-off (for ever, unless it is a suspension).
    All = 1,
    /// Tokens with `iat` before the cut-off, and those without.
    IssuedBefore = 2,
    /// Tokens with a version below the cut-off, and those without.
    VersionBelow = 3,
    /// Tokens with `auth_time` before the cut-off, and those without.
    AuthenticatedBefore = 4,
}

impl RuleKind {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 4] = [
        Self::All,
        Self::IssuedBefore,
        Self::VersionBelow,
        Self::AuthenticatedBefore,
    ];

    /// The kind with this number.
    pub fn from_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u32 == number)
    }

    /// Its word in texts.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::IssuedBefore => "issued_before",
            Self::VersionBelow => "version_below",
            Self::AuthenticatedBefore => "authenticated_before",
        }
    }
}

/// A cut-off: nanoseconds since 1970, or a version. Zero denies nothing.
pub type CutOff = u64;

/// The cut-off that denies nothing.
pub const NEVER: CutOff = 0;

/// Whom an exception spares.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Exception {
    /// A session.
    Sid(String),
    /// A token.
    Jti(String),
}

/// The cut-off that still counts for a session or token that a later cut-off spares.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Floor {
    /// Whom.
    pub of: Exception,
    /// The earlier cut-off; [`NEVER`] when there is none.
    pub cut_off: CutOff,
}

/// Which bound an entry's `until` was computed from: should that bound be raised, the entry is
/// kept longer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum KeptBy {
    /// None of the two: an `exp`, a suspension's end, or until lifted.
    #[default]
    Itself = 0,
    /// `max_token_lifetime`.
    TokenLifetime = 1,
    /// `max_session_lifetime`, and `max_token_lifetime` after it.
    SessionLifetime = 2,
}

impl KeptBy {
    /// The bound with this number.
    pub fn from_number(number: u32) -> Option<Self> {
        [Self::Itself, Self::TokenLifetime, Self::SessionLifetime]
            .into_iter()
            .find(|kept_by| *kept_by as u32 == number)
    }
}

/// Who, when and why.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Note {
    /// When.
    pub at: UnixNanos,
    /// Why.
    pub reason: Reason,
    /// Who.
    pub actor: String,
    /// What they wrote down.
    pub comment: String,
}

/// One write: what holds since.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Entry {
    /// The cut-off; [`NEVER`] for a lift.
    pub cut_off: CutOff,
    /// Forgotten at this time.
    pub until: UnixNanos,
    /// What `until` was computed from.
    pub kept_by: KeptBy,
    /// From when that bound runs: a node whose own bound is greater keeps it longer by this.
    pub kept_from: UnixNanos,
    /// Exceptions, sorted; each cut-off is below this entry's.
    pub floors: Vec<Floor>,
    /// Who, when and why.
    pub note: Note,
}

impl Entry {
    /// Whether it denies anything: lifts do not.
    pub fn is_in_force(&self) -> bool {
        self.cut_off != NEVER
    }

    /// Whether it denies whatever `other` denies.
    fn denies_all_of(&self, other: &Self) -> bool {
        let spares_no_more = |floor: &Floor| floor.cut_off >= cut_off_for(other, &floor.of);
        self.cut_off >= other.cut_off && self.floors.iter().all(spares_no_more)
    }
}

/// Does a cut-off with these exceptions deny a token with this value of the rule's claim, that
/// `spared` speaks for? One without the claim is denied by everything that does not spare it.
pub fn denies(
    cut_off: CutOff,
    floors: &[Floor],
    value: Option<CutOff>,
    spared: impl Fn(&Exception) -> bool,
) -> bool {
    let cut_off = floors
        .iter()
        .filter(|floor| spared(&floor.of))
        .map(|floor| floor.cut_off)
        .min()
        .unwrap_or(cut_off);
    cut_off != NEVER && value.is_none_or(|value| value < cut_off)
}

/// Up to which write of a boot a state has taken everything in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seen {
    /// The greatest counter.
    pub counter: u64,
    /// Until when that matters: the longest entry covered.
    pub until: UnixNanos,
}

/// What a writer asks for.
#[derive(Clone, Debug)]
pub struct Request {
    /// The cut-off.
    pub cut_off: CutOff,
    /// Kept until.
    pub until: UnixNanos,
    /// What `until` was computed from.
    pub kept_by: KeptBy,
    /// From when that bound runs.
    pub kept_from: UnixNanos,
    /// Whom to spare.
    pub except: Vec<Exception>,
}

/// The state of one kind of rule of one target.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rule {
    /// What this state has taken in.
    pub context: BTreeMap<Boot, Seen>,
    /// What is in force, and lifts.
    pub entries: BTreeMap<Dot, Entry>,
}

impl Rule {
    /// Whether there is nothing to remember.
    pub fn is_empty(&self) -> bool {
        self.context.is_empty() && self.entries.is_empty()
    }

    /// Whether this state has taken a write in.
    pub fn knows(&self, dot: Dot) -> bool {
        self.context
            .get(&dot.boot)
            .is_some_and(|seen| seen.counter >= dot.counter)
    }

    /// What is in force.
    pub fn in_force(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values().filter(|entry| entry.is_in_force())
    }

    /// The latest lift, when it is all that is left.
    pub fn lifted(&self) -> Option<&Note> {
        if self.in_force().next().is_some() {
            return None;
        }
        self.entries.values().map(|entry| &entry.note).max()
    }

    /// Both states: an entry stays unless the other side had seen it and no longer has it.
    #[must_use]
    pub fn join(&self, other: &Self) -> Self {
        let mut entries = BTreeMap::new();
        for (from, against) in [(self, other), (other, self)] {
            for (dot, entry) in &from.entries {
                let kept = match against.entries.get(dot) {
                    // One dot is one write; should two differ, the greater counts on both sides.
                    Some(theirs) => Some(entry.max(theirs)),
                    None => (!against.knows(*dot)).then_some(entry),
                };
                if let Some(kept) = kept {
                    entries.insert(*dot, kept.clone());
                }
            }
        }
        let mut context = self.context.clone();
        for (boot, theirs) in &other.context {
            let seen = context.entry(*boot).or_insert(*theirs);
            seen.counter = seen.counter.max(theirs.counter);
            seen.until = seen.until.max(theirs.until);
        }
        Self { context, entries }
    }

    /// The state that a writer journals: its request joined with all that it knows to be in force,
    /// so that it weakens nothing.
    #[must_use]
    pub fn revoke(&self, dot: Dot, request: &Request, note: &Note) -> Self {
        let asked = Entry {
            cut_off: request.cut_off,
            until: request.until,
            kept_by: request.kept_by,
            kept_from: request.kept_from,
            floors: request.except.iter().cloned().map(spare).collect(),
            note: note.clone(),
        };
        let known: Vec<&Entry> = self.in_force().chain([&asked]).collect();
        let until = known.iter().map(|e| e.until).max().unwrap_or(asked.until);
        // Who and why is told of the cut-off that counts; of equal ones, of the last.
        let strongest = known
            .iter()
            .max_by_key(|e| e.cut_off)
            .map_or(&asked, |entry| *entry);
        let entry = Entry {
            cut_off: strongest.cut_off,
            until,
            kept_by: known
                .iter()
                .map(|e| e.kept_by)
                .max()
                .unwrap_or(asked.kept_by),
            kept_from: latest_start(&known),
            floors: joined_floors(&known, strongest.cut_off),
            note: strongest.note.clone(),
        };
        self.write(dot, entry)
    }

    /// The state of a writer that takes back what it has seen, and nothing that it has not.
    /// `None` when nothing is in force.
    #[must_use]
    pub fn lift(&self, dot: Dot, note: &Note) -> Option<Self> {
        self.in_force().next()?;
        // Remembered as long as what it lifted could come back.
        let until = self.context.values().map(|seen| seen.until).max()?;
        let lift = Entry {
            cut_off: NEVER,
            until,
            kept_by: KeptBy::Itself,
            kept_from: UnixNanos::ZERO,
            floors: Vec::new(),
            note: note.clone(),
        };
        Some(self.write(dot, lift))
    }

    /// The state of a writer that must keep what is in force until `needed`. `None` when it is kept
    /// that long already, be it by an entry beside it: else two nodes of which one has forgotten
    /// what the other still holds would write it again and again.
    #[must_use]
    pub fn keep_longer(&self, dot: Dot, needed: impl Fn(&Entry) -> UnixNanos) -> Option<Self> {
        self.in_force().find(|entry| {
            let until = needed(entry);
            !self
                .in_force()
                .any(|other| other.until >= until && other.denies_all_of(entry))
        })?;
        self.restate(dot, |entry| needed(entry).max(entry.until))
    }

    /// The state of a writer that writes again what is in force, until `until`. `None` when
    /// nothing is.
    #[must_use]
    pub fn restate(&self, dot: Dot, until: impl Fn(&Entry) -> UnixNanos) -> Option<Self> {
        let known: Vec<&Entry> = self.in_force().collect();
        let strongest = known.iter().max_by_key(|entry| entry.cut_off)?;
        let restated = Entry {
            until: known.iter().map(|entry| until(entry)).max()?,
            kept_by: known.iter().map(|entry| entry.kept_by).max()?,
            kept_from: latest_start(&known),
            floors: joined_floors(&known, strongest.cut_off),
            ..(*strongest).clone()
        };
        Some(self.write(dot, restated))
    }

    fn write(&self, dot: Dot, entry: Entry) -> Self {
        let mut context = self.context.clone();
        let seen = context.entry(dot.boot).or_insert(Seen {
            counter: dot.counter,
            until: entry.until,
        });
        seen.counter = dot.counter;
        seen.until = seen.until.max(entry.until);
        Self {
            context,
            entries: BTreeMap::from([(dot, entry)]),
        }
    }

    /// Without what has run out.
    #[must_use]
    pub fn forget(mut self, now: UnixNanos) -> Self {
        self.context.retain(|_, seen| seen.until > now);
        self.entries.retain(|_, entry| entry.until > now);
        self
    }

    /// When there will next be something to forget; `None`: never.
    pub fn next_end(&self) -> Option<UnixNanos> {
        let contexts = self.context.values().map(|seen| seen.until);
        let entries = self.entries.values().map(|entry| entry.until);
        contexts
            .chain(entries)
            .filter(|until| !until.is_forever())
            .min()
    }
}

/// Bounds of two kinds may stand side by side: then the later start goes with the longer one. What
/// is kept by no bound has no start: it would make the bound look greater than it is, and every
/// node that hears of it keep it longer.
fn latest_start(known: &[&Entry]) -> UnixNanos {
    let is_bound = |entry: &&&Entry| entry.kept_by != KeptBy::Itself;
    let start = |entry: &&Entry| entry.kept_from;
    let bound = known.iter().filter(is_bound).map(start).max();
    let any = known.iter().map(start).max();
    bound.or(any).unwrap_or_default()
}

fn spare(of: Exception) -> Floor {
    Floor { of, cut_off: NEVER }
}

/// For each exception, the greatest cut-off that does not spare it.
fn joined_floors(known: &[&Entry], top: CutOff) -> Vec<Floor> {
    let mut floors = BTreeMap::new();
    for id in known.iter().flat_map(|e| &e.floors).map(|floor| &floor.of) {
        let cut_off = known.iter().map(|e| cut_off_for(e, id)).max();
        floors.insert(id, cut_off.unwrap_or(top));
    }
    floors
        .into_iter()
        .filter(|(_, cut_off)| *cut_off < top)
        .map(|(id, cut_off)| Floor {
            of: id.clone(),
            cut_off,
        })
        .collect()
}

fn cut_off_for(entry: &Entry, id: &Exception) -> CutOff {
    entry
        .floors
        .iter()
        .find(|floor| floor.of == *id)
        .map_or(entry.cut_off, |floor| floor.cut_off)
}

//! Opening a ledger: everything that must be true before the first answer.

use std::{
    collections::{BTreeMap, HashMap},
    ops::ControlFlow,
    sync::{Arc, Mutex, atomic::AtomicU64},
    time::Duration,
};

use arc_swap::{ArcSwap, ArcSwapOption};
use serde::{Deserialize, Serialize};

use crate::{
    clock::{Clock, Rewind},
    index::{Index, SavedSighting, Sightings, TokenSlot},
    journal::{BootSpan, Journal, JournalError},
    limits,
    model::{Boot, Bounds, ClaimNames, Dot, Entry, Record, Semantics, TargetKey, UnixNanos},
};

use super::{
    feed::Feed,
    known::Known,
    shared::{Shared, apply},
    shared_jti::Found,
    sweep::{self, Sweeper},
    trust::ClockTrust,
    writer,
};

/// How a ledger is opened.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the time comes from.
    pub clock: Arc<dyn Clock>,
    /// What gives records their meaning.
    pub semantics: Arc<Semantics>,
    /// Records at most.
    pub live_max: u64,
    /// How long the clock must behave after a start before anything is forgotten.
    pub sweep_settle: Duration,
    /// Go on although records were made under another meaning.
    pub accept_changed_meaning: bool,
}

/// Why a ledger cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The journal cannot be used.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// No random numbers.
    #[error("the operating system gives no random numbers: {0}")]
    Random(String),
    /// The settings changed what records mean.
    #[error(
        "{what} since the live revocations of this journal were made, so some of them might no \
         longer match the tokens they were made for: set it back, or accept that with \
         --accept-changed-meaning"
    )]
    ChangedMeaning {
        /// What changed.
        what: String,
    },
}

/// The settings that records were made under.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Meaning {
    default_issuer: Option<String>,
    defaults: BTreeMap<String, String>,
    issuers: BTreeMap<String, BTreeMap<String, String>>,
}

impl Meaning {
    fn of(semantics: &Semantics) -> Self {
        Self {
            default_issuer: semantics.default_issuer.clone(),
            defaults: names(&semantics.defaults.claims),
            issuers: semantics
                .issuers
                .iter()
                .map(|(iss, settings)| (iss.clone(), names(&settings.claims)))
                .collect(),
        }
    }

    fn names_of(&self, iss: &str) -> &BTreeMap<String, String> {
        self.issuers.get(iss).unwrap_or(&self.defaults)
    }

    /// What changed for the tokens of an issuer, in words.
    fn changed_for(&self, now: &Self, iss: &str) -> Option<String> {
        let is_default = self.default_issuer.as_deref() == Some(iss);
        if is_default && now.default_issuer != self.default_issuer {
            return Some(format!("default_issuer is no longer \"{iss}\""));
        }
        let (before, after) = (self.names_of(iss), now.names_of(iss));
        let (claim, name) = before
            .iter()
            .find(|(claim, name)| after.get(*claim) != Some(name))?;
        Some(format!(
            "the name of the claim {claim} of issuer \"{iss}\" is no longer \"{name}\""
        ))
    }
}

fn names(names: &ClaimNames) -> BTreeMap<String, String> {
    [
        ("jti", &names.jti),
        ("sub", &names.sub),
        ("sid", &names.sid),
        ("client_id", &names.client_id),
        ("auth_time", &names.auth_time),
        ("version", &names.version),
    ]
    .map(|(claim, name)| (claim.to_owned(), name.clone()))
    .into()
}

/// What the journal said and is true for this boot.
pub(super) struct Opened {
    pub(super) shared: Arc<Shared>,
    pub(super) sweeper: Sweeper,
    /// Dots given before the writer began.
    pub(super) counter: u64,
}

/// Replays a journal.
pub(super) fn open(
    journal: Journal,
    options: &Options,
    random: &mut dyn FnMut() -> Result<u64, StartError>,
) -> Result<Opened, StartError> {
    let (wall, steady) = (options.clock.wall(), options.clock.steady());
    check_meaning(&journal, options)?;
    let boot = Boot(random()?);
    let mut head = meta_u64(&journal, "head")?.unwrap_or_default();
    let node = meta_u64(&journal, "node")?.map_or_else(&mut *random, Ok)?;
    let time = |name| -> Result<Option<UnixNanos>, JournalError> {
        Ok(meta_u64(&journal, name)?.map(UnixNanos::from_nanos))
    };
    let last_time = time(sweep::LAST_TIME)?;
    let swept = time(sweep::SWEPT)?.unwrap_or_default();
    let rewound = time(sweep::REWOUND)?.unwrap_or_default();
    let before = meta_json::<Bounds>(&journal, sweep::BOUNDS)?;
    let bounds = before.as_ref().map_or_else(
        || Bounds::new(&options.semantics),
        // By a clock that was set back, too little would be taken to be forgotten.
        |before| before.moved(&options.semantics, wall.max(swept)),
    );
    let span = BootSpan {
        boot,
        head_before: head,
    };
    let mut counter = 0;
    if let Some(from) = before.filter(|before| bounds.is_raised_from(before)) {
        let (from, to) = (&from, &bounds);
        keep_longer(&journal, Raise { from, to }, boot, &mut head, &mut counter)?;
    }
    let sightings = sightings(&journal, options)?;
    let is_after_crash = is_after_crash(&journal)?;
    let held = journal.write(|tables| {
        tables.set_meta("node", &node.to_be_bytes())?;
        tables.set_meta("head", &head.to_be_bytes())?;
        tables.set_meta(sweep::BOUNDS, &json(&bounds))?;
        tables.set_meta("meaning", &json(&Meaning::of(&options.semantics)))?;
        tables.add_boot(span)?;
        Ok(ControlFlow::Continue(tables.count()?))
    })?;
    let index = replay(&journal)?;
    let rewind = Rewind::default();
    rewind.set(swept, rewound);
    let mut trust = ClockTrust::new(options.sweep_settle, wall, steady, last_time);
    let shared = Shared {
        clock: Arc::clone(&options.clock),
        semantics: Arc::clone(&options.semantics),
        bounds: ArcSwap::from_pointee(bounds),
        boots: journal.boots()?,
        journal,
        index,
        sightings,
        rewind,
        feed: Feed::new(head),
        known: Known::default(),
        jtis: Found::default(),
        node,
        boot,
        live_max: options.live_max,
        reserved: AtomicU64::new(head),
        held: AtomicU64::new(held),
        first_head: AtomicU64::new(head),
        first: Mutex::default(),
        rewound: tokio::sync::watch::Sender::new(rewound != UnixNanos::ZERO),
        failure: ArcSwapOption::empty(),
        trust: ArcSwap::from_pointee(trust.observe(wall, steady)),
        swept: AtomicU64::new(swept.nanos()),
        began_after_crash: is_after_crash.then_some(wall),
    };
    Ok(Opened {
        shared: Arc::new(shared),
        sweeper: Sweeper::new(trust, last_time.unwrap_or(wall), swept).rewound_at(rewound),
        counter,
    })
}

/// Whether the run before ended without having written down all that it knew.
fn is_after_crash(journal: &Journal) -> Result<bool, StartError> {
    let before = journal.boots()?.last().map(|span| span.boot.0);
    Ok(before.is_some() && before != meta_u64(journal, sweep::ENDED)?)
}

/// Fills the index: tokens from the sixteen bytes that stand beside them, everything else from
/// its record, read in the order of the log.
fn replay(journal: &Journal) -> Result<Index, JournalError> {
    let index = Index::default();
    let mut rules: Vec<(u64, TargetKey)> = Vec::new();
    journal.each_live(|key, live| {
        if live.slot != [0; 16] {
            index.put_token(live.kind, key, TokenSlot::from_bytes(live.slot));
        } else if live.kind.target_kind() != crate::model::TargetKind::Token {
            rules.push((live.seq, key));
        }
        Ok(())
    })?;
    rules.sort_unstable();
    for (seq, key) in rules {
        let record = journal
            .record(seq)?
            .ok_or_else(|| JournalError::Damaged("a target without its record".to_owned()))?;
        apply(&index, key, &record, seq);
    }
    Ok(index)
}

/// Bounds of which some were raised.
#[derive(Clone, Copy, Debug)]
struct Raise<'a> {
    from: &'a Bounds,
    to: &'a Bounds,
}

/// Rewrites what is kept too short under the new bounds, each as a write of this boot. The new
/// bounds are written after it: what a crash on the way had rewritten is then kept longer twice,
/// and nothing too short.
fn keep_longer(
    journal: &Journal,
    raise: Raise<'_>,
    boot: Boot,
    head: &mut u64,
    counter: &mut u64,
) -> Result<(), JournalError> {
    tracing::info!("a lifetime was raised: rewriting what must be kept longer");
    let last = *head;
    let mut after = 0;
    while after < last {
        let mut slice: Vec<(u64, Record)> = Vec::new();
        journal.each_record(after, last, |seq, record| {
            slice.push((seq, record));
            if slice.len() < limits::SWEEP_SLICE_MAX {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        })?;
        let Some((newest, _)) = slice.last() else {
            break;
        };
        after = *newest;
        journal.write(|tables| {
            for (seq, record) in &slice {
                if let Some(longer) = kept_longer(record, raise, boot, counter) {
                    *head += 1;
                    writer::put(tables, record.target.key(), &longer, *head, Some(*seq))?;
                }
            }
            tables.set_meta("head", &head.to_be_bytes())?;
            Ok(ControlFlow::Continue(()))
        })?;
    }
    Ok(())
}

fn kept_longer(record: &Record, raise: Raise<'_>, boot: Boot, counter: &mut u64) -> Option<Record> {
    let iss = &record.target.iss;
    let needed = |entry: &Entry| {
        let raised_by = raise.to.raised_by(raise.from, iss, entry.kept_by);
        raised_by.end(entry.until)
    };
    let mut longer = record.clone();
    let mut is_changed = false;
    for rule in longer.rules.values_mut() {
        let dot = Dot {
            boot,
            counter: *counter + 1,
        };
        if let Some(kept) = rule.keep_longer(dot, needed) {
            *rule = kept;
            *counter += 1;
            is_changed = true;
            longer.origin = Some(boot);
        }
    }
    is_changed.then_some(longer)
}

fn check_meaning(journal: &Journal, options: &Options) -> Result<(), StartError> {
    let Some(before) = meta_json::<Meaning>(journal, "meaning")? else {
        return Ok(());
    };
    let now = Meaning::of(&options.semantics);
    if before == now || options.accept_changed_meaning {
        return Ok(());
    }
    let mut changed = None;
    journal.each_record(0, u64::MAX, |_, record| {
        if record.is_in_force() {
            changed = before.changed_for(&now, &record.target.iss);
        }
        if changed.is_some() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    })?;
    changed.map_or(Ok(()), |what| Err(StartError::ChangedMeaning { what }))
}

fn sightings(journal: &Journal, options: &Options) -> Result<Sightings, JournalError> {
    let sightings = Sightings::default();
    let saved = meta_json::<HashMap<String, SavedSighting>>(journal, sweep::SIGHTINGS)?;
    let saved = saved.unwrap_or_default();
    // Those that are configured have their place, however many are invented.
    for iss in options.semantics.issuers.keys() {
        if let Some(sighting) = saved.get(iss) {
            sightings.add(iss, *sighting);
        }
    }
    for (iss, sighting) in &saved {
        sightings.add(iss, *sighting);
    }
    Ok(sightings)
}

fn meta_u64(journal: &Journal, name: &str) -> Result<Option<u64>, JournalError> {
    let Some(bytes) = journal.meta(name)? else {
        return Ok(None);
    };
    let number = bytes
        .try_into()
        .map_err(|_| JournalError::Damaged(format!("{name} is not a number")))?;
    Ok(Some(u64::from_be_bytes(number)))
}

fn meta_json<T: for<'de> Deserialize<'de>>(
    journal: &Journal,
    name: &str,
) -> Result<Option<T>, JournalError> {
    let Some(bytes) = journal.meta(name)? else {
        return Ok(None);
    };
    serde_json::from_slice(&bytes)
        .map(Some)
        .map_err(|_| JournalError::Damaged(format!("{name} cannot be read")))
}

/// Maps with text keys and plain values: writing them cannot fail.
fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

pub(super) fn random() -> Result<u64, StartError> {
    getrandom::u64().map_err(|error| StartError::Random(error.to_string()))
}

//! Which issuers' tokens were seen here, how far their clocks were ahead of ours, and which claims they
//! carry.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use tokio::sync::watch;

use super::SeenClaims;
use crate::{
    limits,
    model::{ClockLead, UnixNanos, nanos_of},
};

/// What was seen of one issuer: the greatest lead of this window of 24 hours and of the one
/// before it, so that each lead counts for at least 24 hours.
#[derive(Debug, Default)]
struct Sighting {
    window: AtomicU64,
    lead: AtomicU64,
    lead_before: AtomicU64,
    claims: AtomicU8,
    /// The version of all sightings at which this one changed last.
    version: AtomicU64,
}

/// A sighting as the journal keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SavedSighting {
    /// The number of the window.
    pub window: u64,
    /// Its greatest lead, in nanoseconds.
    pub lead_ns: u64,
    /// The greatest lead of the window before.
    pub lead_before_ns: u64,
    /// Which claims its tokens carry and lack.
    #[serde(default)]
    pub claims: SeenClaims,
}

type ByIssuer = HashMap<Box<str>, Arc<Sighting>, foldhash::fast::RandomState>;

/// The issuers seen. Reading takes no lock; an issuer is added once.
#[derive(Debug, Default)]
pub struct Sightings {
    seen: ArcSwap<ByIssuer>,
    adding: Mutex<()>,
    /// Counts what changed, so that it can be written down and told to other nodes.
    version: watch::Sender<u64>,
}

impl Sightings {
    /// Notes a token that is otherwise in order.
    pub fn note(&self, iss: &str, iat: Option<UnixNanos>, claims: SeenClaims, wall: UnixNanos) {
        let lead = iat.map_or(Duration::ZERO, |iat| in_steps(iat.since(wall)));
        let seen = self.seen.load();
        if let Some(sighting) = seen.get(iss) {
            // Nearly every token carries what those before it did, and was issued in the past: then there
            // is nothing to write.
            let is_news = sighting.note_claims(claims);
            if !lead.is_zero() && sighting.note(lead, window(wall)) || is_news {
                self.changed(sighting);
            }
            return;
        }
        // Anybody can invent issuers: once there are enough they take no lock.
        if seen.len() >= limits::ISSUERS_SEEN_MAX {
            return;
        }
        self.add(
            iss,
            SavedSighting {
                window: window(wall),
                lead_ns: nanos_of(lead),
                lead_before_ns: 0,
                claims,
            },
        );
    }

    /// Takes in what the journal kept.
    pub fn add(&self, iss: &str, saved: SavedSighting) {
        let _adding = self.adding.lock().unwrap_or_else(PoisonError::into_inner);
        let held = self.seen.load();
        if held.len() >= limits::ISSUERS_SEEN_MAX || held.contains_key(iss) {
            return;
        }
        let mut seen = HashMap::clone(&held);
        let sighting = Arc::new(Sighting::from(saved));
        seen.insert(iss.into(), Arc::clone(&sighting));
        self.seen.store(Arc::new(seen));
        self.changed(&sighting);
    }

    /// What other nodes saw counts like what was seen here. A window that by our clock is yet to come
    /// counts as ours: by a clock that is wrong it would count without end.
    pub fn learn(&self, leads: Vec<ClockLead>, wall: UnixNanos) {
        for told in leads {
            let window = told.window.min(window(wall));
            let seen = self.seen.load();
            let Some(sighting) = seen.get(told.iss.as_str()) else {
                let saved = SavedSighting {
                    window,
                    lead_ns: nanos_of(told.lead),
                    lead_before_ns: nanos_of(told.lead_before),
                    claims: SeenClaims::default(),
                };
                self.add(&told.iss, saved);
                continue;
            };
            let before = sighting.note_of_other(told.lead_before, window.saturating_sub(1));
            if sighting.note_of_other(told.lead, window) || before {
                self.changed(sighting);
            }
        }
    }

    /// In one step, so that whoever sees the version finds what changed by it.
    fn changed(&self, sighting: &Sighting) {
        self.version.send_modify(|version| {
            *version += 1;
            sighting.version.store(*version, Ordering::SeqCst);
        });
    }

    /// Counts what changed.
    pub fn versions(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    /// The leads that changed after a version, oldest change first, and the version up to which these
    /// are all. One message takes at most [`limits::CLOCK_LEADS_PER_MESSAGE`].
    pub fn leads_after(&self, version: u64) -> (Vec<ClockLead>, u64) {
        let newest = *self.version.borrow();
        let seen = self.seen.load();
        let mut changed: Vec<_> = seen
            .iter()
            .map(|(iss, sighting)| (sighting.version.load(Ordering::SeqCst), iss, sighting))
            .filter(|(at, _, sighting)| *at > version && sighting.has_lead())
            .collect();
        changed.sort_unstable_by_key(|(at, ..)| *at);
        let is_all = changed.len() <= limits::CLOCK_LEADS_PER_MESSAGE;
        changed.truncate(limits::CLOCK_LEADS_PER_MESSAGE);
        let through = match changed.last() {
            Some((at, ..)) if !is_all => *at,
            _ => newest,
        };
        let leads = changed
            .into_iter()
            .map(|(_, iss, sighting)| {
                let saved = sighting.save();
                ClockLead {
                    iss: iss.to_string(),
                    window: saved.window,
                    lead: Duration::from_nanos(saved.lead_ns),
                    lead_before: Duration::from_nanos(saved.lead_before_ns),
                }
            })
            .collect();
        (leads, through)
    }

    /// How far the clock of an issuer may be ahead of ours: the greatest lead of the last 24
    /// hours, at most `leeway`. `None` when no token of it was ever seen.
    pub fn lead(&self, iss: &str, wall: UnixNanos, leeway: Duration) -> Option<Duration> {
        let seen = self.seen.load();
        let Some(sighting) = seen.get(iss) else {
            // With the table full, an issuer that is not in it may have been seen all the same.
            return (seen.len() >= limits::ISSUERS_SEEN_MAX).then_some(leeway);
        };
        Some(sighting.lead(wall).min(leeway))
    }

    /// Which claims the tokens of an issuer were seen to carry and to lack.
    pub fn claims(&self, iss: &str) -> SeenClaims {
        let seen = self.seen.load();
        seen.get(iss)
            .map_or_else(SeenClaims::default, |sighting| sighting.save().claims)
    }

    /// All of them, for the journal.
    pub fn save(&self) -> HashMap<String, SavedSighting> {
        self.seen
            .load()
            .iter()
            .map(|(iss, sighting)| (iss.to_string(), sighting.save()))
            .collect()
    }
}

impl Sighting {
    /// Whether this lead of a window is greater than those before it.
    fn note(&self, lead: Duration, of: u64) -> bool {
        let lead = nanos_of(lead);
        let window = self.window.load(Ordering::Relaxed);
        if of.checked_add(1) == Some(window) {
            return self.lead_before.fetch_max(lead, Ordering::Relaxed) < lead;
        }
        // A clock that was set back by more than a window begins anew: by it, what is held would
        // count for longer than it was meant to, which is the lesser harm.
        if of < window {
            return self.lead.fetch_max(lead, Ordering::Relaxed) < lead;
        }
        // Two Checks may both begin a window: the lead of one is then counted into the window
        // before as well, which only makes it count for longer.
        if of > window {
            let before = self.lead.swap(0, Ordering::Relaxed);
            let before = if of == window + 1 { before } else { 0 };
            self.lead_before.store(before, Ordering::Relaxed);
            self.window.store(of, Ordering::Relaxed);
        }
        self.lead.fetch_max(lead, Ordering::Relaxed) < lead
    }

    /// The same, of a lead that another node saw. What no longer counts is no news.
    fn note_of_other(&self, lead: Duration, of: u64) -> bool {
        let is_over = of.saturating_add(1) < self.window.load(Ordering::Relaxed);
        !lead.is_zero() && !is_over && self.note(lead, of)
    }

    fn has_lead(&self) -> bool {
        let saved = self.save();
        saved.lead_ns > 0 || saved.lead_before_ns > 0
    }

    /// Whether this token is the first that carries or lacks something. Afterwards it is only read.
    fn note_claims(&self, claims: SeenClaims) -> bool {
        let is_known = |held: u8| held & claims.0 == claims.0;
        !is_known(self.claims.load(Ordering::Relaxed))
            && !is_known(self.claims.fetch_or(claims.0, Ordering::Relaxed))
    }

    fn lead(&self, wall: UnixNanos) -> Duration {
        let saved = self.save();
        let nanos = match window(wall).saturating_sub(saved.window) {
            0 => saved.lead_ns.max(saved.lead_before_ns),
            1 => saved.lead_ns,
            _ => 0,
        };
        Duration::from_nanos(nanos)
    }

    fn save(&self) -> SavedSighting {
        SavedSighting {
            window: self.window.load(Ordering::Relaxed),
            lead_ns: self.lead.load(Ordering::Relaxed),
            lead_before_ns: self.lead_before.load(Ordering::Relaxed),
            claims: SeenClaims(self.claims.load(Ordering::Relaxed)),
        }
    }
}

impl From<SavedSighting> for Sighting {
    fn from(saved: SavedSighting) -> Self {
        Self {
            window: AtomicU64::new(saved.window),
            lead: AtomicU64::new(saved.lead_ns),
            lead_before: AtomicU64::new(saved.lead_before_ns),
            claims: AtomicU8::new(saved.claims.0),
            version: AtomicU64::new(0),
        }
    }
}

/// Rounded up to whole steps: it must never count for less than it is.
fn in_steps(lead: Duration) -> Duration {
    let step = nanos_of(limits::CLOCK_LEAD_STEP);
    Duration::from_nanos(nanos_of(lead).div_ceil(step).saturating_mul(step))
}

fn window(wall: UnixNanos) -> u64 {
    wall.secs_floor() / limits::CLOCK_LEAD_KEPT.as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = limits::CLOCK_LEAD_KEPT;
    const LEEWAY: Duration = Duration::from_secs(60);
    const USUAL: SeenClaims = SeenClaims(0b10);
    const NAMELESS: SeenClaims = SeenClaims(0b11);

    fn see(sightings: &Sightings, wall: UnixNanos, lead_s: u64) {
        let iat = wall.plus(Duration::from_secs(lead_s));
        sightings.note("i", Some(iat), USUAL, wall);
    }

    #[test]
    fn the_greatest_lead_counts_for_a_day_and_is_gone_after_two() {
        let sightings = Sightings::default();
        let wall = UnixNanos::from_secs(1_700_000_000);
        assert_eq!(sightings.lead("i", wall, LEEWAY), None);
        see(&sightings, wall, 0);
        assert_eq!(sightings.lead("i", wall, LEEWAY), Some(Duration::ZERO));
        see(&sightings, wall, 7);
        see(&sightings, wall, 3);
        for (later, lead_s) in [(Duration::ZERO, 7), (DAY, 7), (DAY * 2, 0)] {
            let lead = sightings.lead("i", wall.plus(later), LEEWAY);
            assert_eq!(lead, Some(Duration::from_secs(lead_s)), "{later:?}");
        }
        see(&sightings, wall.plus(DAY), 2);
        assert_eq!(
            sightings.lead("i", wall.plus(DAY), LEEWAY),
            Some(Duration::from_secs(7))
        );
        assert_eq!(
            sightings.lead("i", wall.plus(DAY * 2), LEEWAY),
            Some(Duration::from_secs(2))
        );
    }

    #[test]
    fn a_lead_is_at_most_leeway_and_survives_saving() {
        let sightings = Sightings::default();
        let wall = UnixNanos::from_secs(1_700_000_000);
        see(&sightings, wall, 90);
        assert_eq!(sightings.lead("i", wall, LEEWAY), Some(LEEWAY));
        let again = Sightings::default();
        for (iss, saved) in sightings.save() {
            again.add(&iss, saved);
        }
        assert_eq!(again.lead("i", wall, LEEWAY), Some(LEEWAY));
    }

    /// Two nodes tell each other what they saw until neither has news.
    #[test]
    fn leads_are_told_once_and_count_at_the_other_node_as_here() {
        let (here, there) = (Sightings::default(), Sightings::default());
        let wall = UnixNanos::from_secs(1_700_000_000);
        see(&here, wall, 30);
        let (leads, told) = here.leads_after(0);
        there.learn(leads.clone(), wall);
        assert_eq!(there.lead("i", wall, LEEWAY), Some(Duration::from_secs(30)));
        let (back, _) = there.leads_after(0);
        here.learn(back, wall);
        assert_eq!(here.leads_after(told).0, [], "no news: the echo ends");
        see(&here, wall, 10);
        assert_eq!(here.leads_after(told).0, [], "less than before is no news");
        see(&there, wall, 40);
        see(&there, wall.plus(DAY), 5);
        here.learn(there.leads_after(0).0, wall.plus(DAY));
        let lead = |later| here.lead("i", wall.plus(later), LEEWAY);
        assert_eq!(lead(DAY), Some(Duration::from_secs(40)));
        assert_eq!(lead(DAY * 2), Some(Duration::from_secs(5)));
        assert_eq!(lead(DAY * 3), Some(Duration::ZERO));
    }

    #[test]
    fn a_window_that_is_yet_to_come_counts_as_this_one() {
        let here = Sightings::default();
        let wall = UnixNanos::from_secs(1_700_000_000);
        let of = |window, lead_s| ClockLead {
            iss: "i".to_owned(),
            window,
            lead: Duration::from_secs(lead_s),
            lead_before: Duration::ZERO,
        };
        for times in 1..=2 {
            here.learn(vec![of(u64::MAX, 30)], wall);
            let lead = |later| here.lead("i", wall.plus(later), LEEWAY);
            assert_eq!(lead(DAY), Some(Duration::from_secs(30)), "{times}");
            assert_eq!(lead(DAY * 2), Some(Duration::ZERO), "{times}");
        }
        here.learn(vec![of(0, 50)], wall);
        assert_eq!(here.lead("i", wall, LEEWAY), Some(Duration::from_secs(30)));
    }

    #[test]
    fn a_message_holds_so_many_leads_and_the_rest_follow() {
        let (here, there) = (Sightings::default(), Sightings::default());
        let wall = UnixNanos::from_secs(1_700_000_000);
        let count = limits::CLOCK_LEADS_PER_MESSAGE * 2 + 1;
        for number in 0..count {
            let iat = wall.plus(Duration::from_secs(7));
            here.note(&number.to_string(), Some(iat), USUAL, wall);
        }
        let (mut version, mut messages) = (0, Vec::new());
        loop {
            let (leads, through) = here.leads_after(version);
            if leads.is_empty() {
                break;
            }
            messages.push(leads.len());
            there.learn(leads, wall);
            version = through;
        }
        let full = limits::CLOCK_LEADS_PER_MESSAGE;
        assert_eq!(messages, [full, full, 1]);
        assert_eq!(there.save().len(), count);
    }

    #[test]
    fn leads_are_rounded_up_so_that_few_are_news() {
        for (nanos, millis) in [(0, 0), (1, 100), (99_999_999, 100), (100_000_001, 200)] {
            let lead = in_steps(Duration::from_nanos(nanos));
            assert_eq!(lead, Duration::from_millis(millis), "{nanos}");
        }
    }

    #[test]
    fn one_token_without_a_user_is_remembered_for_its_issuer() {
        let wall = UnixNanos::from_secs(1_700_000_000);
        // First of all tokens, or after others.
        for others in [0, 1] {
            let sightings = Sightings::default();
            for iss in ["i", "j"].repeat(others) {
                sightings.note(iss, None, USUAL, wall);
            }
            assert!(!sightings.claims("i").lacks_user());
            let mut versions = sightings.versions();
            sightings.note("i", None, NAMELESS, wall);
            assert!(versions.has_changed().unwrap());
            versions.mark_unchanged();
            sightings.note("i", None, NAMELESS, wall);
            sightings.note("i", None, USUAL, wall);
            assert!(!versions.has_changed().unwrap());
            let again = Sightings::default();
            for (iss, saved) in sightings.save() {
                again.add(&iss, saved);
            }
            assert!(again.claims("i").lacks_user());
            assert!(!again.claims("j").lacks_user());
        }
        // What was saved before this was noted.
        let older = r#"{"window":1,"lead_ns":2,"lead_before_ns":3}"#;
        let older: SavedSighting = serde_json::from_str(older).unwrap();
        assert!(!older.claims.lacks_user());
    }

    #[test]
    fn with_the_table_full_an_unknown_issuer_is_taken_to_lead_by_all_of_leeway() {
        let sightings = Sightings::default();
        let wall = UnixNanos::from_secs(1_700_000_000);
        for number in 0..=limits::ISSUERS_SEEN_MAX {
            sightings.note(&number.to_string(), None, USUAL, wall);
        }
        assert_eq!(sightings.save().len(), limits::ISSUERS_SEEN_MAX);
        assert_eq!(sightings.lead("unknown", wall, LEEWAY), Some(LEEWAY));
    }
}

//! Which issuers' tokens were seen here, how far their clocks were ahead of ours, and whether some
//! named no user.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;

use crate::{
    limits,
    model::{UnixNanos, nanos_of},
};

/// What was seen of one issuer: the greatest lead of this window of 24 hours and of the one
/// before it, so that each lead counts for at least 24 hours.
#[derive(Debug, Default)]
struct Sighting {
    window: AtomicU64,
    lead: AtomicU64,
    lead_before: AtomicU64,
    without_user: AtomicBool,
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
    /// Whether there were tokens that name no user.
    #[serde(default)]
    pub without_user: bool,
}

type ByIssuer = HashMap<Box<str>, Arc<Sighting>, foldhash::fast::RandomState>;

/// The issuers seen. Reading takes no lock; an issuer is added once.
#[derive(Debug, Default)]
pub struct Sightings {
    seen: ArcSwap<ByIssuer>,
    adding: Mutex<()>,
    /// Whether there is something that [`Self::save`] has not told yet.
    is_changed: AtomicBool,
}

impl Sightings {
    /// Notes a token that is otherwise in order.
    pub fn note(&self, iss: &str, iat: Option<UnixNanos>, has_user: bool, wall: UnixNanos) {
        let lead = iat.map_or(Duration::ZERO, |iat| iat.since(wall));
        let seen = self.seen.load();
        if let Some(sighting) = seen.get(iss) {
            // Nearly every token names a user and was issued in the past: then there is nothing to
            // write.
            let is_news = !has_user && sighting.note_without_user();
            if !lead.is_zero() && sighting.note(lead, wall) || is_news {
                self.is_changed.store(true, Ordering::Relaxed);
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
                without_user: !has_user,
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
        seen.insert(iss.into(), Arc::new(saved.into()));
        self.seen.store(Arc::new(seen));
        self.is_changed.store(true, Ordering::Relaxed);
    }

    /// Whether anything changed since this was last asked.
    pub fn take_changed(&self) -> bool {
        self.is_changed.swap(false, Ordering::Relaxed)
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

    /// Whether tokens of this issuer were seen that no revocation of a user can meet.
    pub fn has_tokens_without_user(&self, iss: &str) -> bool {
        let seen = self.seen.load();
        seen.get(iss)
            .is_some_and(|sighting| sighting.without_user.load(Ordering::Relaxed))
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
    /// Whether this lead is greater than those before it.
    fn note(&self, lead: Duration, wall: UnixNanos) -> bool {
        let now = window(wall);
        let window = self.window.load(Ordering::Relaxed);
        // Two Checks may both begin a window: the lead of one is then counted into the window
        // before as well, which only makes it count for longer.
        if now != window {
            let before = self.lead.swap(0, Ordering::Relaxed);
            let before = if now == window + 1 { before } else { 0 };
            self.lead_before.store(before, Ordering::Relaxed);
            self.window.store(now, Ordering::Relaxed);
        }
        let lead = nanos_of(lead);
        self.lead.fetch_max(lead, Ordering::Relaxed) < lead
    }

    /// Whether this is the first token without a user. Once there was one it is only read, since
    /// then there are many.
    fn note_without_user(&self) -> bool {
        !self.without_user.load(Ordering::Relaxed)
            && !self.without_user.swap(true, Ordering::Relaxed)
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
            without_user: self.without_user.load(Ordering::Relaxed),
        }
    }
}

impl From<SavedSighting> for Sighting {
    fn from(saved: SavedSighting) -> Self {
        Self {
            window: AtomicU64::new(saved.window),
            lead: AtomicU64::new(saved.lead_ns),
            lead_before: AtomicU64::new(saved.lead_before_ns),
            without_user: AtomicBool::new(saved.without_user),
        }
    }
}

fn window(wall: UnixNanos) -> u64 {
    wall.secs_floor() / limits::CLOCK_LEAD_KEPT.as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = limits::CLOCK_LEAD_KEPT;
    const LEEWAY: Duration = Duration::from_secs(60);

    fn see(sightings: &Sightings, wall: UnixNanos, lead_s: u64) {
        let iat = wall.plus(Duration::from_secs(lead_s));
        sightings.note("i", Some(iat), true, wall);
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

    #[test]
    fn one_token_without_a_user_is_remembered_for_its_issuer() {
        let wall = UnixNanos::from_secs(1_700_000_000);
        // First of all tokens, or after others.
        for others in [0, 1] {
            let sightings = Sightings::default();
            for iss in ["i", "j"].repeat(others) {
                sightings.note(iss, None, true, wall);
            }
            assert!(!sightings.has_tokens_without_user("i"));
            sightings.take_changed();
            sightings.note("i", None, false, wall);
            assert!(sightings.take_changed());
            sightings.note("i", None, false, wall);
            sightings.note("i", None, true, wall);
            assert!(!sightings.take_changed());
            let again = Sightings::default();
            for (iss, saved) in sightings.save() {
                again.add(&iss, saved);
            }
            assert!(again.has_tokens_without_user("i"));
            assert!(!again.has_tokens_without_user("j"));
        }
        // What was saved before this was noted.
        let older = r#"{"window":1,"lead_ns":2,"lead_before_ns":3}"#;
        let older: SavedSighting = serde_json::from_str(older).unwrap();
        assert!(!older.without_user);
    }

    #[test]
    fn with_the_table_full_an_unknown_issuer_is_taken_to_lead_by_all_of_leeway() {
        let sightings = Sightings::default();
        let wall = UnixNanos::from_secs(1_700_000_000);
        for number in 0..=limits::ISSUERS_SEEN_MAX {
            sightings.note(&number.to_string(), None, true, wall);
        }
        assert_eq!(sightings.save().len(), limits::ISSUERS_SEEN_MAX);
        assert_eq!(sightings.lead("unknown", wall, LEEWAY), Some(LEEWAY));
    }
}

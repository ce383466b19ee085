//! How the bounds on lifetimes moved, per issuer.
//!
//! A revocation is kept as long as the tokens that it denies may live, and tokens that could
//! outlive it are INVALID. When a bound is raised, tokens that were already older than the old
//! bound may have outlived theirs: they stay INVALID.

use std::{collections::HashMap, time::Duration};

use serde::{Deserialize, Serialize};

use super::{Entry, IssuerSettings, KeptBy, Lifetime, Semantics, UnixNanos};

/// Before which times nothing is known any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Horizon {
    /// Tokens issued before this stay INVALID, and so do those without `iat` once it is set.
    pub issued: UnixNanos,
    /// Tokens of users who authenticated before this stay INVALID.
    pub authenticated: UnixNanos,
    /// Tokens with `exp` up to this had expired before leeway was raised, and stay EXPIRED.
    pub expired: UnixNanos,
}

/// The bounds of one issuer, and what moving them has cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuerBounds {
    /// `max_token_lifetime`; `None`: unlimited.
    pub token: Option<Duration>,
    /// `max_session_lifetime`; `None`: unlimited.
    pub session: Option<Duration>,
    /// `leeway`.
    pub leeway: Duration,
    /// `forget_grace`.
    pub grace: Duration,
    /// Before which times nothing is known.
    pub horizon: Horizon,
}

/// The bounds that this journal was written under.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bounds {
    default: IssuerBounds,
    issuers: HashMap<String, IssuerBounds>,
}

impl Bounds {
    /// Of a journal that nothing was written to yet.
    pub fn new(semantics: &Semantics) -> Self {
        let first = |settings: &IssuerSettings| IssuerBounds {
            token: bound(settings.max_token_lifetime),
            session: bound(settings.max_session_lifetime),
            leeway: settings.leeway,
            grace: settings.forget_grace,
            horizon: Horizon::default(),
        };
        Self {
            default: first(&semantics.defaults),
            issuers: semantics
                .issuers
                .iter()
                .map(|(iss, settings)| (iss.clone(), first(settings)))
                .collect(),
        }
    }

    /// These bounds moved to what is configured now. An issuer that is no longer configured keeps
    /// its history, under the bounds that hold for it now.
    #[must_use]
    pub fn moved(&self, semantics: &Semantics, now: UnixNanos) -> Self {
        let all = self.issuers.keys().chain(semantics.issuers.keys());
        Self {
            default: self.default.moved(&semantics.defaults, now),
            issuers: all
                .map(|iss| (iss.clone(), self.of(iss).moved(semantics.of(iss), now)))
                .collect(),
        }
    }

    /// Whether any bound of `self` is greater than it was in `before`.
    pub fn is_raised_from(&self, before: &Self) -> bool {
        self.default.is_raised_from(&before.default)
            || self
                .issuers
                .iter()
                .any(|(iss, moved)| moved.is_raised_from(before.of(iss)))
    }

    /// By how much longer than `before` said a revocation must be kept that one of these bounds
    /// keeps. A longer grace concerns them all: it goes with a longer leeway.
    pub fn raised_by(&self, before: &Self, iss: &str, kept_by: KeptBy) -> Lifetime {
        let (now, before) = (self.of(iss), before.of(iss));
        let (now_kept, kept_before) = match kept_by {
            KeptBy::Itself => (Lifetime::AtMost(now.grace), Lifetime::AtMost(before.grace)),
            KeptBy::TokenLifetime => (now.token_kept(), before.token_kept()),
            KeptBy::SessionLifetime => (now.session_kept(), before.session_kept()),
        };
        now_kept.beyond(kept_before)
    }

    /// Those of all issuers that are not named, and of each that is.
    pub fn parts(
        &self,
    ) -> (
        &IssuerBounds,
        impl Iterator<Item = (&String, &IssuerBounds)>,
    ) {
        (&self.default, self.issuers.iter())
    }

    /// From such parts.
    pub fn from_parts(default: IssuerBounds, issuers: HashMap<String, IssuerBounds>) -> Self {
        Self { default, issuers }
    }

    /// These bounds after catching up for the first time from a node with others: what it had
    /// forgotten by smaller ones, or never known, this node does not know either.
    #[must_use]
    pub fn caught_up_from(&self, theirs: &Self, now: UnixNanos) -> Self {
        let all = self.issuers.keys().chain(theirs.issuers.keys());
        Self {
            default: self.default.caught_up_from(&theirs.default, now),
            issuers: all
                .map(|iss| {
                    (
                        iss.clone(),
                        self.of(iss).caught_up_from(theirs.of(iss), now),
                    )
                })
                .collect(),
        }
    }

    /// Until when an entry must be kept under these bounds, whoever wrote it.
    pub fn kept_until(&self, iss: &str, entry: &Entry) -> UnixNanos {
        let moved = self.of(iss);
        let lifetime = match entry.kept_by {
            KeptBy::Itself => Lifetime::AtMost(moved.grace),
            KeptBy::TokenLifetime => moved.token_kept(),
            KeptBy::SessionLifetime => moved.session_kept(),
        };
        lifetime.end(entry.kept_from)
    }

    /// Before which times nothing is known of an issuer.
    pub fn horizon(&self, iss: &str) -> Horizon {
        self.of(iss).horizon
    }

    fn of(&self, iss: &str) -> &IssuerBounds {
        if self.issuers.is_empty() {
            return &self.default;
        }
        self.issuers.get(iss).unwrap_or(&self.default)
    }
}

impl IssuerBounds {
    fn moved(&self, to: &IssuerSettings, now: UnixNanos) -> Self {
        let (token, session) = (bound(to.max_token_lifetime), bound(to.max_session_lifetime));
        let horizon = |from: Option<Duration>, to, held: UnixNanos| match from {
            Some(from) if is_raised(Some(from), to) => held.max(now.minus(from)),
            _ => held,
        };
        let (leeway, before) = (to.leeway, self.leeway);
        Self {
            token,
            session,
            leeway,
            grace: to.forget_grace,
            horizon: Horizon {
                issued: horizon(self.token, token, self.horizon.issued),
                authenticated: horizon(self.session, session, self.horizon.authenticated),
                expired: horizon(Some(before), Some(leeway), self.horizon.expired),
            },
        }
    }

    fn caught_up_from(&self, theirs: &Self, now: UnixNanos) -> Self {
        let horizon = |from: Option<Duration>, to, held: UnixNanos, known: UnixNanos| match from {
            Some(from) if is_raised(Some(from), to) => held.max(known).max(now.minus(from)),
            _ => held.max(known),
        };
        let (held, known) = (self.horizon, theirs.horizon);
        let (issued, authenticated) = (known.issued, known.authenticated);
        let leeway = (Some(theirs.leeway), Some(self.leeway));
        Self {
            horizon: Horizon {
                issued: horizon(theirs.token, self.token, held.issued, issued),
                authenticated: horizon(
                    theirs.session,
                    self.session,
                    held.authenticated,
                    authenticated,
                ),
                expired: horizon(leeway.0, leeway.1, held.expired, known.expired),
            },
            ..*self
        }
    }

    fn is_raised_from(&self, before: &Self) -> bool {
        is_raised(before.token, self.token)
            || is_raised(before.session, self.session)
            || self.leeway > before.leeway
            || self.grace > before.grace
    }

    fn token_kept(&self) -> Lifetime {
        lifetime(self.token).and(Lifetime::AtMost(self.grace))
    }

    fn session_kept(&self) -> Lifetime {
        lifetime(self.session).and(self.token_kept())
    }
}

fn bound(lifetime: Lifetime) -> Option<Duration> {
    match lifetime {
        Lifetime::AtMost(duration) => Some(duration),
        Lifetime::Unlimited => None,
    }
}

fn lifetime(bound: Option<Duration>) -> Lifetime {
    bound.map_or(Lifetime::Unlimited, Lifetime::AtMost)
}

fn is_raised(from: Option<Duration>, to: Option<Duration>) -> bool {
    from.is_some_and(|from| to.is_none_or(|to| to > from))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);
    const NOW: UnixNanos = UnixNanos::from_secs(1_700_000_000);

    fn semantics(token: Lifetime, of_i: Option<Lifetime>) -> Semantics {
        let with = |max_token_lifetime| IssuerSettings {
            max_token_lifetime,
            ..IssuerSettings::default()
        };
        Semantics {
            defaults: with(token),
            issuers: of_i
                .map(|token| ("i".to_owned(), with(token)))
                .into_iter()
                .collect(),
            ..Semantics::default()
        }
    }

    fn days(days: u32) -> Lifetime {
        Lifetime::AtMost(DAY * days)
    }

    #[test]
    fn a_raise_keeps_out_what_was_older_than_the_old_bound() {
        let before = Bounds::new(&semantics(days(10), None));
        assert_eq!(before.horizon("i").issued, UnixNanos::ZERO);
        for raised in [days(30), Lifetime::Unlimited] {
            let after = before.moved(&semantics(raised, None), NOW);
            assert!(after.is_raised_from(&before));
            assert_eq!(after.horizon("i").issued, NOW.minus(DAY * 10));
            assert_eq!(after.horizon("i").authenticated, UnixNanos::ZERO);
        }
    }

    #[test]
    fn lowering_costs_nothing_until_the_bound_is_raised_again() {
        let before = Bounds::new(&semantics(Lifetime::Unlimited, None));
        let lower = before.moved(&semantics(days(5), None), NOW);
        assert!(!lower.is_raised_from(&before));
        assert_eq!(lower.horizon("i"), Horizon::default());
        let again = lower.moved(&semantics(days(10), None), NOW.plus(DAY));
        assert_eq!(again.horizon("i").issued, NOW.minus(DAY * 4));
        let later = again.moved(&semantics(days(10), None), NOW.plus(DAY * 9));
        assert_eq!(later, again, "nothing moved");
    }

    #[test]
    fn an_issuer_that_comes_and_goes_is_judged_by_what_held_for_it() {
        let before = Bounds::new(&semantics(days(10), None));
        let configured = before.moved(&semantics(days(10), Some(days(20))), NOW);
        assert_eq!(configured.horizon("i").issued, NOW.minus(DAY * 10));
        assert_eq!(configured.horizon("other").issued, UnixNanos::ZERO);

        let lower = before.moved(&semantics(days(10), Some(days(2))), NOW);
        assert_eq!(lower.horizon("i").issued, UnixNanos::ZERO);
        let gone = lower.moved(&semantics(days(10), None), NOW.plus(DAY));
        assert!(gone.is_raised_from(&lower));
        assert_eq!(gone.horizon("i").issued, NOW.minus(DAY));
    }
}

//! Tokens that share a `jti`: a revocation that names it is kept as long as the longest-lived of them
//! that is met.
//!
//! Check finds them and must not wait for a disk, so it leaves word here, and the writer sees to it.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use crate::{
    index::Index,
    journal::{JournalError, Tables},
    limits,
    model::{
        Claims, IssuerSettings, KeptBy, KeyKind, Request, RuleKind, Target, TargetKey, UnixNanos,
        What,
    },
};

use super::{
    work::Work,
    writer::{Change, Writer},
};

/// What Check found and the writer has yet to see.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// For each target, the latest `exp` of a token that it denies.
    waiting: Mutex<HashMap<TargetKey, (Target, UnixNanos)>>,
    /// Whether the writer was told and has not looked yet.
    is_told: AtomicBool,
    /// How many revocations were kept longer for it.
    pub(super) extended: AtomicU64,
    /// Whose tokens did that, and when it was last logged.
    issuers: Mutex<BTreeMap<String, UnixNanos>>,
}

impl Found {
    /// Leaves word of a token that its revocation would not outlive. `true`: the writer is to be told.
    /// What does not fit is found again by the next Check of it.
    pub(super) fn leave(&self, target: &Target, exp: UnixNanos) -> bool {
        let mut waiting = self.waiting();
        let key = target.key();
        if let Some((_, held)) = waiting.get_mut(&key) {
            *held = exp.max(*held);
        } else if waiting.len() < limits::SHARED_JTIS_WAITING_MAX {
            waiting.insert(key, (target.clone(), exp));
        }
        drop(waiting);
        !self.is_told.swap(true, Ordering::SeqCst)
    }

    /// The writer could not be told: the next one who leaves word tries again.
    pub(super) fn not_told(&self) {
        self.is_told.store(false, Ordering::SeqCst);
    }

    fn take(&self) -> Vec<(Target, UnixNanos)> {
        // Before looking: what is left from now on is told anew.
        self.not_told();
        self.waiting().drain().map(|(_, found)| found).collect()
    }

    /// Whether tokens of an issuer were met that share a `jti`.
    pub(super) fn concerns(&self, iss: &str) -> bool {
        self.issuers().contains_key(iss)
    }

    /// Notes an issuer; whether it is time to log it.
    fn note(&self, iss: &str, now: UnixNanos) -> bool {
        self.extended.fetch_add(1, Ordering::Relaxed);
        let mut issuers = self.issuers();
        if let Some(logged) = issuers.get_mut(iss) {
            let is_due = now.since(*logged) >= limits::SHARED_JTI_LOGGED_EVERY;
            if is_due {
                *logged = now;
            }
            return is_due;
        }
        let fits = issuers.len() < limits::ISSUERS_SEEN_MAX;
        if fits {
            issuers.insert(iss.to_owned(), now);
        }
        fits
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<TargetKey, (Target, UnixNanos)>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn issuers(&self) -> MutexGuard<'_, BTreeMap<String, UnixNanos>> {
        self.issuers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The `exp` of a token that would pass once the revocation that denies it now is forgotten. Up to
/// leeway is no such case: the grace is twice that, and a token of which only the `jti` was known
/// may be that much younger than was assumed.
pub(super) fn outlives(
    index: &Index,
    claims: &Claims<'_>,
    settings: &IssuerSettings,
) -> Option<UnixNanos> {
    let key = TargetKey::of(KeyKind::Jti, &claims.iss, [claims.jti.as_bytes(), b""]);
    let kept = index.token(&key)?.until();
    let exp = claims.exp.unwrap_or(UnixNanos::FOREVER);
    (exp.plus(settings.forget_grace) > kept.plus(settings.leeway)).then_some(exp)
}

impl Writer {
    /// Keeps revocations as long as the tokens that Check met need them, each as a write of this node.
    pub(super) fn keep_shared_jtis(
        &mut self,
        tables: &mut Tables<'_>,
        changes: &mut Vec<Change>,
    ) -> Result<(), JournalError> {
        let found = self.shared.jtis.take();
        let now = self.shared.clock.wall();
        let latest = self.sweeper.latest(now);
        let mut work = Work::default();
        for (target, exp) in found {
            let settings = self.shared.semantics.of(&target.iss).clone();
            let exp = exp.min(settings.max_token_lifetime.end(latest));
            let until = exp.plus(settings.forget_grace);
            let staged = work.stage(tables, &target)?;
            // It may have been lifted, or kept longer, since Check looked.
            let Some(rule) = staged.record.rules.get_mut(&RuleKind::All) else {
                continue;
            };
            let Some(held) = rule.in_force().max_by_key(|entry| entry.until).cloned() else {
                continue;
            };
            if held.until >= until {
                continue;
            }
            let request = Request {
                cut_off: held.cut_off,
                until,
                kept_by: KeptBy::Itself,
                kept_from: exp,
                except: Vec::new(),
            };
            *rule = rule.revoke(self.dots.next(), &request, &held.note);
            staged.record.origin = Some(self.shared.boot);
            staged.is_changed = true;
            if self.shared.jtis.note(&target.iss, now) {
                tracing::warn!(
                    iss = %target.iss,
                    "a revoked jti was met in a token that lives longer than the revoked one: the \
                     revocation is kept longer; if tokens of this issuer share a jti, set jti = \
                     \"shared\" for it"
                );
            }
        }
        self.put_changed(work, tables, changes)
    }
}

/// What a receipt of such an issuer says.
pub(super) const ADVICE: &str = "tokens of this issuer share a jti: set jti = \"shared\" for it, so that a revocation is kept as long as \
     any of them may live";

/// Whether a target is a token that is known by its `jti`.
pub(super) fn is_jti(target: &Target) -> bool {
    matches!(target.what, What::Jti(_))
}

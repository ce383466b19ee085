//! May a token still be used?
//!
//! One function of claims, settings, times and the index. It takes no lock across anything, reads
//! no journal and allocates only when it denies.

use std::time::Duration;

use crate::{
    clock::Rewind,
    index::{Index, RuleSet},
    model::{
        Bounds, Claims, Horizon, Invalid, IssuerSettings, KeyKind, Lifetime, Match, MissingKid,
        RuleKind, Semantics, Target, TargetKey, UnixNanos, Verdict, What,
    },
};

/// What a decision is made from.
#[derive(Clone, Copy, Debug)]
pub struct Grounds<'a> {
    /// What gives tokens their meaning.
    pub semantics: &'a Semantics,
    /// How the bounds moved.
    pub bounds: &'a Bounds,
    /// What is revoked.
    pub index: &'a Index,
    /// Whether the wall clock was set back.
    pub rewind: &'a Rewind,
    /// The wall clock.
    pub wall: UnixNanos,
}

impl Grounds<'_> {
    /// Judges a token by its claims, whose issuer is filled in.
    pub fn judge(&self, claims: &Claims<'_>) -> Verdict {
        let settings = self.semantics.of(&claims.iss);
        let horizon = self.bounds.horizon(&claims.iss);
        if let Err(invalid) = self.is_judgeable(claims, settings, horizon) {
            return Verdict::Invalid(invalid);
        }
        let now = self.rewind.now_for(claims.iat, self.wall);
        if claims
            .exp
            .is_some_and(|exp| exp.plus(settings.leeway) <= now || exp <= horizon.expired)
        {
            return Verdict::Expired;
        }
        if let Some(found) = self.revoked(claims, settings) {
            return Verdict::Revoked(Box::new(found));
        }
        if claims
            .nbf
            .is_some_and(|nbf| nbf > self.wall.plus(settings.leeway))
        {
            return Verdict::NotYetValid;
        }
        Verdict::Active
    }

    /// What could outlive its revocation, or could not be named by one, is INVALID.
    fn is_judgeable(
        &self,
        claims: &Claims<'_>,
        settings: &IssuerSettings,
        horizon: Horizon,
    ) -> Result<(), Invalid> {
        if claims.jti.is_empty() && claims.digest.is_none() {
            return Err(Invalid::new(
                "neither jti nor signing_input_sha256 is given, so nothing could name this token: \
                 send the token itself or the SHA-256 of its signing input",
            ));
        }
        let latest = self.wall.plus(settings.leeway);
        is_not_after("iat", claims.iat, latest)?;
        is_not_after("auth_time", claims.auth_time, latest)?;
        is_short_enough(claims, settings)?;
        if horizon.issued != UnixNanos::ZERO && claims.iat.is_none_or(|iat| iat < horizon.issued) {
            return Err(Invalid::new(
                "when max_token_lifetime was raised this token was already older than it: its \
                 revocation may be forgotten, so the user must get a new one",
            ));
        }
        if claims
            .auth_time
            .is_some_and(|auth_time| auth_time < horizon.authenticated)
        {
            return Err(Invalid::new(
                "when max_session_lifetime was raised this session was already older than it: its \
                 revocation may be forgotten, so the user must log in again",
            ));
        }
        Ok(())
    }

    fn revoked(&self, claims: &Claims<'_>, settings: &IssuerSettings) -> Option<Match> {
        self.token_revoked(claims)
            .or_else(|| self.rules_match(claims, KeyKind::User, &claims.sub, What::User))
            .or_else(|| self.rules_match(claims, KeyKind::Session, &claims.sid, What::Session))
            .or_else(|| self.rules_match(claims, KeyKind::Client, &claims.client_id, What::Client))
            .or_else(|| self.key_revoked(claims, settings))
            .or_else(|| self.claim_revoked(claims))
            .or_else(|| self.issuer_revoked(claims))
    }

    fn token_revoked(&self, claims: &Claims<'_>) -> Option<Match> {
        let by_jti = (!claims.jti.is_empty()).then_some(claims.jti.as_bytes());
        let by_digest = claims.digest.as_ref().map(<[u8; 32]>::as_slice);
        [(KeyKind::Jti, by_jti), (KeyKind::Digest, by_digest)]
            .into_iter()
            .find_map(|(kind, name)| {
                let name = name.filter(|_| self.index.has(kind))?;
                let slot = self
                    .index
                    .token(&TargetKey::of(kind, &claims.iss, [name, b""]))?;
                let what = match (kind, claims.digest) {
                    (KeyKind::Digest, Some(digest)) => What::Digest(digest),
                    _ => What::Jti(claims.jti.to_string()),
                };
                Some(Match {
                    target: target(claims, what),
                    rule: RuleKind::All,
                    reason: slot.reason(),
                    revoked_at: slot.at(),
                    comment_at: slot.has_comment().then(|| slot.seq()),
                })
            })
    }

    fn rules_match(
        &self,
        claims: &Claims<'_>,
        kind: KeyKind,
        id: &str,
        what: impl FnOnce(String) -> What,
    ) -> Option<Match> {
        if id.is_empty() || !self.index.has(kind) {
            return None;
        }
        let key = TargetKey::of(kind, &claims.iss, [id.as_bytes(), b""]);
        let found = self.index.in_rules(&key, |rules| self.found(claims, rules));
        found.map(|found| found.of(target(claims, what(id.to_owned()))))
    }

    fn key_revoked(&self, claims: &Claims<'_>, settings: &IssuerSettings) -> Option<Match> {
        if !claims.kid.is_empty() {
            return self.rules_match(claims, KeyKind::Key, &claims.kid, What::Key);
        }
        if !self.index.has(KeyKind::Key) || settings.missing_kid == MissingKid::Pass {
            return None;
        }
        let any = self
            .index
            .in_keys_of(&claims.iss, |rules| self.found(claims, rules));
        any.map(|(kid, found)| found.of(target(claims, What::Key(kid.into()))))
    }

    fn claim_revoked(&self, claims: &Claims<'_>) -> Option<Match> {
        if !self.index.has(KeyKind::Claim) {
            return None;
        }
        claims.other.iter().find_map(|(name, value)| {
            let parts = [name.as_bytes(), value.as_bytes()];
            let key = TargetKey::of(KeyKind::Claim, &claims.iss, parts);
            let found = self
                .index
                .in_rules(&key, |rules| self.found(claims, rules))?;
            let what = What::Claim {
                name: name.to_string(),
                value: value.to_string(),
            };
            Some(found.of(target(claims, what)))
        })
    }

    fn issuer_revoked(&self, claims: &Claims<'_>) -> Option<Match> {
        if !self.index.has(KeyKind::Issuer) {
            return None;
        }
        let key = TargetKey::of(KeyKind::Issuer, &claims.iss, [b"", b""]);
        let found = self
            .index
            .in_rules(&key, |rules| self.found(claims, rules))?;
        Some(found.of(target(claims, What::Issuer)))
    }

    fn found(&self, claims: &Claims<'_>, rules: &RuleSet) -> Option<Found> {
        let rule = rules.denies(claims, self.wall)?;
        Some(Found {
            rule: rule.kind,
            reason: rule.reason,
            revoked_at: rule.at(),
            comment_at: rule.has_comment.then_some(rules.seq),
        })
    }
}

/// A match whose target is yet to be named.
struct Found {
    rule: RuleKind,
    reason: crate::model::Reason,
    revoked_at: UnixNanos,
    comment_at: Option<u64>,
}

impl Found {
    fn of(self, target: Target) -> Match {
        Match {
            target,
            rule: self.rule,
            reason: self.reason,
            revoked_at: self.revoked_at,
            comment_at: self.comment_at,
        }
    }
}

fn target(claims: &Claims<'_>, what: What) -> Target {
    Target {
        iss: claims.iss.to_string(),
        what,
    }
}

fn is_not_after(
    claim: &'static str,
    time: Option<UnixNanos>,
    latest: UnixNanos,
) -> Result<(), Invalid> {
    let Some(time) = time.filter(|time| *time > latest) else {
        return Ok(());
    };
    Err(Invalid::new(format!(
        "{claim} is {} s further in the future than leeway allows: compare the clocks of the issuer \
         and of this machine, and see whether the issuer writes milliseconds (RFC 7519 section 2 \
         wants seconds)",
        time.since(latest).as_secs().max(1)
    )))
}

/// Beside what is wrong with the lifetime, why it may be so long.
const EXP_IN_MILLIS: &str = "exp lies beyond the year 2200, so the issuer seems to write milliseconds \
                             (RFC 7519 section 2 wants seconds)";

fn is_short_enough(claims: &Claims<'_>, settings: &IssuerSettings) -> Result<(), Invalid> {
    if let Lifetime::AtMost(bound) = settings.max_token_lifetime {
        let (Some(iat), Some(exp)) = (claims.iat, claims.exp) else {
            let missing = if claims.exp.is_none() { "exp" } else { "iat" };
            return Err(Invalid::new(format!(
                "the token has no {missing}, so it could outlive its revocation: have the issuer \
                 set it, or set max_token_lifetime = \"unlimited\" for this issuer"
            )));
        };
        is_within("exp − iat", exp.since(iat), bound, "max_token_lifetime").map_err(|invalid| {
            if exp.looks_like_millis() {
                return Invalid::new(format!("{}; {EXP_IN_MILLIS}", invalid.detail));
            }
            invalid
        })?;
    }
    if let (Lifetime::AtMost(bound), Some(auth_time), Some(iat)) =
        (settings.max_session_lifetime, claims.auth_time, claims.iat)
    {
        let age = iat.since(auth_time);
        is_within("iat − auth_time", age, bound, "max_session_lifetime")?;
    }
    Ok(())
}

fn is_within(
    what: &'static str,
    length: Duration,
    bound: Duration,
    setting: &'static str,
) -> Result<(), Invalid> {
    if length <= bound {
        return Ok(());
    }
    Err(Invalid::new(format!(
        "{what} is {} s and {setting} is {} s: the token could outlive its revocation; shorten it \
         at the issuer, or raise {setting} for this issuer",
        // Rounded up, so that what is beyond the bound by less than a second reads so.
        length.as_secs() + u64::from(length.subsec_nanos() > 0),
        bound.as_secs()
    )))
}

#[cfg(test)]
mod tests;

//! Everything that was ever revoked and not lifted, in a list, evaluated as the rules are written.

use super::*;

/// Of issuer "i"; issuer "j" has no bounds.
pub(super) const TOKEN_BOUND: Duration = Duration::from_secs(2 * 86_400);
pub(super) const SESSION_BOUND: Duration = Duration::from_secs(5 * 86_400);
pub(super) const LEEWAY: Duration = limits::LEEWAY_DEFAULT;

/// One rule of one target that somebody asked for.
#[derive(Clone, Debug)]
pub(super) struct Write {
    target: Target,
    kind: RuleKind,
    cut_off: u64,
    except: Vec<Exception>,
    at: UnixNanos,
    /// Until when it is kept at least.
    until: UnixNanos,
    end: TokenEnd,
}

#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) writes: Vec<Write>,
    /// The greatest time that the clock showed, and the least since then.
    greatest: UnixNanos,
    least_since: UnixNanos,
}

impl Model {
    pub(super) fn look(&mut self, now: UnixNanos) {
        if now >= self.greatest {
            (self.greatest, self.least_since) = (now, now);
        }
        self.least_since = self.least_since.min(now);
    }

    pub(super) fn write(&mut self, order: &Revoke, now: UnixNanos) {
        for named in &order.targets {
            // What claims to live beyond the bound is INVALID: its revocation is kept for the bound.
            let end = match named.end {
                TokenEnd::At(end) if named.target.iss == "i" => {
                    TokenEnd::At(end.min(now.plus(TOKEN_BOUND + LEEWAY)))
                }
                end => end,
            };
            let mut add = |kind, cut_off, lasts: Lifetime, except: &[Exception]| {
                self.writes.push(Write {
                    target: named.target.clone(),
                    kind,
                    cut_off,
                    except: except.to_vec(),
                    at: now,
                    until: lasts.end(now).max(order.expires_at.unwrap_or_default()),
                    end,
                });
            };
            let rules = &order.rules;
            let (tokens, sessions) = match named.target.iss.as_str() {
                "i" => (
                    Lifetime::AtMost(TOKEN_BOUND),
                    Lifetime::AtMost(SESSION_BOUND),
                ),
                _ => (Lifetime::Unlimited, Lifetime::Unlimited),
            };
            if named.target.is_token() {
                let lasts = match end {
                    TokenEnd::At(end) => Lifetime::AtMost(end.since(now)),
                    TokenEnd::Never => Lifetime::Unlimited,
                    TokenEnd::Unknown => tokens,
                };
                add(RuleKind::All, u64::MAX, lasts, &[]);
                continue;
            }
            if rules.all {
                let end = order.expires_at.unwrap_or(UnixNanos::FOREVER);
                let lasts = order
                    .expires_at
                    .map_or(sessions, |end| Lifetime::AtMost(end.since(now)));
                add(RuleKind::All, end.nanos(), lasts, &[]);
            }
            let default = rules.has_no_cut_off().then_some(now);
            if let Some(cut_off) = rules.issued_before.or(default) {
                add(
                    RuleKind::IssuedBefore,
                    cut_off.nanos(),
                    tokens,
                    &rules.except,
                );
            }
            if let Some(cut_off) = rules.version_below {
                add(RuleKind::VersionBelow, cut_off, sessions, &rules.except);
            }
            if let Some(cut_off) = rules.authenticated_before {
                add(
                    RuleKind::AuthenticatedBefore,
                    cut_off.nanos(),
                    sessions,
                    &rules.except,
                );
            }
        }
    }

    /// For each of the writes after the first `known`, the tokens that it is for and that live the
    /// longest: one issued just before it, of which the `exp` may have been told, and the last one
    /// of a session begun just before it.
    pub(super) fn probes(&self, known: usize) -> Vec<Claims<'static>> {
        let (token, session) = (TOKEN_BOUND, SESSION_BOUND);
        let writes = self.writes.iter().skip(known);
        writes
            .flat_map(|write| {
                let begun = write.at.minus(SECOND);
                let told = match write.end {
                    TokenEnd::At(end) => end,
                    _ => UnixNanos::FOREVER,
                };
                [begun, begun.plus(session)].map(|iat| Claims {
                    auth_time: Some(begun),
                    iat: Some(iat),
                    exp: Some(iat.plus(token).min(told)),
                    ..named_by(&write.target)
                })
            })
            .collect()
    }

    pub(super) fn lift(&mut self, targets: &[Target], kinds: &[RuleKind]) {
        self.writes.retain(|write| {
            let is_kind = write.target.is_token() || kinds.contains(&write.kind);
            !(is_kind && targets.contains(&write.target))
        });
    }

    /// Must it not pass?
    pub(super) fn denies(&self, claims: &Claims<'_>, now: UnixNanos) -> bool {
        self.writes.iter().any(|write| {
            names(&write.target, claims)
                && denies(write, claims, now, true)
                && (now.max(self.greatest) < write.until || self.is_promised(write, claims))
        })
    }

    /// Does anybody know why it should be denied? Exceptions of several writes are not told apart.
    pub(super) fn may_deny(&self, claims: &Claims<'_>, now: UnixNanos) -> bool {
        self.writes
            .iter()
            .any(|write| names(&write.target, claims) && denies(write, claims, now, false))
    }

    /// Even long after: could this token have been meant?
    fn is_promised(&self, write: &Write, claims: &Claims<'_>) -> bool {
        let existed =
            |time: Option<UnixNanos>| time.is_some_and(|time| time <= write.at.plus(LEEWAY));
        // After the clock was set back for long, tokens issued since are judged by it again.
        if claims.iat >= Some(self.least_since) && self.least_since < self.greatest {
            return false;
        }
        match (write.kind, write.target.is_token()) {
            (_, true) => match write.end {
                TokenEnd::At(end) => claims.exp <= Some(end),
                TokenEnd::Never => true,
                TokenEnd::Unknown => existed(claims.iat),
            },
            (RuleKind::IssuedBefore, false) => true,
            // A suspension that was over by the greatest time is over, wherever the clock went since.
            (RuleKind::All, false) if write.cut_off != UnixNanos::FOREVER.nanos() => false,
            (RuleKind::All, false) if write.target.kind() != TargetKind::Session => true,
            // Without auth_time, the length of sessions is the operator's promise.
            _ => existed(claims.auth_time),
        }
    }
}

/// A token that has what the target names and nothing else: also no version.
fn named_by(target: &Target) -> Claims<'static> {
    let mut claims = Claims {
        iss: target.iss.clone().into(),
        jti: "probe".into(),
        kid: "kp".into(),
        ..Claims::default()
    };
    match target.what.clone() {
        What::Jti(id) => claims.jti = id.into(),
        What::Digest(digest) => claims.digest = Some(digest),
        What::User(id) => claims.sub = id.into(),
        What::Session(id) => claims.sid = id.into(),
        What::Client(id) => claims.client_id = id.into(),
        What::Key(id) => claims.kid = id.into(),
        What::Claim { name, value } => claims.other = vec![(name.into(), value.into())],
        What::Issuer => {}
    }
    claims
}

pub(super) fn names(target: &Target, claims: &Claims<'_>) -> bool {
    if target.iss != claims.iss {
        return false;
    }
    match &target.what {
        What::Jti(id) => claims.jti == id.as_str(),
        What::Digest(digest) => claims.digest.as_ref() == Some(digest),
        What::User(id) => claims.sub == id.as_str(),
        What::Session(id) => claims.sid == id.as_str(),
        What::Client(id) => claims.client_id == id.as_str(),
        // A token that does not say which key signed it may be signed by any.
        What::Key(id) => claims.kid == id.as_str() || claims.kid.is_empty(),
        What::Claim { name, value } => claims
            .other
            .iter()
            .any(|(claim, held)| claim == name.as_str() && held == value.as_str()),
        What::Issuer => true,
    }
}

fn denies(write: &Write, claims: &Claims<'_>, now: UnixNanos, with_exceptions: bool) -> bool {
    let is_spared = write.except.iter().any(|exception| match exception {
        Exception::Sid(sid) => claims.sid == sid.as_str(),
        Exception::Jti(jti) => claims.jti == jti.as_str(),
    });
    if with_exceptions && is_spared {
        return false;
    }
    let is_before = |value: Option<u64>| value.is_none_or(|value| value < write.cut_off);
    match write.kind {
        RuleKind::All => now.nanos() < write.cut_off,
        RuleKind::IssuedBefore => is_before(claims.iat.map(UnixNanos::nanos)),
        RuleKind::VersionBelow => is_before(claims.version),
        RuleKind::AuthenticatedBefore => is_before(claims.auth_time.map(UnixNanos::nanos)),
    }
}

//! What a write makes of a record: values in, values out.

use std::time::Duration;

use crate::{
    index::SeenClaims,
    limits,
    model::{
        CutOff, Dot, IssuerSettings, JtiUse, KeptBy, Lifetime, Note, Record, Request, Rule,
        RuleKind, Target, TargetKind, UnixNanos,
    },
};

use super::{
    order::{AskedRules, Named, Receipt, TokenEnd},
    shared_jti,
};

/// What a plan is made from, for one target.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setting<'a> {
    /// Of the target's issuer.
    pub(super) settings: &'a IssuerSettings,
    /// The wall clock.
    pub(super) now: UnixNanos,
    /// The latest time that was believed, of which `now` falls short when the clock was set back:
    /// tokens were issued until then, so what is kept is kept from then.
    pub(super) latest: UnixNanos,
    /// How far the issuer's clock may be ahead; `None`: no token of it was ever seen.
    pub(super) lead: Option<Duration>,
    /// Whether a crash a moment ago may have cost the newest lead.
    pub(super) may_lack_lead: bool,
    /// Which claims tokens of the issuer were seen to carry and to lack.
    pub(super) seen: SeenClaims,
    /// Whether tokens of the issuer were met that share a `jti`.
    pub(super) shares_jtis: bool,
}

impl Setting<'_> {
    /// The cut-off that a default means: no token issued so far has a later `iat`.
    fn cut_off_now(&self) -> UnixNanos {
        self.now.plus(self.skew())
    }

    /// How much later than our clock "now" is: a token is ACTIVE up to leeway ahead of it.
    fn skew(&self) -> Duration {
        let leeway = self.settings.leeway;
        match self.settings.clock_skew {
            Some(configured) => configured.min(leeway),
            None if self.may_lack_lead => leeway,
            None => self.lead.unwrap_or_default().min(leeway),
        }
    }
}

/// The requests, by kind of rule, that revoking a target means.
pub(super) fn requests(
    named: &Named,
    rules: &AskedRules,
    expires_at: Option<UnixNanos>,
    at: Setting<'_>,
) -> Vec<(RuleKind, Request)> {
    if named.target.is_token() {
        return vec![(RuleKind::All, token_request(named, expires_at, at))];
    }
    let is_session = named.target.kind() == TargetKind::Session;
    let mut requests = Vec::new();
    if rules.all {
        requests.push((RuleKind::All, all_request(is_session, expires_at, at)));
    }
    let is_now = rules.issued_before_now || rules.has_no_cut_off();
    let now = |is_now: bool| is_now.then(|| at.cut_off_now());
    let issued_before = rules.issued_before.or_else(|| now(is_now));
    let authenticated_before = rules
        .authenticated_before
        .or_else(|| now(rules.authenticated_before_now));
    let cut_offs = [
        (RuleKind::IssuedBefore, issued_before.map(UnixNanos::nanos)),
        (RuleKind::VersionBelow, rules.version_below),
        (
            RuleKind::AuthenticatedBefore,
            authenticated_before.map(UnixNanos::nanos),
        ),
    ];
    for (kind, cut_off) in cut_offs {
        if let Some(cut_off) = cut_off {
            let mut request = cut_off_request(kind, cut_off, expires_at, at);
            request.except.clone_from(&rules.except);
            requests.push((kind, request));
        }
    }
    requests
}

/// Until when something is kept, and why.
#[derive(Clone, Copy, Debug)]
struct Kept {
    until: UnixNanos,
    by: KeptBy,
    from: UnixNanos,
}

impl Kept {
    const FOR_EVER: Self = Self {
        until: UnixNanos::FOREVER,
        by: KeptBy::Itself,
        from: UnixNanos::FOREVER,
    };

    /// A caller's `expires_at` may lengthen, never shorten.
    fn until(
        end: UnixNanos,
        (by, from): (KeptBy, UnixNanos),
        expires_at: Option<UnixNanos>,
        at: Setting<'_>,
    ) -> Self {
        let end = end.max(expires_at.unwrap_or_default());
        let until = end.plus(at.settings.forget_grace);
        let from = if by == KeptBy::Itself { end } else { from };
        Self { until, by, from }
    }

    /// For as long as a lifetime goes on that began at `from`.
    fn for_lifetime(
        lifetime: Lifetime,
        by: (KeptBy, UnixNanos),
        expires_at: Option<UnixNanos>,
        at: Setting<'_>,
    ) -> Self {
        Self::until(lifetime.end(by.1), by, expires_at, at)
    }

    fn request(self, cut_off: CutOff) -> Request {
        Request {
            cut_off,
            until: self.until,
            kept_by: self.by,
            kept_from: self.from,
            except: Vec::new(),
        }
    }
}

fn token_request(named: &Named, expires_at: Option<UnixNanos>, at: Setting<'_>) -> Request {
    let kept = match named.end {
        // Of tokens that share a jti another may live longer. And no token may live longer than the bound: one that claims to is INVALID, and would be kept for
        // ever should its `exp` be in milliseconds.
        TokenEnd::At(exp) if outlives_bound(exp, at) || may_be_shared(&named.target, at) => {
            let by = (KeptBy::TokenLifetime, at.latest);
            Kept::for_lifetime(at.settings.max_token_lifetime, by, expires_at, at)
        }
        TokenEnd::At(exp) => Kept::until(exp, (KeptBy::Itself, exp), expires_at, at),
        TokenEnd::Never => Kept::FOR_EVER,
        TokenEnd::Unknown => {
            let by = (KeptBy::TokenLifetime, at.latest);
            Kept::for_lifetime(at.settings.max_token_lifetime, by, expires_at, at)
        }
    };
    kept.request(UnixNanos::FOREVER.nanos())
}

/// Whether a target names tokens that may live longer than the one that is revoked.
fn may_be_shared(target: &Target, at: Setting<'_>) -> bool {
    shared_jti::is_jti(target) && at.settings.jti == JtiUse::Shared
}

/// Whether a token claims to live longer than its issuer's tokens may.
fn outlives_bound(exp: UnixNanos, at: Setting<'_>) -> bool {
    exp > at.settings.max_token_lifetime.end(at.latest)
}

fn all_request(is_session: bool, expires_at: Option<UnixNanos>, at: Setting<'_>) -> Request {
    let kept = match expires_at {
        Some(end) => Kept::until(end, (KeptBy::Itself, end), None, at),
        None if is_session => {
            let by = (KeptBy::SessionLifetime, at.latest);
            Kept::for_lifetime(at.settings.session_tokens(), by, None, at)
        }
        None => Kept::FOR_EVER,
    };
    kept.request(expires_at.unwrap_or(UnixNanos::FOREVER).nanos())
}

fn cut_off_request(
    kind: RuleKind,
    cut_off: CutOff,
    expires_at: Option<UnixNanos>,
    at: Setting<'_>,
) -> Request {
    let (lifetime, kept_by) = match kind {
        RuleKind::IssuedBefore => (at.settings.max_token_lifetime, KeptBy::TokenLifetime),
        _ => (at.settings.session_tokens(), KeptBy::SessionLifetime),
    };
    // A cut-off may lie a little in the future: tokens are still issued below it until then.
    let last_issued = match kind {
        RuleKind::VersionBelow | RuleKind::All => at.latest,
        _ => at.latest.max(UnixNanos::from_nanos(cut_off)),
    };
    Kept::for_lifetime(lifetime, (kept_by, last_issued), expires_at, at).request(cut_off)
}

/// Writes requests into a record; says what a person should know.
pub(super) fn revoke(
    record: &mut Record,
    requests: &[(RuleKind, Request)],
    note: &Note,
    mut next_dot: impl FnMut() -> Dot,
) -> Vec<String> {
    let mut warnings = Vec::new();
    for (kind, request) in requests {
        let rule = record.rules.entry(*kind).or_default();
        warnings.extend(stays(*kind, rule, request.cut_off));
        *rule = rule.revoke(next_dot(), request, note);
    }
    warnings
}

/// What is in force already may be stronger than what is asked.
fn stays(kind: RuleKind, rule: &Rule, asked: CutOff) -> Option<String> {
    let held = rule.in_force().map(|entry| entry.cut_off).max()?;
    if held <= asked {
        return None;
    }
    let shorten = "to weaken it, restore and revoke again";
    Some(match kind {
        RuleKind::All if held == UnixNanos::FOREVER.nanos() => {
            format!("a ban without end stays: {shorten}")
        }
        RuleKind::All => format!(
            "a longer suspension stays, until {}: {shorten}",
            UnixNanos::from_nanos(held)
        ),
        RuleKind::VersionBelow => format!("a greater version_below stays, {held}: {shorten}"),
        RuleKind::IssuedBefore | RuleKind::AuthenticatedBefore => format!(
            "a later {} stays, {}: {shorten}",
            kind.as_str(),
            UnixNanos::from_nanos(held)
        ),
    })
}

/// Lifts kinds of rule in a record; says which were not there. `false`: nothing was in force.
pub(super) fn restore(
    record: &mut Record,
    kinds: &[RuleKind],
    note: &Note,
    mut next_dot: impl FnMut() -> Dot,
) -> (bool, Vec<String>) {
    let (mut lifted, mut warnings) = (false, Vec::new());
    for kind in kinds {
        let after = record.rules.get(kind).and_then(|rule| {
            rule.in_force()
                .next()
                .and_then(|_| rule.lift(next_dot(), note))
        });
        if let Some(after) = after {
            record.rules.insert(*kind, after);
            lifted = true;
        } else {
            warnings.push(format!(
                "no {} was in force here: nothing to lift",
                kind.as_str()
            ));
        }
    }
    (lifted, warnings)
}

/// What a person should know of a revocation, beside what stood there before.
pub(super) fn advice(
    named: &Named,
    requests: &[(RuleKind, Request)],
    is_configured: bool,
    at: Setting<'_>,
) -> Vec<String> {
    let mut advice = Vec::new();
    advice.extend(moved_by_lead(named, requests, at));
    advice.extend(denies_later_logins(named, requests, at));
    if at.lead.is_none() && !is_configured {
        advice.push(
            "no token of this issuer was ever checked here: compare `iss` with that of a real \
             token (rescind token inspect)"
                .to_owned(),
        );
    }
    if named.target.kind() == TargetKind::User && at.seen.lacks_user() {
        advice.push(
            "tokens of this issuer that name no user were checked here: this does not deny them, \
             so revoke the sessions of this user as well (docs/issuers.md)"
                .to_owned(),
        );
    }
    if let TokenEnd::At(exp) = named.end
        && exp.plus(at.settings.leeway) <= at.now
    {
        advice.push("this token has expired already".to_owned());
    }
    if at.shares_jtis && shared_jti::is_jti(&named.target) && at.settings.jti == JtiUse::Unique {
        advice.push(shared_jti::ADVICE.to_owned());
    }
    if let (TokenEnd::At(exp), Lifetime::AtMost(bound)) =
        (named.end, at.settings.max_token_lifetime)
        && exp > at.latest.plus(bound + at.settings.leeway)
    {
        let millis = if exp.looks_like_millis() {
            " (it seems to be in milliseconds: RFC 7519 section 2 wants seconds)"
        } else {
            ""
        };
        advice.push(format!(
            "exp lies further ahead than max_token_lifetime ({}){millis}: tokens that live longer are \
             INVALID, so this is kept for max_token_lifetime",
            humantime::format_duration(bound)
        ));
    }
    let behind = at.latest.since(at.now);
    if behind > limits::CLOCK_JUMP_MAX {
        advice.push(format!(
            "the wall clock was set back by {} s: a cut-off that defaults to now spares tokens \
             issued at later times; set the clock right and revoke again, or give the cut-off",
            behind.as_secs()
        ));
    }
    let bound_by_session = requests
        .iter()
        .any(|(_, request)| request.kept_by == KeptBy::SessionLifetime);
    if let (true, Lifetime::AtMost(bound)) = (bound_by_session, at.settings.max_session_lifetime) {
        advice.push(format!(
            "kept for max_session_lifetime ({}): a session whose tokens carry no auth_time must \
             not be refreshed for longer",
            humantime::format_duration(bound)
        ));
    }
    advice
}

/// Why logins of the next seconds are denied too, if they are.
fn moved_by_lead(
    named: &Named,
    requests: &[(RuleKind, Request)],
    at: Setting<'_>,
) -> Option<String> {
    let cut_off = at.cut_off_now();
    let is_now = |(kind, request): &(RuleKind, Request)| {
        matches!(kind, RuleKind::IssuedBefore | RuleKind::AuthenticatedBefore)
            && request.cut_off == cut_off.nanos()
    };
    if named.target.is_token() || at.skew().is_zero() || !requests.iter().any(is_now) {
        return None;
    }
    let skew = humantime::format_duration(at.skew());
    let why = match at.settings.clock_skew {
        Some(_) => "by clock_skew, as configured for this issuer".to_owned(),
        None if at.may_lack_lead => {
            "since this node did not stop orderly a moment ago, and may not know of a token that is \
             ahead of its clock by up to leeway"
                .to_owned()
        }
        None => format!(
            "since a token of this issuer was {skew} ahead of our clock in the last 24 h: set the \
             issuer's clock right, or give clock_skew"
        ),
    };
    Some(format!(
        "the cut-off is {skew} later than now, {why}; a login before not_before ({}) is denied too",
        UnixNanos::from_secs(cut_off.secs_ceil())
    ))
}

/// A token without the claim that a rule compares is denied by every cut-off.
fn denies_later_logins(
    named: &Named,
    requests: &[(RuleKind, Request)],
    at: Setting<'_>,
) -> Vec<String> {
    if named.target.is_token() {
        return Vec::new();
    }
    let lacking = requests
        .iter()
        .filter_map(|(kind, _)| Some((kind, at.seen.lacks(*kind)?)));
    lacking
        .map(|(kind, claim)| {
            format!(
                "tokens of this issuer without {claim} were checked here: {} denies these, and those of \
                 every later login; have the issuer write {claim}, or revoke the sessions or the tokens",
                kind.as_str()
            )
        })
        .collect()
}

/// The first whole second whose `iat` is safe for a token issued from now on; `None` where no time is:
/// tokens of the issuer lack what a rule compares.
pub(super) fn not_before_s(record: &Record, seen: SeenClaims) -> Option<u64> {
    let is_in_force = |kind: &RuleKind| {
        let rule = record.rules.get(kind);
        rule.is_some_and(|rule| rule.in_force().next().is_some())
    };
    if RuleKind::ALL
        .iter()
        .filter(|kind| is_in_force(kind))
        .any(|kind| seen.never_has(*kind))
    {
        return None;
    }
    [RuleKind::IssuedBefore, RuleKind::AuthenticatedBefore]
        .iter()
        .filter_map(|kind| record.rules.get(kind))
        .flat_map(Rule::in_force)
        .map(|entry| UnixNanos::from_nanos(entry.cut_off).secs_ceil())
        .max()
}

/// What now holds of a target.
pub(super) fn receipt(record: Record, seen: SeenClaims, warnings: Vec<String>) -> Receipt {
    Receipt {
        not_before_s: not_before_s(&record, seen),
        target: record.target,
        rules: record.rules.into_iter().collect(),
        warnings,
    }
}

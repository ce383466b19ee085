//! Records as followers and upstreams send them to each other.
//!
//! What comes from another node is checked like everything that comes from outside: a record that
//! cannot be read, or is past a bound, is refused by itself and harms nothing else.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use crate::{
    limits,
    model::{
        Boot, Bounds, ClockLead, Dot, Entry, Exception, Floor, Horizon, IssuerBounds, KeptBy, Note,
        Reason, Record, Rule, RuleKind, Seen, Target, UnixNanos, What, nanos_of,
    },
    proto::v1,
};

/// How far the clocks of issuers are ahead.
pub(crate) fn leads_out(leads: Vec<ClockLead>) -> Vec<v1::ClockLead> {
    leads
        .into_iter()
        .map(|lead| v1::ClockLead {
            iss: lead.iss,
            window: lead.window,
            lead_ns: nanos_of(lead.lead),
            lead_before_ns: nanos_of(lead.lead_before),
        })
        .collect()
}

/// The same, without what no node sends.
pub(crate) fn leads_in(leads: Vec<v1::ClockLead>) -> Vec<ClockLead> {
    leads
        .into_iter()
        .take(limits::CLOCK_LEADS_PER_MESSAGE)
        .filter(|lead| !lead.iss.is_empty() && lead.iss.len() <= limits::IDENTIFIER_BYTES_MAX)
        .map(|lead| ClockLead {
            iss: lead.iss,
            window: lead.window,
            lead: Duration::from_nanos(lead.lead_ns),
            lead_before: Duration::from_nanos(lead.lead_before_ns),
        })
        .collect()
}

/// A target.
pub(crate) fn target_out(target: &Target) -> v1::Target {
    use v1::target::Kind;
    let iss = target.iss.clone();
    let kind = match &target.what {
        What::Jti(jti) => Kind::Token(v1::TokenTarget {
            iss,
            jti: jti.clone(),
            ..v1::TokenTarget::default()
        }),
        What::Digest(digest) => Kind::Token(v1::TokenTarget {
            iss,
            signing_input_sha256: digest.to_vec(),
            ..v1::TokenTarget::default()
        }),
        What::User(sub) => Kind::User(v1::UserTarget {
            iss,
            sub: sub.clone(),
        }),
        What::Session(sid) => Kind::Session(v1::SessionTarget {
            iss,
            sid: sid.clone(),
        }),
        What::Client(client_id) => Kind::Client(v1::ClientTarget {
            iss,
            client_id: client_id.clone(),
        }),
        What::Key(kid) => Kind::Key(v1::KeyTarget {
            iss,
            kid: kid.clone(),
        }),
        What::Claim { name, value } => Kind::Claim(v1::ClaimTarget {
            iss,
            name: name.clone(),
            value: value.clone(),
        }),
        What::Issuer => Kind::Issuer(v1::IssuerTarget { iss }),
    };
    v1::Target { kind: Some(kind) }
}

fn target_in(target: v1::Target) -> Result<Target, String> {
    use v1::target::Kind;
    let (iss, what) = match target.kind.ok_or("a record names no target")? {
        Kind::Token(token) => {
            let what = if token.jti.is_empty() {
                let digest = token.signing_input_sha256.try_into();
                What::Digest(digest.map_err(|_| "a token's digest has not 32 bytes")?)
            } else {
                What::Jti(id(token.jti)?)
            };
            (token.iss, what)
        }
        Kind::User(user) => (user.iss, What::User(id(user.sub)?)),
        Kind::Session(session) => (session.iss, What::Session(id(session.sid)?)),
        Kind::Client(client) => (client.iss, What::Client(id(client.client_id)?)),
        Kind::Key(key) => (key.iss, What::Key(id(key.kid)?)),
        Kind::Claim(claim) => {
            let (name, value) = (id(claim.name)?, id(claim.value)?);
            (claim.iss, What::Claim { name, value })
        }
        Kind::Issuer(issuer) => (issuer.iss, What::Issuer),
    };
    Ok(Target {
        iss: id(iss)?,
        what,
    })
}

fn id(text: String) -> Result<String, String> {
    match text.len() {
        0 => Err("an identifier is empty".to_owned()),
        1..=limits::IDENTIFIER_BYTES_MAX => Ok(text),
        bytes => Err(format!(
            "an identifier has {bytes} bytes, and at most {} are allowed",
            limits::IDENTIFIER_BYTES_MAX
        )),
    }
}

/// A record, for a follower: its target and its whole state.
pub(crate) fn record_out(record: &Record) -> v1::Revocation {
    let rules = record.rules.iter();
    v1::Revocation {
        target: Some(target_out(&record.target)),
        state: Some(v1::RecordState {
            rules: rules.map(|(kind, rule)| rule_out(*kind, rule)).collect(),
            origin: record.origin.map_or(0, |boot| boot.0),
        }),
        ..v1::Revocation::default()
    }
}

/// The record that another node sent.
pub(crate) fn record_in(sent: v1::Revocation) -> Result<Record, String> {
    let target = target_in(sent.target.ok_or("a record names no target")?)?;
    let state = sent.state.ok_or_else(|| {
        format!("the record of {target} has no state: the sender is no Rescind, or not asked as a follower asks")
    })?;
    let mut rules = BTreeMap::new();
    for rule in state.rules {
        let kind = u32::try_from(rule.kind)
            .ok()
            .and_then(RuleKind::from_number);
        let kind = kind.ok_or_else(|| format!("{target} has an unknown kind of rule"))?;
        let rule = rule_in(rule).map_err(|what| format!("{target}: {what}"))?;
        // One that says nothing would be news for ever.
        if !rule.is_empty() {
            rules.insert(kind, rule);
        }
    }
    Ok(Record {
        target,
        rules,
        origin: (state.origin != 0).then_some(Boot(state.origin)),
    })
}

fn rule_out(kind: RuleKind, rule: &Rule) -> v1::RuleState {
    let seen = |(boot, seen): (&Boot, &Seen)| v1::SeenState {
        boot: boot.0,
        counter: seen.counter,
        until_ns: seen.until.nanos(),
    };
    v1::RuleState {
        kind: kind as i32,
        context: rule.context.iter().map(seen).collect(),
        entries: rule
            .entries
            .iter()
            .map(|(dot, entry)| entry_out(*dot, entry))
            .collect(),
    }
}

fn rule_in(rule: v1::RuleState) -> Result<Rule, String> {
    let count = rule.context.len().max(rule.entries.len());
    if count > limits::CONTEXT_MAX {
        return Err(format!(
            "{count} writers stand in its state, and at most {} are allowed",
            limits::CONTEXT_MAX
        ));
    }
    let context = rule.context.into_iter().map(|seen| {
        let until = UnixNanos::from_nanos(seen.until_ns);
        let counter = seen.counter;
        (Boot(seen.boot), Seen { counter, until })
    });
    let state = Rule {
        context: context.collect(),
        entries: rule
            .entries
            .into_iter()
            .map(entry_in)
            .collect::<Result<_, _>>()?,
    };
    // An entry that its own context does not know would be taken for new for ever.
    if !state.entries.keys().all(|dot| state.knows(*dot)) {
        return Err("an entry stands outside of its context".to_owned());
    }
    Ok(state)
}

fn entry_out(dot: Dot, entry: &Entry) -> v1::EntryState {
    use v1::floor_state::Of;
    let floor = |floor: &Floor| v1::FloorState {
        of: Some(match &floor.of {
            Exception::Sid(sid) => Of::Sid(sid.clone()),
            Exception::Jti(jti) => Of::Jti(jti.clone()),
        }),
        cut_off: floor.cut_off,
    };
    v1::EntryState {
        boot: dot.boot.0,
        counter: dot.counter,
        cut_off: entry.cut_off,
        until_ns: entry.until.nanos(),
        kept_by: entry.kept_by as u32,
        kept_from_ns: entry.kept_from.nanos(),
        floors: entry.floors.iter().map(floor).collect(),
        at_ns: entry.note.at.nanos(),
        reason: entry.note.reason as i32,
        actor: entry.note.actor.clone(),
        comment: entry.note.comment.clone(),
    }
}

fn entry_in(entry: v1::EntryState) -> Result<(Dot, Entry), String> {
    use v1::floor_state::Of;
    if entry.floors.len() > limits::FLOORS_MAX {
        return Err(format!(
            "{} exceptions stand in one entry, and at most {} are allowed",
            entry.floors.len(),
            limits::FLOORS_MAX
        ));
    }
    let floor = |floor: v1::FloorState| -> Result<Floor, String> {
        let of = match floor.of.ok_or("an exception names nobody")? {
            Of::Sid(sid) => Exception::Sid(id(sid)?),
            Of::Jti(jti) => Exception::Jti(id(jti)?),
        };
        let cut_off = floor.cut_off;
        Ok(Floor { of, cut_off })
    };
    let mut floors = entry
        .floors
        .into_iter()
        .map(floor)
        .collect::<Result<Vec<_>, _>>()?;
    floors.sort_unstable();
    for text in [&entry.actor, &entry.comment] {
        if text.len() > limits::COMMENT_BYTES_MAX {
            return Err(format!("a text has {} bytes", text.len()));
        }
    }
    let dot = Dot {
        boot: Boot(entry.boot),
        counter: entry.counter,
    };
    let entry = Entry {
        cut_off: entry.cut_off,
        until: UnixNanos::from_nanos(entry.until_ns),
        // A bound that this build does not know was given by a newer one, which keeps it itself.
        kept_by: KeptBy::from_number(entry.kept_by).unwrap_or_default(),
        kept_from: UnixNanos::from_nanos(entry.kept_from_ns),
        floors,
        note: Note {
            at: UnixNanos::from_nanos(entry.at_ns),
            reason: u32::try_from(entry.reason)
                .ok()
                .and_then(Reason::from_number)
                .unwrap_or_default(),
            actor: entry.actor,
            comment: entry.comment,
        },
    };
    Ok((dot, entry))
}

/// The bounds by which a node keeps revocations.
pub(crate) fn bounds_out(bounds: &Bounds) -> Vec<v1::IssuerBounds> {
    let (default, issuers) = bounds.parts();
    let default = issuer_bounds_out("", default);
    let issuers = issuers.map(|(iss, bounds)| issuer_bounds_out(iss, bounds));
    [default].into_iter().chain(issuers).collect()
}

fn issuer_bounds_out(iss: &str, bounds: &IssuerBounds) -> v1::IssuerBounds {
    let duration = |duration: Duration| prost_types::Duration::try_from(duration).ok();
    v1::IssuerBounds {
        iss: iss.to_owned(),
        token_lifetime: bounds.token.and_then(duration),
        session_lifetime: bounds.session.and_then(duration),
        leeway: duration(bounds.leeway),
        forget_grace: duration(bounds.grace),
        issued_horizon_ns: bounds.horizon.issued.nanos(),
        authenticated_horizon_ns: bounds.horizon.authenticated.nanos(),
        expired_horizon_ns: bounds.horizon.expired.nanos(),
    }
}

/// The bounds that another node said to keep by; `None` when it said nothing of those that are not
/// named.
pub(crate) fn bounds_in(sent: Vec<v1::IssuerBounds>) -> Option<Bounds> {
    let mut issuers: HashMap<String, IssuerBounds> = sent
        .into_iter()
        .take(limits::ISSUERS_CONFIGURED_MAX + 1)
        .map(|bounds| (bounds.iss.clone(), issuer_bounds_in(&bounds)))
        .collect();
    let default = issuers.remove("")?;
    Some(Bounds::from_parts(default, issuers))
}

fn issuer_bounds_in(sent: &v1::IssuerBounds) -> IssuerBounds {
    let duration = |sent: Option<prost_types::Duration>| {
        let sent = sent?;
        let seconds = u64::try_from(sent.seconds).ok()?;
        let most = Duration::from_secs(seconds.min(limits::LIFETIME_MAX.as_secs()));
        Some(most + Duration::from_nanos(u64::try_from(sent.nanos).unwrap_or_default()))
    };
    IssuerBounds {
        token: duration(sent.token_lifetime),
        session: duration(sent.session_lifetime),
        leeway: duration(sent.leeway).unwrap_or_default(),
        grace: duration(sent.forget_grace).unwrap_or_default(),
        horizon: Horizon {
            issued: UnixNanos::from_nanos(sent.issued_horizon_ns),
            authenticated: UnixNanos::from_nanos(sent.authenticated_horizon_ns),
            expired: UnixNanos::from_nanos(sent.expired_horizon_ns),
        },
    }
}

/// Another node's clock; one that cannot be read says nothing.
pub(crate) fn time_in(sent: prost_types::Timestamp) -> UnixNanos {
    let seconds = u64::try_from(sent.seconds).unwrap_or_default();
    let nanos = u64::try_from(sent.nanos).unwrap_or_default();
    UnixNanos::from_nanos(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
}

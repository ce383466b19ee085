//! From messages to values: parse, don't validate.

use std::time::Duration;

use crate::{
    fleet::{NodeId, Role, Who},
    ledger::{AskedRules, Ledger, Named, RequestId, Terms, TokenEnd},
    limits,
    model::{Exception, Invalid, Reason, RuleKind, Target, TargetKind, UnixNanos, What},
    proto::v1,
    token,
};

use super::status::BadField;

/// As far as a Duration goes.
const DURATION_SECONDS_MAX: u64 = 315_576_000_000;

type Parsed<T> = Result<T, BadField>;

/// A list of targets; one message for the first that is wrong.
pub(super) fn targets(targets: Vec<v1::Target>, ledger: &Ledger) -> Parsed<Vec<Named>> {
    // A request that is far too long is told its number, not parsed.
    if targets.len() > limits::BATCH_MAX {
        return Err(BadField::new(
            "targets",
            format!(
                "{} are given, and at most {} fit one request: send several",
                targets.len(),
                limits::BATCH_MAX
            ),
        ));
    }
    targets
        .into_iter()
        .enumerate()
        .map(|(number, target)| named(target, &format!("targets[{number}]"), ledger))
        .collect()
}

fn named(target: v1::Target, at: &str, ledger: &Ledger) -> Parsed<Named> {
    use v1::target::Kind;
    let kind = target.kind.ok_or_else(|| {
        BadField::new(
            at,
            "no kind is set: give token, user, session, client, key, claim or issuer",
        )
    })?;
    let (iss, what) = match kind {
        Kind::Token(token) => return token_target(token, &format!("{at}.token"), ledger),
        Kind::User(user) => (user.iss, id(user.sub, at, "user.sub").map(What::User)),
        Kind::Session(session) => {
            let sid = id(session.sid, at, "session.sid");
            (session.iss, sid.map(What::Session))
        }
        Kind::Client(client) => {
            let client_id = id(client.client_id, at, "client.client_id");
            (client.iss, client_id.map(What::Client))
        }
        Kind::Key(key) => (key.iss, id(key.kid, at, "key.kid").map(What::Key)),
        Kind::Claim(claim) => {
            let name = id(claim.name, at, "claim.name")?;
            let value = id(claim.value, at, "claim.value")?;
            (claim.iss, Ok(What::Claim { name, value }))
        }
        Kind::Issuer(issuer) => (issuer.iss, Ok(What::Issuer)),
    };
    let what = what?;
    let kind = match &what {
        What::User(_) => "user",
        What::Session(_) => "session",
        What::Client(_) => "client",
        What::Key(_) => "key",
        What::Claim { .. } => "claim",
        _ => "issuer",
    };
    let iss = id(iss, at, &format!("{kind}.iss"))?;
    Ok(Named {
        target: Target { iss, what },
        end: TokenEnd::Unknown,
    })
}

fn token_target(token: v1::TokenTarget, at: &str, ledger: &Ledger) -> Parsed<Named> {
    let given = [
        !token.jti.is_empty(),
        !token.jwt.is_empty(),
        !token.signing_input_sha256.is_empty(),
    ];
    if given.into_iter().filter(|given| *given).count() != 1 {
        return Err(BadField::new(
            at,
            "give exactly one of jti, jwt and signing_input_sha256",
        ));
    }
    if !token.jwt.is_empty() {
        return by_jwt(&token, at, ledger);
    }
    let iss = id(token.iss, at, "iss")?;
    let end = match token.exp {
        None => TokenEnd::Unknown,
        Some(exp) => TokenEnd::At(numeric_date(exp, &format!("{at}.exp"))?),
    };
    let what = if token.jti.is_empty() {
        What::Digest(digest(&token.signing_input_sha256, at)?)
    } else {
        What::Jti(id(token.jti, at, "jti")?)
    };
    Ok(Named {
        target: Target { iss, what },
        end,
    })
}

/// A NumericDate of a request, at most of the year 2200.
fn numeric_date(seconds: f64, field: &str) -> Parsed<UnixNanos> {
    let instant = UnixNanos::from_numeric_date(seconds).ok_or_else(|| {
        BadField::new(
            field,
            "is negative or not a finite number: give seconds since 1970 (RFC 7519 section 2)",
        )
    })?;
    if instant.looks_like_millis() {
        return Err(in_millis(field));
    }
    Ok(instant)
}

fn in_millis(field: &str) -> BadField {
    BadField::new(
        field,
        "lies beyond the year 2200: give seconds since 1970, not milliseconds (RFC 7519 section 2)",
    )
}

fn by_jwt(token: &v1::TokenTarget, at: &str, ledger: &Ledger) -> Parsed<Named> {
    let field = format!("{at}.jwt");
    let invalid = |invalid: Invalid| BadField::new(&field, invalid.detail);
    let mut buffer = token::Buffer::default();
    let wanted = token::Wanted::<String>::default();
    let claims = token::decode(&token.jwt, &mut buffer, ledger.semantics(), wanted);
    let claims = claims.map_err(invalid)?;
    if !token.iss.is_empty() && token.iss != claims.iss {
        return Err(BadField::new(
            format!("{at}.iss"),
            "differs from the issuer that the jwt names: leave it out, or send the other token",
        ));
    }
    if let Some(exp) = token.exp
        && UnixNanos::from_numeric_date(exp) != claims.exp
    {
        return Err(BadField::new(
            format!("{at}.exp"),
            "differs from the exp of the jwt: leave it out",
        ));
    }
    let what = match claims.digest {
        _ if !claims.jti.is_empty() => What::Jti(claims.jti.into_owned()),
        Some(digest) => What::Digest(digest),
        None => {
            return Err(BadField::new(&field, "the token can be named by nothing"));
        }
    };
    Ok(Named {
        target: Target {
            iss: claims.iss.into_owned(),
            what,
        },
        end: claims.exp.map_or(TokenEnd::Never, TokenEnd::At),
    })
}

fn digest(bytes: &[u8], at: &str) -> Parsed<[u8; 32]> {
    bytes.try_into().map_err(|_| {
        BadField::new(
            format!("{at}.signing_input_sha256"),
            format!("has {} bytes, and a SHA-256 has 32", bytes.len()),
        )
    })
}

/// An identifier: not empty, and within its bound.
fn id(text: String, at: &str, field: &str) -> Parsed<String> {
    let field = format!("{at}.{field}");
    if text.is_empty() {
        return Err(BadField::new(field, "is empty"));
    }
    bounded(text, &field, limits::IDENTIFIER_BYTES_MAX)
}

/// A text within its bound.
pub(super) fn bounded(text: String, field: &str, bytes_max: usize) -> Parsed<String> {
    if text.len() > bytes_max {
        return Err(BadField::new(
            field,
            format!(
                "has {} bytes, and at most {bytes_max} are allowed",
                text.len()
            ),
        ));
    }
    Ok(text)
}

/// The rules of a request.
pub(super) fn rules(rules: Option<v1::Rules>) -> Parsed<AskedRules> {
    let Some(rules) = rules else {
        return Ok(AskedRules::default());
    };
    let count = rules.except_sid.len() + rules.except_jti.len();
    if count > limits::EXCEPTIONS_MAX {
        let field = if rules.except_sid.is_empty() {
            "rules.except_jti"
        } else {
            "rules.except_sid"
        };
        return Err(BadField::new(
            field,
            format!(
                "{count} exceptions are given (except_sid and except_jti together), and at most {} \
                 are allowed",
                limits::EXCEPTIONS_MAX
            ),
        ));
    }
    let exceptions = |ids: Vec<String>, field: &str, of: fn(String) -> Exception| {
        ids.into_iter()
            .enumerate()
            .map(|(number, text)| id(text, "rules", &format!("{field}[{number}]")).map(of))
            .collect::<Parsed<Vec<_>>>()
    };
    let mut except = exceptions(rules.except_sid, "except_sid", Exception::Sid)?;
    except.extend(exceptions(rules.except_jti, "except_jti", Exception::Jti)?);
    except.sort_unstable();
    except.dedup();
    Ok(AskedRules {
        all: rules.all,
        issued_before: time(rules.issued_before, "rules.issued_before")?,
        version_below: (rules.version_below != 0).then_some(rules.version_below),
        authenticated_before: time(rules.authenticated_before, "rules.authenticated_before")?,
        issued_before_now: rules.issued_before_now,
        authenticated_before_now: rules.authenticated_before_now,
        except,
    })
}

/// A time after 1970 and at most of the year 2200: seconds beyond it are milliseconds, and would mean
/// for ever.
pub(super) fn time(time: Option<prost_types::Timestamp>, field: &str) -> Parsed<Option<UnixNanos>> {
    let Some(time) = time else {
        return Ok(None);
    };
    let nanos = u32::try_from(time.nanos)
        .ok()
        .filter(|nanos| *nanos < 1_000_000_000);
    let seconds = u64::try_from(time.seconds).ok();
    let parts = seconds.zip(nanos);
    let instant = parts.map(|(seconds, nanos)| {
        UnixNanos::from_secs(seconds).plus(Duration::from_nanos(nanos.into()))
    });
    let instant = instant.filter(|instant| *instant != UnixNanos::ZERO);
    let instant = instant.ok_or_else(|| {
        BadField::new(
            field,
            "is not a time after 1970-01-01T00:00:00Z, in seconds with 0 to 999,999,999 nanoseconds",
        )
    })?;
    if instant.looks_like_millis() {
        return Err(in_millis(field));
    }
    Ok(Some(instant))
}

/// A span of time; `None` when it is negative or beyond what a Duration may hold (10,000 years).
/// The conversion of prost-types overflows on the least seconds and nanoseconds.
pub(super) fn duration(duration: prost_types::Duration) -> Option<Duration> {
    let seconds = u64::try_from(duration.seconds).ok();
    let nanos = u32::try_from(duration.nanos).ok();
    seconds
        .filter(|seconds| *seconds <= DURATION_SECONDS_MAX)
        .zip(nanos.filter(|nanos| *nanos < 1_000_000_000))
        .map(|(seconds, nanos)| Duration::new(seconds, nanos))
}

/// A reason.
pub(super) fn reason(number: i32, field: &str) -> Parsed<Reason> {
    let reason = u32::try_from(number).ok().and_then(Reason::from_number);
    reason.ok_or_else(|| {
        BadField::new(
            field,
            format!("{number} is not a Reason that this server knows"),
        )
    })
}

/// The kinds of rule to lift.
pub(super) fn rule_kinds(numbers: &[i32]) -> Parsed<Vec<RuleKind>> {
    let mut kinds = Vec::new();
    for (at, number) in numbers.iter().enumerate() {
        let kind = u32::try_from(*number).ok().and_then(RuleKind::from_number);
        let kind = kind.ok_or_else(|| {
            BadField::new(
                format!("rules[{at}]"),
                format!("{number} is not a RuleKind: give ALL, ISSUED_BEFORE, VERSION_BELOW or AUTHENTICATED_BEFORE"),
            )
        })?;
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    Ok(kinds)
}

/// The kinds of target of a filter.
pub(super) fn target_kinds(numbers: &[i32]) -> Parsed<Vec<TargetKind>> {
    numbers
        .iter()
        .enumerate()
        .map(|(at, number)| {
            let place = usize::try_from(*number).ok().and_then(|n| n.checked_sub(1));
            let kind = place.and_then(|place| TargetKind::ALL.get(place).copied());
            kind.ok_or_else(|| {
                BadField::new(
                    format!("kinds[{at}]"),
                    format!("{number} is not a TargetKind that this server knows"),
                )
            })
        })
        .collect()
}

/// A node that follows this one.
pub(super) fn follower(follower: &v1::Follower, field: &str) -> Parsed<(NodeId, Role)> {
    let node = NodeId::parse(&follower.node_id).ok_or_else(|| {
        let problem = "is no node id, which has 16 hexadecimal digits";
        BadField::new(format!("{field}.node_id"), problem)
    })?;
    let role = match follower.role() {
        v1::FollowerRole::Peer => Role::Peer,
        v1::FollowerRole::Leaf => Role::Leaf,
        v1::FollowerRole::Unspecified => {
            return Err(BadField::new(
                format!("{field}.role"),
                "is none that this server knows: give PEER or LEAF",
            ));
        }
    };
    Ok((node, role))
}

/// For whom to wait, and how long.
pub(super) fn wait_for(asked: Option<v1::WaitFor>) -> Parsed<Option<(Who, Duration)>> {
    use v1::wait_for::Who as Asked;
    let Some(asked) = asked else {
        return Ok(None);
    };
    let who = match asked.who {
        Some(Asked::Followers(0)) => {
            return Err(BadField::new("wait_for.followers", "is 0: at least 1"));
        }
        Some(Asked::Followers(count)) => Who::Count(count),
        Some(Asked::AllFollowers(_)) | None => Who::All,
    };
    let within = match asked.timeout {
        None => limits::WAIT_FOR_DEFAULT,
        Some(asked) => duration(asked)
            .filter(|within| !within.is_zero() && *within <= limits::WAIT_FOR_MAX)
            .ok_or_else(|| {
                let problem = format!(
                    "is {} s and {} ns, and more than 0 s, up to 60 s, is allowed",
                    asked.seconds, asked.nanos
                );
                BadField::new("wait_for.timeout", problem)
            })?,
    };
    Ok(Some((who, within)))
}

/// Who writes, and how. `request` is the request without what may differ in a repeat.
pub(super) fn terms(
    actor: &str,
    comment: String,
    request_id: String,
    validate_only: bool,
    request: &impl prost::Message,
) -> Parsed<Terms> {
    let comment = bounded(comment, "comment", limits::COMMENT_BYTES_MAX)?;
    let id = bounded(request_id, "request_id", limits::IDENTIFIER_BYTES_MAX)?;
    let request_id = (!id.is_empty()).then(|| RequestId {
        key: short_digest(&[actor.as_bytes(), id.as_bytes()]),
        digest: short_digest(&[&request.encode_to_vec()]),
    });
    Ok(Terms {
        actor: actor.to_owned(),
        comment,
        request_id,
        validate_only,
    })
}

/// 128 bits of BLAKE3 over length-prefixed parts.
pub(super) fn short_digest(parts: &[&[u8]]) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hasher
        .finalize()
        .as_bytes()
        .first_chunk()
        .copied()
        .unwrap_or_default()
}

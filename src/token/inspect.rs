//! What a token says, and which revocations would catch it: for people who wonder.

use std::borrow::Cow;

use crate::model::{Claims, Lifetime, MissingKid, Semantics, Target, What};

use super::{Buffer, Parts, Wanted};

/// What could be read of a token. Nothing of it was verified.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Inspection {
    /// The header's `alg`, when the header could be read.
    pub alg: Option<String>,
    /// The header's `kid`.
    pub kid: Option<String>,
    /// The header's `typ`.
    pub typ: Option<String>,
    /// The claims, when the token could be judged by them; its digest too.
    pub claims: Option<Claims<'static>>,
    /// Why Check would answer INVALID whatever the time is; empty when it would not.
    pub problems: Vec<Cow<'static, str>>,
    /// What is good to know: rules that catch the token because it lacks a claim.
    pub notes: Vec<Cow<'static, str>>,
    /// The targets whose revocation would catch it, the narrowest first, each once.
    pub targets: Vec<Target>,
}

/// Reads a token for a person. Unlike a detail of Check this does repeat what the token says, so
/// it is shown to whoever holds the token and to nobody else.
pub fn inspect(token: &str, semantics: &Semantics) -> Inspection {
    let mut inspection = Inspection::default();
    let mut buffer = Buffer::default();
    let parts = match Parts::decode_within(token, &mut buffer, semantics.token_bytes_max) {
        Ok(parts) => parts,
        Err(invalid) => {
            inspection.problems.push(invalid.detail);
            return inspection;
        }
    };
    inspection.alg = Some(parts.header.alg.to_string());
    inspection.kid = present(&parts.header.kid);
    inspection.typ = present(&parts.header.typ);
    let wanted = Wanted {
        digest: true,
        ..Wanted::default()
    };
    match parts.claims(semantics, wanted) {
        Ok(claims) => {
            inspection.targets = targets(&claims);
            lifetimes(&claims, semantics, &mut inspection.problems);
            inspection.notes = notes(&claims, semantics);
            inspection.claims = Some(owned(claims));
        }
        Err(invalid) => inspection.problems.push(invalid.detail),
    }
    inspection
}

fn present(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn targets(claims: &Claims<'_>) -> Vec<Target> {
    let text = |text: &str, what: fn(String) -> What| present(text).map(what);
    let token = text(&claims.jti, What::Jti).or(claims.digest.map(What::Digest));
    let mut all: Vec<What> = [
        token,
        text(&claims.sid, What::Session),
        text(&claims.sub, What::User),
        text(&claims.client_id, What::Client),
        text(&claims.kid, What::Key),
    ]
    .into_iter()
    .flatten()
    .collect();
    for (name, value) in &claims.other {
        let claim = What::Claim {
            name: name.to_string(),
            value: value.to_string(),
        };
        if !all.contains(&claim) {
            all.push(claim);
        }
    }
    all.push(What::Issuer);
    let target = |what| Target {
        iss: claims.iss.to_string(),
        what,
    };
    all.into_iter().map(target).collect()
}

/// What makes a token INVALID whatever the time is: it could outlive its revocation.
fn lifetimes(claims: &Claims<'_>, semantics: &Semantics, problems: &mut Vec<Cow<'static, str>>) {
    let settings = semantics.of(&claims.iss);
    if let Lifetime::AtMost(bound) = settings.max_token_lifetime {
        match (claims.iat, claims.exp) {
            (Some(iat), Some(exp)) if exp.since(iat) > bound => problems.push(Cow::Owned(format!(
                "its `exp` is {} s after its `iat`; the setting `max_token_lifetime` allows {} s",
                exp.since(iat).as_secs(),
                bound.as_secs()
            ))),
            (Some(_), Some(_)) => {}
            (iat, _) => problems.push(Cow::Owned(format!(
                "it has no `{}`, so it could outlive its revocation; have the issuer set it, or \
                 set `max_token_lifetime` to \"unlimited\"",
                if iat.is_none() { "iat" } else { "exp" }
            ))),
        }
    }
    if let (Lifetime::AtMost(bound), Some(iat), Some(auth_time)) =
        (settings.max_session_lifetime, claims.iat, claims.auth_time)
        && iat.since(auth_time) > bound
    {
        problems.push(Cow::Owned(format!(
            "its `iat` is {} s after the user authenticated; the setting `max_session_lifetime` \
             allows {} s",
            iat.since(auth_time).as_secs(),
            bound.as_secs()
        )));
    }
}

fn notes(claims: &Claims<'_>, semantics: &Semantics) -> Vec<Cow<'static, str>> {
    let settings = semantics.of(&claims.iss);
    let denies_missing_kid = settings.missing_kid == MissingKid::Deny;
    [
        (
            claims.jti.is_empty(),
            "it has no jti: it is known by SHA-256 of its header and claims",
        ),
        (
            claims.sub.is_empty(),
            "it has no user: revoking a user does not catch it",
        ),
        (
            claims.sid.is_empty(),
            "it has no session: ending a session does not catch it",
        ),
        (
            claims.kid.is_empty() && denies_missing_kid,
            "it has no kid: a revocation of any key of its issuer catches it, unless the setting \
             `missing_kid` is \"pass\"",
        ),
        (
            claims.iat.is_none(),
            "it has no iat: every issued_before of its targets catches it",
        ),
        (
            claims.version.is_none(),
            "it has no version: every version_below of its targets catches it",
        ),
        (
            claims.auth_time.is_none(),
            "it has no auth_time: every authenticated_before of its targets catches it",
        ),
    ]
    .into_iter()
    .filter_map(|(applies, note)| applies.then_some(Cow::Borrowed(note)))
    .collect()
}

fn owned(claims: Claims<'_>) -> Claims<'static> {
    let own = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
    Claims {
        iss: own(claims.iss),
        jti: own(claims.jti),
        sub: own(claims.sub),
        sid: own(claims.sid),
        client_id: own(claims.client_id),
        kid: own(claims.kid),
        iat: claims.iat,
        exp: claims.exp,
        nbf: claims.nbf,
        auth_time: claims.auth_time,
        version: claims.version,
        other: claims
            .other
            .into_iter()
            .map(|(name, value)| (own(name), own(value)))
            .collect(),
        digest: claims.digest,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::{
        model::IssuerSettings,
        token::{algorithm::Algorithm, sign::SigningKey},
    };

    use super::*;

    fn minted(claims: &Value, kid: Option<&str>) -> String {
        let mut header = json!({"alg": "HS256", "typ": "JWT"});
        if let Some(kid) = kid {
            header["kid"] = json!(kid);
        }
        let key = SigningKey::from_secret(Algorithm::Hs256, vec![7; 32]).unwrap();
        key.token(&header, claims).unwrap()
    }

    fn semantics() -> Semantics {
        Semantics {
            defaults: IssuerSettings {
                revocable_claims: vec!["tenant".to_owned()],
                ..IssuerSettings::default()
            },
            ..Semantics::default()
        }
    }

    #[test]
    fn every_target_of_a_full_token_is_listed() {
        let token = minted(
            &json!({"iss": "i", "jti": "j", "sub": "s", "sid": "d", "azp": "c", "iat": 1,
                "exp": 2, "auth_time": 1, "version": 3, "tenant": ["t", "t", 7]}),
            Some("k"),
        );
        let inspection = inspect(&token, &semantics());
        assert_eq!(inspection.problems, [""; 0]);
        assert_eq!(inspection.notes, [""; 0]);
        assert_eq!(inspection.alg.as_deref(), Some("HS256"));
        assert_eq!(inspection.kid.as_deref(), Some("k"));
        assert_eq!(inspection.typ.as_deref(), Some("JWT"));
        let claim = |value: &str| What::Claim {
            name: "tenant".to_owned(),
            value: value.to_owned(),
        };
        let what: Vec<What> = inspection.targets.into_iter().map(|t| t.what).collect();
        assert_eq!(
            what,
            [
                What::Jti("j".to_owned()),
                What::Session("d".to_owned()),
                What::User("s".to_owned()),
                What::Client("c".to_owned()),
                What::Key("k".to_owned()),
                claim("t"),
                claim("7"),
                What::Issuer,
            ]
        );
        assert_eq!(inspection.claims.unwrap().sub, "s");
    }

    #[test]
    fn a_bare_token_is_known_by_its_digest_and_the_reader_is_told_what_it_lacks() {
        let inspection = inspect(&minted(&json!({"iss": "i"}), None), &semantics());
        assert!(matches!(
            inspection.targets.as_slice(),
            [
                Target {
                    what: What::Digest(_),
                    ..
                },
                Target {
                    what: What::Issuer,
                    ..
                }
            ]
        ));
        assert_eq!(inspection.problems.len(), 1);
        assert!(inspection.problems[0].contains("max_token_lifetime"));
        assert_eq!(inspection.notes.len(), 7);
    }

    #[test]
    fn lifetimes_beyond_the_settings_are_problems() {
        let long = json!({"iss": "i", "iat": 400 * 86_400, "exp": 431 * 86_400, "auth_time": 1});
        let problems = inspect(&minted(&long, None), &semantics()).problems;
        assert!(problems[0].contains("`max_token_lifetime` allows 2592000 s"));
        assert!(problems[1].contains("`max_session_lifetime` allows"));
    }

    #[test]
    fn problems_tell_why_nothing_can_be_read() {
        let opaque = inspect("opaque", &semantics());
        assert!(opaque.problems[0].contains("opaque"));
        let no_issuer = inspect(&minted(&json!({}), Some("k")), &semantics());
        assert!(no_issuer.problems[0].contains("`default_issuer`"));
        assert_eq!(no_issuer.kid.as_deref(), Some("k"));
        assert!(no_issuer.targets.is_empty());
    }
}

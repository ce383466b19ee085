//! Check, CheckBatch, CheckStream.

use std::{cell::RefCell, fmt, sync::Arc, time::Duration};

use crate::{
    fleet::{Fleet, NotFresh},
    ledger::Ledger,
    limits,
    model::{Invalid, Match, MissingKid, Verdict},
    proto::v1::{self, check_request::Credential},
    token::{self, Refusal},
    verification::{Lack, Verification},
};

use super::{claims, inward, outward, status::BadField};

thread_local! {
    /// What a token is decoded into: one for each thread, so that a Check allocates little.
    static BUFFER: RefCell<token::Buffer> = RefCell::default();
}

/// What tokens are judged with.
#[derive(Clone, Debug)]
pub(super) struct Judge {
    pub(super) ledger: Ledger,
    /// How much this node knows of what others revoked.
    pub(super) fleet: Arc<Fleet>,
    /// With none, callers verify signatures themselves.
    pub(super) verification: Option<Arc<Verification>>,
}

/// What to do when the keys at hand do not know a token's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keys {
    /// Wait for newer ones.
    Awaited,
    /// Ask for newer ones and go on: others wait for the same answer.
    AskedFor,
}

/// Why there is no verdict.
#[derive(Debug)]
pub(super) enum Unable {
    /// Nothing denies the token, and too little is known to call it active.
    NotFresh(NotFresh),
    /// The keys of its issuer were never had: why.
    NoKeys(String),
}

impl From<NotFresh> for Unable {
    fn from(not_fresh: NotFresh) -> Self {
        Self::NotFresh(not_fresh)
    }
}

impl fmt::Display for Unable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFresh(not_fresh) => not_fresh.fmt(f),
            Self::NoKeys(why) => f.write_str(why),
        }
    }
}

/// Why a token is not judged.
pub(super) enum Unjudged {
    /// It is not one that could be used.
    Invalid(Invalid),
    /// The keys of its issuer were never had: why.
    NoKeys(String),
    /// Newer keys are on their way.
    KeysAskedFor,
}

impl From<Invalid> for Unjudged {
    fn from(invalid: Invalid) -> Self {
        Self::Invalid(invalid)
    }
}

/// Why there is no verdict yet.
enum Stop {
    Invalid(Invalid),
    /// A newer key set of this issuer might have the key; what to say if it has not.
    NewerKeys {
        iss: String,
        lack: Lack,
        otherwise: Option<Invalid>,
    },
}

impl From<Invalid> for Stop {
    fn from(invalid: Invalid) -> Self {
        Self::Invalid(invalid)
    }
}

/// Judges one token. What is revoked is denied however little else this node knows; only that
/// nothing denies a token needs knowledge.
pub(super) async fn check(
    judge: &Judge,
    request: &v1::CheckRequest,
    keys: Keys,
) -> Result<v1::CheckResponse, Unable> {
    // Before the token is looked up, or what arrives meanwhile would make an old look seem fresh.
    let knowledge = judge.fleet.knowledge();
    let (verdict, signature_verified) = match judge.judge(request, keys).await {
        Ok(verdict) => {
            let is_token = matches!(request.credential, Some(Credential::Token(_)));
            (verdict, is_token && judge.verification.is_some())
        }
        Err(Unjudged::Invalid(invalid)) => (Verdict::Invalid(invalid), false),
        Err(Unjudged::NoKeys(why)) => return Err(Unable::NoKeys(why)),
        Err(Unjudged::KeysAskedFor) => {
            let staleness_ms = millis(judge.fleet.staleness_of(knowledge));
            return Ok(outward::keys_asked_for(staleness_ms));
        }
    };
    let mut response = outward::verdict(&verdict);
    response.signature_verified = signature_verified;
    response.staleness_ms = match verdict {
        Verdict::Active => {
            let asked = request.max_staleness.and_then(inward::duration);
            millis(Some(judge.fleet.may_say_active(knowledge, asked)?))
        }
        _ => millis(judge.fleet.staleness_of(knowledge)),
    };
    // Only a denial that somebody commented on needs the journal.
    if let Verdict::Revoked(found) = &verdict
        && let Some(seq) = found.comment_at
        && let Some(shown) = &mut response.r#match
    {
        shown.comment = comment(&judge.ledger, seq, found).await;
    }
    Ok(response)
}

/// As far as the field goes, and rounded up, since it must never say too little; all ones: never
/// level.
fn millis(staleness: Option<Duration>) -> u32 {
    staleness.map_or(u32::MAX, |staleness| {
        u32::try_from(staleness.as_nanos().div_ceil(1_000_000)).unwrap_or(u32::MAX)
    })
}

/// Judges several, in order.
pub(super) async fn batch(
    judge: &Judge,
    checks: &[v1::CheckRequest],
) -> Result<Vec<v1::CheckResponse>, BadField> {
    if checks.len() > limits::BATCH_MAX {
        return Err(BadField::new(
            "checks",
            format!(
                "{} are given, and at most {} fit one request: send several",
                checks.len(),
                limits::BATCH_MAX
            ),
        ));
    }
    let mut results = Vec::with_capacity(checks.len());
    for request in checks {
        let result = check(judge, request, Keys::AskedFor).await;
        results.push(result.unwrap_or_else(|unable| outward::unavailable(&unable)));
    }
    Ok(results)
}

async fn comment(ledger: &Ledger, seq: u64, found: &Match) -> String {
    // The denial stands whether or not its comment can be read. What is read may be of a seq from before
    // the journal failed: nobody else's comment is shown.
    let record = ledger.record(seq).await.ok().flatten();
    record
        .filter(|record| record.target == found.target)
        .and_then(|record| outward::comment_of(&record, found.rule))
        .unwrap_or_default()
}

impl Judge {
    async fn judge(&self, request: &v1::CheckRequest, keys: Keys) -> Result<Verdict, Unjudged> {
        if let Some(bound) = request.max_staleness
            && inward::duration(bound).is_none()
        {
            return Err(Invalid::new(
                "max_staleness is negative or not a Duration: give seconds, and 0 to 999,999,999 \
                 nanoseconds",
            )
            .into());
        }
        match &request.credential {
            Some(Credential::Token(token)) => {
                let look = || self.judge_token(token);
                match keys {
                    Keys::Awaited => Ok(self.with_newest_keys(look).await?),
                    Keys::AskedFor => self.without_waiting(look),
                }
            }
            Some(Credential::Claims(claims)) => {
                let claims = claims::read(claims, self.ledger.semantics())?;
                Ok(self.ledger.judge(&claims))
            }
            None => Err(Invalid::new("no credential is given: set token or claims").into()),
        }
    }

    fn judge_token(&self, token: &str) -> Result<Verdict, Stop> {
        BUFFER.with_borrow_mut(|buffer| {
            let semantics = self.ledger.semantics();
            let most = semantics.token_bytes_max;
            let parts = token::Parts::decode_within(token, buffer, most)?;
            let iss = parts.iss(semantics)?;
            let names = self.ledger.claim_names(&iss);
            let wanted = token::Wanted {
                claims: names.as_deref().unwrap_or_default(),
                digest: self.ledger.knows_digests(),
            };
            let mut claims = parts.claims(semantics, wanted)?;
            let verified_by = self.vouched_for(&parts, &claims)?;
            if let Some(kid) = &verified_by {
                // The key that verified it counts, whatever the token says.
                claims.kid = kid.to_string().into();
            } else if self.verification.is_some()
                && semantics.of(&claims.iss).missing_kid == MissingKid::Deny
            {
                // It has no name, so whoever stole it can sign under any: a revoked key would go
                // on under another name.
                claims.kid = "".into();
            }
            let verdict = self.ledger.judge(&claims);
            Ok(match (verdict, verified_by) {
                (verdict @ (Verdict::Active | Verdict::NotYetValid), Some(kid)) => {
                    self.material_revoked(&mut claims, &kid).unwrap_or(verdict)
                }
                (verdict, _) => verdict,
            })
        })
    }

    /// A key may be known under several names: what is revoked under one is revoked under each.
    fn material_revoked(
        &self,
        claims: &mut crate::model::Claims<'_>,
        kid: &str,
    ) -> Option<Verdict> {
        let verification = self.verification.as_ref()?;
        if self.ledger.count(crate::model::TargetKind::Key) == 0 {
            return None;
        }
        let thumbprints = verification.thumbprints_of(&claims.iss, kid);
        thumbprints.into_iter().find_map(|thumbprint| {
            claims.kid = thumbprint.to_string().into();
            let verdict = self.ledger.judge(claims);
            matches!(verdict, Verdict::Revoked(_)).then_some(verdict)
        })
    }

    /// Whether an issuer vouches for a token, whatever its times and revocations: what is asked of
    /// one that is to be revoked.
    pub(super) async fn is_genuine(&self, token: &str) -> Result<(), Unjudged> {
        self.with_newest_keys(|| {
            BUFFER.with_borrow_mut(|buffer| {
                let semantics = self.ledger.semantics();
                let most = semantics.token_bytes_max;
                let parts = token::Parts::decode_within(token, buffer, most)?;
                let wanted = token::Wanted::<String>::default();
                let claims = parts.claims(semantics, wanted)?;
                self.vouched_for(&parts, &claims).map(drop)
            })
        })
        .await
    }

    fn vouched_for(
        &self,
        parts: &token::Parts<'_>,
        claims: &crate::model::Claims<'_>,
    ) -> Result<Option<Arc<str>>, Stop> {
        let Some(verification) = &self.verification else {
            return Ok(None);
        };
        verification
            .verify(parts, &claims.iss, claims.exp)
            .map_err(|refusal| {
                let newer_keys = |lack, otherwise| Stop::NewerKeys {
                    iss: claims.iss.to_string(),
                    lack,
                    otherwise,
                };
                match refusal {
                    Refusal::UnknownKey => newer_keys(Lack::Unknown, None),
                    Refusal::NoKeyFits(invalid) if verification.fetches(&claims.iss) => {
                        newer_keys(Lack::Unknown, Some(invalid))
                    }
                    Refusal::NamedKeyMisfits(invalid) if verification.fetches(&claims.iss) => {
                        newer_keys(Lack::Misfit, Some(invalid))
                    }
                    Refusal::NoKeyFits(invalid)
                    | Refusal::NamedKeyMisfits(invalid)
                    | Refusal::Invalid(invalid) => Stop::Invalid(invalid),
                }
            })
    }

    /// Looks, and where a key is not known, has newer ones fetched for the next who asks.
    fn without_waiting<T>(&self, look: impl Fn() -> Result<T, Stop>) -> Result<T, Unjudged> {
        look().map_err(|stop| match stop {
            Stop::Invalid(invalid) => Unjudged::Invalid(invalid),
            Stop::NewerKeys {
                iss,
                lack,
                otherwise,
            } => {
                let asked = self
                    .verification
                    .as_ref()
                    .map(|verification| verification.ask_for_newer_keys(&iss, lack));
                if let Some(why) = self.without_keys(&iss) {
                    return Unjudged::NoKeys(why);
                }
                match asked {
                    Some(Err(none)) => Unjudged::Invalid(otherwise.unwrap_or(none)),
                    _ => Unjudged::KeysAskedFor,
                }
            }
        })
    }

    /// It is we who cannot tell, and the token may be a good one.
    fn without_keys(&self, iss: &str) -> Option<String> {
        let verification = self.verification.as_ref();
        verification.and_then(|verification| verification.without_keys(iss))
    }

    /// Looks, and where a key is not known, looks again once newer keys were fetched.
    async fn with_newest_keys<T>(&self, look: impl Fn() -> Result<T, Stop>) -> Result<T, Unjudged> {
        let (iss, lack) = match look() {
            Ok(found) => return Ok(found),
            Err(Stop::Invalid(invalid)) => return Err(invalid.into()),
            Err(Stop::NewerKeys { iss, lack, .. }) => (iss, lack),
        };
        let fetched = match &self.verification {
            Some(verification) => verification.newer_keys(&iss, lack).await,
            None => Ok(()),
        };
        // Whether or not we waited: others may have had them fetched meanwhile.
        look().map_err(|stop| match stop {
            Stop::Invalid(invalid) => invalid.into(),
            Stop::NewerKeys { otherwise, .. } => {
                if let Some(why) = self.without_keys(&iss) {
                    return Unjudged::NoKeys(why);
                }
                let invalid = otherwise.or(fetched.err()).unwrap_or_else(|| {
                    Invalid::new(
                        "no key of the token's issuer has the token's `kid`, also after fetching \
                         them anew: the token was signed with a key that the issuer does not publish",
                    )
                });
                invalid.into()
            }
        })
    }
}

//! What gives tokens and revocations their meaning, per issuer.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use crate::limits;

use super::{UnixNanos, nanos_of};

/// A bound on a lifetime.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lifetime {
    /// At most this long.
    AtMost(Duration),
    /// No bound: what depends on it is kept until lifted.
    Unlimited,
}

impl Lifetime {
    /// When something of this lifetime that began at `start` has ended.
    pub fn end(self, start: UnixNanos) -> UnixNanos {
        match self {
            Self::AtMost(duration) => start.plus(duration),
            Self::Unlimited => UnixNanos::FOREVER,
        }
    }

    /// This lifetime and then another.
    #[must_use]
    pub fn and(self, then: Self) -> Self {
        match (self, then) {
            (Self::AtMost(first), Self::AtMost(then)) => Self::AtMost(first.saturating_add(then)),
            _ => Self::Unlimited,
        }
    }

    /// By how much this bound is greater than another.
    #[must_use]
    pub fn beyond(self, other: Self) -> Self {
        match (self, other) {
            (Self::AtMost(ours), Self::AtMost(theirs)) => Self::AtMost(ours.saturating_sub(theirs)),
            (_, Self::Unlimited) => Self::AtMost(Duration::ZERO),
            (Self::Unlimited, Self::AtMost(_)) => Self::Unlimited,
        }
    }
}

/// What a token without `kid` means when keys of its issuer are revoked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MissingKid {
    /// Any of them may have signed it: denied.
    #[default]
    Deny,
    /// This issuer never sets one: key revocations do not concern its tokens.
    Pass,
}

/// What a `jti` names at an issuer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum JtiUse {
    /// One token, as RFC 7519 section 4.1.7 wants it.
    #[default]
    Unique,
    /// Several: its revocation is kept as long as any of them may live.
    Shared,
}

/// Under which names the tokens of an issuer carry the claims that Rescind reads.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClaimNames {
    /// JWT ID.
    pub jti: String,
    /// The user.
    pub sub: String,
    /// The session.
    pub sid: String,
    /// The client; of a token without it, `azp` is read, unless this is renamed.
    pub client_id: String,
    /// When the user last authenticated.
    pub auth_time: String,
    /// The token's version.
    pub version: String,
}

impl Default for ClaimNames {
    fn default() -> Self {
        Self {
            jti: "jti".to_owned(),
            sub: "sub".to_owned(),
            sid: "sid".to_owned(),
            client_id: "client_id".to_owned(),
            auth_time: "auth_time".to_owned(),
            version: "version".to_owned(),
        }
    }
}

/// What holds for the tokens of one issuer.
#[derive(Clone, Debug, PartialEq)]
pub struct IssuerSettings {
    /// How far clocks may differ, for `exp`, `nbf` and `iat`.
    pub leeway: Duration,
    /// The longest `exp − iat` that is accepted.
    pub max_token_lifetime: Lifetime,
    /// The longest `iat − auth_time` that is accepted.
    pub max_session_lifetime: Lifetime,
    /// How much longer a revocation is kept than it is needed.
    pub forget_grace: Duration,
    /// How far the issuer's clock may be ahead of ours; `None`: as seen in the last 24 hours.
    pub clock_skew: Option<Duration>,
    /// What a token without `kid` means.
    pub missing_kid: MissingKid,
    /// What a `jti` names.
    pub jti: JtiUse,
    /// Claims by which tokens can be revoked beside the standard ones.
    pub revocable_claims: Vec<String>,
    /// The names of the standard ones.
    pub claims: ClaimNames,
}

impl IssuerSettings {
    /// How long tokens of a session may be met: the last one that it was refreshed to is issued at
    /// the session's end and then lives its own life.
    pub fn session_tokens(&self) -> Lifetime {
        self.max_session_lifetime.and(self.max_token_lifetime)
    }
}

impl Default for IssuerSettings {
    fn default() -> Self {
        Self {
            leeway: limits::LEEWAY_DEFAULT,
            max_token_lifetime: Lifetime::AtMost(limits::TOKEN_LIFETIME_DEFAULT),
            max_session_lifetime: Lifetime::AtMost(limits::SESSION_LIFETIME_DEFAULT),
            forget_grace: limits::FORGET_GRACE_DEFAULT,
            clock_skew: None,
            missing_kid: MissingKid::default(),
            jti: JtiUse::default(),
            revocable_claims: Vec::new(),
            claims: ClaimNames::default(),
        }
    }
}

/// The settings of every issuer.
#[derive(Clone, Debug, PartialEq)]
pub struct Semantics {
    /// The issuer of tokens without `iss`.
    pub default_issuer: Option<String>,
    /// What holds for issuers that are not configured.
    pub defaults: IssuerSettings,
    /// What holds for those that are.
    pub issuers: HashMap<String, IssuerSettings>,
    /// Whether tokens are verified here: then an issuer that is not configured has none that count.
    pub verifies: bool,
    /// The longest token that is read, in bytes.
    pub token_bytes_max: usize,
}

impl Default for Semantics {
    fn default() -> Self {
        Self {
            default_issuer: None,
            defaults: IssuerSettings::default(),
            issuers: HashMap::new(),
            verifies: false,
            token_bytes_max: limits::TOKEN_BYTES_DEFAULT,
        }
    }
}

impl Semantics {
    /// What holds for the tokens of `iss`.
    pub fn of(&self, iss: &str) -> &IssuerSettings {
        // Most nodes configure no issuer at all: then there is nothing to hash.
        if self.issuers.is_empty() {
            return &self.defaults;
        }
        self.issuers.get(iss).unwrap_or(&self.defaults)
    }

    /// Equal on nodes that judge alike, whatever program they run. Only what shapes the meaning of
    /// records counts.
    pub fn digest(&self) -> [u8; 16] {
        let mut meaning = Meaning(blake3::Hasher::new());
        meaning.text(self.default_issuer.as_deref().unwrap_or_default());
        meaning.issuer(&self.defaults);
        let by_issuer: BTreeMap<_, _> = self.issuers.iter().collect();
        for (iss, settings) in by_issuer {
            meaning.text(iss);
            meaning.issuer(settings);
        }
        let digest = meaning.0.finalize();
        digest.as_bytes().first_chunk().copied().unwrap_or_default()
    }
}

/// Settings as bytes that are the same in every version of this program.
struct Meaning(blake3::Hasher);

impl Meaning {
    fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.0.update(text.as_bytes());
    }

    fn number(&mut self, number: u64) {
        self.0.update(&number.to_le_bytes());
    }

    fn duration(&mut self, duration: Duration) {
        self.number(nanos_of(duration));
    }

    fn lifetime(&mut self, lifetime: Lifetime) {
        match lifetime {
            Lifetime::AtMost(duration) => self.duration(duration),
            Lifetime::Unlimited => self.number(u64::MAX),
        }
    }

    fn issuer(&mut self, settings: &IssuerSettings) {
        self.duration(settings.leeway);
        self.lifetime(settings.max_token_lifetime);
        self.lifetime(settings.max_session_lifetime);
        self.duration(settings.forget_grace);
        self.number(match settings.missing_kid {
            MissingKid::Deny => 0,
            MissingKid::Pass => 1,
        });
        // Said only where it differs: the digest of those who know nothing of it stays the same.
        if settings.jti == JtiUse::Shared {
            self.text("jti = shared");
        }
        let ClaimNames {
            jti,
            sub,
            sid,
            client_id,
            auth_time,
            version,
        } = &settings.claims;
        for name in [jti, sub, sid, client_id, auth_time, version] {
            self.text(name);
        }
        let mut revocable: Vec<_> = settings.revocable_claims.iter().collect();
        revocable.sort_unstable();
        revocable.dedup();
        self.number(revocable.len() as u64);
        for name in revocable {
            self.text(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nodes of different versions compare these: a change of it says that their settings differ.
    #[test]
    fn the_digest_is_the_same_in_every_version_and_differs_with_each_setting() {
        let mut semantics = Semantics::default();
        let digest = |semantics: &Semantics| u128::from_be_bytes(semantics.digest());
        let before = digest(&semantics);
        assert_eq!(before, 0x7b27_7249_4a37_aca8_b2aa_2f41_13e7_93a8);
        let changes: [fn(&mut IssuerSettings); 8] = [
            |settings| settings.leeway += Duration::from_nanos(1),
            |settings| settings.max_token_lifetime = Lifetime::Unlimited,
            |settings| settings.max_session_lifetime = Lifetime::Unlimited,
            |settings| settings.forget_grace += Duration::from_secs(1),
            |settings| settings.missing_kid = MissingKid::Pass,
            |settings| settings.jti = JtiUse::Shared,
            |settings| settings.claims.version = "ver".to_owned(),
            |settings| settings.revocable_claims.push("tenant".to_owned()),
        ];
        let mut seen = vec![before];
        for change in changes {
            change(&mut semantics.defaults);
            seen.push(digest(&semantics));
        }
        semantics.default_issuer = Some("i".to_owned());
        seen.push(digest(&semantics));
        let issuers = &mut semantics.issuers;
        issuers.insert("i".to_owned(), IssuerSettings::default());
        seen.push(digest(&semantics));
        let distinct: std::collections::BTreeSet<_> = seen.iter().collect();
        assert_eq!(distinct.len(), seen.len());
        // It is not asked for, so it counts for nothing.
        semantics.verifies = true;
        semantics.defaults.clock_skew = Some(Duration::ZERO);
        assert_eq!(Some(&digest(&semantics)), seen.last());
    }
}

//! The settings of a case.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Deserializer};

use crate::model::{ClaimNames, IssuerSettings, JtiUse, Lifetime, MissingKid, Semantics};

use super::case::Key;

/// The settings of a case.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Settings {
    /// The issuer of tokens without `iss`.
    pub(super) default_issuer: Option<String>,
    /// What holds for every issuer.
    pub(super) defaults: IssuerSpec,
    /// What holds for one.
    pub(super) issuers: BTreeMap<String, IssuerSpec>,
    /// Records at most.
    pub(super) max_live: Option<u64>,
    /// Issuers whose tokens are verified, each with the runner's key that it signs with; with one
    /// of them, tokens of all others are INVALID.
    pub(super) verified: BTreeMap<String, Key>,
    /// How long the clock must behave before anything is forgotten; without, not at all.
    pub(super) sweep_settle: Span,
}

/// The settings of an issuer that differ from the defaults.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub(super) struct IssuerSpec {
    leeway: Option<Span>,
    max_token_lifetime: Option<LifetimeSpec>,
    max_session_lifetime: Option<LifetimeSpec>,
    forget_grace: Option<Span>,
    clock_skew: Option<Span>,
    missing_kid: Option<MissingKidSpec>,
    jti: Option<JtiSpec>,
    revocable_claims: Option<Vec<String>>,
    claims: BTreeMap<ClaimSpec, String>,
}

/// A duration such as `"90s"` or `"30d"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Span(pub(super) Duration);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        humantime::parse_duration(&text)
            .map(Self)
            .map_err(serde::de::Error::custom)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct LifetimeSpec(Lifetime);

impl<'de> Deserialize<'de> for LifetimeSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text == "unlimited" {
            return Ok(Self(Lifetime::Unlimited));
        }
        humantime::parse_duration(&text)
            .map(|duration| Self(Lifetime::AtMost(duration)))
            .map_err(serde::de::Error::custom)
    }
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum MissingKidSpec {
    Deny,
    Pass,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum JtiSpec {
    Unique,
    Shared,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "snake_case")]
enum ClaimSpec {
    Jti,
    Sub,
    Sid,
    ClientId,
    AuthTime,
    Version,
}

impl IssuerSpec {
    fn onto(&self, base: &IssuerSettings) -> IssuerSettings {
        let mut settings = base.clone();
        let set = |to: &mut Duration, from: Option<Span>| *to = from.map_or(*to, |span| span.0);
        set(&mut settings.leeway, self.leeway);
        set(&mut settings.forget_grace, self.forget_grace);
        if let Some(lifetime) = self.max_token_lifetime {
            settings.max_token_lifetime = lifetime.0;
        }
        if let Some(lifetime) = self.max_session_lifetime {
            settings.max_session_lifetime = lifetime.0;
        }
        if let Some(skew) = self.clock_skew {
            settings.clock_skew = Some(skew.0);
        }
        match self.missing_kid {
            Some(MissingKidSpec::Pass) => settings.missing_kid = MissingKid::Pass,
            Some(MissingKidSpec::Deny) => settings.missing_kid = MissingKid::Deny,
            None => {}
        }
        match self.jti {
            Some(JtiSpec::Shared) => settings.jti = JtiUse::Shared,
            Some(JtiSpec::Unique) => settings.jti = JtiUse::Unique,
            None => {}
        }
        if let Some(names) = &self.revocable_claims {
            settings.revocable_claims.clone_from(names);
        }
        for (claim, name) in &self.claims {
            rename(&mut settings.claims, *claim, name);
        }
        settings
    }
}

fn rename(claims: &mut ClaimNames, claim: ClaimSpec, name: &str) {
    let slot = match claim {
        ClaimSpec::Jti => &mut claims.jti,
        ClaimSpec::Sub => &mut claims.sub,
        ClaimSpec::Sid => &mut claims.sid,
        ClaimSpec::ClientId => &mut claims.client_id,
        ClaimSpec::AuthTime => &mut claims.auth_time,
        ClaimSpec::Version => &mut claims.version,
    };
    name.clone_into(slot);
}

impl Settings {
    /// What they mean; `expand` fills in the placeholders of issuers.
    pub(super) fn semantics(
        &self,
        expand: impl Fn(&str) -> Result<String, String>,
    ) -> Result<Semantics, String> {
        let defaults = self.defaults.onto(&IssuerSettings::default());
        let verified = self.verified.keys();
        let issuers = verified
            .map(|iss| Ok((expand(iss)?, defaults.clone())))
            .chain(
                self.issuers
                    .iter()
                    .map(|(iss, spec)| Ok((expand(iss)?, spec.onto(&defaults)))),
            )
            .collect::<Result<_, String>>()?;
        Ok(Semantics {
            default_issuer: self.default_issuer.as_deref().map(&expand).transpose()?,
            issuers,
            defaults,
            verifies: self.verifies(),
            ..Semantics::default()
        })
    }

    /// Whether signatures are verified.
    pub(super) fn verifies(&self) -> bool {
        !self.verified.is_empty()
    }

    /// Whether claims stand under other names somewhere: then tokens say what claims cannot.
    pub(super) fn renames_claims(&self) -> bool {
        let renames = |spec: &IssuerSpec| !spec.claims.is_empty();
        renames(&self.defaults) || self.issuers.values().any(renames)
    }

    /// The claims by which some issuer's tokens can be revoked.
    pub(super) fn revocable(&self) -> Vec<String> {
        let specs = std::iter::once(&self.defaults).chain(self.issuers.values());
        specs
            .filter_map(|spec| spec.revocable_claims.clone())
            .flatten()
            .collect()
    }

    /// Whether a server cannot show that it has them: they are not in its digest.
    pub(super) fn is_unshown(&self) -> bool {
        let has_skew = |spec: &IssuerSpec| spec.clock_skew.is_some();
        self.max_live.is_some()
            || self.verifies()
            || self.sweep_settle != Span::default()
            || has_skew(&self.defaults)
            || self.issuers.values().any(has_skew)
    }
}

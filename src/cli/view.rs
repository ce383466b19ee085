//! The API's answers as they are shown: one shape for JSON, and texts for people.
//!
//! In JSON, names are snake_case, times RFC 3339 in UTC, enums the words of [`super::words`]; what
//! has no value is left out, and lists are always there. Names are never changed or taken away.

use std::fmt;

use serde::Serialize;

use crate::proto::v1::{self, in_force::CutOff, target::Kind};

use super::{
    time::rfc3339,
    words::{REASONS, RULES, word},
};

/// Text of others, safe to print on a terminal: control characters are shown, not obeyed.
pub(super) fn clean(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            let (shown, escaped) = if c.is_control() {
                (None, Some(c.escape_default()))
            } else {
                (Some(c), None)
            };
            shown.into_iter().chain(escaped.into_iter().flatten())
        })
        .collect()
}

/// `None` for the empty text, which means "not given".
fn given(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

/// Bytes in hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16);
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(digit)
        .collect()
}

/// What a revocation names.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(super) enum Target {
    Token {
        iss: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        jti: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        signing_input_sha256: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        exp: Option<serde_json::Number>,
    },
    User {
        iss: String,
        sub: String,
    },
    Session {
        iss: String,
        sid: String,
    },
    Client {
        iss: String,
        client_id: String,
    },
    Key {
        iss: String,
        kid: String,
    },
    Claim {
        iss: String,
        name: String,
        value: String,
    },
    Issuer {
        iss: String,
    },
    /// Of a kind that this program does not know: the server is newer.
    Unknown,
}

impl From<Option<v1::Target>> for Target {
    fn from(target: Option<v1::Target>) -> Self {
        match target.and_then(|target| target.kind) {
            Some(Kind::Token(token)) => Self::Token {
                jti: given(&token.jti),
                signing_input_sha256: (!token.signing_input_sha256.is_empty())
                    .then(|| hex(&token.signing_input_sha256)),
                exp: token.exp.and_then(number),
                iss: token.iss,
            },
            Some(Kind::User(v1::UserTarget { iss, sub })) => Self::User { iss, sub },
            Some(Kind::Session(v1::SessionTarget { iss, sid })) => Self::Session { iss, sid },
            Some(Kind::Client(v1::ClientTarget { iss, client_id })) => {
                Self::Client { iss, client_id }
            }
            Some(Kind::Key(v1::KeyTarget { iss, kid })) => Self::Key { iss, kid },
            Some(Kind::Claim(v1::ClaimTarget { iss, name, value })) => {
                Self::Claim { iss, name, value }
            }
            Some(Kind::Issuer(v1::IssuerTarget { iss })) => Self::Issuer { iss },
            None => Self::Unknown,
        }
    }
}

/// A NumericDate as people write it: without ".0" when it is whole.
fn number(seconds: f64) -> Option<serde_json::Number> {
    format!("{seconds}").parse().ok()
}

impl Target {
    /// The issuer, for a column of its own.
    pub(super) fn iss(&self) -> &str {
        match self {
            Self::Token { iss, .. }
            | Self::User { iss, .. }
            | Self::Session { iss, .. }
            | Self::Client { iss, .. }
            | Self::Key { iss, .. }
            | Self::Claim { iss, .. }
            | Self::Issuer { iss } => iss,
            Self::Unknown => "",
        }
    }

    /// What it names within its issuer.
    pub(super) fn what(&self) -> String {
        match self {
            Self::Token { jti: Some(jti), .. } => format!("token {}", clean(jti)),
            Self::Token {
                signing_input_sha256,
                ..
            } => format!(
                "token sha256:{}",
                signing_input_sha256.as_deref().unwrap_or_default()
            ),
            Self::User { sub, .. } => format!("user {}", clean(sub)),
            Self::Session { sid, .. } => format!("session {}", clean(sid)),
            Self::Client { client_id, .. } => format!("client {}", clean(client_id)),
            Self::Key { kid, .. } => format!("key {}", clean(kid)),
            Self::Claim { name, value, .. } => format!("claim {}={}", clean(name), clean(value)),
            Self::Issuer { .. } => "the whole issuer".to_owned(),
            Self::Unknown => "a target unknown to this version".to_owned(),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.what(), clean(self.iss()))
    }
}

/// One rule in force.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct InForce {
    pub(super) rule: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) before: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) below: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) expires_at: Option<String>,
    pub(super) reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) comment: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) actor: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) revoked_at: Option<String>,
    pub(super) except_sid: Vec<String>,
    pub(super) except_jti: Vec<String>,
}

impl From<v1::InForce> for InForce {
    fn from(rule: v1::InForce) -> Self {
        let (before, below) = match &rule.cut_off {
            Some(CutOff::Before(time)) => (Some(rfc3339(time)), None),
            Some(CutOff::Below(version)) => (None, Some(*version)),
            None => (None, None),
        };
        Self {
            rule: word(&RULES, rule.rule),
            before,
            below,
            expires_at: rule.expires_at.as_ref().map(rfc3339),
            reason: word(&REASONS, rule.reason),
            comment: given(&rule.comment),
            actor: given(&rule.actor),
            revoked_at: rule.revoked_at.as_ref().map(rfc3339),
            except_sid: rule.except_sid,
            except_jti: rule.except_jti,
        }
    }
}

impl InForce {
    /// Which tokens it denies.
    pub(super) fn what(&self) -> String {
        let mut text = match (self.rule, &self.before, self.below) {
            ("all", ..) => "every token".to_owned(),
            ("issued_before", Some(time), _) => format!("issued before {time}"),
            ("authenticated_before", Some(time), _) => format!("authenticated before {time}"),
            (_, _, Some(version)) => format!("version below {version}"),
            (rule, ..) => rule.to_owned(),
        };
        for (name, ids) in [("sid", &self.except_sid), ("jti", &self.except_jti)] {
            for id in ids {
                text.push_str(&[", but not ", name, " ", &clean(id)].concat());
            }
        }
        text
    }

    /// How long it is kept.
    pub(super) fn until(&self) -> &str {
        self.expires_at.as_deref().unwrap_or("lifted")
    }

    /// Why, and who said so.
    pub(super) fn why(&self) -> String {
        let mut text = self.reason.to_owned();
        if let Some(actor) = &self.actor {
            text.push_str(&[", by ", &clean(actor)].concat());
        }
        if let Some(comment) = &self.comment {
            text.push_str(&[": ", &clean(comment)].concat());
        }
        text
    }
}

/// What now holds of a target.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Receipt {
    pub(super) target: Target,
    pub(super) in_force: Vec<InForce>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) not_before: Option<String>,
    pub(super) warnings: Vec<String>,
}

impl From<v1::Receipt> for Receipt {
    fn from(receipt: v1::Receipt) -> Self {
        Self {
            target: receipt.target.into(),
            in_force: receipt.in_force.into_iter().map(InForce::from).collect(),
            not_before: receipt.not_before.as_ref().map(rfc3339),
            warnings: receipt.warnings,
        }
    }
}

/// The state of a target.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Revocation {
    pub(super) target: Target,
    pub(super) in_force: Vec<InForce>,
    pub(super) lifted: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) lifted_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) lifted_comment: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) changed_at: Option<String>,
}

impl From<v1::Revocation> for Revocation {
    fn from(revocation: v1::Revocation) -> Self {
        Self {
            target: revocation.target.into(),
            in_force: revocation.in_force.into_iter().map(InForce::from).collect(),
            lifted: revocation
                .lifted
                .into_iter()
                .map(|rule| word(&RULES, rule))
                .collect(),
            lifted_by: given(&revocation.lifted_by),
            lifted_comment: given(&revocation.lifted_comment),
            changed_at: revocation.changed_at.as_ref().map(rfc3339),
        }
    }
}

impl Revocation {
    /// What holds, in one line.
    pub(super) fn summary(&self) -> String {
        let mut parts: Vec<String> = self
            .in_force
            .iter()
            .map(|rule| format!("{} ({})", rule.what(), rule.why()))
            .collect();
        if !self.lifted.is_empty() {
            let mut lifted = format!("lifted: {}", self.lifted.join(", "));
            if let Some(by) = &self.lifted_by {
                lifted.push_str(&[" by ", &clean(by)].concat());
            }
            if let Some(comment) = &self.lifted_comment {
                lifted.push_str(&[": ", &clean(comment)].concat());
            }
            parts.push(lifted);
        }
        parts.join("; ")
    }
}

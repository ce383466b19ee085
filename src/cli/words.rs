//! The words for the API's numbers: without prefix, in lower case. They stand in JSON output and
//! are what the command line takes.

use clap::builder::{PossibleValuesParser, TypedValueParser};

use crate::proto::v1::{Reason, RuleKind, TargetKind, Verdict, WatchMode};

/// Kinds of target.
pub(super) const KINDS: [(&str, TargetKind); 7] = [
    ("token", TargetKind::Token),
    ("user", TargetKind::User),
    ("session", TargetKind::Session),
    ("client", TargetKind::Client),
    ("key", TargetKind::Key),
    ("claim", TargetKind::Claim),
    ("issuer", TargetKind::Issuer),
];

/// Kinds of rule.
pub(super) const RULES: [(&str, RuleKind); 4] = [
    ("all", RuleKind::All),
    ("issued_before", RuleKind::IssuedBefore),
    ("version_below", RuleKind::VersionBelow),
    ("authenticated_before", RuleKind::AuthenticatedBefore),
];

/// Reasons.
pub(super) const REASONS: [(&str, Reason); 13] = [
    ("logout", Reason::Logout),
    ("password_changed", Reason::PasswordChanged),
    ("credential_compromised", Reason::CredentialCompromised),
    ("account_disabled", Reason::AccountDisabled),
    ("admin", Reason::Admin),
    ("key_compromised", Reason::KeyCompromised),
    ("policy", Reason::Policy),
    ("token_rotated", Reason::TokenRotated),
    ("account_deleted", Reason::AccountDeleted),
    ("privileges_changed", Reason::PrivilegesChanged),
    ("device_lost", Reason::DeviceLost),
    ("consent_withdrawn", Reason::ConsentWithdrawn),
    ("suspicious_activity", Reason::SuspiciousActivity),
];

/// Verdicts.
pub(super) const VERDICTS: [(&str, Verdict); 5] = [
    ("active", Verdict::Active),
    ("revoked", Verdict::Revoked),
    ("expired", Verdict::Expired),
    ("not_yet_valid", Verdict::NotYetValid),
    ("invalid", Verdict::Invalid),
];

/// How watches begin.
pub(super) const MODES: [(&str, WatchMode); 4] = [
    ("resumed", WatchMode::Resumed),
    ("reset", WatchMode::Reset),
    ("beginning", WatchMode::Beginning),
    ("now", WatchMode::Now),
];

/// The word for a number of the API; a newer server may send one that has none here.
pub(super) fn word<T>(words: &[(&'static str, T)], number: i32) -> &'static str
where
    T: Copy + Into<i32>,
{
    words
        .iter()
        .find(|(_, value)| (*value).into() == number)
        .map_or("unspecified", |(word, _)| *word)
}

/// Takes one of `words`.
pub(super) fn parser<T>(words: &'static [(&'static str, T)]) -> impl TypedValueParser<Value = T>
where
    T: Copy + Send + Sync + 'static,
{
    let known = words
        .iter()
        .map(|(word, _)| clap::builder::PossibleValue::new(*word));
    PossibleValuesParser::new(known).try_map(move |given| {
        words
            .iter()
            .find(|(word, _)| *word == given)
            .map(|(_, value)| *value)
            .ok_or("unknown")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_the_name_in_the_api() {
        let same = |word: &str, name: &str, prefix: &str| {
            assert_eq!(name.strip_prefix(prefix).unwrap().to_lowercase(), word);
        };
        for (word, value) in KINDS {
            same(word, value.as_str_name(), "TARGET_KIND_");
        }
        for (word, value) in RULES {
            same(word, value.as_str_name(), "RULE_KIND_");
        }
        for (word, value) in REASONS {
            same(word, value.as_str_name(), "REASON_");
        }
        for (word, value) in VERDICTS {
            same(word, value.as_str_name(), "VERDICT_");
        }
        for (word, value) in MODES {
            same(word, value.as_str_name(), "WATCH_MODE_");
        }
    }

    #[test]
    fn no_number_of_the_api_is_without_a_word() {
        let reasons = (1..).map_while(|number| Reason::try_from(number).ok());
        assert_eq!(reasons.count(), REASONS.len());
        let kinds = (1..).map_while(|number| TargetKind::try_from(number).ok());
        assert_eq!(kinds.count(), KINDS.len());
        let rules = (1..).map_while(|number| RuleKind::try_from(number).ok());
        assert_eq!(rules.count(), RULES.len());
        assert_eq!(word(&REASONS, 99), "unspecified");
    }
}

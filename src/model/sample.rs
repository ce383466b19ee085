//! A record for tests that care for nothing in it.

use super::{Boot, Dot, KeptBy, Note, Record, Request, Rule, RuleKind, Target, UnixNanos, What};

/// A user of the issuer `i`.
pub(crate) fn user(sub: &str) -> Target {
    Target {
        iss: "i".to_owned(),
        what: What::User(sub.to_owned()),
    }
}

/// A user's log-out, kept for ever, as the first write of a boot.
pub(crate) fn log_out(sub: &str, boot: Boot) -> Record {
    let request = Request {
        cut_off: 5,
        until: UnixNanos::FOREVER,
        kept_by: KeptBy::Itself,
        kept_from: UnixNanos::ZERO,
        except: Vec::new(),
    };
    let dot = Dot { boot, counter: 1 };
    let rule = Rule::default().revoke(dot, &request, &Note::default());
    Record {
        target: user(sub),
        rules: [(RuleKind::IssuedBefore, rule)].into(),
        origin: Some(boot),
    }
}

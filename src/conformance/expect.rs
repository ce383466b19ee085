//! What was answered, against what a case wants.

use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::proto::v1::{self, in_force::CutOff};

use super::{
    case::Check,
    request::{self, Maker},
    text::{nanos, seconds_text},
    wanted::{
        By, CodeName, ErrorWanted, InForceWanted, ReceiptWanted, RevocationWanted, VerdictWanted,
    },
};

type Met = Result<(), String>;

/// How far a time that depends on now may lie from what is wanted, where time does not stand still.
const TOLERANCE_NS: u128 = 2_000_000_000;

/// Compares answers.
#[derive(Debug)]
pub(super) struct Judge<'a> {
    pub(super) maker: Maker<'a>,
    /// Whether the clock stands still.
    pub(super) exact: bool,
    /// Whether the node verifies signatures.
    pub(super) verifies: bool,
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, got: &T, wanted: &T) -> Met {
    if got == wanted {
        return Ok(());
    }
    Err(format!("{what} is {got:?}, wanted {wanted:?}"))
}

impl Judge<'_> {
    pub(super) fn check(&self, got: &v1::CheckResponse, wanted: &Check) -> Met {
        let verdict = match wanted.verdict {
            VerdictWanted::Active => v1::Verdict::Active,
            VerdictWanted::Revoked => v1::Verdict::Revoked,
            VerdictWanted::Expired => v1::Verdict::Expired,
            VerdictWanted::NotYetValid => v1::Verdict::NotYetValid,
            VerdictWanted::Invalid => v1::Verdict::Invalid,
        };
        same("the verdict", &got.verdict(), &verdict)
            .map_err(|problem| format!("{problem} (detail: {:?})", got.detail))?;
        same("active", &got.active, &(verdict == v1::Verdict::Active))?;
        let is_judged = verdict != v1::Verdict::Invalid;
        same(
            "whether the signature is verified",
            &got.signature_verified,
            &(self.verifies && is_judged),
        )?;
        let is_revoked = verdict == v1::Verdict::Revoked;
        same(
            "whether there is a match",
            &got.r#match.is_some(),
            &is_revoked,
        )?;
        same(
            "whether there is a detail",
            &got.detail.is_empty(),
            &got.active,
        )?;
        for text in &wanted.detail {
            let text = self.maker.frame.expand(text)?;
            if !got.detail.contains(&text) {
                return Err(format!("the detail {:?} lacks {text:?}", got.detail));
            }
        }
        for text in &wanted.detail_hides {
            let text = self.maker.frame.expand(text)?;
            if got.detail.contains(&text) {
                return Err(format!("the detail {:?} tells {text:?}", got.detail));
            }
        }
        match (&wanted.by, &got.r#match) {
            (Some(by), Some(found)) => self.by(found, by),
            (Some(_), None) => Err("nothing is matched".to_owned()),
            (None, _) => Ok(()),
        }
    }

    fn by(&self, got: &v1::Match, wanted: &By) -> Met {
        let target = got.target.clone().unwrap_or_default();
        if let Some(wanted) = &wanted.target {
            same("the matched target", &target, &self.maker.target(wanted)?)?;
        }
        if let Some(kind) = wanted.kind {
            let wanted = Some(request::target_kind(kind));
            same("the matched kind", &request::kind_of(&target), &wanted)?;
        }
        if let Some(rule) = wanted.rule {
            same("the matched rule", &got.rule(), &request::rule_kind(rule))?;
        }
        if wanted.reason.is_some() {
            let reason = request::reason(wanted.reason.as_deref())?;
            same("the reason", &got.reason, &reason)?;
        }
        if let Some(comment) = &wanted.comment {
            same(
                "the comment",
                &got.comment,
                &self.maker.frame.expand(comment)?,
            )?;
        }
        Ok(())
    }

    pub(super) fn receipts(&self, got: &[v1::Receipt], wanted: &[ReceiptWanted]) -> Met {
        same("the number of receipts", &got.len(), &wanted.len())?;
        for (number, (got, wanted)) in got.iter().zip(wanted).enumerate() {
            self.receipt(got, wanted)
                .map_err(|problem| format!("receipt {number}: {problem}"))?;
        }
        Ok(())
    }

    fn receipt(&self, got: &v1::Receipt, wanted: &ReceiptWanted) -> Met {
        if let Some(target) = &wanted.target {
            let target = Some(self.maker.target(target)?);
            same("the target", &got.target, &target)?;
        }
        if let Some(in_force) = &wanted.in_force {
            self.in_force(&got.in_force, in_force)?;
        }
        if let Some(not_before) = &wanted.not_before {
            self.time(
                "not_before",
                got.not_before.as_ref(),
                not_before,
                !self.exact,
            )?;
        }
        for text in &wanted.warnings {
            if !got.warnings.iter().any(|warning| warning.contains(text)) {
                return Err(format!("no warning holds {text:?}: {:?}", got.warnings));
            }
        }
        for text in &wanted.no_warnings {
            if let Some(warning) = got.warnings.iter().find(|warning| warning.contains(text)) {
                return Err(format!("it warns {warning:?}"));
            }
        }
        Ok(())
    }

    fn in_force(&self, got: &[v1::InForce], wanted: &[InForceWanted]) -> Met {
        let kinds = |rules: &[v1::InForce]| rules.iter().map(v1::InForce::rule).collect::<Vec<_>>();
        let wanted_kinds: Vec<_> = wanted
            .iter()
            .map(|wanted| request::rule_kind(wanted.rule))
            .collect();
        same("the rules in force", &kinds(got), &wanted_kinds)?;
        for (got, wanted) in got.iter().zip(wanted) {
            self.one_in_force(got, wanted)
                .map_err(|problem| format!("{:?}: {problem}", wanted.rule))?;
        }
        Ok(())
    }

    fn one_in_force(&self, got: &v1::InForce, wanted: &InForceWanted) -> Met {
        if let Some(before) = &wanted.before {
            let got = match &got.cut_off {
                Some(CutOff::Before(before)) => Some(before),
                _ => None,
            };
            self.time("the cut-off", got, before, false)?;
        }
        if let Some(below) = wanted.below {
            same("the cut-off", &got.cut_off, &Some(CutOff::Below(below)))?;
        }
        if let Some(end) = &wanted.expires_at {
            self.time("expires_at", got.expires_at.as_ref(), end, false)?;
        }
        if wanted.reason.is_some() {
            let reason = request::reason(wanted.reason.as_deref())?;
            same("the reason", &got.reason, &reason)?;
        }
        if let Some(comment) = &wanted.comment {
            same(
                "the comment",
                &got.comment,
                &self.maker.frame.expand(comment)?,
            )?;
        }
        for (what, got, wanted) in [
            ("except_sid", &got.except_sid, &wanted.except_sid),
            ("except_jti", &got.except_jti, &wanted.except_jti),
        ] {
            if let Some(wanted) = wanted {
                same(what, got, wanted)?;
            }
        }
        Ok(())
    }

    /// Where time goes on, what depends on now is only about what is wanted.
    fn time(
        &self,
        what: &str,
        got: Option<&prost_types::Timestamp>,
        wanted: &str,
        about: bool,
    ) -> Met {
        if wanted == "unset" {
            return same(what, &got.is_some(), &false);
        }
        let Some(got) = got.map(nanos) else {
            return Err(format!("{what} is unset, wanted {wanted}"));
        };
        let time = self.maker.frame.must_time(wanted)?;
        let about = about || (!self.exact && wanted.starts_with("now"));
        let off = got.abs_diff(time);
        if off == 0 || (about && off <= TOLERANCE_NS) {
            return Ok(());
        }
        let start = self.maker.frame.start;
        Err(format!(
            "{what} is the start and {} s, wanted {wanted}, which is the start and {} s",
            seconds_text(got - start),
            seconds_text(time - start)
        ))
    }

    pub(super) fn revocations(&self, got: &[v1::Revocation], wanted: &[RevocationWanted]) -> Met {
        let targets: Vec<_> = got.iter().map(|got| got.target.clone()).collect();
        let wanted_targets = wanted
            .iter()
            .map(|wanted| self.maker.target(&wanted.target).map(Some))
            .collect::<Result<Vec<_>, _>>()?;
        same("what is listed", &targets, &wanted_targets)?;
        for (number, (got, wanted)) in got.iter().zip(wanted).enumerate() {
            self.revocation(got, wanted)
                .map_err(|problem| format!("revocation {number}: {problem}"))?;
        }
        Ok(())
    }

    fn revocation(&self, got: &v1::Revocation, wanted: &RevocationWanted) -> Met {
        if let Some(in_force) = &wanted.in_force {
            self.in_force(&got.in_force, in_force)?;
        }
        if let Some(lifted) = &wanted.lifted {
            let lifted: Vec<_> = lifted
                .iter()
                .map(|rule| request::rule_kind(*rule))
                .collect();
            same(
                "what was lifted",
                &got.lifted().collect::<Vec<_>>(),
                &lifted,
            )?;
        }
        if let Some(comment) = &wanted.lifted_comment {
            same("the lift's comment", &got.lifted_comment, comment)?;
        }
        Ok(())
    }
}

/// Whether a request went as wanted; `true`: it was answered.
pub(super) fn answered<T>(
    got: Result<T, Status>,
    wanted: Option<&ErrorWanted>,
) -> Result<Option<T>, String> {
    match (got, wanted) {
        (Ok(answer), None) => Ok(Some(answer)),
        (Ok(_), Some(wanted)) => Err(format!("it was done, wanted {:?}", wanted.code)),
        (Err(status), None) => Err(format!(
            "it was refused: {:?}: {}",
            status.code(),
            status.message()
        )),
        (Err(status), Some(wanted)) => refused(&status, wanted).map(|()| None),
    }
}

fn refused(got: &Status, wanted: &ErrorWanted) -> Met {
    let code = match wanted.code {
        CodeName::InvalidArgument => Code::InvalidArgument,
        CodeName::ResourceExhausted => Code::ResourceExhausted,
        CodeName::FailedPrecondition => Code::FailedPrecondition,
        CodeName::Unavailable => Code::Unavailable,
    };
    same("the code", &got.code(), &code)
        .map_err(|problem| format!("{problem} ({})", got.message()))?;
    let details = got.get_error_details();
    let info = details.error_info().ok_or("the error has no ErrorInfo")?;
    same("the ErrorInfo's domain", &info.domain.as_str(), &"rescind")?;
    if let Some(reason) = &wanted.reason {
        same("the ErrorInfo's reason", &info.reason, reason)?;
    }
    if let Some(field) = &wanted.field {
        let fields: Vec<&str> = details
            .bad_request()
            .map(|bad| bad.field_violations.as_slice())
            .unwrap_or_default()
            .iter()
            .map(|violation| violation.field.as_str())
            .collect();
        same("the fields that are wrong", &fields, &vec![field.as_str()])?;
    }
    for text in &wanted.message {
        if !got.message().contains(text) {
            return Err(format!("the message {:?} lacks {text:?}", got.message()));
        }
    }
    for text in &wanted.message_hides {
        if got.message().contains(text) {
            return Err(format!("the message {:?} tells {text:?}", got.message()));
        }
    }
    Ok(())
}

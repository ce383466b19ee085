//! The only place that makes gRPC codes: what should the caller do?

use std::{collections::HashMap, error::Error, time::Duration};

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt as _};

use crate::{journal::JournalError, ledger::WriteError, limits};

/// The domain of every `ErrorInfo`.
const DOMAIN: &str = "rescind";

/// How long to wait before trying again when the node is not able to.
const RETRY_SOON: Duration = Duration::from_secs(1);
/// How long to wait before trying again when a quota is full.
const RETRY_LATER: Duration = Duration::from_secs(60);

/// What is wrong with a request, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BadField {
    /// As it is named in the proto: `targets[3].user.sub`.
    pub(super) field: String,
    /// What is wrong and what to do; never a token's text.
    pub(super) problem: String,
}

impl BadField {
    pub(super) fn new(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            problem: problem.into(),
        }
    }
}

impl From<BadField> for Status {
    fn from(bad: BadField) -> Self {
        let mut details = info("INVALID_FIELD", []);
        details.set_bad_request(vec![FieldViolation::new(&bad.field, &bad.problem)]);
        let message = format!("{}: {}", bad.field, bad.problem);
        Self::with_error_details(Code::InvalidArgument, message, details)
    }
}

/// Why a write was not done.
pub(super) fn of_write(error: WriteError) -> Status {
    let message = error.to_string();
    match error {
        WriteError::Invalid { field, problem } => BadField::new(field, problem).into(),
        WriteError::QuotaFull { live_max, held, .. } => {
            let numbers = [
                ("quota", "max_live".to_owned()),
                ("limit", live_max.to_string()),
                ("held", held.to_string()),
            ];
            let mut details = info("LIVE_QUOTA_FULL", numbers);
            details.set_retry_info(Some(RETRY_LATER));
            Status::with_error_details(Code::ResourceExhausted, message, details)
        }
        WriteError::Unavailable(_) => unavailable("NOT_WRITABLE", &message),
        WriteError::Stopping => unavailable("SHUTTING_DOWN", &message),
    }
}

/// The journal could not be read.
pub(super) fn of_journal(error: &JournalError) -> Status {
    let causes = std::iter::successors(Some(error as &dyn Error), |error| (*error).source());
    let chain = causes.map(ToString::to_string).collect::<Vec<_>>();
    tracing::error!(error = chain.join(": "), "the journal cannot be read");
    unavailable("JOURNAL_UNREADABLE", &error.to_string())
}

/// The node stops.
pub(super) fn shutting_down() -> Status {
    unavailable(
        "SHUTTING_DOWN",
        "the node is shutting down: connect again, to resume a watch with its last cursor",
    )
}

/// Too many watches.
pub(super) fn too_many_watchers() -> Status {
    let limit = [
        ("quota", "watchers".to_owned()),
        ("limit", limits::WATCHERS_MAX.to_string()),
    ];
    let mut details = info("WATCHERS_FULL", limit);
    details.set_retry_info(Some(RETRY_LATER));
    let message = format!(
        "{} watches are open, which is as many as this node serves: close some, or watch another \
         node",
        limits::WATCHERS_MAX
    );
    Status::with_error_details(Code::ResourceExhausted, message, details)
}

fn unavailable(reason: &str, message: &str) -> Status {
    let mut details = info(reason, []);
    details.set_retry_info(Some(RETRY_SOON));
    Status::with_error_details(Code::Unavailable, message, details)
}

fn info<const N: usize>(reason: &str, numbers: [(&str, String); N]) -> ErrorDetails {
    let metadata: HashMap<String, String> = numbers
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    ErrorDetails::with_error_info(reason, DOMAIN, metadata)
}

//! The only place that makes gRPC codes: what should the caller do?

use std::{collections::HashMap, error::Error, time::Duration};

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt as _};

use crate::{fleet::NotFresh, journal::JournalError, ledger::WriteError, limits};

use super::check::Unable;

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

/// Two live runs of one node: its disk was cloned.
pub(super) fn cloned() -> Status {
    refused(
        "CLONED_NODE",
        "another live process has the same node id and another boot: the data directory was copied. \
         Stop one of them, empty its data directory, and let it join anew",
    )
}

/// A node that follows itself.
pub(super) fn itself() -> Status {
    refused(
        "SAME_NODE",
        "this is the node that asks: it cannot follow itself",
    )
}

/// A leaf that takes this hub for another run.
pub(super) fn another_boot() -> Status {
    refused(
        "ANOTHER_BOOT",
        "this hub has been restarted since: see what it still has, and hand up the rest",
    )
}

fn refused(reason: &str, message: &str) -> Status {
    Status::with_error_details(Code::FailedPrecondition, message, info(reason, []))
}

/// Of what only other nodes may do.
pub(super) fn peers_only(rpc: &str) -> Status {
    let message = format!(
        "{rpc} is for other nodes, and this one was not told whom to trust: start it with --insecure \
         where the network itself keeps others out"
    );
    Status::with_error_details(Code::PermissionDenied, message, info("PEERS_ONLY", []))
}

/// Each reads the whole journal, so there is one at a time and a rest in between.
pub(super) fn digests_under_way() -> Status {
    let mut details = info("DIGESTS_UNDER_WAY", []);
    details.set_retry_info(Some(RETRY_LATER));
    let message = "other digests are being made, or were a moment ago: try again in a minute";
    Status::with_error_details(Code::ResourceExhausted, message, details)
}

/// A watch that is not open.
pub(super) fn no_such_watch() -> Status {
    let message = "no such watch is open: it has ended, or its number is another";
    Status::with_error_details(Code::NotFound, message, info("NO_SUCH_WATCH", []))
}

/// The caller gave it no more time.
pub(super) fn deadline_exceeded() -> Status {
    Status::deadline_exceeded(
        "the deadline that the caller gave passed before there was an answer; a write may have been \
         made all the same: repeat it with its request_id",
    )
}

/// The node cannot tell of a token whether it may be used.
pub(super) fn unable(why: &Unable) -> Status {
    let reason = match why {
        Unable::NotFresh(NotFresh::Joining) => "NOT_READY",
        Unable::NotFresh(NotFresh::Stale { .. }) => "STALE",
        Unable::NoKeys(_) => "KEYS_UNAVAILABLE",
    };
    unavailable(reason, &why.to_string())
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

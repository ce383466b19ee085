//! What can go wrong in a command, and how a person is told.

use std::{
    io::{self, Write},
    time::Duration,
};

use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::{connect::Address, view::clean};

/// Exit code: done.
pub(super) const OK: u8 = 0;
/// Exit code: it failed.
pub(super) const FAILED: u8 = 1;
/// Exit code: the command line is wrong.
pub(super) const USAGE: u8 = 2;

/// Why a command ended without success.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The command line, or what stands on standard input, is wrong.
    #[error("{0}")]
    Usage(String),
    /// Something on this side went wrong.
    #[error("{0}")]
    Local(String),
    /// The output cannot be written. A reader that went away is no failure.
    #[error("cannot write the output")]
    Output(#[from] io::Error),
    /// Nobody answers at the address.
    #[error("cannot reach Rescind at {address}")]
    Unreachable {
        /// Where.
        address: Address,
        /// What the transport says, outermost first.
        causes: String,
    },
    /// No answer came in time.
    #[error("no answer from {address} within {}", humantime::format_duration(*.timeout))]
    TimedOut {
        /// Where.
        address: Address,
        /// How long it was waited.
        timeout: Duration,
    },
    /// The server refused, or the connection broke.
    #[error("{address} answered {:?}", status.code())]
    Refused {
        /// Where.
        address: Address,
        /// What it said.
        status: Box<Status>,
    },
}

impl Failure {
    /// The exit code. A pipe whose reader went away, as in `rescind list | head`, ends quietly.
    pub(super) fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => USAGE,
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => OK,
            _ => FAILED,
        }
    }

    /// Whether trying again later may help.
    pub(super) fn is_transient(&self) -> bool {
        match self {
            Self::Usage(_) | Self::Local(_) | Self::Output(_) => false,
            Self::Unreachable { .. } | Self::TimedOut { .. } => true,
            // A connection that breaks is Unavailable, Unknown, Internal or Cancelled, depending
            // on where it breaks.
            Self::Refused { status, .. } => matches!(
                status.code(),
                Code::Unavailable
                    | Code::Unknown
                    | Code::Internal
                    | Code::Cancelled
                    | Code::Aborted
                    | Code::DeadlineExceeded
                    | Code::ResourceExhausted
            ),
        }
    }

    /// How long the server asks to wait before trying again.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { status, .. } => status.get_details_retry_info()?.retry_delay,
            _ => None,
        }
    }

    /// One clear block for a person: what happened, where, why, and what to do.
    pub(super) fn write(&self, err: &mut dyn Write) -> io::Result<()> {
        match self {
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            Self::Output(error) => writeln!(err, "error: {self}: {error}"),
            Self::Usage(_) | Self::Local(_) => writeln!(err, "error: {self}"),
            Self::Unreachable { address, causes } => {
                writeln!(err, "error: {self}: {causes}")?;
                writeln!(
                    err,
                    "  start a server with: rescind serve --listen {address}"
                )?;
                writeln!(
                    err,
                    "  or say where one is, with --address or RESCIND_ADDRESS"
                )
            }
            Self::TimedOut { .. } => {
                writeln!(err, "error: {self}")?;
                writeln!(err, "  give it longer with --timeout")
            }
            Self::Refused { address, status } => write_status(err, address, status),
        }
    }
}

fn write_status(err: &mut dyn Write, address: &Address, status: &Status) -> io::Result<()> {
    writeln!(err, "error: {}", clean(status.message()))?;
    let details = status.get_error_details();
    for violation in details
        .bad_request()
        .map(|bad| bad.field_violations.as_slice())
        .unwrap_or_default()
        .iter()
        // A single violation may be all that the message says.
        .filter(|violation| !status.message().contains(&violation.description))
    {
        writeln!(
            err,
            "  {}: {}",
            clean(&violation.field),
            clean(&violation.description)
        )?;
    }
    for violation in details
        .quota_failure()
        .map(|quota| quota.violations.as_slice())
        .unwrap_or_default()
    {
        writeln!(
            err,
            "  quota {}: {}",
            clean(&violation.subject),
            clean(&violation.description)
        )?;
    }
    for violation in details
        .precondition_failure()
        .map(|failure| failure.violations.as_slice())
        .unwrap_or_default()
    {
        writeln!(
            err,
            "  {}: {}",
            clean(&violation.subject),
            clean(&violation.description)
        )?;
    }
    write!(err, "  from {address}, code {:?}", status.code())?;
    if let Some(info) = details.error_info() {
        write!(err, ", reason {}", clean(&info.reason))?;
    }
    writeln!(err)?;
    if let Some(delay) = details.retry_info().and_then(|info| info.retry_delay) {
        writeln!(err, "  try again in {}", humantime::format_duration(delay))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tonic_types::ErrorDetails;

    use super::*;

    fn said(failure: &Failure) -> String {
        let mut block = Vec::new();
        failure.write(&mut block).unwrap();
        String::from_utf8(block).unwrap()
    }

    fn refused(status: Status) -> Failure {
        Failure::Refused {
            address: "127.0.0.1:1".parse().unwrap(),
            status: Box::new(status),
        }
    }

    #[test]
    fn a_refusal_tells_the_fields_the_reason_and_when_to_try_again() {
        let mut details = ErrorDetails::new();
        details
            .set_error_info("COMMENT_TOO_LONG", "rescind", [])
            .add_bad_request_violation("comment", "has 1025 bytes; at most 1024")
            .set_retry_info(Some(Duration::from_millis(1_500)));
        let status = Status::with_error_details(Code::InvalidArgument, "bad \u{1b}[2J", details);
        let failure = refused(status);
        assert_eq!(
            said(&failure),
            "error: bad \\u{1b}[2J\n  comment: has 1025 bytes; at most 1024\n  \
             from 127.0.0.1:1, code InvalidArgument, reason COMMENT_TOO_LONG\n  \
             try again in 1s 500ms\n"
        );
        assert_eq!(failure.exit_code(), FAILED);
        assert!(!failure.is_transient());
        assert_eq!(failure.retry_after(), Some(Duration::from_millis(1_500)));
        assert!(refused(Status::unavailable("shutting down")).is_transient());
    }

    #[test]
    fn a_reader_that_went_away_is_no_failure() {
        let failure = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!((failure.exit_code(), said(&failure)), (OK, String::new()));
    }

    #[test]
    fn an_unreachable_server_is_told_with_how_to_start_one() {
        let failure = Failure::Unreachable {
            address: "unix:/run/r.sock".parse().unwrap(),
            causes: "no such file".to_owned(),
        };
        let said = said(&failure);
        assert!(said.contains("cannot reach Rescind at unix:/run/r.sock: no such file"));
        assert!(said.contains("rescind serve --listen unix:/run/r.sock"));
    }
}

//! Logs: for people on a terminal, JSON otherwise; always on standard error.

use std::io::IsTerminal as _;

use anyhow::Context as _;
use tracing_subscriber::EnvFilter;

use crate::config::LogFormat;

/// Starts logging.
pub(super) fn init(format: LogFormat, filter: &str) -> anyhow::Result<()> {
    let filter = EnvFilter::builder()
        .parse(filter)
        .context("log_filter is not a filter")?;
    let is_terminal = std::io::stderr().is_terminal();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    let started = match (format, is_terminal) {
        (LogFormat::Json, _) | (LogFormat::Auto, false) => builder.json().try_init(),
        (LogFormat::Console | LogFormat::Auto, _) => builder.with_ansi(is_terminal).try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("cannot start logging: {error}"))
}

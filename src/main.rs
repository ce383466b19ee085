//! The `rescind` program.

use std::process::ExitCode;

use rescind::{cli, config::Environment};

fn main() -> ExitCode {
    cli::run(std::env::args_os(), &Environment::snapshot(), |_loaded| {
        anyhow::bail!("this build cannot serve yet")
    })
}

//! The `rescind` program.

use std::process::ExitCode;

use rescind::{app, cli, config::Environment};

fn main() -> ExitCode {
    cli::run(std::env::args_os(), &Environment::snapshot(), app::serve)
}

//! `rescind token`: for trying things out, and for finding out.

mod inspect;
mod keygen;
mod mint;
mod steps;
#[cfg(test)]
mod tests;

use clap::Subcommand;

use super::{Context, failure::Failure};

#[derive(Debug, Subcommand)]
pub(super) enum TokenCommand {
    Inspect(inspect::InspectArgs),
    Mint(Box<mint::MintArgs>),
    Keygen(keygen::KeygenArgs),
}

pub(super) fn run(command: TokenCommand, context: &mut Context<'_>) -> Result<u8, Failure> {
    match command {
        TokenCommand::Inspect(args) => inspect::run(args, context),
        TokenCommand::Mint(args) => mint::run(&args, context),
        TokenCommand::Keygen(args) => keygen::run(&args, context),
    }
}

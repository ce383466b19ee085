//! `rescind config`.

use std::path::PathBuf;

use clap::Subcommand;

use crate::config::{Loaded, ServeFlags, load};

use super::{
    Context,
    failure::{self, Failure},
    output::{self, Format, OutputArgs},
};

#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Says whether `serve` would start with these settings, and if not, why
    #[command(after_long_help = "\
Examples:
  rescind config check /etc/rescind.toml
  rescind config check --config /etc/rescind.toml --listen 0.0.0.0:50551")]
    Check {
        /// The file to check; without it, that of --config or RESCIND_CONFIG
        #[arg(conflicts_with = "config")]
        file: Option<PathBuf>,
        #[command(flatten)]
        flags: Box<ServeFlags>,
    },
    /// Shows the settings that `serve` would use, and where each came from
    ///
    /// As TOML that can be used as a file, or as JSON. Takes the flags of `serve`.
    #[command(after_long_help = "\
Examples:
  rescind config show --config /etc/rescind.toml
  rescind config show --output json | jq -r .max_live.source")]
    Show {
        #[command(flatten)]
        flags: Box<ServeFlags>,
        #[command(flatten)]
        output: OutputArgs,
    },
}

pub(super) fn run(command: ConfigCommand, context: &mut Context<'_>) -> Result<u8, Failure> {
    match command {
        ConfigCommand::Check { file, mut flags } => {
            flags.config = file.or(flags.config);
            let loaded = load(&flags, context.environment)?;
            warn(&loaded, context)?;
            writeln!(context.out, "the configuration is good")?;
        }
        ConfigCommand::Show { flags, output } => {
            let loaded = load(&flags, context.environment)?;
            match output.output {
                Format::Json => output::json(context.out, &loaded.to_json())?,
                Format::Table => {
                    warn(&loaded, context)?;
                    context.out.write_all(loaded.to_toml().as_bytes())?;
                }
            }
        }
    }
    Ok(failure::OK)
}

fn warn(loaded: &Loaded, context: &mut Context<'_>) -> Result<(), Failure> {
    for warning in &loaded.warnings {
        writeln!(context.err, "warning: {warning}")?;
    }
    Ok(())
}

//! `rescind config`.

use std::{path::PathBuf, sync::Arc};

use clap::Subcommand;

use crate::{
    clock::SystemClock,
    config::{Loaded, ServeFlags, load},
    verification::Verification,
};

use super::{
    Context,
    failure::{self, Failure},
    output::{self, Format, OutputArgs},
    verification,
    view::clean,
};

#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Says whether `serve` would start with these settings, and if not, why
    ///
    /// Files with keys are read; with --fetch, key sets at URLs are fetched too.
    #[command(after_long_help = "\
Examples:
  rescind config check /etc/rescind.toml
  rescind config check --config /etc/rescind.toml --listen 0.0.0.0:50551")]
    Check {
        /// The file to check; without it, that of --config or RESCIND_CONFIG
        #[arg(conflicts_with = "config")]
        file: Option<PathBuf>,
        /// Also fetch the key sets of issuers with a jwks_url
        #[arg(long)]
        fetch: bool,
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
        ConfigCommand::Check {
            file,
            fetch,
            mut flags,
        } => {
            flags.config = file.or(flags.config);
            let loaded = load(&flags, context.environment)?;
            warn(&loaded, context)?;
            if !keys(&loaded, fetch, context)? {
                return Ok(failure::FAILED);
            }
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

/// Tells of each issuer which keys it has; whether all of them have some, as far as was looked.
fn keys(loaded: &Loaded, fetch: bool, context: &mut Context<'_>) -> Result<bool, Failure> {
    let mut all_good = true;
    for issuer in &loaded.config.issuer_keys {
        let issuer = std::slice::from_ref(issuer);
        let verification = match Verification::open(issuer, None, Arc::new(SystemClock)) {
            Ok(verification) => verification,
            Err(error) => {
                writeln!(context.err, "error: {}", clean(&error.to_string()))?;
                all_good = false;
                continue;
            }
        };
        if fetch {
            verification::fetch(&verification)?;
        }
        for state in verification.states() {
            let found = match (&state.fetches, fetch, &*state.last_error) {
                (Some(_), false, _) => "not fetched here: add --fetch to try".to_owned(),
                (_, _, "") => format!("{} usable", state.keys),
                (_, _, error) => {
                    all_good = false;
                    format!("FAILED: {error}")
                }
            };
            let line = format!(
                "keys of {}: {found} ({} {})",
                state.iss, state.source, state.place
            );
            writeln!(context.out, "{}", clean(&line))?;
            for skipped in &state.skipped {
                writeln!(context.out, "  skipped {}", clean(skipped))?;
            }
            for warning in &state.warnings {
                writeln!(context.out, "  warning: {}", clean(warning))?;
            }
        }
    }
    Ok(all_good)
}

fn warn(loaded: &Loaded, context: &mut Context<'_>) -> Result<(), Failure> {
    for warning in &loaded.warnings {
        writeln!(context.err, "warning: {warning}")?;
    }
    Ok(())
}

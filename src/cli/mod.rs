//! The command line.
//!
//! `serve` is handed on to the caller of [`run`]; every other command is a client of a running
//! server, or needs none. Answers go to standard output, everything else to standard error.
#![expect(
    clippy::doc_markdown,
    reason = "what stands on commands and flags are help texts, read as they are"
)]

mod accept_clock;
mod check;
mod compare;
mod config;
mod conformance;
mod connect;
mod failure;
mod healthcheck;
mod list;
mod nodes;
mod output;
mod restore;
mod revoke;
mod status;
mod target;
mod time;
mod token;
mod verification;
mod view;
mod watch;
mod words;

#[cfg(test)]
mod tests;

use std::{
    ffi::OsString,
    io::{Read, Write},
    process::ExitCode,
};

use clap::{CommandFactory as _, Parser, Subcommand};

use crate::{
    clock::{Clock as _, SystemClock},
    config::{ConfigError, Environment, Loaded, ServeFlags},
    model::UnixNanos,
};

use failure::Failure;

/// Calls JSON Web Tokens back before they expire.
///
/// Rescind runs beside your service and answers one question over gRPC: may this token still be
/// used? It keeps what was revoked on disk, and streams it to whoever watches.
#[derive(Debug, Parser)]
#[command(
    name = "rescind",
    version,
    after_long_help = "\
Try it:
  rescind serve --ephemeral &
  token=$(rescind token mint --iss https://issuer.example --sub ada)
  rescind check \"$token\"                                     # active, exit code 0
  rescind revoke-user --iss https://issuer.example --sub ada --reason logout
  rescind check \"$token\"                                     # revoked, exit code 3

Exit codes: 0 done, 1 failed, 2 wrong usage; check: 3 revoked, 4 not active otherwise."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(Box<ServeCommand>),
    Check(check::CheckArgs),
    Revoke(Box<revoke::RevokeArgs>),
    RevokeUser(Box<revoke::RevokeUserArgs>),
    Restore(Box<restore::RestoreArgs>),
    List(list::ListArgs),
    Watch(watch::WatchArgs),
    Status(status::StatusArgs),
    Healthcheck(healthcheck::HealthcheckArgs),
    Conformance(conformance::ConformanceArgs),
    /// Shows or checks the settings of `serve`
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Makes and explains tokens, for trying things out
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// Maintenance of a node's data directory
    #[command(subcommand)]
    Journal(JournalCommand),
    /// Prints a script that completes commands in your shell
    ///
    /// For bash: rescind completions bash > ~/.local/share/bash-completion/completions/rescind
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
}

/// Runs the sidecar
///
/// Settings come from flags, else RESCIND_* variables, else a TOML file, else defaults; each has
/// one name in three spellings: --max-live, RESCIND_MAX_LIVE, max_live. `rescind config show`
/// tells what holds and why.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  rescind serve
  rescind serve --ephemeral --listen 127.0.0.1:0 --address-file /tmp/rescind.json
  rescind serve --listen unix:/run/rescind/api.sock --data-dir /var/lib/rescind
  rescind serve --config /etc/rescind.toml

A file:
  default_issuer = \"https://issuer.example\"
  max_token_lifetime = \"1d\"
  revocable_claims = [\"tenant\"]
  claims = { sub = \"userId\" }
  [[issuers]]                       # each may override the above
  iss = \"https://other.example\"
  leeway = \"10s\"")]
struct ServeCommand {
    #[command(flatten)]
    flags: ServeFlags,
}

#[derive(Debug, Subcommand)]
enum JournalCommand {
    AcceptClock(accept_clock::AcceptClockArgs),
}

/// What a command works with.
struct Context<'a> {
    environment: &'a Environment,
    /// The wall clock when the command began: what `now` and `-5m` mean.
    now: UnixNanos,
    input: &'a mut dyn Read,
    out: &'a mut dyn Write,
    err: &'a mut dyn Write,
}

/// Runs one command line. `serve` gets the settings once they are known to be good, and returns
/// when the server has ended.
pub fn run(
    args: impl IntoIterator<Item = OsString>,
    environment: &Environment,
    serve: impl FnOnce(Loaded) -> anyhow::Result<()>,
) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version come this way too. With nobody to print to, the code says it.
            let _unheard = error.print();
            return u8::try_from(error.exit_code())
                .unwrap_or(failure::USAGE)
                .into();
        }
    };
    let command = match cli.command {
        Command::Serve(command) => return run_serve(&command.flags, environment, serve),
        other => other,
    };
    let mut err = std::io::stderr();
    let mut context = Context {
        environment,
        now: SystemClock.wall(),
        input: &mut std::io::stdin(),
        // A lock, and what the commands write in one go goes out in one go.
        out: &mut std::io::BufWriter::new(std::io::stdout().lock()),
        err: &mut err,
    };
    let code = dispatch(command, &mut context)
        .and_then(|code| Ok(context.out.flush().map(|()| code)?))
        .unwrap_or_else(|failure| {
            // What was found before the failure is shown before it.
            let _flushed = context.out.flush();
            let _unheard = failure.write(context.err);
            failure.exit_code()
        });
    code.into()
}

fn run_serve(
    flags: &ServeFlags,
    environment: &Environment,
    serve: impl FnOnce(Loaded) -> anyhow::Result<()>,
) -> ExitCode {
    let mut err = std::io::stderr();
    let code = match crate::config::load(flags, environment) {
        Ok(loaded) => match serve(loaded) {
            Ok(()) => failure::OK,
            Err(error) => {
                // One line with the whole chain: what, where, and what to do.
                let _unheard = writeln!(err, "error: {error:#}");
                failure::FAILED
            }
        },
        Err(error) => {
            let failure = Failure::from(error);
            let _unheard = failure.write(&mut err);
            failure.exit_code()
        }
    };
    code.into()
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        let usage = error.is_usage();
        let line = format!("{:#}", anyhow::Error::from(error));
        if usage {
            Self::Usage(line)
        } else {
            Self::Local(line)
        }
    }
}

/// Runs a command; the code that it exits with.
fn dispatch(command: Command, context: &mut Context<'_>) -> Result<u8, Failure> {
    match command {
        Command::Config(command) => config::run(command, context),
        Command::Token(command) => token::run(command, context),
        Command::Journal(JournalCommand::AcceptClock(args)) => accept_clock::run(&args, context),
        Command::Completions { shell } => {
            // Into memory first, since the generator panics when a pipe breaks.
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "rescind", &mut script);
            context.out.write_all(&script)?;
            Ok(failure::OK)
        }
        // A client needs one thread only.
        client => tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::Local(format!("cannot start the runtime: {error}")))?
            .block_on(call(client, context)),
    }
}

/// Runs a command that talks to a server.
async fn call(command: Command, context: &mut Context<'_>) -> Result<u8, Failure> {
    match command {
        Command::Check(args) => check::run(args, context).await,
        Command::Revoke(args) => revoke::run(*args, context).await,
        Command::RevokeUser(args) => revoke::run_user(*args, context).await,
        Command::Restore(args) => restore::run(*args, context).await,
        Command::List(args) => list::run(args, context).await,
        Command::Watch(args) => watch::run(args, context).await,
        Command::Status(args) => status::run(args, context).await,
        Command::Healthcheck(args) => healthcheck::run(args, context).await,
        Command::Conformance(args) => conformance::run(args, context).await,
        // Taken out before: these talk to no server.
        Command::Serve(_)
        | Command::Config(_)
        | Command::Token(_)
        | Command::Journal(_)
        | Command::Completions { .. } => Ok(failure::OK),
    }
}

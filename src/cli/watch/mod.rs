//! `rescind watch`: everything that is revoked, as it happens.

mod backoff;
mod printer;

use std::{io, path::PathBuf, time::Duration};

use base64::{Engine as _, prelude::BASE64_STANDARD};

use crate::{
    limits,
    proto::v1::{self, Start, WatchMode, watch_revocations_response::Event},
};

use super::{
    Context,
    connect::{ConnectArgs, Server},
    failure::{self, Failure},
    output::OutputArgs,
    time::to_proto,
    words::{KINDS, parser},
};
use backoff::Backoff;
use printer::{Events, Printer};

/// Prints everything that is revoked, then everything new, as it happens
///
/// With --output json each revocation is one line with target, in_force, lifted, changed_at,
/// node_id and cursor: made for piping into a SIEM. A target is printed again whenever its state
/// changes, so the last line about it is what holds.
///
/// With --cursor-file a later run goes on where this one stopped. The file is written after the
/// lines were handed to the reader of the output, so that a crash repeats some lines and loses
/// none. When the connection breaks, it connects again and goes on.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  rescind watch
  rescind watch --output json --cursor-file /var/lib/siem/rescind.cursor | siem-ingest
  rescind watch --from-now --kinds user,session --issuer https://issuer.example
  rescind watch --until-caught-up --output json > everything.jsonl")]
pub(super) struct WatchArgs {
    /// Only these kinds of target; comma-separated
    #[arg(long, value_name = "KIND,…", value_delimiter = ',', value_parser = parser(&KINDS))]
    kinds: Vec<v1::TargetKind>,

    /// Only of this issuer; repeatable
    #[arg(long = "issuer", value_name = "ISS")]
    issuers: Vec<String>,

    /// Only what is new, unless the cursor file says where to go on
    #[arg(long)]
    from_now: bool,

    /// Remember in this file how far the output has come, and go on from there
    #[arg(long, value_name = "FILE")]
    cursor_file: Option<PathBuf>,

    /// What to print: revocations only, or also how the watch goes (hello, caught_up, heartbeat)
    #[arg(long, value_enum, default_value_t)]
    events: Events,

    /// How often the server is to send a sign of life
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = humantime::parse_duration)]
    heartbeat: Duration,

    /// A name for the server's status page and logs
    #[arg(long, value_name = "NAME", default_value = "rescind watch")]
    name: String,

    /// Stop once everything known at the start has been printed
    #[arg(long)]
    until_caught_up: bool,

    /// Fail when the connection breaks, instead of connecting again
    #[arg(long)]
    exit_on_disconnect: bool,

    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connect: ConnectArgs,
}

pub(super) async fn run(args: WatchArgs, context: &mut Context<'_>) -> Result<u8, Failure> {
    let server = args.connect.server(context.environment)?;
    let mut printer = Printer::new(args.output.output, args.events, args.cursor_file.clone())?;
    let mut backoff = Backoff::default();
    loop {
        let failure = match watch(&args, &server, &mut printer, &mut backoff, context).await {
            Ok(()) => return Ok(failure::OK),
            Err(failure) => failure,
        };
        if args.exit_on_disconnect || !failure.is_transient() {
            return Err(failure);
        }
        // The whole block once; while it lasts, a line each time is enough.
        if backoff.is_fresh() {
            failure.write(context.err)?;
        }
        let wait = backoff
            .next()
            .max(failure.retry_after().unwrap_or_default());
        writeln!(
            context.err,
            "{failure}; going on in {:.1} s, from where it stopped",
            wait.as_secs_f64()
        )?;
        tokio::time::sleep(wait).await;
    }
}

/// One connection's worth of watching; returns when everything asked for has been printed.
async fn watch(
    args: &WatchArgs,
    server: &Server,
    printer: &mut Printer,
    backoff: &mut Backoff,
    context: &mut Context<'_>,
) -> Result<(), Failure> {
    let mut client = server.client().await?;
    let request = v1::WatchRevocationsRequest {
        exclude_origin: 0,
        follower: None,
        ranges: Vec::new(),
        cursor: printer.cursor().to_vec(),
        start: if args.from_now {
            Start::Now
        } else {
            Start::Beginning
        }
        .into(),
        kinds: args.kinds.iter().copied().map(i32::from).collect(),
        issuers: args.issuers.clone(),
        heartbeat: Some(to_proto(args.heartbeat)),
        watcher: args.name.clone(),
    };
    let resumes = !request.cursor.is_empty();
    let mut stream = server.answer(client.rpc.watch_revocations(request)).await?;
    // Three heartbeats missed: the connection is dead, whatever TCP thinks.
    let silence_max = args
        .heartbeat
        .clamp(limits::HEARTBEAT_MIN, limits::HEARTBEAT_MAX)
        * 3
        + Duration::from_secs(5);
    loop {
        let message = tokio::time::timeout(silence_max, stream.message())
            .await
            .map_err(|_elapsed| {
                let silent = format!("nothing came for {} s", silence_max.as_secs());
                server.refused(tonic::Status::unavailable(silent))
            })?
            .map_err(|status| server.refused(status))?
            .ok_or_else(|| server.refused(tonic::Status::unavailable("the stream has ended")))?;
        backoff.reset();
        if let Some(Event::Hello(hello)) = &message.event
            && resumes
            && hello.mode() == WatchMode::Reset
        {
            writeln!(
                context.err,
                "note: {server} cannot go on from the cursor (another node, or a new disk): \
                 everything follows from the beginning"
            )?;
        }
        let caught_up = matches!(message.event, Some(Event::CaughtUp(_)));
        printer.take(message, context.out)?;
        if caught_up && args.until_caught_up {
            return Ok(());
        }
    }
}

/// The cursor that an earlier run left.
fn read_cursor(path: &std::path::Path) -> Result<Vec<u8>, Failure> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => {
            return Err(Failure::Local(format!(
                "cannot read the cursor file {}: {error}",
                path.display()
            )));
        }
    };
    BASE64_STANDARD.decode(text.trim()).map_err(|_error| {
        Failure::Local(format!(
            "{} holds no cursor; give the file that an earlier --cursor-file wrote, or delete it \
             to start from the beginning",
            path.display()
        ))
    })
}

//! `rescind conformance`.

use futures_util::{StreamExt as _, stream};
use serde::Serialize;

use crate::conformance::{self, Case, Outcome, Runner};

use super::{
    Context,
    connect::ConnectArgs,
    failure::{self, Failure},
    output::{self, Format, OutputArgs},
};

/// Cases that are played at the same time: most of their time they wait for a second to begin.
const CASES_AT_ONCE: usize = 32;

/// Plays the conformance cases against a server: exit code 0 when none failed
///
/// Each case is a story: tokens are made, revoked and checked, and every answer is compared with
/// what the semantics promise. All of them use issuers of their own, new at every run, so that a
/// live server may be asked, and again and again; what they revoke stays there until it runs out
/// or, for bans, until it is lifted. Time is real: cases that let more than two seconds pass,
/// restart the node or need other settings are skipped, each with the reason.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  rescind conformance
  rescind conformance --address unix:/run/rescind/api.sock
  rescind conformance --case 'unbanning does not undo a password change'
  rescind conformance --case quota --case racing_lifts        # by what they cover
  rescind conformance --output json | jq 'select(.outcome == \"failed\")'

The cases stand in tests/conformance/; docs/conformance.md tells how to write one.")]
pub(super) struct ConformanceArgs {
    /// Only the cases with this text in their name, or that cover this class; repeatable
    #[arg(long = "case", value_name = "NAME")]
    cases: Vec<String>,

    /// Play the cases for the default settings although the server has others
    #[arg(long)]
    any_settings: bool,

    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connect: ConnectArgs,
}

/// How one case went, for machines.
#[derive(Debug, Serialize)]
struct Line<'a> {
    case: &'a str,
    file: &'a str,
    source: &'a str,
    covers: Vec<&'static str>,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
}

/// What all came to, for machines.
#[derive(Debug, Default, Serialize)]
struct Counts {
    passed: usize,
    failed: usize,
    skipped: usize,
}

pub(super) async fn run(args: ConformanceArgs, context: &mut Context<'_>) -> Result<u8, Failure> {
    let all = conformance::cases().map_err(|error| Failure::Local(error.to_string()))?;
    let cases: Vec<(usize, &Case)> = all
        .iter()
        .enumerate()
        .filter(|(_, case)| is_wanted(case, &args.cases))
        .collect();
    if cases.is_empty() {
        return Err(Failure::Usage(
            "no case has such a name or covers such a class: leave --case out to see them all"
                .to_owned(),
        ));
    }
    let client = args.connect.client(context.environment).await?;
    let runner = Runner::elsewhere(client.rpc.clone(), args.any_settings)
        .await
        .map_err(|error| match error {
            conformance::RunnerError::Server(status) => client.server.refused(status),
            other => Failure::Local(format!("{:#}", anyhow::Error::from(other))),
        })?;
    let runner = &runner;
    let mut played = stream::iter(cases)
        .map(async |(number, case)| (case, runner.play(case, number).await))
        .buffered(CASES_AT_ONCE);
    let mut counts = Counts::default();
    while let Some((case, outcome)) = played.next().await {
        let line = line(case, &outcome);
        match outcome {
            Outcome::Passed => counts.passed += 1,
            Outcome::Failed { .. } => counts.failed += 1,
            Outcome::Skipped { .. } => counts.skipped += 1,
        }
        match args.output.output {
            Format::Json => output::json(context.out, &line)?,
            Format::Table => table(context, &line)?,
        }
    }
    match args.output.output {
        Format::Json => output::json(context.out, &counts)?,
        Format::Table => writeln!(
            context.out,
            "{} passed, {} failed, {} skipped",
            counts.passed, counts.failed, counts.skipped
        )?,
    }
    Ok(if counts.failed == 0 {
        failure::OK
    } else {
        failure::FAILED
    })
}

fn is_wanted(case: &Case, wanted: &[String]) -> bool {
    wanted.is_empty()
        || wanted.iter().any(|text| {
            case.name.contains(text.as_str())
                || case.covers.iter().any(|class| class.as_str() == text)
        })
}

fn line<'a>(case: &'a Case, outcome: &'a Outcome) -> Line<'a> {
    let (outcome, step, detail) = match outcome {
        Outcome::Passed => ("passed", None, None),
        Outcome::Failed { step, problem } => ("failed", Some(*step), Some(problem.as_str())),
        Outcome::Skipped { why } => ("skipped", None, Some(why.as_str())),
    };
    Line {
        case: &case.name,
        file: &case.file,
        source: &case.source,
        covers: case.covers.iter().map(|class| class.as_str()).collect(),
        outcome,
        step,
        detail,
    }
}

/// A line for each case, and of what did not pass also why.
fn table(context: &mut Context<'_>, line: &Line<'_>) -> Result<(), Failure> {
    writeln!(context.out, "{:<8} {}", line.outcome, line.case)?;
    if let Some(detail) = line.detail {
        let detail = super::view::clean(detail);
        match line.step {
            Some(step) => {
                writeln!(context.out, "         {}, step {step}: {detail}", line.file)?;
                writeln!(context.out, "         source: {}", line.source)?;
            }
            None => writeln!(context.out, "         {detail}")?,
        }
    }
    Ok(())
}

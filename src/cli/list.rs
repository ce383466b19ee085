//! `rescind list`.

use crate::{limits, proto::v1};

use super::{
    Context,
    connect::ConnectArgs,
    failure::{self, Failure},
    output::{self, Format, OutputArgs},
    time::When,
    view::{Revocation, clean},
    words::{KINDS, REASONS, parser},
};

/// Lists what is revoked, and what was lifted
///
/// In the order of their last change, oldest first. Filters are joined by AND.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  rescind list
  rescind list --iss https://issuer.example --sub ada
  rescind list --iss https://issuer.example --sid 7f3a
  rescind list --kind key --kind issuer
  rescind list --reason credential_compromised --since -24h
  rescind list --limit 0 --output json > everything.jsonl")]
pub(super) struct ListArgs {
    /// Only of this issuer
    #[arg(long, default_value = "", hide_default_value = true)]
    iss: String,

    /// Only of this kind of target; repeatable
    #[arg(long = "kind", value_name = "KIND", value_parser = parser(&KINDS))]
    kinds: Vec<v1::TargetKind>,

    /// Only this user
    #[arg(long, default_value = "", hide_default_value = true)]
    sub: String,

    /// Only the token with this jti
    #[arg(
        long,
        default_value = "",
        hide_default_value = true,
        conflicts_with = "sub"
    )]
    jti: String,

    /// Only this session
    #[arg(long, default_value = "", hide_default_value = true, conflicts_with_all = ["sub", "jti"])]
    sid: String,

    /// Only with a rule in force for this reason; repeatable
    #[arg(long = "reason", value_name = "REASON", value_parser = parser(&REASONS))]
    reasons: Vec<v1::Reason>,

    /// Only what changed after this time: 2030-01-31T12:00:00Z, seconds since 1970, -24h
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    since: Option<When>,

    /// At most this many; 0: all
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,

    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connect: ConnectArgs,
}

pub(super) async fn run(args: ListArgs, context: &mut Context<'_>) -> Result<u8, Failure> {
    let mut client = args.connect.client(context.environment).await?;
    let mut request = v1::ListRevocationsRequest {
        iss: args.iss,
        kinds: args.kinds.into_iter().map(i32::from).collect(),
        sub: args.sub,
        jti: args.jti,
        sid: args.sid,
        reasons: args.reasons.into_iter().map(i32::from).collect(),
        revoked_after: args.since.map(|time| time.timestamp(context.now)),
        ..v1::ListRevocationsRequest::default()
    };
    let mut wanted = if args.limit == 0 {
        usize::MAX
    } else {
        args.limit
    };
    let mut printed_header = false;
    loop {
        let page = wanted.min(limits::PAGE_SIZE_MAX);
        request.page_size = u32::try_from(page).unwrap_or(u32::MAX);
        let response = client
            .server
            .answer(client.rpc.list_revocations(request.clone()))
            .await?;
        wanted = wanted.saturating_sub(response.revocations.len());
        let revocations = response.revocations.into_iter().map(Revocation::from);
        match args.output.output {
            Format::Json => {
                for revocation in revocations {
                    output::json(context.out, &revocation)?;
                }
            }
            // A table a page: the widths of all of a long list are not known at its first line.
            Format::Table => {
                let rows: Vec<Vec<String>> =
                    revocations.map(|revocation| row(&revocation)).collect();
                let header: &[&str] = if printed_header || rows.is_empty() {
                    &[]
                } else {
                    &["CHANGED", "TARGET", "ISSUER", "STATE"]
                };
                printed_header |= !rows.is_empty();
                output::table(context.out, header, rows)?;
            }
        }
        context.out.flush()?;
        let more = !response.next_page_token.is_empty();
        if !more || wanted == 0 {
            if more {
                writeln!(
                    context.err,
                    "there may be more: raise --limit, or --limit 0 for all"
                )?;
            } else if args.output.output == Format::Table && !printed_header {
                writeln!(context.err, "nothing is revoked that matches")?;
            }
            return Ok(failure::OK);
        }
        request.page_token = response.next_page_token;
    }
}

fn row(revocation: &Revocation) -> Vec<String> {
    vec![
        revocation.changed_at.clone().unwrap_or_default(),
        revocation.target.what(),
        clean(revocation.target.iss()),
        revocation.summary(),
    ]
}

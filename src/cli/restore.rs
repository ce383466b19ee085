//! `rescind restore`.

use crate::proto::v1;

use super::{
    Context,
    connect::ConnectArgs,
    failure::Failure,
    output::OutputArgs,
    revoke::{WriteArgs, Written, show},
    target::TargetArgs,
    words::{RULES, parser},
};

/// Takes a revocation back, as far as the node has seen it
///
/// By kind of rule: lifting a ban (all) does not undo a password change (issued_before). A token
/// has only one kind, so it needs no --rule.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  rescind restore --jwt - < token.txt
  rescind restore --iss $ISS --sub ada --rule all --comment 'ticket 4711 solved'
  rescind restore --iss $ISS --claim tenant=acme --rule all --rule issued_before")]
pub(super) struct RestoreArgs {
    #[command(flatten)]
    target: TargetArgs,

    /// The kind of rule to lift; repeatable
    #[arg(long = "rule", value_name = "KIND", value_parser = parser(&RULES), help_heading = "Rules")]
    rules: Vec<v1::RuleKind>,

    #[command(flatten)]
    write: WriteArgs,
    #[command(flatten, next_help_heading = "Output")]
    output: OutputArgs,
    #[command(flatten)]
    connect: ConnectArgs,
}

pub(super) async fn run(args: RestoreArgs, context: &mut Context<'_>) -> Result<u8, Failure> {
    let patience = args.write.patience();
    let request = v1::RestoreRequest {
        wait_for: args.write.wait_for(),
        targets: vec![args.target.target(context.input, context.now)?],
        rules: args.rules.into_iter().map(i32::from).collect(),
        comment: args.write.comment,
        request_id: args.write.request_id,
        validate_only: args.write.validate_only,
    };
    let mut client = args.connect.client(context.environment).await?;
    client.server.be_patient(patience);
    let response = client.server.answer(client.rpc.restore(request)).await?;
    let write = Written {
        validate_only: args.write.validate_only,
        done: "restored",
        propagation: response.propagation,
    };
    show(context.out, args.output.output, write, response.receipts)
}

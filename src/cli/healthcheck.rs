//! `rescind healthcheck`.

use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::proto::v1::{GetStatusRequest, revocation_service_server::SERVICE_NAME};

use super::{
    Context,
    connect::ConnectArgs,
    failure::{self, Failure},
};

/// Asks whether the server takes calls, for probes: exit code 0 when it does
///
/// For container images without a shell or grpc_health_probe. Speaks grpc.health.v1.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  rescind healthcheck
  rescind healthcheck --address unix:/run/rescind/api.sock --timeout 2s
  HEALTHCHECK CMD [\"/rescind\", \"healthcheck\"]                # in a Dockerfile")]
pub(super) struct HealthcheckArgs {
    #[command(flatten)]
    connect: ConnectArgs,
}

pub(super) async fn run(args: HealthcheckArgs, context: &mut Context<'_>) -> Result<u8, Failure> {
    let server = args.connect.server(context.environment)?;
    let mut client = HealthClient::new(server.channel().await?);
    let request = HealthCheckRequest {
        service: SERVICE_NAME.to_owned(),
    };
    let status = server.answer(client.check(request)).await?.status();
    match status {
        ServingStatus::Serving => {
            writeln!(context.out, "SERVING")?;
            // Checks are answered all the same, so this is for people and not for the exit code.
            let mut api = server.client().await?;
            let status = api.rpc.get_status(GetStatusRequest::default());
            let status = server.answer(status).await?;
            for journal in status.journal.iter().filter(|journal| !journal.healthy) {
                writeln!(context.out, "writes are refused: {}", journal.failure)?;
            }
            Ok(failure::OK)
        }
        other => {
            writeln!(context.out, "{}", other.as_str_name())?;
            Ok(failure::FAILED)
        }
    }
}

//! `grpc.health.v1`, whose watches end with the node.
//!
//! tonic-health answers; left to itself, an open watch of it would hold a drain up, and the way it
//! offers to end one makes a service unknown instead of not serving.

use std::pin::Pin;

use futures_util::{Stream, StreamExt as _, stream};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};
use tonic_health::{
    pb::{
        HealthCheckRequest, HealthCheckResponse,
        health_check_response::ServingStatus as Wire,
        health_server::{Health as Answers, HealthServer},
    },
    server::{HealthReporter, HealthService},
};

use super::SERVICE;

/// Says whether the node serves.
#[derive(Clone, Debug)]
pub struct Readiness(HealthReporter);

impl Readiness {
    /// Tells every probe and watch.
    pub async fn set(&self, ready: bool) {
        let status = if ready {
            tonic_health::ServingStatus::Serving
        } else {
            tonic_health::ServingStatus::NotServing
        };
        for service in ["", SERVICE] {
            self.0.set_service_status(service, status).await;
        }
    }
}

/// The health service, and the handle that says what it answers; not serving to begin with.
pub async fn health(stop: CancellationToken) -> (Readiness, HealthServer<Health>) {
    let reporter = HealthReporter::new();
    let health = Health {
        inner: HealthService::from_health_reporter(reporter.clone()),
        stop,
    };
    let readiness = Readiness(reporter);
    readiness.set(false).await;
    (readiness, HealthServer::new(health))
}

/// tonic-health's service, until the node stops.
#[derive(Debug)]
pub struct Health {
    inner: HealthService,
    stop: CancellationToken,
}

#[tonic::async_trait]
impl Answers for Health {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        self.inner.check(request).await
    }

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let watch = self.inner.watch(request).await?.into_inner();
        let last = HealthCheckResponse {
            status: Wire::NotServing.into(),
        };
        let until_stopped = watch.take_until(self.stop.clone().cancelled_owned());
        let answers = until_stopped.chain(stream::once(std::future::ready(Ok(last))));
        Ok(Response::new(answers.boxed()))
    }
}

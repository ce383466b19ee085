//! The gRPC edge: messages in, orders to the ledger, messages out.

mod caller;
mod check;
mod filter;
mod health;
mod inward;
mod list;
mod node;
mod outward;
mod status;
mod watch;
mod watchers;
mod write;

use std::{pin::Pin, sync::Arc};

use futures_util::{Stream, StreamExt as _, stream};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use crate::{
    ledger::Ledger,
    limits,
    model::UnixNanos,
    proto::v1::{
        self,
        revocation_service_server::{RevocationService, RevocationServiceServer},
    },
    verification::Verification,
};
use check::Judge;
pub use health::{Health, Readiness, health};
use watchers::Watchers;

/// The service's name, as health checks know it.
pub const SERVICE: &str = "rescind.v1.RevocationService";

/// The gRPC service.
#[derive(Debug)]
pub struct Service {
    judge: Judge,
    watchers: Arc<Watchers>,
    started_at: UnixNanos,
    stop: CancellationToken,
}

impl Service {
    /// Serves a ledger until `stop`: then every stream ends.
    pub fn new(
        ledger: Ledger,
        verification: Option<Arc<Verification>>,
        stop: CancellationToken,
    ) -> RevocationServiceServer<Self> {
        let service = Self {
            started_at: ledger.wall(),
            judge: Judge {
                ledger,
                verification,
            },
            watchers: Arc::default(),
            stop,
        };
        RevocationServiceServer::new(service).max_decoding_message_size(limits::MESSAGE_BYTES_MAX)
    }
}

/// What CheckStream answers with.
type CheckAnswers = Pin<Box<dyn Stream<Item = Result<v1::CheckStreamResponse, Status>> + Send>>;

#[tonic::async_trait]
impl RevocationService for Service {
    type CheckStreamStream = CheckAnswers;
    type WatchRevocationsStream = watch::Answers;

    async fn check(
        &self,
        request: Request<v1::CheckRequest>,
    ) -> Result<Response<v1::CheckResponse>, Status> {
        let response = check::check(&self.judge, request.get_ref()).await;
        Ok(Response::new(response))
    }

    async fn check_batch(
        &self,
        request: Request<v1::CheckBatchRequest>,
    ) -> Result<Response<v1::CheckBatchResponse>, Status> {
        let results = check::batch(&self.judge, &request.get_ref().checks).await?;
        Ok(Response::new(v1::CheckBatchResponse { results }))
    }

    async fn check_stream(
        &self,
        request: Request<Streaming<v1::CheckStreamRequest>>,
    ) -> Result<Response<Self::CheckStreamStream>, Status> {
        let state = (request.into_inner(), self.judge.clone());
        let answers = stream::try_unfold(state, |(mut questions, judge)| async {
            let Some(question) = questions.message().await? else {
                return Ok(None);
            };
            let results = check::batch(&judge, &question.checks).await?;
            let id = question.id;
            let answer = v1::CheckStreamResponse { id, results };
            Ok(Some((answer, (questions, judge))))
        });
        let stop = self.stop.clone();
        let stopped = stream::once(async move {
            stop.cancelled().await;
            Err(status::shutting_down())
        });
        // Whichever comes first ends the stream: the caller's last question, or the shutdown.
        let answers = answers.map(Some).chain(stream::once(async { None }));
        let until_stopped = stream::select(answers, stopped.map(Some).boxed());
        let answers = until_stopped
            .take_while(|answer| std::future::ready(answer.is_some()))
            .filter_map(std::future::ready);
        Ok(Response::new(Box::pin(answers)))
    }

    async fn revoke(
        &self,
        request: Request<v1::RevokeRequest>,
    ) -> Result<Response<v1::RevokeResponse>, Status> {
        let actor = caller::actor(&request);
        let response = write::revoke(&self.judge, &actor, request.into_inner()).await?;
        Ok(Response::new(response))
    }

    async fn revoke_user(
        &self,
        request: Request<v1::RevokeUserRequest>,
    ) -> Result<Response<v1::RevokeUserResponse>, Status> {
        let actor = caller::actor(&request);
        let response = write::revoke_user(&self.judge.ledger, &actor, request.into_inner()).await?;
        Ok(Response::new(response))
    }

    async fn restore(
        &self,
        request: Request<v1::RestoreRequest>,
    ) -> Result<Response<v1::RestoreResponse>, Status> {
        let actor = caller::actor(&request);
        let response = write::restore(&self.judge.ledger, &actor, request.into_inner()).await?;
        Ok(Response::new(response))
    }

    async fn list_revocations(
        &self,
        request: Request<v1::ListRevocationsRequest>,
    ) -> Result<Response<v1::ListRevocationsResponse>, Status> {
        let response = list::list(&self.judge.ledger, request.into_inner()).await?;
        Ok(Response::new(response))
    }

    async fn watch_revocations(
        &self,
        request: Request<v1::WatchRevocationsRequest>,
    ) -> Result<Response<Self::WatchRevocationsStream>, Status> {
        if self.stop.is_cancelled() {
            return Err(status::shutting_down());
        }
        let actor = caller::actor(&request);
        let asked = watch::parse(request.into_inner())?;
        let watching = self
            .watchers
            .open(asked.watcher.clone(), actor)
            .ok_or_else(status::too_many_watchers)?;
        let answers = watch::watch(
            self.judge.ledger.clone(),
            asked,
            self.stop.clone(),
            watching,
        );
        Ok(Response::new(answers))
    }

    async fn get_status(
        &self,
        _request: Request<v1::GetStatusRequest>,
    ) -> Result<Response<v1::GetStatusResponse>, Status> {
        let ready = !self.stop.is_cancelled();
        let response = node::status(&self.judge, &self.watchers, self.started_at, ready);
        Ok(Response::new(response))
    }
}

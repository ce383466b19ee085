//! The gRPC edge: messages in, orders to the ledger, messages out.

mod caller;
mod check;
mod claims;
mod deadline;
mod filter;
mod follow;
mod health;
mod inward;
mod keep;
mod list;
mod material;
mod node;
mod outward;
mod status;
mod turns;
mod watch;
mod watchers;
mod write;

use std::{pin::Pin, sync::Arc, time::Duration};

use futures_util::{Stream, StreamExt as _, TryStreamExt as _, stream};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use crate::{
    fleet::{self, Fleet, NodeId, Propagation, Run, Wait, Who},
    ledger::Ledger,
    limits,
    model::UnixNanos,
    proto::v1::{
        self,
        revocation_service_server::{RevocationService, RevocationServiceServer},
    },
    verification::Verification,
};
use check::{Judge, Keys};
pub use deadline::keep_deadline;
pub use health::{Health, Readiness, health};
pub use keep::{keep_followers, keep_leads, recall_followers};
use turns::Turns;
use watchers::{Follower, Watchers};

/// The service's name, as health checks know it.
pub const SERVICE: &str = "rescind.v1.RevocationService";

/// The gRPC service.
#[derive(Debug)]
pub struct Service {
    judge: Judge,
    watchers: Arc<Watchers>,
    started_at: UnixNanos,
    access: Access,
    digests: Arc<Turns>,
    stop: CancellationToken,
}

/// What callers may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// Whether what only other nodes need is open to whoever can connect.
    pub peers: bool,
}

impl Service {
    /// Serves a ledger until `stop`: then every stream ends.
    pub fn new(
        ledger: Ledger,
        fleet: Arc<Fleet>,
        verification: Option<Arc<Verification>>,
        access: Access,
        stop: CancellationToken,
    ) -> RevocationServiceServer<Self> {
        Self::shared(ledger, fleet, verification, access, stop).grpc()
    }

    /// The same, for more than one edge.
    pub fn shared(
        ledger: Ledger,
        fleet: Arc<Fleet>,
        verification: Option<Arc<Verification>>,
        access: Access,
        stop: CancellationToken,
    ) -> Arc<Self> {
        Arc::new(Self {
            started_at: ledger.wall(),
            judge: Judge {
                ledger,
                fleet,
                verification,
            },
            watchers: Arc::default(),
            access,
            digests: Arc::default(),
            stop,
        })
    }

    /// The gRPC edge.
    pub fn grpc(self: &Arc<Self>) -> RevocationServiceServer<Self> {
        RevocationServiceServer::from_arc(Arc::clone(self))
            .max_decoding_message_size(limits::MESSAGE_BYTES_MAX)
    }

    /// What the node is, holds and may hold.
    pub fn status(&self) -> v1::GetStatusResponse {
        let verification = self.judge.verification.as_ref();
        let has_keys = verification.is_none_or(|of| of.waits_for().is_empty());
        let ready = !self.stop.is_cancelled() && self.fleet().is_ready() && has_keys;
        node::status(&self.judge, &self.watchers, self.started_at, ready)
    }

    fn fleet(&self) -> &Arc<Fleet> {
        &self.judge.fleet
    }

    /// Waits until followers have what stands at a seq.
    async fn spread(
        &self,
        seq: u64,
        who: Who,
        within: Duration,
        except: Option<NodeId>,
    ) -> Propagation {
        let now = self.judge.ledger.wall();
        let fleet = self.fleet();
        let configured =
            |is_known: &dyn Fn(NodeId) -> bool| fleet.upstreams.unknown_peers(is_known);
        let asked = Wait {
            seq,
            who,
            within,
            except,
        };
        let hubs = fleet.upstreams.hubs();
        let own = fleet.followers.wait(asked, now, configured);
        if hubs.is_empty() {
            return own.await;
        }
        // A hub answers for its own followers, and so does this node, which may be a hub too.
        let until = fleet.steady() + within;
        let by_hub = fleet.hand_up.wait(asked, until, hubs);
        fleet::both_ways(who, own, by_hub).await
    }

    fn same_node(&self, run: Run) -> Status {
        if run.boot == self.judge.ledger.boot() {
            return status::itself();
        }
        tracing::error!(
            node = %run.node,
            "another live process has this node's id: its data directory was copied"
        );
        status::cloned()
    }

    fn for_peers(&self, rpc: &str) -> Result<(), Status> {
        if self.access.peers {
            return Ok(());
        }
        Err(status::peers_only(rpc))
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
        let response = check::check(&self.judge, request.get_ref(), Keys::Awaited).await;
        let response = response.map_err(|unable| status::unable(&unable))?;
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
        let judge = self.judge.clone();
        let answer = move |question: v1::CheckStreamRequest| {
            let judge = judge.clone();
            Ok(async move {
                let results = check::batch(&judge, &question.checks).await?;
                let id = question.id;
                Ok(v1::CheckStreamResponse { id, results })
            })
        };
        // As they are ready, in any order.
        let answers = request
            .into_inner()
            .and_then(move |question| std::future::ready(answer(question)))
            .try_buffer_unordered(limits::STREAM_QUESTIONS_MAX);
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
        let response = write::revoke(self, &actor, request.into_inner()).await?;
        Ok(Response::new(response))
    }

    async fn revoke_user(
        &self,
        request: Request<v1::RevokeUserRequest>,
    ) -> Result<Response<v1::RevokeUserResponse>, Status> {
        let actor = caller::actor(&request);
        let response = write::revoke_user(self, &actor, request.into_inner()).await?;
        Ok(Response::new(response))
    }

    async fn restore(
        &self,
        request: Request<v1::RestoreRequest>,
    ) -> Result<Response<v1::RestoreResponse>, Status> {
        let actor = caller::actor(&request);
        let response = write::restore(self, &actor, request.into_inner()).await?;
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
        let ledger = &self.judge.ledger;
        if let Some(follower) = asked.follower
            && follower.run.node.0 == ledger.node()
        {
            return Err(self.same_node(follower.run));
        }
        let watching = self
            .watchers
            .open(
                asked.watcher.clone(),
                actor.clone(),
                asked.follower,
                self.fleet(),
                ledger,
            )
            .ok_or_else(status::too_many_watchers)?;
        if let Some(Follower { run, role }) = asked.follower {
            let (followers, now) = (&self.fleet().followers, ledger.wall());
            followers.connected(run, role, &actor, asked.reached(ledger), now);
        }
        let answers = watch::watch(
            ledger.clone(),
            Arc::clone(self.fleet()),
            asked,
            self.stop.clone(),
            watching,
        );
        Ok(Response::new(answers))
    }

    async fn ack_watch(
        &self,
        request: Request<v1::AckWatchRequest>,
    ) -> Result<Response<v1::AckWatchResponse>, Status> {
        follow::ack(self, request.get_ref())?;
        Ok(Response::new(v1::AckWatchResponse {}))
    }

    async fn merge_records(
        &self,
        request: Request<Streaming<v1::MergeRecordsRequest>>,
    ) -> Result<Response<v1::MergeRecordsResponse>, Status> {
        self.for_peers("MergeRecords")?;
        let actor = caller::actor(&request);
        let response = follow::merge(self, &actor, request.into_inner()).await?;
        Ok(Response::new(response))
    }

    async fn get_digests(
        &self,
        request: Request<v1::GetDigestsRequest>,
    ) -> Result<Response<v1::GetDigestsResponse>, Status> {
        self.for_peers("GetDigests")?;
        let response = follow::digests(self, request.into_inner()).await?;
        Ok(Response::new(response))
    }

    async fn get_status(
        &self,
        request: Request<v1::GetStatusRequest>,
    ) -> Result<Response<v1::GetStatusResponse>, Status> {
        if request.get_ref().compare {
            self.fleet().compare_now();
        }
        Ok(Response::new(self.status()))
    }
}

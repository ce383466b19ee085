//! Calls to an upstream.

use tonic::{Code, Status, Streaming, transport::Channel};
use tonic_types::StatusExt as _;

use crate::{
    fleet::{NodeId, Run},
    ledger::Ledger,
    limits,
    model::Boot,
    proto::v1::{
        self, Hello, WatchRevocationsResponse, revocation_service_client::RevocationServiceClient,
        watch_revocations_response::Event,
    },
};

use super::Sync;

/// A client of one connection.
pub(super) type Client = RevocationServiceClient<Channel>;

/// Why a connection ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// It leads to this node itself.
    Itself,
    /// What went wrong.
    Failed(String),
}

impl From<String> for Ended {
    fn from(error: String) -> Self {
        Self::Failed(error)
    }
}

impl From<Status> for Ended {
    fn from(status: Status) -> Self {
        let reason = status.get_details_error_info().map(|info| info.reason);
        match reason.as_deref() {
            Some("SAME_NODE") => Self::Itself,
            _ if status.code() == Code::Unavailable && status.message().is_empty() => {
                Self::Failed("the connection was lost".to_owned())
            }
            _ => Self::Failed(status.message().to_owned()),
        }
    }
}

/// How a watch is asked for.
#[derive(Debug, Default)]
pub(super) struct Ask {
    pub(super) cursor: Vec<u8>,
    pub(super) start: v1::Start,
    pub(super) ranges: Vec<u32>,
    /// Only to read Hello: such a watch says nothing of how far this node has come.
    pub(super) is_probe: bool,
}

/// A watch that has begun.
pub(super) struct Begun {
    pub(super) run: Run,
    pub(super) hello: Hello,
    pub(super) messages: Streaming<WatchRevocationsResponse>,
}

pub(super) fn client(channel: Channel) -> Client {
    RevocationServiceClient::new(channel).max_decoding_message_size(limits::MESSAGE_BYTES_MAX)
}

/// Opens a watch and reads who answers.
pub(super) async fn watch(
    client: &mut Client,
    ledger: &Ledger,
    role: v1::FollowerRole,
    ask: Ask,
) -> Result<Begun, Ended> {
    let request = v1::WatchRevocationsRequest {
        cursor: ask.cursor,
        start: ask.start.into(),
        heartbeat: prost_types::Duration::try_from(limits::PEER_HEARTBEAT).ok(),
        watcher: format!("node {}", NodeId(ledger.node())),
        exclude_origin: if ask.is_probe { 0 } else { ledger.boot().0 },
        follower: (!ask.is_probe).then(|| v1::Follower {
            node_id: NodeId(ledger.node()).to_string(),
            role: role.into(),
        }),
        ranges: ask.ranges,
        ..v1::WatchRevocationsRequest::default()
    };
    let begun = async {
        let mut messages = client.watch_revocations(request).await?.into_inner();
        let first = messages.message().await?;
        let Some(Event::Hello(hello)) = first.and_then(|first| first.event) else {
            return Err(Ended::Failed(
                "the watch did not begin with Hello".to_owned(),
            ));
        };
        let run = run_of(&hello).ok_or_else(|| "its node id or boot cannot be read".to_owned())?;
        if run.node.0 == ledger.node() {
            return Err(if run.boot == ledger.boot() {
                Ended::Itself
            } else {
                Ended::Failed(
                    "it has the node id of this node and another boot: a data directory was copied"
                        .to_owned(),
                )
            });
        }
        Ok(Begun {
            run,
            hello,
            messages,
        })
    };
    tokio::time::timeout(limits::PEER_CALL_TIMEOUT, begun)
        .await
        .map_err(|_| "it did not begin to answer in time".to_owned())?
}

fn run_of(hello: &Hello) -> Option<Run> {
    let boot = NodeId::parse(&hello.boot)?;
    Some(Run {
        node: NodeId::parse(&hello.node_id)?,
        boot: Boot(boot.0),
    })
}

impl Sync {
    pub(super) fn cursor_name(run: Run) -> String {
        format!("cursor:{}", run.node)
    }
}

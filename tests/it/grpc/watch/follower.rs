//! A watcher that keeps what it is told, as a follower would.

use std::{collections::BTreeMap, time::Duration};

use prost::Message as _;
use rescind::proto::v1::{
    self, Hello, WatchMode, WatchRevocationsRequest, WatchRevocationsResponse,
    watch_revocations_response::Event,
};
use tonic::{Status, Streaming};

use crate::harness::node::Api;

/// How long a message that must come may take, on a busy machine.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// The next message; `None` at the end.
pub(super) async fn next(
    stream: &mut Streaming<WatchRevocationsResponse>,
) -> Result<Option<(Vec<u8>, Event)>, Status> {
    let message = tokio::time::timeout(PATIENCE, stream.message());
    let message = message.await.expect("nothing came")?;
    Ok(message.map(|message| (message.cursor, message.event.unwrap())))
}

/// Opens a watch and reads its first message.
pub(super) async fn open(
    api: &Api,
    request: WatchRevocationsRequest,
) -> (Streaming<WatchRevocationsResponse>, Hello) {
    let stream = api.clone().watch_revocations(request).await.unwrap();
    let mut stream = stream.into_inner();
    let Some((_, Event::Hello(hello))) = next(&mut stream).await.unwrap() else {
        panic!("the first message is not Hello");
    };
    (stream, hello)
}

/// What a target is known by.
pub(super) fn name(revocation: &v1::Revocation) -> Vec<u8> {
    revocation.target.as_ref().unwrap().encode_to_vec()
}

/// A watcher between connections: what it holds, and where it stands.
#[derive(Debug, Default)]
pub(super) struct Follower {
    /// What is asked for, beside the cursor.
    pub(super) filter: WatchRevocationsRequest,
    pub(super) cursor: Vec<u8>,
    pub(super) held: BTreeMap<Vec<u8>, v1::Revocation>,
    /// What came since a RESET, while it lasts.
    since_reset: Option<BTreeMap<Vec<u8>, v1::Revocation>>,
}

impl Follower {
    pub(super) fn new(filter: WatchRevocationsRequest) -> Self {
        Self {
            filter,
            ..Self::default()
        }
    }

    /// Goes on from where it stands.
    pub(super) async fn resume(
        &mut self,
        api: &Api,
    ) -> (Streaming<WatchRevocationsResponse>, WatchMode) {
        let request = WatchRevocationsRequest {
            cursor: self.cursor.clone(),
            ..self.filter.clone()
        };
        let (stream, hello) = open(api, request).await;
        if hello.mode() == WatchMode::Reset {
            self.since_reset = Some(BTreeMap::new());
        }
        (stream, hello.mode())
    }

    /// Takes one message in; says whether it was `CaughtUp`.
    pub(super) fn take(&mut self, cursor: Vec<u8>, event: Event) -> bool {
        self.cursor = cursor;
        match event {
            Event::Records(records) => {
                let to = self.since_reset.as_mut().unwrap_or(&mut self.held);
                for revocation in records.revocations {
                    to.insert(name(&revocation), revocation);
                }
                false
            }
            Event::CaughtUp(caught_up) => {
                assert!(caught_up.ready);
                // What did not come since the RESET is no longer known there.
                if let Some(since) = self.since_reset.take() {
                    self.held = since;
                }
                true
            }
            Event::Heartbeat(_) | Event::Hello(_) => false,
        }
    }

    /// Resumes, and reads until `CaughtUp`; the mode that it began with.
    pub(super) async fn catch_up(&mut self, api: &Api) -> WatchMode {
        let (mut stream, mode) = self.resume(api).await;
        self.read_on(&mut stream).await;
        mode
    }

    /// Reads until `CaughtUp`.
    pub(super) async fn read_on(&mut self, stream: &mut Streaming<WatchRevocationsResponse>) {
        loop {
            let (cursor, event) = next(stream).await.unwrap().unwrap();
            if self.take(cursor, event) {
                return;
            }
        }
    }

    pub(super) fn targets(&self) -> Vec<v1::Target> {
        let held = self.held.values();
        held.filter_map(|revocation| revocation.target.clone())
            .collect()
    }
}

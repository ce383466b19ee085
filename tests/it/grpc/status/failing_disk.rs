//! A disk that fails: writes are refused and say why, and everything else goes on.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use redb::{StorageBackend, backends::InMemoryBackend};
use rescind::{
    clock::ManualClock,
    fleet::Fleet,
    journal::Journal,
    ledger::{Ledger, Options, WriterThread},
    limits,
    model::Semantics,
    proto::v1::{
        self, GetStatusRequest, ListRevocationsRequest, RevokeUserRequest, RuleKind, Verdict,
        WatchRevocationsRequest, revocation_service_client::RevocationServiceClient,
        watch_revocations_response::Event,
    },
    server::{Access, SERVICE, Service},
};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use tonic::{
    Code, Status,
    transport::{Channel, Endpoint, Server, server::TcpIncoming},
};
use tonic_types::StatusExt as _;

use super::super::say::{self, ISS, claims, jti, restore, session, user, verdict};
use crate::harness::node::{Api, START};

/// What a disk fails at.
#[derive(Clone, Copy, Debug, PartialEq)]
enum At {
    /// At all that changes it.
    Everything,
    /// At making it durable alone: it takes what is written.
    Syncing,
}

/// A disk in memory that fails when told to.
#[derive(Debug)]
struct Disk {
    memory: InMemoryBackend,
    at: At,
    fails: Arc<AtomicBool>,
}

impl Disk {
    fn works(&self) -> io::Result<()> {
        if self.fails.load(Ordering::SeqCst) {
            return Err(io::Error::other("no space left on the test's disk"));
        }
        Ok(())
    }

    fn takes_writes(&self) -> io::Result<()> {
        if self.at == At::Syncing {
            return Ok(());
        }
        self.works()
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        self.memory.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.memory.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.takes_writes()?;
        self.memory.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.works()?;
        self.memory.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.takes_writes()?;
        self.memory.write(offset, data)
    }
}

/// The service on such a disk.
struct Node {
    api: Api,
    channel: Channel,
    fails: Arc<AtomicBool>,
    writer: WriterThread,
    stop: CancellationToken,
    running: JoinHandle<Result<(), tonic::transport::Error>>,
}

impl Node {
    async fn start(at: At) -> Self {
        let fails = Arc::<AtomicBool>::default();
        let disk = Disk {
            memory: InMemoryBackend::new(),
            at,
            fails: Arc::clone(&fails),
        };
        let options = Options {
            clock: Arc::new(ManualClock::new(START)),
            semantics: Arc::new(Semantics::default()),
            live_max: limits::LIVE_DEFAULT,
            sweep_settle: limits::SWEEP_SETTLE_DEFAULT,
            accept_changed_meaning: false,
        };
        let journal = Journal::open_with(disk, true).unwrap();
        let (ledger, writer) = Ledger::open(journal, &options).unwrap();
        let fleet = Arc::new(Fleet::alone(Arc::clone(&options.clock)));
        let stop = CancellationToken::new();
        let (reporter, health) = tonic_health::server::health_reporter();
        reporter
            .set_service_status(SERVICE, tonic_health::ServingStatus::Serving)
            .await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let served = Server::builder()
            .add_service(Service::new(
                ledger,
                fleet,
                None,
                Access::default(),
                stop.clone(),
            ))
            .add_service(health)
            .serve_with_incoming_shutdown(
                TcpIncoming::from(listener),
                stop.clone().cancelled_owned(),
            );
        let running = tokio::spawn(served);
        let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
        let channel = endpoint.connect().await.unwrap();
        let api = RevocationServiceClient::new(channel.clone());
        Self {
            api,
            channel,
            fails,
            writer,
            stop,
            running,
        }
    }

    async fn stop(self) {
        let Self {
            api,
            channel,
            writer,
            stop,
            running,
            ..
        } = self;
        drop((api, channel));
        stop.cancel();
        running.await.unwrap().unwrap();
        writer.join();
    }
}

fn is_refused(status: &Status) {
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    let info = status.get_details_error_info().unwrap();
    assert_eq!(
        (info.domain.as_str(), info.reason.as_str()),
        ("rescind", "NOT_WRITABLE")
    );
    assert!(
        !status
            .get_details_retry_info()
            .unwrap()
            .retry_delay
            .unwrap()
            .is_zero()
    );
    for word in ["nothing was acknowledged", "no space left", "restart"] {
        assert!(status.message().contains(word), "{}", status.message());
    }
}

#[tokio::test]
async fn a_failing_disk_refuses_writes_and_nothing_else() {
    for at in [At::Everything, At::Syncing] {
        writes_are_refused_and_nothing_else(Node::start(at).await).await;
    }
}

async fn writes_are_refused_and_nothing_else(node: Node) {
    let mut api = node.api.clone();
    let mut first = say::revoke(vec![user("u"), jti("j")]);
    "before".clone_into(&mut first.comment);
    api.revoke(first).await.unwrap();
    let request = WatchRevocationsRequest {
        heartbeat: Some(prost_types::Duration {
            seconds: 0,
            nanos: 200_000_000,
        }),
        ..WatchRevocationsRequest::default()
    };
    let mut watch = api.watch_revocations(request).await.unwrap().into_inner();

    node.fails.store(true, Ordering::SeqCst);
    is_refused(
        &api.revoke(say::revoke(vec![session("s")]))
            .await
            .unwrap_err(),
    );
    // One failure is enough: what a disk did afterwards cannot be told from outside.
    node.fails.store(false, Ordering::SeqCst);
    let of_user = RevokeUserRequest {
        iss: ISS.to_owned(),
        sub: "v".to_owned(),
        ..RevokeUserRequest::default()
    };
    is_refused(&api.revoke_user(of_user).await.unwrap_err());
    is_refused(
        &api.restore(restore(vec![user("u")], &[RuleKind::IssuedBefore]))
            .await
            .unwrap_err(),
    );
    // What is wrong in itself is told as that.
    assert_eq!(
        api.revoke(say::revoke(Vec::new()))
            .await
            .unwrap_err()
            .code(),
        Code::InvalidArgument
    );

    let now = START.secs_floor();
    let with = |sub: &str, sid: &str| v1::Claims {
        sub: sub.to_owned(),
        sid: sid.to_owned(),
        ..claims("x", now - 60)
    };
    assert_eq!(verdict(&api, claims("j", now - 60)).await, Verdict::Revoked);
    assert_eq!(verdict(&api, with("u", "s")).await, Verdict::Revoked);
    assert_eq!(verdict(&api, with("v", "s")).await, Verdict::Active);

    let status = api
        .get_status(GetStatusRequest::default())
        .await
        .unwrap()
        .into_inner();
    assert!(status.ready);
    let journal = status.journal.unwrap();
    assert!(!journal.healthy);
    assert!(
        journal.failure.contains("no space left"),
        "{}",
        journal.failure
    );
    assert_eq!((journal.head, journal.records), (2, 2));

    // A watch that was open goes on; what was refused never shows.
    let (mut shown, mut beats) = (0, 0);
    while beats < 2 {
        match watch.message().await.unwrap().unwrap().event.unwrap() {
            Event::Records(records) => shown += records.revocations.len(),
            Event::Heartbeat(beat) => {
                assert_eq!(beat.head, 2);
                beats += 1;
            }
            _ => {}
        }
    }
    assert_eq!(shown, 2);
    // A list reads the disk, and ends with what was acknowledged.
    let page = api
        .list_revocations(ListRevocationsRequest::default())
        .await;
    let page = page.unwrap().into_inner();
    assert_eq!(page.revocations.len(), 2);
    assert!(page.next_page_token.is_empty());
    let mut health = tonic_health::pb::health_client::HealthClient::new(node.channel.clone());
    for service in ["", SERVICE] {
        let service = service.to_owned();
        let answer = health
            .check(tonic_health::pb::HealthCheckRequest { service })
            .await;
        assert_eq!(answer.unwrap().into_inner().status, 1);
    }
    drop((api, watch, health));
    node.stop().await;
}

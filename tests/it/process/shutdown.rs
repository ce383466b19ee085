//! From a signal to the exit.

use std::{
    io::Write as _,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use rescind::proto::v1::{
    self, CheckStreamRequest, WatchRevocationsRequest, watch_revocations_response::Event,
};
use rustix::process::Signal;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Streaming, transport::Endpoint};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::harness::{
    PATIENCE,
    api::{self, Thing},
    eventually,
    load::Load,
    random::Random,
    sidecar::{Client, Launch, Sidecar},
    within,
};

/// What "promptly" means: far below the ten seconds that a drain may take.
const PROMPTLY: Duration = Duration::from_secs(3);
/// The drain's bound, with a little for the process to begin and end.
const DRAINED: Duration = Duration::from_secs(12);

async fn watch(client: &mut Client) -> Streaming<v1::WatchRevocationsResponse> {
    let request = WatchRevocationsRequest::default();
    let mut events = client
        .watch_revocations(request)
        .await
        .unwrap()
        .into_inner();
    loop {
        let message = events.message().await.unwrap().unwrap();
        if matches!(message.event, Some(Event::CaughtUp(_))) {
            return events;
        }
    }
}

/// Waits for the end of a stream; the code that it ends with.
async fn end<T>(stream: &mut Streaming<T>) -> Code {
    let ending = async {
        loop {
            match stream.message().await {
                Ok(Some(_)) => {}
                Ok(None) => return Code::Ok,
                Err(status) => return status.code(),
            }
        }
    };
    within(PROMPTLY, "the end of a stream", ending).await
}

/// A client that watches more than it ever reads: returns once the server waits for it.
async fn never_reads(sidecar: &Sidecar) -> Streaming<v1::WatchRevocationsResponse> {
    let mut client = sidecar.client().await;
    let things: Vec<_> = (0..1_000).map(|n| Thing::User(n.to_string())).collect();
    let request = v1::RevokeRequest {
        comment: "x".repeat(1_024),
        ..api::revoke(&things)
    };
    client.revoke(request).await.unwrap();
    let endpoint = Endpoint::from_shared(format!("http://{}", sidecar.address))
        .unwrap()
        .initial_stream_window_size(0xffff)
        .initial_connection_window_size(0xffff);
    let mut unread = Client::new(endpoint.connect().await.unwrap());
    let request = WatchRevocationsRequest::default();
    let unread = unread
        .watch_revocations(request)
        .await
        .unwrap()
        .into_inner();
    // The first message is four times what this connection takes in unread.
    let blocked = async {
        loop {
            let request = v1::GetStatusRequest::default();
            let status = client.get_status(request).await.unwrap().into_inner();
            if status.watchers[0].lag < 1_000 {
                return;
            }
        }
    };
    within(PATIENCE, "the first message of the watch", blocked).await;
    unread
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_ends_every_stream_at_once_and_the_process_exits_with_zero() {
    let mut sidecar = Launch::ephemeral().start().await;
    let mut client = sidecar.client().await;
    let mut watches = Vec::new();
    for _ in 0..3 {
        watches.push(watch(&mut sidecar.client().await).await);
        watches.push(watch(&mut client).await);
    }
    // One stream of checks whose caller has more to ask, on a connection of its own and on one
    // that is shared.
    let mut checks = Vec::new();
    for client in [&mut client, &mut sidecar.client().await] {
        let (ask, questions) = mpsc::channel(1);
        let question = CheckStreamRequest {
            id: 7,
            checks: vec![Thing::User("ada".to_owned()).question(api::now_s() - 3_600.0)],
        };
        ask.send(question).await.unwrap();
        let answers = client.check_stream(ReceiverStream::new(questions)).await;
        let mut answers = answers.unwrap().into_inner();
        assert_eq!(answers.message().await.unwrap().unwrap().id, 7);
        checks.push((ask, answers));
    }
    // A connection without a call under way.
    let idle = sidecar.channel().await;
    let mut health = Vec::new();
    for service in ["", "rescind.v1.RevocationService"] {
        let request = HealthCheckRequest {
            service: service.to_owned(),
        };
        let mut client = HealthClient::new(sidecar.channel().await);
        let mut states = client.watch(request).await.unwrap().into_inner();
        let first = states.message().await.unwrap().unwrap();
        assert_eq!(first.status(), ServingStatus::Serving);
        health.push(states);
    }

    sidecar.signal(Signal::TERM);
    for states in &mut health {
        let next = within(PROMPTLY, "NOT_SERVING", states.message()).await;
        assert_eq!(next.unwrap().unwrap().status(), ServingStatus::NotServing);
        assert_eq!(end(states).await, Code::Ok);
    }
    for events in &mut watches {
        assert_eq!(end(events).await, Code::Unavailable);
    }
    for (_still_asking, answers) in &mut checks {
        assert_eq!(end(answers).await, Code::Unavailable);
    }
    let status = sidecar.exit(PROMPTLY).await;
    assert_eq!(status.code(), Some(0), "{status}");
    drop(idle);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_stream_ends_with_says_what_to_do() {
    let sidecar = Launch::ephemeral().start().await;
    let mut events = watch(&mut sidecar.client().await).await;
    sidecar.signal(Signal::INT);
    let status = within(PROMPTLY, "the end", events.message()).await;
    let status = status.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains("connect again"), "{status:?}");
    let info = tonic_types::StatusExt::get_details_error_info(&status).unwrap();
    assert_eq!((&*info.domain, &*info.reason), ("rescind", "SHUTTING_DOWN"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_never_read_or_never_speak_do_not_hold_the_exit_beyond_the_bound() {
    let mut sidecar = Launch::ephemeral().start().await;
    let unread = never_reads(&sidecar).await;
    let silent = std::net::TcpStream::connect(&sidecar.address).unwrap();
    let mut half = std::net::TcpStream::connect(&sidecar.address).unwrap();
    half.write_all(b"PRI * HTTP/2.0\r\n").unwrap();
    let began = Instant::now();
    sidecar.signal(Signal::TERM);
    let status = sidecar.exit(DRAINED).await;
    println!("exited {:.1?} after SIGTERM", began.elapsed());
    assert_eq!(status.code(), Some(0), "{status}");
    assert!(sidecar.stderr().contains("at the end of the drain: cut"));
    drop((unread, silent, half));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_aborts_at_once() {
    let mut sidecar = Launch::ephemeral().start().await;
    let unread = never_reads(&sidecar).await;
    sidecar.signal(Signal::TERM);
    sidecar.wait_for_log("draining");
    sidecar.signal(Signal::TERM);
    let status = sidecar.exit(PROMPTLY).await;
    assert_eq!(status.code(), Some(1), "{status}");
    let stderr = sidecar.stderr();
    let last = stderr.lines().last().unwrap_or_default();
    assert_eq!(last, "error: aborted by a second signal");
    drop(unread);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_terminal_does_not_end_the_process() {
    let mut sidecar = Launch::ephemeral().start().await;
    sidecar.signal(Signal::HUP);
    sidecar.wait_for_log("SIGHUP");
    let mut client = sidecar.client().await;
    let status = client.get_status(v1::GetStatusRequest::default());
    assert!(
        within(PATIENCE, "status", status)
            .await
            .unwrap()
            .into_inner()
            .ready
    );
    sidecar.signal(Signal::TERM);
    assert_eq!(sidecar.exit(PROMPTLY).await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_when_sigterm_comes_under_load() {
    let mut random = Random::new(1);
    let data_dir = tempfile::tempdir().unwrap();
    let launch = Launch::on(data_dir.path());
    let mut load = Load::new(16, &mut random);
    for enough in [1, 100] {
        let mut sidecar = launch.start().await;
        let running = load.start(&sidecar).await;
        let acknowledged = Arc::clone(&running.acknowledged);
        eventually(PATIENCE, "acknowledged writes", || {
            (acknowledged.load(Ordering::Relaxed) >= enough).then_some(())
        })
        .await;
        sidecar.signal(Signal::TERM);
        let status = sidecar.exit(PROMPTLY).await;
        assert_eq!(status.code(), Some(0), "{status}");
        load = within(PROMPTLY, "writers that see it", running.stopped()).await;
        let sidecar = launch.start().await;
        assert!(load.check(&sidecar, true).await >= 1);
    }
}

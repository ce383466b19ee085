//! A disk that takes no more: writes are refused, and nothing else.

use rescind::proto::v1::{self, Verdict};
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::harness::{
    api::{self, Thing},
    sidecar::{Client, Launch},
    small_disk::SmallDisk,
};

async fn revoke(client: &mut Client, thing: &Thing) -> Result<(), tonic::Status> {
    let request = v1::RevokeRequest {
        comment: "x".repeat(1_024),
        ..api::revoke(std::slice::from_ref(thing))
    };
    client.revoke(request).await.map(drop)
}

async fn verdict(client: &mut Client, thing: &Thing) -> Verdict {
    let question = thing.question(api::now_s() - 3_600.0);
    client.check(question).await.unwrap().into_inner().verdict()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_writes_and_says_so_and_check_goes_on() {
    let data_dir = tempfile::tempdir().unwrap();
    let disk = SmallDisk::at(data_dir.path(), 3 * 1_024);
    let launch = Launch::on(data_dir.path()).with_mounts_of(disk.holder());
    let sidecar = launch.start().await;
    let mut client = sidecar.client().await;
    let mut acknowledged = Vec::new();
    let (refused, status) = loop {
        let thing = Thing::User(acknowledged.len().to_string());
        match revoke(&mut client, &thing).await {
            Ok(()) => acknowledged.push(thing),
            Err(status) => break (thing, status),
        }
        assert!(acknowledged.len() < 100_000, "it never filled up");
    };
    assert!(!acknowledged.is_empty());
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    let info = status.get_details_error_info().unwrap();
    assert_eq!(info.reason, "NOT_WRITABLE");
    assert!(status.get_details_retry_info().is_some());

    // What was acknowledged is denied, and what was refused is not.
    for thing in &acknowledged {
        assert_eq!(verdict(&mut client, thing).await, Verdict::Revoked);
    }
    assert_eq!(verdict(&mut client, &refused).await, Verdict::Active);
    let again = revoke(&mut client, &refused).await.unwrap_err();
    assert_eq!(again.code(), Code::Unavailable);
    let status = client
        .get_status(v1::GetStatusRequest::default())
        .await
        .unwrap();
    let journal = status.into_inner().journal.unwrap();
    assert!(!journal.healthy);
    assert!(journal.failure.contains("disk"), "{}", journal.failure);
    assert_eq!(journal.head, acknowledged.len() as u64);

    // With room again everything is as it was acknowledged, and writes are taken.
    sidecar.kill();
    disk.grow(64 * 1_024);
    let sidecar = launch.start().await;
    let mut client = sidecar.client().await;
    for thing in &acknowledged {
        assert_eq!(verdict(&mut client, thing).await, Verdict::Revoked);
    }
    assert_eq!(verdict(&mut client, &refused).await, Verdict::Active);
    revoke(&mut client, &refused).await.unwrap();
    assert_eq!(verdict(&mut client, &refused).await, Verdict::Revoked);
}

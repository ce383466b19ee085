//! A disk that fails under one member of a mesh.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    time::Duration,
};

use rescind::proto::v1;
use tonic_types::StatusExt as _;

use super::{
    Site, for_all, start_all, status,
    truth::{By, Truth},
    until,
};
use crate::harness::{
    PATIENCE,
    api::ISS,
    command::output_of,
    sidecar::{Client, Sidecar},
    small_disk::SmallDisk,
};

/// Lets every sync of a process's files fail, until it is dropped.
struct FailingSyncs(Child);

impl FailingSyncs {
    fn of(sidecar: &Sidecar) -> Self {
        let calls = "fsync,fdatasync,sync_file_range,msync";
        let mut strace = Command::new("strace")
            .args(["-f", "-p", &sidecar.pid().to_string()])
            .args(["-e", &format!("trace={calls}")])
            .args(["-e", &format!("inject={calls}:error=EIO")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("strace; install it: apt-get install strace");
        let mut says = BufReader::new(strace.stderr.take().unwrap()).lines();
        let attached = says.next().unwrap().unwrap();
        assert!(attached.contains("attached"), "{attached}");
        // It stops once nobody reads what it says.
        std::thread::spawn(move || says.for_each(drop));
        Self(strace)
    }
}

impl Drop for FailingSyncs {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Revokes a user and waits for followers.
pub(super) async fn spread(
    client: &mut Client,
    sub: &str,
    wait_for: v1::WaitFor,
) -> v1::Propagation {
    let request = v1::RevokeUserRequest {
        iss: ISS.to_owned(),
        sub: sub.to_owned(),
        wait_for: Some(wait_for),
        ..v1::RevokeUserRequest::default()
    };
    let answer = client.revoke_user(request).await.unwrap().into_inner();
    answer.propagation.unwrap()
}

async fn is_level_with(client: &mut Client, followers: usize) {
    until("followers without lag", client, |status| {
        let level = status.followers.iter();
        level.filter(|one| one.connected && one.lag == 0).count() == followers
    })
    .await;
}

/// What must hold once the journal of `c` has failed, of a mesh of `a` and `c`.
async fn goes_on_without_its_disk(truth: &Truth, site: &Site, c: &Sidecar) {
    let (mut a, mut at_c) = (site.client("a"), site.client("c"));
    let refused = truth.revoke(&mut at_c, "refused", By::Upstream).await;
    let refused = refused.unwrap_err();
    let info = refused.get_details_error_info().unwrap();
    assert_eq!(info.reason, "NOT_WRITABLE", "{refused:?}");

    // What others revoke is enforced there, and it does not say that it keeps it.
    // An acknowledgement of what came before may still be on its way, and none of what comes now.
    let before = status(&mut a).await.journal.unwrap().head;
    for n in 0..20 {
        let sub = format!("after-{n}");
        truth.revoke(&mut a, &sub, By::Upstream).await.unwrap();
    }
    truth
        .all_end_equal(&mut [("a", a.clone()), ("c", at_c.clone())])
        .await;
    let spread = spread(&mut a, "pending", for_all(Duration::from_millis(500))).await;
    assert_eq!((spread.expected, spread.applied), (1, 0), "{spread:?}");
    let node = status(&mut at_c).await.node_id;
    assert!(spread.pending[0].contains(&node), "{spread:?}");
    let now = status(&mut a).await;
    let follower = &now.followers[0];
    assert!(
        follower.acked <= before && follower.lag >= 21,
        "{before}: {now:#?}"
    );
    // It is fresh all the same: what it knows it enforces.
    until("fresh", &mut at_c, super::is_fresh).await;

    let now = status(&mut at_c).await;
    let journal = now.journal.clone().unwrap();
    assert!(
        !journal.healthy && journal.failure.contains("disk"),
        "{now:#?}"
    );
    let printed = output_of(c.command().arg("status")).stdout;
    assert!(printed.contains("disk"), "{printed}");
}

/// On a disk that works again it reads what it missed, and takes and keeps everything.
async fn recovers(truth: &Truth, site: &Site) {
    let (mut a, at_c) = (site.client("a"), site.client("c"));
    until("fresh", &mut at_c.clone(), super::is_fresh).await;
    is_level_with(&mut a, 1).await;
    let waited = spread(&mut a, "kept", for_all(PATIENCE)).await;
    assert_eq!((waited.expected, waited.applied), (1, 1), "{waited:?}");
    truth
        .revoke(&mut at_c.clone(), "refused", By::Upstream)
        .await
        .unwrap();
    for client in [&a, &at_c] {
        for sub in ["pending", "kept", "refused"] {
            let question = truth.question(sub);
            let denied = async {
                loop {
                    let answer = client.clone().check(question.clone()).await;
                    if answer.unwrap().get_ref().verdict() == v1::Verdict::Revoked {
                        return;
                    }
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            crate::harness::within(PATIENCE, sub, denied).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_whose_syncs_fail_refuses_writes_enforces_what_others_send_and_recovers() {
    let site = Site::new();
    let all = ["a", "c"];
    let launches = all.map(|name| site.member(name, &all));
    let mut nodes = start_all(&launches).await;
    let truth = Truth::new();
    is_level_with(&mut site.client("a"), 1).await;
    truth
        .revoke(&mut site.client("c"), "before", By::Upstream)
        .await
        .unwrap();

    let failing = FailingSyncs::of(&nodes[1]);
    let first = truth
        .revoke(&mut site.client("c"), "first", By::Upstream)
        .await;
    first.unwrap_err();
    goes_on_without_its_disk(&truth, &site, &nodes[1]).await;
    // A disk that comes back is not believed before a restart.
    drop(failing);
    truth
        .revoke(&mut site.client("c"), "refused", By::Upstream)
        .await
        .unwrap_err();
    nodes.remove(1).kill();
    nodes.extend(start_all(&launches[1..]).await);
    recovers(&truth, &site).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_whose_disk_is_full_refuses_writes_enforces_what_others_send_and_recovers() {
    let site = Site::new();
    let all = ["a", "c"];
    let disk = SmallDisk::at(&site.data_dir("c"), 3 * 1_024);
    let c = site.member("c", &all).with_mounts_of(disk.holder());
    let launches = [site.member("a", &all), c];
    let mut nodes = start_all(&launches).await;
    let truth = Truth::new();
    is_level_with(&mut site.client("a"), 1).await;

    // It fills up by what the other sends.
    let (mut a, mut at_c) = (site.client("a"), site.client("c"));
    let mut n = 0;
    while status(&mut at_c).await.journal.unwrap().healthy {
        let subs: Vec<_> = (n..n + 50).map(|n| format!("filling-{n}")).collect();
        truth.revoke_many(&mut a, &subs).await;
        n += 50;
        assert!(n < 100_000, "it never filled up");
    }
    goes_on_without_its_disk(&truth, &site, &nodes[1]).await;
    nodes.remove(1).kill();
    disk.grow(64 * 1_024);
    nodes.extend(start_all(&launches[1..]).await);
    recovers(&truth, &site).await;
}

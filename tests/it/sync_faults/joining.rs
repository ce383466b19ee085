//! Nodes that join: what they say before they know enough, and what they wait for.

use std::time::Duration;

use rescind::proto::v1::Verdict;
use tonic::Code;

use super::{
    Site, start_all, status,
    truth::{By, Truth},
    until,
};
use crate::harness::{
    PATIENCE,
    command::output_of,
    sidecar::{Launch, Sidecar},
    within,
};

/// What `rescind status` prints.
fn printed(sidecar: &Sidecar) -> String {
    let output = output_of(sidecar.command().arg("status"));
    output.stdout + &output.stderr
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_never_synced_never_says_active_and_says_what_it_waits_for() {
    let site = Site::new();
    let launch = site.member("a", &["a", "b"]).flag("--join-timeout");
    let mut a = launch.flag("1s").spawn();
    a.wait_until_bound().await;
    let mut client = a.client().await;
    let truth = Truth::new();
    // It takes writes and enforces them.
    truth
        .revoke(&mut client, "ada", By::Upstream)
        .await
        .unwrap();
    let mut next = tokio::time::interval(Duration::from_millis(50));
    while a.began.elapsed() < Duration::from_secs(3) {
        next.tick().await;
        let refused = client.check(truth.question("bob")).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unavailable, "{refused:?}");
        let denied = client.check(truth.question("ada")).await.unwrap();
        assert_eq!(denied.get_ref().verdict(), Verdict::Revoked);
    }
    let printed = printed(&a);
    assert!(printed.contains("joining"), "{printed}");
    assert!(printed.contains("b.sock"), "{printed}");
    assert!(printed.contains("cannot connect"), "{printed}");

    let _b = start_all(&[site.member("b", &["a", "b"])]).await;
    a.wait_until_ready().await;
    let answer = client.check(truth.question("bob")).await.unwrap();
    assert_eq!(answer.get_ref().verdict(), Verdict::Active);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_told_to_go_on_alone_does_so_after_the_timeout_and_no_sooner() {
    let site = Site::new();
    let flags = ["--join", "alone", "--join-timeout", "2s"];
    let launch = site.member("a", &["a", "b"]);
    let launch = flags.iter().fold(launch, Launch::flag);
    let mut a = launch.spawn();
    a.wait_until_bound().await;
    let mut client = a.client().await;
    let truth = Truth::new();
    let alone = async {
        loop {
            let answer = client.check(truth.question("bob")).await;
            match answer {
                Ok(answer) => return answer.into_inner(),
                Err(status) => assert_eq!(status.code(), Code::Unavailable, "{status:?}"),
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let answer = within(PATIENCE, "an answer alone", alone).await;
    let after = a.began.elapsed();
    assert!(after >= Duration::from_secs(2), "{after:?}");
    assert_eq!(answer.verdict(), Verdict::Active);
    // It was never level with anybody, and says so.
    assert_eq!(answer.staleness_ms, u32::MAX);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_restarts_while_the_others_are_down_denies_what_it_knows_and_waits() {
    let site = Site::new();
    let all = ["a", "b", "c"];
    let launches = all.map(|name| site.member(name, &all));
    let mut nodes = start_all(&launches).await;
    let truth = Truth::new();
    truth
        .revoke(&mut site.client("b"), "ada", By::Upstream)
        .await
        .unwrap();
    let mut clients = all.map(|name| (name, site.client(name)));
    truth.all_end_equal(&mut clients).await;
    for node in nodes.drain(..) {
        node.kill();
    }
    let mut a = launches[0].spawn();
    a.wait_until_bound().await;
    let mut client = a.client().await;
    until("both were tried", &mut client, |status| {
        status
            .upstreams
            .iter()
            .all(|upstream| upstream.state == "failed")
    })
    .await;
    let denied = client.check(truth.question("ada")).await.unwrap();
    assert_eq!(denied.get_ref().verdict(), Verdict::Revoked);
    let refused = client.check(truth.question("bob")).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    let now = status(&mut client).await;
    assert!(
        !now.ready && now.not_ready_because.contains("c.sock"),
        "{now:#?}"
    );
    // One that has to wait too is not enough to go on by: it may lack what the third has.
    let mut b = launches[1].spawn();
    b.wait_until_bound().await;
    until("the two have met", &mut client, |status| {
        status
            .upstreams
            .iter()
            .any(|upstream| upstream.state == "following")
    })
    .await;
    assert!(!status(&mut client).await.ready);
    let _c = start_all(&launches[2..]).await;
    a.wait_until_ready().await;
    b.wait_until_ready().await;
}

/// The list of a mesh is often the same on all of its nodes. A node waited for itself to answer, so
/// that a mesh with such a list that was started from nothing was never ready.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mesh_whose_members_list_themselves_too_starts_and_says_self() {
    let site = Site::new();
    let all = ["a", "b"];
    let launches = all.map(|name| {
        let launch = site.node(name);
        all.iter().fold(launch, |launch, peer| {
            launch.flag("--peer").flag(site.at(peer))
        })
    });
    let _nodes = start_all(&launches).await;
    let mut client = site.client("a");
    until("self, and the other", &mut client, |status| {
        let states: Vec<_> = status
            .upstreams
            .iter()
            .map(|one| one.state.as_str())
            .collect();
        states == ["self", "following"]
    })
    .await;
    let truth = Truth::new();
    truth
        .revoke(&mut client, "ada", By::Upstream)
        .await
        .unwrap();
    let mut clients = all.map(|name| (name, site.client(name)));
    truth.all_end_equal(&mut clients).await;
    until("fresh", &mut client, super::is_fresh).await;
    let asked = super::for_all(PATIENCE);
    let spread = super::disks::spread(&mut client, "bob", asked).await;
    assert_eq!((spread.expected, spread.applied), (1, 1), "{spread:?}");
}

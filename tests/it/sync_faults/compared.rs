//! What `rescind status --compare` says to a person and to a script.

use super::{Site, start_all, until};
use crate::harness::{
    command::output_of,
    sidecar::{Launch, Sidecar},
};

fn compare(sidecar: &Sidecar) -> (i32, String) {
    let output = output_of(sidecar.command().args(["status", "--compare"]));
    (output.code, output.stdout + &output.stderr)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_who_asks_is_told_whether_all_hold_the_same() {
    let site = Site::new();
    let both = ["a", "b"];
    let [a, b]: [Sidecar; 2] = start_all(&both.map(|name| site.member(name, &both)))
        .await
        .try_into()
        .ok()
        .unwrap();
    for _ in 0..2 {
        let (code, printed) = compare(&a);
        assert_eq!(code, 0, "{printed}");
        assert!(printed.contains("comparing with 1"), "{printed}");
        assert!(printed.contains("holds the same"), "{printed}");
    }
    drop(b);
    let mut client = a.client().await;
    until("failed", &mut client, |status| {
        status.upstreams[0].state == "failed"
    })
    .await;
    let (code, printed) = compare(&a);
    assert_eq!(code, 1, "{printed}");
    assert!(printed.contains("nothing was compared"), "{printed}");
}

/// Without `--insecure` a node makes digests for nobody, until policies can be configured.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_who_asks_is_told_that_a_node_is_not_compared_and_why() {
    let site = Site::new();
    let upstream = Launch::on(&site.data_dir("a"))
        .flag("--listen")
        .flag(site.at("a"));
    let follower = site.node("b").flag("--peer").flag(site.at("a"));
    let nodes = start_all(&[upstream, follower]).await;
    let (code, printed) = compare(&nodes[1]);
    assert_eq!(code, 1, "{printed}");
    assert!(printed.contains("not compared"), "{printed}");
    assert!(printed.contains("--insecure"), "{printed}");
}

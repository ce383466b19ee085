//! A process that is stopped and goes on later, as a machine that hangs does.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::{
    Site, asked_for, is_fresh, staleness, start_all, status, tell,
    truth::{By, Samples, Truth},
    until,
};
use crate::harness::{
    sidecar::{Client, Sidecar},
    within,
};

/// After it went on, every record that had come meanwhile was committed alone. As long as somebody
/// wrote as fast as that, it stayed as stale as it was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_is_stopped_and_goes_on_makes_nobody_look_fresher_than_it_is() {
    let site = Site::new();
    let all = ["a", "b", "c"];
    let launches = all.map(|name| site.member(name, &all));
    let nodes = start_all(&launches).await;
    let truth = Truth::new();
    let pace = Duration::from_millis(5);
    let writer = truth.write("a", site.client("a"), By::Upstream, pace);
    let samplers = ["a", "b"].map(|name| truth.sample(name, site.client(name), 7));
    let mut clients = all.map(|name| (name, site.client(name)));
    for (_, client) in &mut clients {
        until("fresh", client, is_fresh).await;
    }

    let span = Duration::from_secs(asked_for("RESCIND_STOPPED_S", 8));
    nodes[2].signal(Signal::STOP);
    let stopped = Instant::now();
    let mut next = tokio::time::interval(Duration::from_millis(200));
    while stopped.elapsed() < span {
        next.tick().await;
        for (name, client) in &mut clients[..2] {
            let truly = stopped.elapsed();
            let says = staleness(&status(client).await).unwrap();
            assert!(says >= truly, "{name}: {says:?} of {truly:?}");
            assert!(says < truly + Duration::from_secs(4), "{name}: {says:?}");
        }
    }

    let going_on = goes_on(&truth, &nodes[2], &clients[2].1, stopped);
    let at_once = within(span, "answers", going_on).await;
    let after = truth.sample("c", site.client("c"), 8);
    let mut back = Duration::ZERO;
    for (_, client) in &mut clients {
        back = back.max(until("fresh again", client, is_fresh).await);
    }
    assert!(
        back < Duration::from_secs(5),
        "{back:?} until all were fresh"
    );
    truth.stop.cancel();
    writer.await.unwrap();
    let mut seen = after.await.unwrap();
    for sampler in samplers {
        seen.add(sampler.await.unwrap());
    }
    let revoked = truth.all_end_equal(&mut clients).await;
    tell(&format!(
        "stopped for {span:?}: at once {at_once:?}; all fresh {back:.1?} after it went on; \
         {revoked} revoked on every node, {seen:?}"
    ));
}

/// Questions that wait for a stopped node when it goes on are answered before it has read anything
/// else.
async fn goes_on(truth: &Truth, node: &Sidecar, client: &Client, stopped: Instant) -> Samples {
    let (first, newest) = (truth.first_after(stopped).unwrap(), truth.newest().unwrap());
    let almost = stopped.elapsed().saturating_sub(Duration::from_secs(2));
    assert!(first.1.elapsed() > almost, "nobody wrote");
    let mut looks = Vec::new();
    let continued = Instant::now();
    for n in 0..80 {
        let (sub, acknowledged) = if n % 4 < 2 { &first } else { &newest };
        let mut question = truth.question(sub);
        question.max_staleness = (n % 2 == 0).then_some(prost_types::Duration {
            seconds: 2,
            nanos: 0,
        });
        let asked = (continued, question);
        looks.push(truth.look("c", client, (sub, *acknowledged), asked));
    }
    let going_on = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        node.signal(Signal::CONT);
    };
    let looks = futures_util::future::join_all(looks);
    let (looks, ()) = futures_util::future::join(looks, going_on).await;
    let mut at_once = Samples::default();
    for look in looks {
        at_once.add(look);
    }
    at_once
}

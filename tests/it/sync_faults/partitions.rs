//! Links over which nothing comes any more, and which heal.

use std::time::{Duration, Instant};

use super::{
    asked_for, links::Pair, staleness, status, tell, toxiproxy::Toxiproxy, truth::By, until_within,
};
use crate::harness::PATIENCE;

/// How soon a half-open link must be noticed: five seconds of silence, on a busy machine.
const NOTICED: Duration = Duration::from_secs(7);
/// How soon a healed one must be followed again: within two seconds, on a busy machine.
const FOLLOWED: Duration = Duration::from_secs(4);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_half_open_link_is_noticed_and_followed_again_soon_after_it_heals() {
    let proxy = Toxiproxy::start().await;
    let pair = Pair::start(&proxy).await;
    let span = Duration::from_secs(asked_for("RESCIND_PARTITION_S", 9));
    let pace = Duration::from_millis(5);
    let writer = pair
        .truth
        .write("b", pair.site.client("b"), By::Upstream, pace);
    let sampler = pair.truth.sample("a", pair.site.client("a"), 6);
    let mut client = pair.site.client("a");
    pair.link.swallow();
    let began = Instant::now();
    let noticed = until_within(NOTICED, "noticed", &mut client, |status| {
        status.upstreams[0].state != "following"
    })
    .await;
    let mut next = tokio::time::interval(Duration::from_millis(100));
    while began.elapsed() < span {
        next.tick().await;
        let truly = began.elapsed();
        let says = staleness(&status(&mut client).await).unwrap();
        assert!(says >= truly, "{says:?} of {truly:?}");
    }
    pair.link.heal();
    let (last, healed) = (pair.truth.newest().unwrap(), Instant::now());
    let followed = until_within(FOLLOWED, "followed again", &mut client, |status| {
        status.upstreams[0].state == "following"
    })
    .await;
    let question = pair.truth.question(&last.0);
    let has_it = async {
        loop {
            let answer = client.check(question.clone()).await.unwrap();
            if !answer.get_ref().active {
                return healed.elapsed();
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let caught_up = crate::harness::within(PATIENCE, "the last of before", has_it).await;
    pair.truth.stop.cancel();
    writer.await.unwrap();
    let seen = sampler.await.unwrap();
    let revoked = pair.ends_equal().await;
    tell(&format!(
        "half-open for {span:?}: noticed after {noticed:.1?}; healed: followed after \
         {followed:.1?}, caught up with what was revoked meanwhile after {caught_up:.1?} (goal \
         2 s); {revoked} revoked on both, {seen:?}"
    ));
    assert!(caught_up < FOLLOWED, "{caught_up:?}");
}

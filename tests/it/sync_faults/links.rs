//! Links that delay, throttle, and cut in the middle of a frame.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use rescind::proto::v1;
use tokio_util::sync::CancellationToken;

use super::{
    Site, asked_for, staleness, status, tell,
    toxiproxy::{Link, Toxiproxy, Way},
    truth::{By, Truth},
    until, until_within,
};
use crate::harness::{
    PATIENCE,
    api::{self, Thing},
    random::Random,
    sidecar::{Client, Sidecar},
};

/// `a` follows `b` over a link, and `b` follows `a` without detours.
pub(super) struct Pair<'a> {
    pub(super) site: Arc<Site>,
    pub(super) link: Link<'a>,
    _nodes: [Sidecar; 2],
    pub(super) truth: Arc<Truth>,
}

impl<'a> Pair<'a> {
    pub(super) async fn start(proxy: &'a Toxiproxy) -> Self {
        let pair = Self::spawn(proxy).await;
        for name in ["a", "b"] {
            until("fresh", &mut pair.site.client(name), super::is_fresh).await;
        }
        pair
    }

    /// Both answer, and `a` is on its way to `b`.
    pub(super) async fn spawn(proxy: &'a Toxiproxy) -> Self {
        let site = Arc::new(Site::new());
        let link = proxy.link("b");
        let mut b = site.member("b", &["a", "b"]).spawn();
        b.wait_until_bound().await;
        link.to(&b.address);
        let a = site.node("a").flag("--peer").flag(&link.address);
        let mut a = a.spawn();
        a.wait_until_bound().await;
        Self {
            site,
            link,
            _nodes: [a, b],
            truth: Truth::new(),
        }
    }

    pub(super) async fn ends_equal(&self) -> usize {
        let mut clients = ["a", "b"].map(|name| (name, self.site.client(name)));
        self.truth.all_end_equal(&mut clients).await
    }
}

/// Waits until the newest write is enforced at the node, and how long that took.
async fn until_it_has(pair: &Pair<'_>, name: &str, deadline: Duration) -> Duration {
    let (sub, acknowledged) = pair.truth.newest().unwrap();
    let question = pair.truth.question(&sub);
    let began = Instant::now();
    loop {
        let answer = pair.site.client(name).check(question.clone()).await;
        if answer.is_ok_and(|answer| answer.get_ref().verdict() == v1::Verdict::Revoked) {
            return acknowledged.elapsed();
        }
        assert!(began.elapsed() < deadline, "{name} has not heard of {sub}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Since a link became slow, what a node says of its staleness is never less than that is ago, or than
/// the link is slow. Returns how often it was asked.
async fn never_below(
    mut client: Client,
    began: Instant,
    delay: Duration,
    stop: CancellationToken,
) -> u64 {
    let mut looks = 0;
    let mut next = tokio::time::interval(Duration::from_millis(50));
    while !stop.is_cancelled() {
        next.tick().await;
        let truly = began.elapsed().min(delay);
        // Unset: not level with anybody.
        if let Some(says) = staleness(&status(&mut client).await) {
            assert!(says >= truly, "{says:?} of {truly:?}");
        }
        looks += 1;
    }
    looks
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_with_ten_seconds_of_delay_works_and_staleness_is_never_below_the_truth() {
    let proxy = Toxiproxy::start().await;
    let pair = Pair::start(&proxy).await;
    let pace = Duration::from_millis(20);
    let writer = pair
        .truth
        .write("b", pair.site.client("b"), By::Upstream, pace);
    let sampler = pair.truth.sample("a", pair.site.client("a"), 3);
    let delay = Duration::from_secs(asked_for("RESCIND_DELAY_S", 10));
    pair.link.delay(Way::Down, delay);
    let both = asked_for("RESCIND_DELAY_BOTH", 0) == 1;
    if both {
        pair.link.delay(Way::Up, delay);
    }
    let mut client = pair.site.client("a");
    let began = Instant::now();
    let slow = CancellationToken::new();
    let honest = never_below(pair.site.client("a"), began, delay, slow.clone());
    let honest = tokio::spawn(honest);
    // The silence breaks the first connection; the next one works, slowly.
    until("it is noticed", &mut client, |status| {
        status.upstreams[0].state != "following"
    })
    .await;
    let patience = delay * 10 + PATIENCE;
    let back = until_within(patience, "followed again", &mut client, |status| {
        status.upstreams[0].state == "following"
    })
    .await;
    let heard = until_within(patience, "level by a delayed echo", &mut client, |status| {
        staleness(status).is_some_and(|staleness| staleness + delay / 2 < began.elapsed())
    })
    .await;
    let news = until_it_has(&pair, "a", patience).await;
    assert!(news >= delay, "{news:?}: the link was not slow");
    assert_eq!(status(&mut client).await.upstreams[0].state, "following");
    slow.cancel();
    let looks = honest.await.unwrap();
    pair.truth.stop.cancel();
    writer.await.unwrap();
    let seen = sampler.await.unwrap();
    assert!(u128::from(seen.stalest_ms) >= delay.as_millis(), "{seen:?}");
    pair.link.remove("latency", Way::Down);
    if both {
        pair.link.remove("latency", Way::Up);
    }
    let revoked = pair.ends_equal().await;
    tell(&format!(
        "delay of {delay:?} (both ways: {both}): followed again after {back:.1?}, level after \
         {heard:.1?} more, news within {news:.1?}; {looks} looks at the status, {revoked} revoked on \
         both, {seen:?}"
    ));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_that_is_cut_in_the_middle_of_frames_loses_and_repeats_nothing() {
    let proxy = Toxiproxy::start().await;
    let pair = Pair::start(&proxy).await;
    let pace = Duration::from_millis(2);
    let writer = pair
        .truth
        .write("b", pair.site.client("b"), By::Upstream, pace);
    let sampler = pair.truth.sample("a", pair.site.client("a"), 4);
    let mut random = Random::new(5);
    let mut cut = 0;
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(10) {
        let way = if random.below(4) == 0 {
            Way::Up
        } else {
            Way::Down
        };
        let toxic = if random.below(4) == 0 {
            let after = random.below(300);
            pair.link
                .add("reset_peer", way, &format!(r#""timeout":{after}"#));
            "reset_peer"
        } else {
            let bytes = 1 + random.below(20_000);
            pair.link
                .add("limit_data", way, &format!(r#""bytes":{bytes}"#));
            "limit_data"
        };
        tokio::time::sleep(Duration::from_millis(200 + random.below(400))).await;
        pair.link.remove(toxic, way);
        cut += 1;
    }
    let mut client = pair.site.client("a");
    let back = until("followed again", &mut client, |status| {
        status.upstreams[0].state == "following"
    })
    .await;
    pair.truth.stop.cancel();
    writer.await.unwrap();
    let seen = sampler.await.unwrap();
    let revoked = pair.ends_equal().await;
    let refused = status(&mut client).await.upstreams[0].refused;
    assert_eq!(refused, 0, "a cut record was taken for a whole one");
    tell(&format!(
        "{cut} bad links: followed again {back:.1?} after the last; {revoked} revoked on both, {seen:?}"
    ));
}

/// Silence was told by messages: over a link so slow that one took longer than that, everything
/// that had come of it was thrown away, again and again, and the node never caught up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_catches_up_over_a_link_so_slow_that_one_message_takes_longer_than_silence_may() {
    let proxy = Toxiproxy::start().await;
    let site = Arc::new(Site::new());
    let mut b = site.node("b").start().await;
    b.wait_until_bound().await;
    let things: Vec<_> = (0..1_000)
        .map(|n| Thing::User(format!("user-{n}")))
        .collect();
    let request = v1::RevokeRequest {
        comment: "x".repeat(400),
        ..api::revoke(&things)
    };
    site.client("b").revoke(request).await.unwrap();
    let link = proxy.link("b");
    link.to(&b.address);
    let kib_per_s = asked_for("RESCIND_KIB_PER_S", 30);
    for way in [Way::Up, Way::Down] {
        link.add("bandwidth", way, &format!(r#""rate":{kib_per_s}"#));
    }
    let mut a = site.node("a").flag("--peer").flag(&link.address).spawn();
    a.wait_until_bound().await;
    let mut client = site.client("a");
    let patience = Duration::from_secs(90);
    let took = until_within(patience, "caught up", &mut client, |status| {
        status.upstreams[0].state == "following"
    })
    .await;
    let truth = Truth::new();
    truth
        .revoke(&mut site.client("b"), "news", By::Upstream)
        .await
        .unwrap();
    until("fresh", &mut client, super::is_fresh).await;
    let now = status(&mut client).await;
    assert_eq!(now.upstreams[0].received, 1_001, "{now:#?}");
    tell(&format!(
        "1,000 records at {kib_per_s} KiB/s: caught up after {took:.1?}"
    ));
}

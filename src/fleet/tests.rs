//! Who counts, and when a node may answer.

use std::time::Duration;

use super::*;
use crate::{clock::SystemClock, model::Boot};

fn fleet() -> Fleet {
    Fleet::new(Arc::new(SystemClock), Join::default(), None)
}

/// A peer is noted a moment after its entry. What was counted before that and after it did not fit
/// together: the node took the peer for itself, nobody else was left to be met, and a node that had
/// never synced said ACTIVE. (Met in CI, under load.)
#[test]
fn a_peer_that_is_noted_just_now_is_not_taken_for_met() {
    for _ in 0..2_000 {
        let fleet = fleet();
        let group = fleet
            .upstreams
            .add("b:1".to_owned(), Kind::Peer, false, None);
        std::thread::scope(|scope| {
            let noting = scope.spawn(|| group.member("b:1"));
            while !noting.is_finished() {
                assert!(!fleet.is_ready());
            }
        });
        assert!(!fleet.is_ready());
        assert_eq!(fleet.staleness(), None);
    }
}

#[test]
fn an_address_that_is_this_node_has_nobody_behind_it_and_a_name_may_yet_show_others() {
    for (is_name, is_ready) in [(false, true), (true, false)] {
        let fleet = fleet();
        let group = fleet
            .upstreams
            .add("a:1".to_owned(), Kind::Peer, is_name, None);
        group
            .member("a:1")
            .update(|view| view.phase = Phase::Itself);
        assert_eq!(fleet.is_ready(), is_ready);
    }
}

#[test]
fn the_stalest_peer_counts_and_the_best_hub() {
    let fleet = fleet();
    let now = fleet.steady();
    let ago = |seconds| now.saturating_sub(Duration::from_secs(seconds));
    let heard = |kind, name: &str, seconds, theirs| {
        let group = fleet.upstreams.add(name.to_owned(), kind, false, None);
        group.member(name).heard(ago(seconds), theirs);
    };
    heard(Kind::Hub, "h:1", 5, Some(Duration::from_secs(1)));
    heard(Kind::Hub, "k:1", 1, Some(Duration::from_secs(100)));
    let staleness = fleet.staleness().unwrap();
    assert!((6..8).contains(&staleness.as_secs()), "{staleness:?}");
    heard(Kind::Peer, "a:1", 20, None);
    heard(Kind::Peer, "b:1", 1, None);
    let staleness = fleet.staleness().unwrap();
    assert!((20..22).contains(&staleness.as_secs()), "{staleness:?}");
    heard(Kind::Hub, "never:1", 0, None);
    assert!(fleet.staleness().is_some(), "the best hub counts");
    fleet
        .upstreams
        .add("never:2".to_owned(), Kind::Peer, false, None)
        .member("never:2");
    assert_eq!(fleet.staleness(), None, "every peer counts");
}

/// One member met, and level a second ago.
fn met(upstream: &Upstream, node: u64, is_ready: bool, now: Duration) {
    upstream.update(|view| {
        view.run = Some(Run {
            node: NodeId(node),
            boot: Boot(node),
        });
        (view.phase, view.has_caught_up, view.is_ready) = (Phase::Following, true, is_ready);
    });
    upstream.heard(now.saturating_sub(Duration::from_secs(1)), None);
}

/// Two hubs that were restarted rightly waited for a third, which alone held a revocation. A fresh leaf
/// of the two had caught up with both, took itself for ready as a member of a mesh would, and said
/// ACTIVE.
#[test]
fn a_leaf_waits_for_a_hub_that_is_ready_however_many_have_answered() {
    let fleet = fleet();
    let now = fleet.steady();
    let hubs = ["h:1", "k:1"].map(|name| {
        let group = fleet.upstreams.add(name.to_owned(), Kind::Hub, false, None);
        group.member(name)
    });
    for (hub, node) in hubs.iter().zip(1..) {
        met(hub, node, false, now);
    }
    assert!(!fleet.is_ready());
    let because = fleet.not_ready_because();
    assert!(because.contains("none of them is ready"), "{because}");
    hubs[1].update(|view| view.is_ready = true);
    assert!(fleet.is_ready());
}

#[test]
fn a_peer_with_two_addresses_is_one_of_those_that_are_expected() {
    let fleet = fleet();
    let now = fleet.steady();
    let name = "dns:mesh:1".to_owned();
    let group = fleet.upstreams.add(name, Kind::Peer, true, Some(2));
    met(&group.member("10.0.0.1:1"), 1, false, now);
    met(&group.member("[fd00::1]:1"), 1, false, now);
    assert!(!fleet.is_ready());
    met(&group.member("10.0.0.2:1"), 2, false, now);
    assert!(fleet.is_ready());
}

/// Of several hubs the best counts, and of itself a node was always level: one of whose hubs it was
/// itself claimed to be level with all of them, cut off as it might be.
#[test]
fn a_hub_that_is_this_node_itself_vouches_for_nobody_else() {
    let fleet = fleet();
    let own = fleet
        .upstreams
        .add("h:1".to_owned(), Kind::Hub, false, None)
        .member("h:1");
    own.update(|view| view.phase = Phase::Itself);
    assert_eq!(fleet.staleness(), Some(Duration::ZERO), "nobody to follow");
    assert!(fleet.is_ready());

    let fleet = self::fleet();
    let now = fleet.steady();
    let hubs = ["h:1", "k:1"].map(|name| {
        let group = fleet.upstreams.add(name.to_owned(), Kind::Hub, false, None);
        group.member(name)
    });
    hubs[0].update(|view| view.phase = Phase::Itself);
    assert_eq!(fleet.staleness(), None);
    assert!(!fleet.is_ready());
    hubs[1].heard(now, Some(Duration::from_secs(7)));
    let staleness = fleet.staleness().unwrap();
    assert!((7..9).contains(&staleness.as_secs()), "{staleness:?}");
}

/// A node at an address was replaced by another. What the first had acknowledged was known to be
/// enforced, and was taken for what the second had.
#[test]
fn what_was_known_of_a_node_says_nothing_of_another_at_its_address() {
    let fleet = fleet();
    let now = fleet.steady();
    let group = fleet
        .upstreams
        .add("b:1".to_owned(), Kind::Peer, false, None);
    let upstream = group.member("b:1");
    met(&upstream, 1, false, now);
    let run = |node, boot| Run {
        node: NodeId(node),
        boot: Boot(boot),
    };
    upstream.met(run(1, 12));
    assert!(fleet.staleness().is_some(), "another run of the same node");
    upstream.met(run(2, 2));
    assert_eq!(fleet.staleness(), None);
    assert!(!fleet.is_ready());
    let view = upstream.view();
    assert!(!view.has_caught_up && view.heard_at.is_none());
}

//! Who counts, and when a node may answer.

use std::time::Duration;

use super::*;
use crate::clock::SystemClock;

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

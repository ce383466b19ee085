//! Who counts, and when a node may answer.

use std::time::Duration;

use super::*;
use crate::{clock::SystemClock, model::UnixNanos};

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

fn follower(boot: u64) -> Run {
    let (node, boot) = (NodeId(7), Boot(boot));
    Run { node, boot }
}

fn reached(seq: u64, is_complete: bool) -> Reached {
    Reached { seq, is_complete }
}

async fn applied(followers: &Followers, seq: u64) -> u32 {
    let asked = Wait {
        seq,
        who: Who::All,
        within: Duration::ZERO,
        except: None,
    };
    let nobody_else = |_: &dyn Fn(NodeId) -> bool| Vec::new();
    let spread = followers.wait(asked, || UnixNanos::ZERO, nobody_else).await;
    assert_eq!(spread.expected, 1);
    spread.applied
}

/// A write stood at 50,000. While a follower caught up from 0 its target was revoked again, which
/// moved its row to 101,000. The follower came past 50,000 without meeting it, acknowledged 60,000, and
/// the caller was told that it was in force there.
#[tokio::test(start_paused = true)]
async fn a_follower_on_its_way_has_not_what_was_superseded_ahead_of_it() {
    let (followers, now) = (Followers::default(), UnixNanos::ZERO);
    let run = follower(70);
    followers.connected(run, Role::Peer, "a", Reached::default(), now);
    followers.acked(run, Some(reached(60_000, false)), now);
    assert_eq!(applied(&followers, 50_000).await, 0);
    // People see that it moves.
    assert_eq!(followers.list(now)[0].1.reached, 60_000);
    followers.acked(run, Some(reached(101_000, true)), now);
    assert_eq!(applied(&followers, 50_000).await, 1);
    // The next run goes on from a place on its way.
    let next = follower(71);
    followers.connected(next, Role::Peer, "a", reached(102_000, false), now);
    assert_eq!(applied(&followers, 50_000).await, 0);
}

/// An acknowledgement was on its way when the disk of its node was set back to a backup: it counted
/// for the run on that disk, which had less.
#[tokio::test(start_paused = true)]
async fn what_an_earlier_run_of_a_follower_had_says_nothing_of_this_one() {
    let (followers, now) = (Followers::default(), UnixNanos::ZERO);
    let (before, after) = (follower(70), follower(71));
    followers.connected(before, Role::Peer, "a", Reached::default(), now);
    followers.connected(after, Role::Peer, "a", reached(3, true), now);
    followers.acked(before, Some(reached(9, true)), now);
    assert_eq!(applied(&followers, 5).await, 0);
    followers.acked(after, Some(reached(5, true)), now);
    assert_eq!(applied(&followers, 5).await, 1);
}

//! Who is waited for, and what it costs.

use super::*;

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
    let spread = followers.wait(asked, UnixNanos::ZERO, nobody_else).await;
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
    followers.acked(run, Some(reached(60_000, false)), Moment::default());
    assert_eq!(applied(&followers, 50_000).await, 0);
    // People see that it moves.
    assert_eq!(followers.list(now)[0].1.reached, 60_000);
    followers.acked(run, Some(reached(101_000, true)), Moment::default());
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
    followers.acked(before, Some(reached(9, true)), Moment::default());
    assert_eq!(applied(&followers, 5).await, 0);
    followers.acked(after, Some(reached(5, true)), Moment::default());
    assert_eq!(applied(&followers, 5).await, 1);
}

fn numbered(number: u64) -> Run {
    Run {
        node: NodeId(number),
        boot: Boot(number),
    }
}

/// How often it was looked whether those who are known suffice, until a wait was over.
async fn looks(followers: &Followers, who: Who, meanwhile: impl AsyncFn()) -> (Propagation, usize) {
    let looks = std::cell::Cell::new(0);
    let unmet = |_: &dyn Fn(NodeId) -> bool| {
        looks.set(looks.get() + 1);
        Vec::new()
    };
    let asked = Wait {
        seq: 5,
        who,
        within: limits::WAIT_FOR_DEFAULT,
        except: Some(NodeId(1)),
    };
    let waiting = followers.wait(asked, UnixNanos::ZERO, unmet);
    let (spread, ()) = tokio::join!(waiting, meanwhile());
    (spread, looks.get())
}

/// With thousands of followers every acknowledgement woke every waiter, which copied and read through
/// all of them: what was to be told within seconds took minutes of CPU.
#[tokio::test(start_paused = true)]
async fn an_acknowledgement_wakes_those_for_whom_it_is_the_last_one() {
    const ALL: u64 = 10_000;
    let (followers, now) = (Followers::default(), UnixNanos::ZERO);
    for number in 1..=ALL {
        let run = numbered(number);
        followers.connected(run, Role::Leaf, "a", reached(4, true), now);
    }
    let acked = async |numbers: std::ops::RangeInclusive<u64>, seq| {
        for number in numbers {
            followers.acked(
                numbered(number),
                Some(reached(seq, true)),
                Moment::default(),
            );
            // Whoever was woken looks before the next word comes.
            tokio::task::yield_now().await;
        }
    };
    let (spread, woken) = looks(&followers, Who::Count(3), async || acked(1..=100, 5).await).await;
    assert_eq!((spread.applied, woken), (3, 2));
    let (spread, woken) = looks(&followers, Who::All, async || acked(101..=ALL, 6).await).await;
    assert_eq!((spread.expected, spread.applied), (9_999, 9_999));
    assert_eq!((spread.pending.len(), woken), (0, 2));
    assert!(followers.lock().waiting.is_empty());
}

/// While somebody waits, followers come, go on with a disk that was set back, and are forgotten.
#[tokio::test(start_paused = true)]
async fn a_wait_counts_those_who_are_there_when_it_ends() {
    let (followers, now) = (Followers::default(), UnixNanos::ZERO);
    let come = |run, has| followers.connected(run, Role::Leaf, "a", reached(has, true), now);
    for number in 1..=4 {
        come(numbered(number), 5);
    }
    come(numbered(5), 4);
    let meanwhile = async || {
        come(numbered(6), 9);
        come(numbered(7), 4);
        let set_back = Boot(33);
        come(
            Run {
                boot: set_back,
                ..numbered(3)
            },
            2,
        );
        followers.lock().forget(NodeId(4));
    };
    // 1 is excepted; 2 and 6 have it; 3, 5 and 7 lack it.
    let (spread, _) = looks(&followers, Who::All, meanwhile).await;
    assert_eq!((spread.expected, spread.applied), (5, 2));
    assert_eq!(spread.pending.len(), 3, "{spread:?}");
}

/// The journal is written for those who are new: when thousands came back to a hub, each of them had
/// all of them written.
#[tokio::test(start_paused = true)]
async fn followers_who_come_back_as_they_were_are_not_kept_anew() {
    let (followers, now) = (Followers::default(), UnixNanos::ZERO);
    let come = |number, address: &str| {
        let run = numbered(number);
        followers.connected(run, Role::Leaf, address, Reached::default(), now);
    };
    let is_unsaved = async || {
        let unsaved = tokio::time::timeout(Duration::from_secs(1), followers.unsaved());
        unsaved.await.is_ok()
    };
    assert_eq!(followers.save(now), None);
    come(1, "a");
    come(2, "b");
    assert!(is_unsaved().await);
    followers.disconnected(NodeId(1), None, now);
    come(1, "a");
    assert!(!is_unsaved().await);
    come(1, "elsewhere");
    assert!(is_unsaved().await);
    let again = Followers::default();
    again.recall(&followers.save(now).unwrap());
    assert_eq!(again.list(now).len(), 2);
}

#[test]
fn whoever_returns_pushes_nobody_out_and_whoever_is_new_the_one_that_is_gone_longest() {
    let (followers, at) = (Followers::default(), UnixNanos::from_secs);
    for number in 0..limits::FOLLOWERS_MAX as u64 {
        let run = numbered(number);
        followers.connected(run, Role::Leaf, "a", Reached::default(), at(1));
    }
    for gone in [7, 5, 6] {
        followers.disconnected(NodeId(gone), None, at(2 + gone));
    }
    let is_known = |number| followers.lock().known.contains_key(&NodeId(number));
    followers.connected(numbered(6), Role::Leaf, "a", Reached::default(), at(20));
    assert!(is_known(5) && is_known(6) && is_known(7));
    let new = limits::FOLLOWERS_MAX as u64;
    followers.connected(numbered(new), Role::Leaf, "a", Reached::default(), at(20));
    assert!(!is_known(5) && is_known(6) && is_known(7) && is_known(new));
}

#[test]
fn people_see_what_a_follower_does_how_long_ago_it_was_level_and_why_it_left() {
    let (followers, wall) = (Followers::default(), UnixNanos::ZERO);
    let run = follower(70);
    let seen = || {
        let (_, seen) = followers.list(wall).remove(0);
        (
            seen.state(),
            seen.level_at.map(|at| at.as_secs()),
            seen.last_error,
        )
    };
    let acked = |at, head, seq| {
        let steady = Duration::from_secs(at);
        let now = Moment { wall, steady, head };
        followers.acked(run, Some(reached(seq, true)), now);
    };
    let fine = String::new;
    followers.connected(run, Role::Leaf, "a", Reached::default(), wall);
    assert_eq!(seen(), ("catching-up", None, fine()));
    acked(1, 10, 5);
    acked(2, 20, 9);
    assert_eq!(seen(), ("catching-up", None, fine()));
    // Under load it is always a little behind: it has what was all there was a second ago.
    acked(3, 30, 29);
    assert_eq!(seen(), ("following", Some(1), fine()));
    acked(4, 40, 39);
    acked(5, 50, 49);
    assert_eq!(seen(), ("following", Some(4), fine()));
    acked(6, 50, 50);
    assert_eq!(seen(), ("following", Some(6), fine()));
    followers.disconnected(run.node, None, wall);
    let left = "it left, or the connection broke";
    assert_eq!(seen(), ("away", Some(6), left.to_owned()));
    followers.connected(run, Role::Leaf, "a", Reached::default(), wall);
    followers.disconnected(run.node, Some("two of them"), wall);
    assert_eq!(seen(), ("away", Some(6), "two of them".to_owned()));
    followers.connected(run, Role::Leaf, "a", Reached::default(), wall);
    acked(8, 50, 50);
    assert_eq!(seen(), ("following", Some(8), fine()));
    followers.connected(follower(71), Role::Leaf, "a", Reached::default(), wall);
    assert_eq!(seen(), ("catching-up", None, fine()));
}

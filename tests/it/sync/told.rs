//! What a node says of how much it knows.

use rescind::{
    journal::{self, Journal},
    limits,
    model::{Lifetime, Target, What},
};
use std::ops::ControlFlow;
use tokio::{
    io::AsyncReadExt as _,
    net::{UnixListener, UnixStream},
    sync::Notify,
};

use super::*;

const DAY: Duration = Duration::from_secs(86_400);

#[tokio::test(flavor = "multi_thread")]
async fn status_shows_where_a_node_goes_on_and_how_stale_its_upstream_is() {
    let site = Site::new();
    let [a, b] = site.mesh(["a", "b"]).await;
    a.revoke_user("ada").await;
    b.until_revoked("ada").await;
    b.until("told", async |b| {
        let upstream = b.status().await.upstreams.remove(0);
        upstream.seq == 1 && upstream.head == 1 && upstream.staleness.is_some()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_with_a_bound_of_its_own_says_no_active_beyond_it_unless_the_caller_has_another() {
    let site = Site::new();
    let a = site.node("a", |_| {}).await;
    let b = site
        .node("b", |config| {
            config.follow.peers = site.addresses(&["a"]);
            config.max_staleness = Some(Duration::from_secs(1));
        })
        .await;
    b.until_ready().await;
    a.revoke_user("ada").await;
    b.until_revoked("ada").await;
    b.until("fresh", async |b| {
        matches!(b.check("bob").await, Ok(Verdict::Active))
    })
    .await;
    a.stop().await;
    b.until("stale", async |b| b.check("bob").await.is_err())
        .await;
    let refused = b.check("bob").await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::Unavailable);
    assert!(refused.message().contains("max_staleness"), "{refused:?}");
    assert_eq!(b.check("ada").await.unwrap(), Verdict::Revoked);
    let patient = Some(prost_types::Duration {
        seconds: 3_600,
        nanos: 0,
    });
    let verdict = b.check_within("bob", patient).await;
    assert_eq!(verdict.unwrap(), Verdict::Active);
}

/// A record from a newer version, say, was counted and left behind: the node said that it was level,
/// and after its upgrade went on behind what it had never taken in.
#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_cannot_be_read_is_not_passed_over() {
    let site = Site::new();
    let a = site.node("a", |_| {}).await;
    for sub in ["ada", "bob"] {
        a.revoke_user(sub).await;
    }
    a.stop().await;
    let unreadable = "x".repeat(limits::IDENTIFIER_BYTES_MAX + 1);
    rename(&site.data_dir("a"), "ada", &unreadable);
    let a = site.node("a", |_| {}).await;

    let follow = async || {
        let b = site
            .node("b", |config| config.follow.peers = site.addresses(&["a"]))
            .await;
        // What can be read is enforced.
        b.until_revoked("bob").await;
        b.until("told", async |b| {
            let upstream = b.status().await.upstreams.remove(0);
            upstream.state == "following" && upstream.last_error.contains("1 of its records")
        })
        .await;
        let status = b.status().await;
        assert!(!status.ready && status.staleness.is_none(), "{status:#?}");
        assert_eq!(status.upstreams[0].seq, 0);
        b
    };
    // And again by the next process, which goes on where the last one stood.
    let b = follow().await;
    b.stop().await;
    let b = follow().await;

    a.stop().await;
    rename(&site.data_dir("a"), &unreadable, "ada");
    let _a = site.node("a", |_| {}).await;
    b.until_revoked("ada").await;
    b.until("level", async |b| {
        let status = b.status().await;
        status.ready && status.staleness.is_some() && status.upstreams[0].last_error.is_empty()
    })
    .await;
}

/// A leaf that could not read one of its hub's records never found that it had heard the hub out, and
/// what it had taken before its last start was never handed up.
#[tokio::test(flavor = "multi_thread")]
async fn a_leaf_that_cannot_read_all_that_its_hub_has_hands_up_what_it_has_itself() {
    let site = Site::new();
    let alone = site.node("l", |_| {}).await;
    alone.revoke_user("own").await;
    alone.stop().await;
    let hub = site.node("h", |_| {}).await;
    hub.revoke_user("ada").await;
    hub.stop().await;
    let unreadable = "x".repeat(limits::IDENTIFIER_BYTES_MAX + 1);
    rename(&site.data_dir("h"), "ada", &unreadable);
    let hub = site.node("h", |_| {}).await;
    let leaf = site.leaf("l", &["h"]).await;
    hub.until_revoked("own").await;
    leaf.until("told so", async |leaf| {
        let upstream = leaf.status().await.upstreams.remove(0);
        (upstream.refused, upstream.handed_up) == (1, 1)
    })
    .await;
}

/// Gives a record another user, behind its node's back.
fn rename(data_dir: &Path, from: &str, to: &str) {
    let journal = Journal::open(&journal::Storage::Directory(data_dir.to_owned())).unwrap();
    let target = |sub: &str| Target {
        iss: "i".to_owned(),
        what: What::User(sub.to_owned()),
    };
    journal
        .write(|tables| {
            let live = tables.live(&target(from).key())?.unwrap();
            let mut record = tables.record(live.seq)?.unwrap();
            record.target = target(to);
            tables.delete(&target(from).key(), live.seq)?;
            tables.put(&target(to).key(), &record, live, None)?;
            Ok(ControlFlow::Continue(()))
        })
        .unwrap();
}

/// What a node with longer lifetimes says of a token that was issued so long ago.
async fn check_aged(node: &Member, age: Duration) -> Verdict {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    let claims = v1::Claims {
        iss: "i".to_owned(),
        jti: "old".to_owned(),
        sub: "zoe".to_owned(),
        iat: Some(now.saturating_sub(age).as_secs_f64()),
        exp: Some((now + DAY).as_secs_f64()),
        ..v1::Claims::default()
    };
    let request = v1::CheckRequest {
        credential: Some(v1::check_request::Credential::Claims(claims)),
        max_staleness: None,
    };
    let answer = node.api.clone().check(request).await.unwrap();
    answer.into_inner().verdict()
}

fn ninety_days(config: &mut Config) {
    config.semantics.defaults.max_token_lifetime = Lifetime::AtMost(90 * DAY);
}

/// A node that keeps for 90 days joins one that keeps for 30: what that one had forgotten it cannot
/// know, so older tokens are INVALID, as after a raise of its own.
#[tokio::test(flavor = "multi_thread")]
async fn catching_up_for_the_first_time_from_smaller_bounds_counts_as_a_raise() {
    let site = Site::new();
    let _a = site.node("a", |_| {}).await;
    let alone = site.node("c", ninety_days).await;
    assert_eq!(check_aged(&alone, 40 * DAY).await, Verdict::Active);
    let join = async || {
        let b = site
            .node("b", |config| {
                config.follow.peers = site.addresses(&["a"]);
                ninety_days(config);
            })
            .await;
        b.until_ready().await;
        assert_eq!(check_aged(&b, 40 * DAY).await, Verdict::Invalid);
        assert_eq!(check_aged(&b, 20 * DAY).await, Verdict::Active);
        b
    };
    let b = join().await;
    b.stop().await;
    join().await;
}

/// After the first message there was a cursor, and who was cut off then went on from it as if it had
/// caught up before: the raise never came.
#[tokio::test(flavor = "multi_thread")]
async fn a_first_catching_up_that_is_cut_is_still_the_first() {
    let site = Site::new();
    let a = site.node("a", |_| {}).await;
    a.revoke_user("first").await;
    let long = "x".repeat(900);
    let subs: Vec<_> = (0..600).map(|count| format!("{count}{long}")).collect();
    futures_util::future::join_all(subs.iter().map(|sub| a.revoke_user(sub))).await;

    let (from, to) = (site.socket("between"), site.socket("a"));
    let cut = Arc::new(Notify::new());
    let between = tokio::spawn(cut_once(from, to, Arc::clone(&cut)));
    let b = site
        .node("b", |config| {
            config.follow.peers = site.addresses(&["between"]);
            ninety_days(config);
        })
        .await;
    b.until_revoked("first").await;
    assert!(!b.status().await.ready);
    cut.notify_one();
    b.until_ready().await;
    assert_eq!(check_aged(&b, 40 * DAY).await, Verdict::Invalid);
    between.abort();
}

/// Passes everything on, but of the first connection no more than a part, until it is told to cut it.
async fn cut_once(from: PathBuf, to: PathBuf, cut: Arc<Notify>) {
    let listener = UnixListener::bind(from).unwrap();
    let mut part = Some(400_000);
    loop {
        let (near, _) = listener.accept().await.unwrap();
        let (mut near_reads, mut near_writes) = near.into_split();
        let (far_reads, mut far_writes) = UnixStream::connect(&to).await.unwrap().into_split();
        let most = part.take();
        let mut far_reads = far_reads.take(most.unwrap_or(u64::MAX));
        let down = async {
            tokio::io::copy(&mut far_reads, &mut near_writes).await.ok();
            if most.is_some() {
                cut.notified().await;
            }
        };
        let up = async {
            tokio::io::copy(&mut near_reads, &mut far_writes).await.ok();
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = down => {}
            () = up => {}
        }
    }
}

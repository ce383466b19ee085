//! Whatever happens, and wherever a watcher is cut: resumed with its last cursor it ends equal to
//! the node.

use std::collections::BTreeMap;

use proptest::prelude::*;
use rescind::proto::v1::{
    self, ListRevocationsRequest, RuleKind, TargetKind, WatchRevocationsRequest,
};

use super::{
    super::say::{
        ISS, all, client, issued_before, jti, list_all, restore, revoke_by, session, user, user_of,
    },
    follower::{Follower, name, next},
};
use crate::harness::node::{Options, TestNode};

#[derive(Clone, Debug)]
enum Step {
    /// Revokes these targets by a cut-off so many seconds ago, or altogether.
    Revoke(Vec<usize>, Option<u64>),
    /// Lifts a kind of rule of a target.
    Restore(usize, RuleKind),
    Restart,
    /// A watcher connects and reads so many messages before it is cut.
    Watch(usize, usize),
}

fn target(number: usize) -> v1::Target {
    match number % 5 {
        0 => user(&number.to_string()),
        1 => session(&number.to_string()),
        2 => user_of("https://b.example", &number.to_string()),
        3 => client(&number.to_string()),
        _ => jti(&number.to_string()),
    }
}

fn filters() -> Vec<WatchRevocationsRequest> {
    let of = |kinds: &[TargetKind], issuers: &[&str]| WatchRevocationsRequest {
        kinds: kinds.iter().map(|kind| *kind as i32).collect(),
        issuers: issuers.iter().map(|&iss| iss.to_owned()).collect(),
        ..WatchRevocationsRequest::default()
    };
    vec![
        of(&[], &[]),
        of(&[TargetKind::User], &[]),
        of(&[TargetKind::User, TargetKind::Token], &[ISS]),
        of(&[], &["https://b.example"]),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let kinds = prop::sample::select(vec![RuleKind::All, RuleKind::IssuedBefore]);
    let many = prop::collection::vec(0..15_usize, 1..6);
    let step = prop_oneof![
        4 => (many, prop::option::of(0..9_u64)).prop_map(|(targets, ago)| Step::Revoke(targets, ago)),
        3 => (0..15_usize, kinds).prop_map(|(target, kind)| Step::Restore(target, kind)),
        1 => Just(Step::Restart),
        4 => (0..4_usize, 1..5_usize).prop_map(|(watcher, messages)| Step::Watch(watcher, messages)),
    ];
    prop::collection::vec(step, 1..40)
}

async fn carry_out(step: Step, node: TestNode, watchers: &mut [Follower]) -> TestNode {
    let now = node.now_s();
    let mut api = node.api.clone();
    match step {
        Step::Revoke(numbers, ago) => {
            let targets: Vec<_> = numbers.into_iter().map(target).collect();
            let rules = ago.map_or_else(all, |ago| issued_before(now - ago));
            let mut request = revoke_by(targets, rules);
            if request
                .targets
                .iter()
                .all(|target| matches!(target.kind, Some(v1::target::Kind::Token(_))))
            {
                request.rules = None;
            }
            api.revoke(request).await.unwrap();
        }
        Step::Restore(number, kind) => {
            let kinds = if number % 5 == 4 {
                vec![RuleKind::All]
            } else {
                vec![kind]
            };
            api.restore(restore(vec![target(number)], &kinds))
                .await
                .unwrap();
        }
        Step::Restart => {
            drop(api);
            return node.restart().await;
        }
        Step::Watch(watcher, messages) => {
            let watcher = &mut watchers[watcher];
            let (mut stream, _) = watcher.resume(&api).await;
            for _message in 0..messages {
                let (cursor, event) = next(&mut stream).await.unwrap().unwrap();
                if watcher.take(cursor, event) {
                    break;
                }
            }
        }
    }
    node
}

fn listed(
    filter: &WatchRevocationsRequest,
    all: &[v1::Revocation],
) -> BTreeMap<Vec<u8>, v1::Revocation> {
    let shown = all.iter().filter(|revocation| {
        use v1::target::Kind;
        let target = revocation.target.as_ref().unwrap();
        let (kind, iss) = match target.kind.as_ref().unwrap() {
            Kind::Token(token) => (TargetKind::Token, &token.iss),
            Kind::User(user) => (TargetKind::User, &user.iss),
            Kind::Session(session) => (TargetKind::Session, &session.iss),
            Kind::Client(client) => (TargetKind::Client, &client.iss),
            other => panic!("{other:?}"),
        };
        (filter.kinds.is_empty() || filter.kinds.contains(&(kind as i32)))
            && (filter.issuers.is_empty() || filter.issuers.contains(iss))
    });
    shown
        .map(|revocation| (name(revocation), revocation.clone()))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn a_watcher_cut_anywhere_and_resumed_ends_equal_to_the_node_for_every_filter(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let directory = tempfile::tempdir().unwrap();
            let mut node = TestNode::start(Options::default().on_disk(directory.path())).await;
            let mut watchers: Vec<_> = filters().into_iter().map(Follower::new).collect();
            for step in steps {
                node = carry_out(step, node, &mut watchers).await;
            }
            let all = list_all(&node.api, ListRevocationsRequest::default()).await;
            for watcher in &mut watchers {
                watcher.catch_up(&node.api).await;
                assert_eq!(watcher.held, listed(&watcher.filter, &all));
                // And the node lists the same by the filters that a list has.
                if watcher.filter.issuers.len() < 2 {
                    let request = ListRevocationsRequest {
                        kinds: watcher.filter.kinds.clone(),
                        iss: watcher.filter.issuers.first().cloned().unwrap_or_default(),
                        page_size: 3,
                        ..ListRevocationsRequest::default()
                    };
                    let filtered = list_all(&node.api, request).await;
                    assert_eq!(watcher.held.len(), filtered.len());
                }
            }
            node.stop().await;
        });
    }
}

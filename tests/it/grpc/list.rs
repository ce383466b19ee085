//! `ListRevocations`.

use std::collections::BTreeSet;

use prost::Message as _;
use rescind::proto::v1::{
    self, ListRevocationsRequest, ListRevocationsResponse, Reason, RevokeRequest, RuleKind, Rules,
    TargetKind,
};

use super::say::{
    ISS, all, at, blamed, client, jti, list_all, restore, revoke, revoke_by, session, user, user_of,
};
use crate::harness::node::{Options, TestNode};

async fn page(node: &TestNode, request: ListRevocationsRequest) -> ListRevocationsResponse {
    let page = node.api.clone().list_revocations(request).await;
    page.unwrap().into_inner()
}

fn of_size(page_size: u32) -> ListRevocationsRequest {
    ListRevocationsRequest {
        page_size,
        ..ListRevocationsRequest::default()
    }
}

fn targets(revocations: &[v1::Revocation]) -> Vec<v1::Target> {
    let targets = revocations.iter().map(|one| one.target.clone().unwrap());
    targets.collect()
}

fn users(range: std::ops::Range<usize>) -> Vec<v1::Target> {
    range.map(|number| user(&number.to_string())).collect()
}

/// A node once listed the newest records from a memory that held every version of them.
#[tokio::test]
async fn a_target_is_listed_once_as_it_is_now_however_often_it_was_written() {
    let node = TestNode::start(Options::default()).await;
    let mut api = node.api.clone();
    for _ in 0..3 {
        api.revoke(revoke(vec![user("alice"), jti("j")]))
            .await
            .unwrap();
    }
    let lift = restore(vec![user("alice")], &[RuleKind::IssuedBefore]);
    api.restore(lift).await.unwrap();
    let listed = list_all(&api, ListRevocationsRequest::default()).await;
    assert_eq!(targets(&listed), [jti("j"), user("alice")]);
    assert_eq!(listed[1].lifted, [RuleKind::IssuedBefore as i32]);
    drop(api);
    node.stop().await;
}

#[tokio::test]
async fn what_was_forgotten_is_no_longer_listed() {
    let node = TestNode::start(Options::default()).await;
    let mut api = node.api.clone();
    let suspension = RevokeRequest {
        expires_at: Some(at(node.now_s() + 60)),
        ..revoke_by(vec![user("alice")], all())
    };
    api.revoke(suspension).await.unwrap();
    api.revoke(revoke(vec![user("bob")])).await.unwrap();
    node.advance_s(3_600);
    assert_eq!(node.sweep().await.count, 1);
    let listed = list_all(&api, ListRevocationsRequest::default()).await;
    assert_eq!(targets(&listed), [user("bob")]);
    drop(api);
    node.stop().await;
}

#[tokio::test]
async fn pages_have_the_asked_size_and_the_last_says_that_it_is() {
    let node = TestNode::start(Options::default()).await;
    node.api
        .clone()
        .revoke(revoke(users(0..250)))
        .await
        .unwrap();
    for (size, pages) in [
        (0, vec![100, 100, 50]),
        (125, vec![125, 125]),
        (250, vec![250]),
        (1_000, vec![250]),
    ] {
        let mut request = of_size(size);
        let mut seen = Vec::new();
        for (number, expected) in pages.iter().enumerate() {
            let answer = page(&node, request.clone()).await;
            // A token is good for as often as one likes.
            assert_eq!(page(&node, request.clone()).await, answer);
            assert_eq!(answer.revocations.len(), *expected, "{size}");
            seen.extend(targets(&answer.revocations));
            assert_eq!(answer.next_page_token.is_empty(), number + 1 == pages.len());
            request.page_token = answer.next_page_token;
        }
        assert_eq!(seen, users(0..250));
    }
    assert!(list_all(&node.api, of_size(1)).await.len() == 250);
    node.stop().await;
}

#[tokio::test]
async fn an_empty_node_lists_nothing_on_one_page() {
    let node = TestNode::start(Options::default()).await;
    assert_eq!(
        page(&node, of_size(0)).await,
        ListRevocationsResponse::default()
    );
    node.stop().await;
}

#[tokio::test]
async fn filters_are_joined_by_and() {
    let node = TestNode::start(Options::default()).await;
    let mut api = node.api.clone();
    let b = user_of("https://b.example", "u");
    let request = |targets, reason: Reason, rules| RevokeRequest {
        reason: reason.into(),
        rules,
        ..revoke(targets)
    };
    api.revoke(request(vec![user("u"), session("s")], Reason::Logout, None))
        .await
        .unwrap();
    node.advance_s(10);
    let later = node.now_s();
    api.revoke(request(vec![b.clone(), jti("j")], Reason::Admin, None))
        .await
        .unwrap();
    api.revoke(request(vec![client("c")], Reason::Policy, Some(all())))
        .await
        .unwrap();
    let both = Rules {
        version_below: 3,
        ..Rules::default()
    };
    api.revoke(request(vec![user("u")], Reason::Admin, Some(both)))
        .await
        .unwrap();

    let filter = |set: &dyn Fn(&mut ListRevocationsRequest)| {
        let mut request = of_size(2);
        set(&mut request);
        request
    };
    let kinds = |kinds: &[TargetKind]| kinds.iter().map(|kind| *kind as i32).collect::<Vec<_>>();
    let reasons = |reasons: &[Reason]| {
        reasons
            .iter()
            .map(|reason| *reason as i32)
            .collect::<Vec<_>>()
    };
    for (request, expected) in [
        (
            filter(&|_| {}),
            vec![session("s"), b.clone(), jti("j"), client("c"), user("u")],
        ),
        (
            filter(&|ask| ISS.clone_into(&mut ask.iss)),
            vec![session("s"), jti("j"), client("c"), user("u")],
        ),
        (
            filter(&|ask| ask.kinds = kinds(&[TargetKind::User, TargetKind::Session])),
            vec![session("s"), b.clone(), user("u")],
        ),
        (
            filter(&|ask| "u".clone_into(&mut ask.sub)),
            vec![b.clone(), user("u")],
        ),
        (
            filter(&|ask| {
                "u".clone_into(&mut ask.sub);
                ask.kinds = kinds(&[TargetKind::User]);
                ISS.clone_into(&mut ask.iss);
            }),
            vec![user("u")],
        ),
        (filter(&|ask| "s".clone_into(&mut ask.sub)), vec![]),
        (
            filter(&|ask| ask.reasons = reasons(&[Reason::Logout])),
            vec![session("s"), user("u")],
        ),
        (
            filter(&|ask| ask.reasons = reasons(&[Reason::Admin, Reason::Policy])),
            vec![b.clone(), jti("j"), client("c"), user("u")],
        ),
        (
            filter(&|ask| ask.reasons = reasons(&[Reason::Unspecified])),
            vec![],
        ),
        (
            filter(&|ask| ask.revoked_after = Some(at(later))),
            vec![b.clone(), jti("j"), client("c"), user("u")],
        ),
        (
            filter(&|ask| ask.revoked_after = Some(at(later + 1))),
            vec![],
        ),
    ] {
        let listed = list_all(&api, request.clone()).await;
        assert_eq!(targets(&listed), expected, "{request:?}");
    }
    drop(api);
    node.stop().await;
}

#[tokio::test]
async fn nothing_is_skipped_while_it_is_written_to_between_the_pages() {
    let directory = tempfile::tempdir().unwrap();
    let node = TestNode::start(Options::default().on_disk(directory.path())).await;
    node.api
        .clone()
        .revoke(revoke(users(0..100)))
        .await
        .unwrap();
    // From the journal, and then from memory as well.
    let node = node.restart().await;
    let mut request = of_size(7);
    let mut seen = BTreeSet::new();
    for round in 0.. {
        let answer = page(&node, request.clone()).await;
        seen.extend(
            targets(&answer.revocations)
                .into_iter()
                .map(|target| target.encode_to_vec()),
        );
        if answer.next_page_token.is_empty() {
            break;
        }
        request.page_token = answer.next_page_token;
        if round < 10 {
            // What was listed, what is about to be, and what is new.
            let again = vec![
                user(&(round * 3).to_string()),
                user(&(99 - round).to_string()),
                user(&(100 + round).to_string()),
            ];
            node.api.clone().revoke(revoke(again)).await.unwrap();
        }
    }
    let every: BTreeSet<_> = users(0..110)
        .iter()
        .map(prost::Message::encode_to_vec)
        .collect();
    assert_eq!(seen, every);
    node.stop().await;
}

/// A commit is in the journal a moment before it is shown: a list that looked at that moment, and
/// no further than what was shown, once missed all that the commit had superseded.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_held_all_along_is_on_every_list_under_load() {
    const HELD: usize = 500;
    let node = TestNode::start(Options::default()).await;
    let mut api = node.api.clone();
    api.revoke(revoke(users(0..HELD))).await.unwrap();
    let writing = tokio::spawn(async move {
        for _round in 0..40 {
            api.revoke(revoke(users(0..HELD))).await.unwrap();
        }
    });
    let mut lists = 0;
    while !writing.is_finished() {
        let listed = list_all(&node.api, of_size(1_000)).await;
        let names = listed.iter().map(|one| one.target.as_ref().unwrap());
        let names: BTreeSet<_> = names.map(prost::Message::encode_to_vec).collect();
        assert_eq!(names.len(), HELD);
        lists += 1;
    }
    writing.await.unwrap();
    assert!(lists > 1);
    node.stop().await;
}

/// A page of the largest records was 70 MB, and gRPC clients take 4 MiB: it could not be read at
/// all, nor could anything after it.
#[tokio::test]
async fn a_page_of_large_records_is_short_enough_for_every_client() {
    let node = TestNode::start(Options::default()).await;
    let rules = Rules {
        except_sid: (0..16).map(|number| format!("{number:x>1024}")).collect(),
        version_below: 7,
        authenticated_before: Some(at(node.now_s())),
        ..super::say::issued_before(node.now_s())
    };
    let targets = |batch: usize| {
        (0..50)
            .map(move |number| user(&format!("{batch}-{number}")))
            .collect()
    };
    for batch in 0..4 {
        node.api
            .clone()
            .revoke(revoke_by(targets(batch), rules.clone()))
            .await
            .unwrap();
    }
    let mut request = of_size(1_000);
    let (mut pages, mut listed) = (0, 0);
    loop {
        let answer = page(&node, request.clone()).await;
        assert!(answer.encoded_len() < 4 * 1024 * 1024);
        pages += 1;
        listed += answer.revocations.len();
        if answer.next_page_token.is_empty() {
            break;
        }
        request.page_token = answer.next_page_token;
    }
    assert_eq!(listed, 200);
    assert!(pages > 1);
    node.stop().await;
}

#[tokio::test]
async fn a_filter_that_shows_little_is_answered_in_short_pages_and_still_finds_it() {
    let node = TestNode::start(Options::default()).await;
    let mut api = node.api.clone();
    let batches = rescind::limits::PAGE_SCAN_MAX / 1_000;
    for batch in 0..batches {
        let tokens = (0..1_000).map(|number| jti(&format!("{batch}-{number}")));
        api.revoke(revoke(tokens.collect())).await.unwrap();
    }
    api.revoke(revoke(vec![user("needle")])).await.unwrap();
    let mut request = of_size(10);
    request.kinds = vec![TargetKind::User.into()];
    let first = page(&node, request.clone()).await;
    assert!(first.revocations.is_empty() && !first.next_page_token.is_empty());
    request.page_token = first.next_page_token;
    let second = page(&node, request).await;
    assert_eq!(targets(&second.revocations), [user("needle")]);
    assert!(second.next_page_token.is_empty());
    drop(api);
    node.stop().await;
}

#[tokio::test]
async fn a_page_token_is_of_its_filters_and_of_its_node() {
    let node = TestNode::start(Options::default()).await;
    let other = TestNode::start(Options::default()).await;
    for node in [&node, &other] {
        node.api.clone().revoke(revoke(users(0..5))).await.unwrap();
    }
    let page_token = page(&node, of_size(2)).await.next_page_token;
    // Another size is no other list.
    let more = ListRevocationsRequest {
        page_token: page_token.clone(),
        ..of_size(3)
    };
    assert_eq!(targets(&page(&node, more).await.revocations), users(2..5));
    let filtered = ListRevocationsRequest {
        page_token: page_token.clone(),
        iss: ISS.to_owned(),
        ..of_size(2)
    };
    let elsewhere = ListRevocationsRequest {
        page_token,
        ..of_size(2)
    };
    for (node, request, says) in [
        (&node, filtered, "other filters"),
        (&other, elsewhere, "another node"),
    ] {
        let refused = node
            .api
            .clone()
            .list_revocations(request)
            .await
            .unwrap_err();
        let (field, message) = blamed(&refused);
        assert_eq!(field, "page_token");
        assert!(message.contains(says), "{message}");
    }
    node.stop().await;
    other.stop().await;
}

#[tokio::test]
async fn one_token_or_session_is_listed_by_its_name_alone() {
    let node = TestNode::start(Options::default()).await;
    let mut api = node.api.clone();
    // The same text names a user, a token and a session.
    let all = vec![user("x"), jti("x"), session("x"), jti("y"), session("y")];
    api.revoke(revoke(all)).await.unwrap();
    let by = |jti: &str, sid: &str| ListRevocationsRequest {
        jti: jti.to_owned(),
        sid: sid.to_owned(),
        ..ListRevocationsRequest::default()
    };
    assert_eq!(targets(&list_all(&api, by("x", "")).await), [jti("x")]);
    assert_eq!(targets(&list_all(&api, by("", "y")).await), [session("y")]);
    assert_eq!(targets(&list_all(&api, by("z", "")).await), []);
    for wrong in [
        by("x", "y"),
        ListRevocationsRequest {
            kinds: vec![TargetKind::User.into()],
            ..by("x", "")
        },
    ] {
        let refused = api.list_revocations(wrong).await.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::InvalidArgument, "{refused}");
    }
    drop(api);
    node.stop().await;
}

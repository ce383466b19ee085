//! CheckStream.

use std::time::Duration;

use rescind::proto::v1::{CheckStreamRequest, CheckStreamResponse, Verdict};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};
use tonic_types::StatusExt as _;

use super::super::say::{ISS, all, blamed, claims, of_claims, revoke, revoke_by, session, user};
use crate::harness::node::{Options, TestNode};

const PATIENCE: Duration = Duration::from_secs(30);

async fn next(
    answers: &mut Streaming<CheckStreamResponse>,
) -> Result<Option<CheckStreamResponse>, Status> {
    let next = tokio::time::timeout(PATIENCE, answers.message());
    next.await.expect("nothing came")
}

async fn open(
    node: &TestNode,
) -> (
    mpsc::Sender<CheckStreamRequest>,
    Streaming<CheckStreamResponse>,
) {
    let (questions, asked) = mpsc::channel(64);
    let answers = node
        .api
        .clone()
        .check_stream(ReceiverStream::new(asked))
        .await;
    (questions, answers.unwrap().into_inner())
}

fn question(node: &TestNode, id: u64, subs: &[&str]) -> CheckStreamRequest {
    let checks = subs.iter().map(|sub| {
        let mut claims = claims("j", node.now_s() - 60);
        (*sub).clone_into(&mut claims.sub);
        of_claims(claims)
    });
    CheckStreamRequest {
        id,
        checks: checks.collect(),
    }
}

#[tokio::test]
async fn answers_carry_the_ids_of_the_questions_in_any_order_and_half_closing_ends_the_stream() {
    let node = TestNode::start(Options::default()).await;
    node.api
        .clone()
        .revoke(revoke_by(vec![user("gone")], all()))
        .await
        .unwrap();
    let (questions, mut answers) = open(&node).await;
    // All are under way before the first answer is read.
    let ids = [7, 7, 0, u64::MAX, 3];
    for id in ids {
        questions
            .send(question(&node, id, &["here", "gone", "here"]))
            .await
            .unwrap();
    }
    questions.send(question(&node, 9, &[])).await.unwrap();
    drop(questions);
    let mut found = Vec::new();
    while let Some(answer) = next(&mut answers).await.unwrap() {
        let verdicts = answer.results.iter();
        let verdicts: Vec<_> = verdicts
            .map(rescind::proto::v1::CheckResponse::verdict)
            .collect();
        found.push((answer.id, verdicts));
    }
    found.sort_unstable_by_key(|(id, _)| *id);
    let three = [Verdict::Active, Verdict::Revoked, Verdict::Active].to_vec();
    let mut wanted: Vec<_> = ids.into_iter().map(|id| (id, three.clone())).collect();
    wanted.push((9, Vec::new()));
    wanted.sort_unstable_by_key(|(id, _)| *id);
    assert_eq!(found, wanted);
    node.stop().await;
}

#[tokio::test]
async fn a_thousand_questions_in_flight_are_all_answered_after_half_closing() {
    let node = TestNode::start(Options::default()).await;
    let questions: Vec<_> = (0..1_000)
        .map(|id| question(&node, id, &["here"]))
        .collect();
    let stream = tokio_stream::iter(questions);
    let mut answers = node
        .api
        .clone()
        .check_stream(stream)
        .await
        .unwrap()
        .into_inner();
    let mut ids = Vec::new();
    for _ in 0..1_000 {
        let answer = next(&mut answers).await.unwrap().unwrap();
        assert_eq!(answer.results.len(), 1);
        ids.push(answer.id);
    }
    ids.sort_unstable();
    assert_eq!(ids, (0..1_000).collect::<Vec<_>>());
    assert_eq!(next(&mut answers).await.unwrap(), None);
    node.stop().await;
}

#[tokio::test]
async fn a_revocation_counts_for_the_next_question_of_an_open_stream() {
    let node = TestNode::start(Options::default()).await;
    let (questions, mut answers) = open(&node).await;
    for (id, verdict) in [(1, Verdict::Active), (2, Verdict::Revoked)] {
        questions.send(question(&node, id, &["u"])).await.unwrap();
        let answer = next(&mut answers).await.unwrap().unwrap();
        assert_eq!(answer.results[0].verdict(), verdict);
        node.api
            .clone()
            .revoke(revoke(vec![user("u"), session(ISS)]))
            .await
            .unwrap();
    }
    drop((questions, answers));
    node.stop().await;
}

#[tokio::test]
async fn a_question_of_1001_checks_ends_the_stream_after_the_answers_before_it() {
    let node = TestNode::start(Options::default()).await;
    let (questions, mut answers) = open(&node).await;
    questions
        .send(question(&node, 1, &["u"; 1_000]))
        .await
        .unwrap();
    questions
        .send(question(&node, 2, &["u"; 1_001]))
        .await
        .unwrap();
    questions.send(question(&node, 3, &["u"])).await.unwrap();
    let answer = next(&mut answers).await.unwrap().unwrap();
    assert_eq!((answer.id, answer.results.len()), (1, 1_000));
    let (field, message) = blamed(&next(&mut answers).await.unwrap_err());
    assert_eq!(field, "checks");
    assert!(
        message.contains("1001") && message.contains("1000"),
        "{message}"
    );
    assert_eq!(next(&mut answers).await.unwrap(), None);
    drop(questions);
    node.stop().await;
}

#[tokio::test]
async fn a_stop_ends_an_idle_stream_with_unavailable() {
    let node = TestNode::start(Options::default()).await;
    let (questions, mut answers) = open(&node).await;
    questions.send(question(&node, 1, &["u"])).await.unwrap();
    next(&mut answers).await.unwrap().unwrap();
    node.begin_to_stop();
    let ended = next(&mut answers).await.unwrap_err();
    assert_eq!(ended.code(), Code::Unavailable);
    assert_eq!(
        ended.get_details_error_info().unwrap().reason,
        "SHUTTING_DOWN"
    );
    assert!(ended.get_details_retry_info().is_some());
    drop((questions, answers));
    node.stop().await;
}

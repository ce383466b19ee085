//! What is wrong is told: which field, its bound and its size, never its text; and nothing changes.

mod at_the_limit;
mod reading;
mod writing;

use rescind::proto::v1;
use tonic::Status;

use super::say::{self, at, blamed, state};
use crate::harness::node::{Options, TestNode};

/// Stands in everything that is refused here, and must not come back.
const SECRET: &str = "hunter2";

/// What is asked.
#[derive(Clone, Debug)]
enum Ask {
    Revoke(v1::RevokeRequest),
    RevokeUser(v1::RevokeUserRequest),
    Restore(v1::RestoreRequest),
    List(v1::ListRevocationsRequest),
    Watch(v1::WatchRevocationsRequest),
    Batch(v1::CheckBatchRequest),
}

impl Ask {
    async fn of(self, node: &TestNode) -> Result<(), Status> {
        let mut api = node.api.clone();
        match self {
            Self::Revoke(ask) => api.revoke(ask).await.map(drop),
            Self::RevokeUser(ask) => api.revoke_user(ask).await.map(drop),
            Self::Restore(ask) => api.restore(ask).await.map(drop),
            Self::List(ask) => api.list_revocations(ask).await.map(drop),
            Self::Watch(ask) => api.watch_revocations(ask).await.map(drop),
            Self::Batch(ask) => api.check_batch(ask).await.map(drop),
        }
    }
}

/// One wrong request: the field that is blamed, what the message must say, and the request.
type Case = (&'static str, &'static [&'static str], Ask);

/// A node that holds a few revocations already, and knows the claim `tenant`.
async fn node() -> TestNode {
    let options = Options::default().defaults(|defaults| {
        defaults.revocable_claims = vec!["tenant".to_owned()];
    });
    let node = TestNode::start(options).await;
    let targets = vec![say::user("held"), say::jti("held"), say::session("held")];
    node.api.clone().revoke(say::revoke(targets)).await.unwrap();
    node
}

async fn all_are_refused(node: &TestNode, cases: Vec<Case>) {
    let before = state(node).await;
    for (field, says, ask) in cases {
        let shown = format!("{ask:.300?}");
        let Err(status) = ask.of(node).await else {
            panic!("accepted, and {field} is wrong: {shown}");
        };
        let (blamed, message) = blamed(&status);
        assert_eq!(blamed, field, "{message} of {shown}");
        for word in says {
            assert!(message.contains(word), "{word:?} is not in {message:?}");
        }
        assert!(!message.contains(SECRET), "{message}");
        assert_eq!(state(node).await, before, "changed by {shown}");
    }
}

fn long(bytes: usize) -> String {
    let mut text = SECRET.repeat(bytes / SECRET.len() + 1);
    text.truncate(bytes);
    text
}

fn later(node: &TestNode) -> prost_types::Timestamp {
    at(node.now_s() + 3_600)
}

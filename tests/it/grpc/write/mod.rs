//! Revoke, RevokeUser, Restore.

mod cut_offs;
mod quota;
mod receipts;
mod repeats;

use rescind::proto::v1;

use crate::harness::node::TestNode;

async fn revoke(node: &TestNode, request: v1::RevokeRequest) -> Vec<v1::Receipt> {
    let response = node.api.clone().revoke(request).await.unwrap();
    response.into_inner().receipts
}

async fn restore(node: &TestNode, request: v1::RestoreRequest) -> Vec<v1::Receipt> {
    let response = node.api.clone().restore(request).await.unwrap();
    response.into_inner().receipts
}

fn kinds(receipt: &v1::Receipt) -> Vec<v1::RuleKind> {
    receipt.in_force.iter().map(v1::InForce::rule).collect()
}

fn head(node: &TestNode) -> u64 {
    node.ledger.condition().head
}

//! The API's messages in few words.

use prost_types::Timestamp;
use rescind::{
    proto::v1::{self, RuleKind, check_request::Credential, target::Kind},
    token::{algorithm::Algorithm, sign::SigningKey},
};
use serde_json::{Value, json};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::harness::node::{Api, TestNode};

/// The issuer of nearly everything here.
pub(crate) const ISS: &str = "https://issuer.example";

fn target(kind: Kind) -> v1::Target {
    v1::Target { kind: Some(kind) }
}

pub(crate) fn jti(jti: &str) -> v1::Target {
    token(v1::TokenTarget {
        iss: ISS.to_owned(),
        jti: jti.to_owned(),
        ..v1::TokenTarget::default()
    })
}

pub(crate) fn jwt(jwt: &str) -> v1::Target {
    token(v1::TokenTarget {
        jwt: jwt.to_owned(),
        ..v1::TokenTarget::default()
    })
}

pub(crate) fn token(token: v1::TokenTarget) -> v1::Target {
    target(Kind::Token(token))
}

pub(crate) fn user(sub: &str) -> v1::Target {
    user_of(ISS, sub)
}

pub(crate) fn user_of(iss: &str, sub: &str) -> v1::Target {
    let (iss, sub) = (iss.to_owned(), sub.to_owned());
    target(Kind::User(v1::UserTarget { iss, sub }))
}

pub(crate) fn session(sid: &str) -> v1::Target {
    let (iss, sid) = (ISS.to_owned(), sid.to_owned());
    target(Kind::Session(v1::SessionTarget { iss, sid }))
}

pub(crate) fn client(client_id: &str) -> v1::Target {
    let (iss, client_id) = (ISS.to_owned(), client_id.to_owned());
    target(Kind::Client(v1::ClientTarget { iss, client_id }))
}

pub(crate) fn key(kid: &str) -> v1::Target {
    let (iss, kid) = (ISS.to_owned(), kid.to_owned());
    target(Kind::Key(v1::KeyTarget { iss, kid }))
}

pub(crate) fn claim(name: &str, value: &str) -> v1::Target {
    target(Kind::Claim(v1::ClaimTarget {
        iss: ISS.to_owned(),
        name: name.to_owned(),
        value: value.to_owned(),
    }))
}

pub(crate) fn issuer(iss: &str) -> v1::Target {
    let iss = iss.to_owned();
    target(Kind::Issuer(v1::IssuerTarget { iss }))
}

/// Every token.
pub(crate) fn all() -> v1::Rules {
    v1::Rules {
        all: true,
        ..v1::Rules::default()
    }
}

pub(crate) fn issued_before(seconds: u64) -> v1::Rules {
    v1::Rules {
        issued_before: Some(at(seconds)),
        ..v1::Rules::default()
    }
}

pub(crate) fn at(seconds: u64) -> Timestamp {
    Timestamp {
        seconds: seconds.try_into().unwrap(),
        nanos: 0,
    }
}

/// A request to revoke by the default rules.
pub(crate) fn revoke(targets: Vec<v1::Target>) -> v1::RevokeRequest {
    v1::RevokeRequest {
        targets,
        ..v1::RevokeRequest::default()
    }
}

/// A request to revoke by these rules.
pub(crate) fn revoke_by(targets: Vec<v1::Target>, rules: v1::Rules) -> v1::RevokeRequest {
    v1::RevokeRequest {
        rules: Some(rules),
        ..revoke(targets)
    }
}

pub(crate) fn restore(targets: Vec<v1::Target>, kinds: &[RuleKind]) -> v1::RestoreRequest {
    v1::RestoreRequest {
        targets,
        rules: kinds.iter().map(|kind| *kind as i32).collect(),
        ..v1::RestoreRequest::default()
    }
}

/// Signed with a secret of no interest.
pub(crate) fn minted(claims: &Value, kid: Option<&str>) -> String {
    let mut header = json!({"alg": "HS256"});
    if let Some(kid) = kid {
        header["kid"] = json!(kid);
    }
    let key = SigningKey::from_secret(Algorithm::Hs256, vec![7; 32]).unwrap();
    key.token(&header, claims).unwrap()
}

pub(crate) fn of_token(token: &str) -> v1::CheckRequest {
    v1::CheckRequest {
        credential: Some(Credential::Token(token.to_owned())),
        max_staleness: None,
    }
}

pub(crate) fn of_claims(claims: v1::Claims) -> v1::CheckRequest {
    v1::CheckRequest {
        credential: Some(Credential::Claims(claims)),
        max_staleness: None,
    }
}

/// Claims of a token that lives for an hour since `iat`.
pub(crate) fn claims(jti: &str, iat: u64) -> v1::Claims {
    let iat = f64::from(u32::try_from(iat).unwrap());
    v1::Claims {
        iss: ISS.to_owned(),
        jti: jti.to_owned(),
        iat: Some(iat),
        exp: Some(iat + 3_600.0),
        ..v1::Claims::default()
    }
}

/// Asks one question.
pub(crate) async fn check(api: &Api, request: v1::CheckRequest) -> v1::CheckResponse {
    api.clone().check(request).await.unwrap().into_inner()
}

/// The verdict on claims.
pub(crate) async fn verdict(api: &Api, claims: v1::Claims) -> v1::Verdict {
    check(api, of_claims(claims)).await.verdict()
}

/// Everything that the node lists, page by page.
pub(crate) async fn list_all(
    api: &Api,
    request: v1::ListRevocationsRequest,
) -> Vec<v1::Revocation> {
    let mut request = request;
    let mut all = Vec::new();
    loop {
        let page = api.clone().list_revocations(request.clone()).await.unwrap();
        let page = page.into_inner();
        all.extend(page.revocations);
        if page.next_page_token.is_empty() {
            return all;
        }
        request.page_token = page.next_page_token;
    }
}

/// Everything that is to be seen of a node's state.
pub(crate) async fn state(node: &TestNode) -> (Vec<v1::Revocation>, u64, Option<u64>) {
    let listed = list_all(&node.api, v1::ListRevocationsRequest::default()).await;
    let status = node
        .api
        .clone()
        .get_status(v1::GetStatusRequest::default())
        .await;
    let journal = status.unwrap().into_inner().journal;
    let records = journal.as_ref().map(|journal| journal.records);
    (listed, node.ledger.condition().head, records)
}

/// What an `INVALID_ARGUMENT` says: the field that it blames, and its message. Whatever every such
/// error must carry is asserted here.
pub(crate) fn blamed(status: &Status) -> (String, String) {
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    let info = status.get_details_error_info().unwrap();
    assert_eq!(info.domain, "rescind");
    assert_eq!(info.reason, "INVALID_FIELD");
    let bad = status.get_details_bad_request().unwrap();
    assert_eq!(bad.field_violations.len(), 1);
    let violation = &bad.field_violations[0];
    assert_eq!(
        status.message(),
        format!("{}: {}", violation.field, violation.description)
    );
    (violation.field.clone(), status.message().to_owned())
}

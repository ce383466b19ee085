//! What happens with every issuer.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use crate::harness::{PATIENCE, within};

use super::{
    login::{Issuer, Token},
    node::Node,
};

/// A token is ACTIVE until it is revoked, and what is no access token for this service never is.
/// An ID token is told from an access token by this part of it.
pub(super) async fn one_token_is_revoked(
    node: &Node,
    issuer: &Issuer,
    client: &str,
    differs: &str,
) {
    let (mut phone, laptop) = (issuer.log_in(client).await, issuer.log_in(client).await);
    node.assert_active(&phone.access);
    node.assert_active(&laptop.access);
    node.revoke_jwt(&phone.access);
    node.assert_revoked(&phone.access, "token");
    node.assert_active(&laptop.access);
    // The token alone: whoever has the refresh token gets the next one.
    node.assert_active(&issuer.refresh(&mut phone).await.unwrap());
    node.assert_invalid(&laptop.id, differs);
    node.assert_invalid(
        &forged(&laptop.access, "forged", "yes"),
        "signature does not fit",
    );
}

/// Refreshing yields a newer `iat` and the old `auth_time`.
pub(super) async fn a_user_is_revoked(node: &Node, issuer: &Issuer, client: &str) {
    let mut login = issuer.log_in(client).await;
    let sub = login.access.claim("sub").to_owned();
    node.assert_active(&login.access);
    let (user, now) = (["--sub", &*sub], "now");
    node.revoke(&[&user[..], &["--issued-before", now]].concat())
        .await;
    node.assert_revoked(&login.access, "user");
    let refreshed = issuer.refresh(&mut login).await.unwrap();
    assert_eq!(
        refreshed.claims["auth_time"],
        login.access.claims["auth_time"]
    );
    node.assert_active(&refreshed);
    node.revoke(&[&user[..], &["--authenticated-before", now]].concat())
        .await;
    node.assert_revoked(&refreshed, "user");
    let refreshed = issuer.refresh(&mut login).await.unwrap();
    node.assert_revoked(&refreshed, "user");
    // Single sign-on is no authentication: the issuer must be told to ask.
    let signed_on = issuer.sign_on_again(login).await;
    node.assert_revoked(&signed_on.access, "user");
    let authenticated = issuer.authenticate_again(signed_on).await;
    assert_eq!(authenticated.access.claim("sub"), sub);
    node.assert_active(&authenticated.access);
}

/// A browser is logged out; the issuer tells the service, and the service revokes the session.
pub(super) async fn a_session_is_logged_out(
    node: &Node,
    issuer: &Issuer,
    client: &str,
    told: TcpListener,
) {
    let (mut phone, laptop) = (issuer.log_in(client).await, issuer.log_in(client).await);
    let refreshed = issuer.refresh(&mut phone).await.unwrap();
    assert_eq!(refreshed.claim("sid"), phone.access.claim("sid"));
    let logout = logout_token(&told);
    let ((), logout) = tokio::join!(
        issuer.log_out(&mut phone),
        within(PATIENCE, "the issuer's logout token", logout)
    );
    assert_eq!(logout.claim("sid"), phone.access.claim("sid"));
    let refused = issuer.refresh(&mut phone).await.unwrap_err();
    assert_eq!(refused["error"], "invalid_grant");
    // What was given out goes on without a revocation.
    node.assert_active(&refreshed);
    // A logout token opens nothing.
    node.assert_invalid(&logout, "`typ`");
    let why = ["--all", "--reason", "logout"];
    node.revoke(&[&["--sid", logout.claim("sid")], &why[..]].concat())
        .await;
    node.assert_revoked(&phone.access, "session");
    node.assert_revoked(&refreshed, "session");
    node.assert_active(&laptop.access);
}

/// What an issuer posts to `told` when a session ends: OpenID Connect's back-channel logout.
async fn logout_token(told: &TcpListener) -> Token {
    let (mut stream, _) = told.accept().await.unwrap();
    let mut request = Vec::new();
    // The whole request is there once its form is: a logout token has two dots and ends the body.
    let length = loop {
        stream.read_buf(&mut request).await.unwrap();
        let text = String::from_utf8_lossy(&request).to_lowercase();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let (_, length) = head.split_once("content-length: ").expect("a length");
        let length: usize = length.lines().next().unwrap().parse().unwrap();
        if body.len() == length {
            break length;
        }
    };
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    stream.write_all(answer).await.unwrap();
    let body = String::from_utf8(request.split_off(request.len() - length)).unwrap();
    let token = body
        .split('&')
        .find_map(|field| field.strip_prefix("logout_token="));
    Token::new(token.unwrap_or_else(|| panic!("no logout token in {body}")))
}

/// The issuer signs with a new key since that old token, and still publishes both; the old key is
/// burnt. Returns a new token.
pub(super) async fn the_old_key_is_burnt(
    node: &Node,
    issuer: &Issuer,
    client: &str,
    old: &Token,
) -> Token {
    assert_eq!(node.issuer_status()["keys"], 1);
    let new = issuer.log_in(client).await.access;
    assert_ne!(new.kid(), old.kid());
    // It is the unknown `kid` that has the set fetched.
    node.assert_active(&new);
    assert_eq!(node.issuer_status()["keys"], 2);
    node.assert_active(old);
    let why = ["--all", "--reason", "key_compromised"];
    node.revoke(&[&["--kid", old.kid()], &why[..]].concat())
        .await;
    node.assert_revoked(old, "key");
    node.assert_active(&new);
    new
}

/// The issuer has withdrawn the old key: a node that never saw it knows no token of it.
pub(super) fn the_old_key_is_withdrawn(another: &Node, old: &Token, new: &Token) {
    another.assert_active(new);
    another.assert_invalid(old, "has the token's `kid`");
}

/// The issuer is gone: its keys go on, and how old they are is to be seen; a restart changes nothing.
pub(super) async fn the_issuer_is_down(
    node: Node,
    issuer: &Issuer,
    client: &str,
    end: impl AsyncFnOnce(),
) {
    let (one, other) = (issuer.log_in(client).await, issuer.log_in(client).await);
    node.assert_active(&one.access);
    let before = node.issuer_status();
    assert!(before["last_error"].is_null(), "{before}");
    end().await;
    node.assert_active(&one.access);
    node.assert_invalid(
        &forged(&one.access, "kid", "unknown"),
        "the last fetch failed",
    );
    node.revoke_jwt(&other.access);
    let fetched_at = &before["keys_fetched_at"];
    assert!(fetched_at.is_string(), "{before}");
    let assert_holds = |node: &Node| {
        node.assert_active(&one.access);
        node.assert_revoked(&other.access, "token");
        let status = node.issuer_status();
        assert_eq!(
            (&status["keys"], &status["keys_fetched_at"]),
            (&json!(1), fetched_at)
        );
        assert!(status["keys_age_s"].is_u64(), "{status}");
        status["last_error"].as_str().unwrap_or_default().to_owned()
    };
    assert_ne!(assert_holds(&node), "");
    assert_holds(&node.restart().await);
}

/// A token with another header than the one that was signed.
fn forged(token: &Token, name: &str, value: &str) -> Token {
    let mut header = token.header.clone();
    header[name] = json!(value);
    let (_, rest) = token.text.split_once('.').unwrap();
    Token::new(&format!("{}.{rest}", BASE64.encode(header.to_string())))
}

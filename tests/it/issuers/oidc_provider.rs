//! npm's `oidc-provider`, with JWT access tokens.

use tokio::net::TcpListener;

use super::{
    docs,
    login::{Asks, CALLBACK, Issuer},
    node::Node,
    server::Server,
    stories,
};

const ASKS: Asks = Asks {
    login: &[&[("login", "ada"), ("password", "any")], &[]],
    // Consent, which native apps are asked for each time.
    single_sign_on: &[&[]],
    logout: &[&[("logout", "yes")]],
};
/// The client whose tokens carry what the docs advise.
const CLIENT: &str = "shop";

/// An issuer of this test's own, a sidecar for it, and where it tells of logouts.
async fn start() -> (Server, Issuer, Node, TcpListener) {
    let told = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let logged_out = format!("http://{}/logged-out", told.local_addr().unwrap());
    let server = Server::start("oidc-provider/run.sh", &[&logged_out, CALLBACK]);
    let server = server.unwrap_or_else(|error| panic!("{error}"));
    let issuer = Issuer::discover(&server.url, ASKS).await;
    let node = node(&issuer).await;
    (server, issuer, node, told)
}

async fn node(issuer: &Issuer) -> Node {
    Node::start("oidc-provider", &issuer.iss).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_of_oidc_provider_passes_until_it_is_revoked() {
    let (_server, issuer, node, _told) = start().await;
    stories::one_token_is_revoked(&node, &issuer, CLIENT, "`typ`").await;
    let login = issuer.log_in(CLIENT).await;
    docs::assert_tells(
        "oidc-provider: access token with the claims below",
        &login.access,
    );
    docs::assert_tells("oidc-provider: ID token", &login.id);
    assert!(!login.refresh.contains('.'), "refresh tokens are opaque");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refresh_at_oidc_provider_escapes_issued_before_and_not_authenticated_before() {
    let (_server, issuer, node, _told) = start().await;
    stories::a_user_is_revoked(&node, &issuer, CLIENT).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_of_oidc_provider_as_it_comes_are_denied_by_every_authenticated_before() {
    let (_server, issuer, node, _told) = start().await;
    let login = issuer.log_in("plain").await;
    docs::assert_tells("oidc-provider: access token as it comes", &login.access);
    let notes = node.notes(&login.access);
    for part in [
        "it has no session: ending a session does not catch it",
        "it has no auth_time: every authenticated_before of its targets catches it",
    ] {
        assert!(notes.contains(part), "{notes}");
    }
    let user = ["--sub", login.access.claim("sub")];
    node.revoke(&[&user[..], &["--authenticated-before", "now"]].concat())
        .await;
    let again = issuer.log_in("plain").await.access;
    node.assert_revoked(&again, "user");
    node.restore(&[&user[..], &["--rule", "authenticated_before"]].concat());
    node.assert_active(&again);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_logout_at_oidc_provider_ends_one_session() {
    let (_server, issuer, node, told) = start().await;
    stories::a_session_is_logged_out(&node, &issuer, CLIENT, told).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_at_oidc_provider_is_followed_and_its_burnt_key_ends() {
    let (mut server, issuer, node, _told) = start().await;
    let old = issuer.log_in(CLIENT).await.access;
    node.assert_active(&old);
    let published = server.ask("rotate", "keys: ");
    assert!(published.ends_with(old.kid()), "{published}");
    let new = stories::the_old_key_is_burnt(&node, &issuer, CLIENT, &old).await;
    assert_eq!(server.ask("withdraw", "keys: "), new.kid());
    let another = self::node(&issuer).await;
    stories::the_old_key_is_withdrawn(&another, &old, &new);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_of_oidc_provider_go_on_while_it_is_down() {
    let (server, issuer, node, _told) = start().await;
    let end = async || drop(server);
    stories::the_issuer_is_down(node, &issuer, CLIENT, end).await;
}

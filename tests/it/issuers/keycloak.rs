//! Keycloak, one for all tests here, with a realm for each.

use std::sync::OnceLock;

use reqwest::{Method, header};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::{
    browser::{client, post},
    docs,
    login::{Asks, CALLBACK, Issuer, Token},
    node::Node,
    server::Server,
    stories,
};

const ASKS: Asks = Asks {
    login: &[&[("username", "ada"), ("password", PASSWORD)]],
    single_sign_on: &[],
    logout: &[],
};
const PASSWORD: &str = "of no interest";
/// The client whose tokens carry what Keycloak gives by itself, and an audience.
const CLIENT: &str = "shop";
/// What Keycloak calls providers of signing keys.
const KEYS: &str = "org.keycloak.keys.KeyProvider";

/// A realm of a test's own.
struct Realm {
    name: &'static str,
    told: TcpListener,
    issuer: Issuer,
    node: Node,
}

/// Where Keycloak is. It starts when first asked for, and ends with this process.
fn keycloak() -> &'static str {
    static SHARED: OnceLock<Result<Server, String>> = OnceLock::new();
    let shared = SHARED.get_or_init(|| Server::start("keycloak/run.sh", &[]));
    match shared {
        Ok(server) => &server.url,
        Err(error) => panic!("{error}"),
    }
}

/// Asks the administrators' API.
async fn admin(method: Method, path: &str, body: &Value) -> Value {
    // Its tokens live for a minute, so each request has one of its own.
    let url = format!("{}/realms/master/protocol/openid-connect/token", keycloak());
    let fields = [
        ("grant_type", "password"),
        ("client_id", "admin-cli"),
        ("username", "admin"),
        ("password", "admin"),
    ];
    let http = client();
    let token = post(&http, &url, &fields).await.bytes().await.unwrap();
    let token: Value = serde_json::from_slice(&token).unwrap();
    let request = http
        .request(method, format!("{}/admin/realms{path}", keycloak()))
        .bearer_auth(token["access_token"].as_str().unwrap())
        .header(header::CONTENT_TYPE, "application/json");
    let response = request.body(body.to_string()).send().await.unwrap();
    let status = response.status();
    let text = response.text().await.unwrap();
    assert!(status.is_success(), "{path}: {status}: {text}");
    serde_json::from_str(&text).unwrap_or_default()
}

/// A mapper of the client that puts something into its access tokens, lightweight ones too.
fn mapper(name: &str, protocol_mapper: &str, config: Value) -> Value {
    let mut config = config;
    config["access.token.claim"] = json!("true");
    config["lightweight.claim"] = json!("true");
    json!({
        "name": name,
        "protocol": "openid-connect",
        "protocolMapper": protocol_mapper,
        "config": config,
    })
}

/// The mappers of docs/issuers.md.
fn mappers() -> [Value; 3] {
    let audience = json!({"included.custom.audience": "api"});
    let auth_time = json!({
        "user.session.note": "AUTH_TIME",
        "claim.name": "auth_time",
        "jsonType.label": "long",
    });
    [
        mapper("audience", "oidc-audience-mapper", audience),
        mapper("sub", "oidc-sub-mapper", json!({})),
        mapper("auth_time", "oidc-usersessionmodel-note-mapper", auth_time),
    ]
}

fn client_of(client_id: &str, mappers: &[Value], attributes: &Value) -> Value {
    json!({
        "clientId": client_id,
        "publicClient": true,
        "directAccessGrantsEnabled": true,
        "redirectUris": [CALLBACK],
        "protocolMappers": mappers,
        "attributes": attributes,
    })
}

impl Realm {
    async fn new(name: &'static str) -> Self {
        let told = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let shop = json!({
            "backchannel.logout.url": format!("http://{}/", told.local_addr().unwrap()),
            "backchannel.logout.session.required": "true",
            "post.logout.redirect.uris": CALLBACK,
        });
        let light = json!({"client.use.lightweight.access.token.enabled": "true"});
        let [audience, ..] = mappers();
        let mut unheard = audience.clone();
        unheard["config"]["lightweight.claim"] = json!("false");
        let realm = json!({
            "realm": name,
            "enabled": true,
            "clients": [
                client_of("plain", &[], &json!({})),
                client_of(CLIENT, std::slice::from_ref(&audience), &shop),
                client_of("light", std::slice::from_ref(&audience), &light),
                client_of("light-unheard", &[unheard], &light),
                client_of("light-with-user", &mappers(), &light),
                {
                    "clientId": "service",
                    "secret": PASSWORD,
                    "serviceAccountsEnabled": true,
                    "standardFlowEnabled": false,
                    "protocolMappers": [audience],
                },
            ],
            "users": [{
                "username": "ada",
                "enabled": true,
                "email": "ada@shop.example",
                "emailVerified": true,
                "firstName": "Ada",
                "lastName": "Lovelace",
                "credentials": [{"type": "password", "value": PASSWORD}],
            }],
        });
        admin(Method::POST, "", &realm).await;
        let iss = format!("{}/realms/{name}", keycloak());
        let issuer = Issuer::discover(&iss, ASKS).await;
        let node = Node::start("keycloak", &iss).await;
        Self {
            name,
            told,
            issuer,
            node,
        }
    }

    async fn admin(&self, method: Method, path: &str, body: Value) -> Value {
        admin(method, &format!("/{}{path}", self.name), &body).await
    }

    /// An access token that no browser is needed for.
    async fn granted(&self, fields: &[(&str, &str)]) -> Token {
        let tokens = self.issuer.tokens(fields).await.unwrap();
        Token::new(tokens["access_token"].as_str().unwrap())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_of_keycloak_passes_until_it_is_revoked() {
    let Realm { issuer, node, .. } = Realm::new("one-token").await;
    stories::one_token_is_revoked(&node, &issuer, CLIENT, "`aud`").await;
    let login = issuer.log_in(CLIENT).await;
    docs::assert_tells("Keycloak: access token with an audience", &login.access);
    docs::assert_tells("Keycloak: ID token", &login.id);
    // Signed with a secret that only Keycloak knows.
    let refresh = Token::new(&login.refresh);
    docs::assert_tells("Keycloak: refresh token", &refresh);
    node.assert_invalid(&refresh, "`alg`");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_of_keycloak_need_an_audience_to_be_told_from_id_tokens() {
    let Realm { issuer, node, .. } = Realm::new("audience").await;
    let login = issuer.log_in("plain").await;
    docs::assert_tells("Keycloak: access token as it comes", &login.access);
    assert_eq!(login.id.header["typ"], login.access.header["typ"]);
    node.assert_invalid(&login.access, "no `aud`");
    node.assert_invalid(&login.id, "`aud`");
    // Where none is demanded an ID token opens what only access tokens should.
    let settings = docs::settings("keycloak", &issuer.iss);
    let settings = settings.replace("audiences = [\"api\"]\n", "");
    let lax = Node::with_settings(&settings, &issuer.iss).await;
    lax.assert_active(&login.access);
    lax.assert_active(&login.id);
    // A mapper that leaves lightweight tokens out gives them no audience.
    let unheard = issuer.log_in("light-unheard").await;
    node.assert_invalid(&unheard.access, "no `aud`");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refresh_at_keycloak_escapes_issued_before_and_not_authenticated_before() {
    let realm = Realm::new("cut-offs").await;
    stories::a_user_is_revoked(&realm.node, &realm.issuer, CLIENT).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_of_keycloak_without_a_login_are_denied_by_every_authenticated_before() {
    let realm = Realm::new("no-login").await;
    let by_password = [
        ("grant_type", "password"),
        ("client_id", CLIENT),
        ("username", "ada"),
        ("password", PASSWORD),
        ("scope", "openid"),
    ];
    let of_service = [
        ("grant_type", "client_credentials"),
        ("client_id", "service"),
        ("client_secret", PASSWORD),
    ];
    for (name, fields) in [
        ("Keycloak: access token by password grant", &by_password[..]),
        ("Keycloak: access token of a service account", &of_service),
    ] {
        let token = realm.granted(fields).await;
        docs::assert_tells(name, &token);
        realm.node.assert_active(&token);
        let user = ["--sub", token.claim("sub")];
        let cut_off = ["--authenticated-before", "now"];
        realm.node.revoke(&[&user[..], &cut_off].concat()).await;
        // However new it is, it does not say when anybody authenticated.
        realm
            .node
            .assert_revoked(&realm.granted(fields).await, "user");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_logout_at_keycloak_ends_one_session() {
    let Realm {
        issuer, node, told, ..
    } = Realm::new("logout").await;
    stories::a_session_is_logged_out(&node, &issuer, CLIENT, told).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lightweight_tokens_of_keycloak_are_not_met_by_a_user_but_by_all_sessions_of_the_user() {
    let realm = Realm::new("lightweight").await;
    let Realm { issuer, node, .. } = &realm;
    let (login, other) = (issuer.log_in("light").await, issuer.log_in("light").await);
    docs::assert_tells("Keycloak: lightweight access token", &login.access);
    node.assert_active(&login.access);
    let notes = node.notes(&login.access);
    let note = "it has no user: revoking a user does not catch it";
    assert!(notes.contains(note), "{notes}");
    // The ID token still tells who it is.
    let sub = login.id.claim("sub");
    let warnings = node.revoke(&["--sub", sub, "--all"]).await;
    assert!(warnings.contains("that name no user"), "{warnings}");
    node.assert_active(&login.access);

    node.revoke_jwt(&login.access);
    node.assert_revoked(&login.access, "token");
    node.assert_active(&other.access);
    let sessions = realm
        .admin(Method::GET, &format!("/users/{sub}/sessions"), json!({}))
        .await;
    let sessions = sessions.as_array().unwrap();
    assert_eq!(sessions.len(), 2);
    for session in sessions {
        node.revoke(&["--sid", session["id"].as_str().unwrap(), "--all"])
            .await;
    }
    node.assert_revoked(&other.access, "session");
    let after = issuer.log_in("light").await.access;
    node.assert_active(&after);
    for (what, kind) in [
        (&["--client-id", after.claim("azp")][..], "client"),
        (&["--kid", after.kid()], "key"),
        (&["--issuer"], "issuer"),
    ] {
        node.revoke(&[what, &["--all"]].concat()).await;
        node.assert_revoked(&after, kind);
        node.restore(&[what, &["--rule", "all"]].concat());
        node.assert_active(&after);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lightweight_tokens_of_keycloak_with_the_mappers_are_met_by_a_user() {
    let Realm { issuer, node, .. } = Realm::new("lightweight-with-user").await;
    let client = "light-with-user";
    let login = issuer.log_in(client).await;
    docs::assert_tells(
        "Keycloak: lightweight access token with the mappers below",
        &login.access,
    );
    stories::a_user_is_revoked(&node, &issuer, client).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_at_keycloak_is_followed_and_its_burnt_key_ends() {
    let realm = Realm::new("rotation").await;
    let Realm { issuer, node, .. } = &realm;
    let old = issuer.log_in(CLIENT).await.access;
    node.assert_active(&old);
    // The encryption key beside the signing key is not used, and that is told.
    let skipped = node.issuer_status()["skipped_keys"].to_string();
    assert!(skipped.contains("`use`"), "{skipped}");
    let providers = realm
        .admin(Method::GET, &format!("/components?type={KEYS}"), json!({}))
        .await;
    let providers = providers.as_array().unwrap();
    let first = providers
        .iter()
        .find(|provider| provider["providerId"] == "rsa-generated")
        .unwrap();
    // Of several providers the one with the highest priority signs; that of the first is 100.
    let next = json!({
        "name": "next",
        "providerId": "rsa-generated",
        "providerType": KEYS,
        "parentId": first["parentId"],
        "config": {"priority": ["200"], "algorithm": ["RS256"]},
    });
    realm.admin(Method::POST, "/components", next).await;
    let new = stories::the_old_key_is_burnt(node, issuer, CLIENT, &old).await;
    let first = format!("/components/{}", first["id"].as_str().unwrap());
    realm.admin(Method::DELETE, &first, json!({})).await;
    let another = Node::start("keycloak", &issuer.iss).await;
    stories::the_old_key_is_withdrawn(&another, &old, &new);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_of_keycloak_go_on_while_its_realm_is_gone() {
    let Realm {
        issuer, node, name, ..
    } = Realm::new("gone").await;
    let end = async || {
        admin(Method::DELETE, &format!("/{name}"), &json!({})).await;
    };
    stories::the_issuer_is_down(node, &issuer, CLIENT, end).await;
}

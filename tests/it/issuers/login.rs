//! An issuer as an app uses it: OpenID Connect's code flow with PKCE, refresh and logout.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use reqwest::Url;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::browser::{Browser, client, form, post};

/// Where browsers are sent back to. Nobody has to listen there.
pub(super) const CALLBACK: &str = "http://127.0.0.1/callback";
/// What PKCE holds against the code; any 43 characters do in a test.
const CODE_VERIFIER: &str = "0123456789-0123456789-0123456789-0123456789";

/// Forms in the order in which an issuer shows them, and what is filled in.
type Forms = &'static [&'static [(&'static str, &'static str)]];

/// What an issuer asks of people.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asks {
    pub(super) login: Forms,
    /// At a login while the browser has a session: single sign-on.
    pub(super) single_sign_on: Forms,
    pub(super) logout: Forms,
}

/// An issuer that was found by its metadata.
#[derive(Debug)]
pub(super) struct Issuer {
    pub(super) iss: String,
    metadata: Value,
    asks: Asks,
}

/// What somebody has who logged in.
#[derive(Debug)]
pub(super) struct Login {
    browser: Browser,
    client_id: String,
    pub(super) access: Token,
    pub(super) id: Token,
    pub(super) refresh: String,
}

/// A JWT, and what it says.
pub(super) struct Token {
    pub(super) text: String,
    pub(super) header: Value,
    pub(super) claims: Value,
}

impl fmt::Debug for Token {
    /// Without the text: what CI prints is for everybody.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.header, self.claims)
    }
}

impl Token {
    pub(super) fn new(text: &str) -> Self {
        let mut parts = text.split('.').map(|part| {
            let bytes = BASE64.decode(part).unwrap_or_default();
            serde_json::from_slice(&bytes).unwrap_or_default()
        });
        Self {
            text: text.to_owned(),
            header: parts.next().unwrap(),
            claims: parts.next().expect("a JWT has dots"),
        }
    }

    /// A claim that is text.
    pub(super) fn claim(&self, name: &str) -> &str {
        let claim = self.claims[name].as_str();
        claim.unwrap_or_else(|| panic!("no {name} in {self:?}"))
    }

    pub(super) fn kid(&self) -> &str {
        self.header["kid"].as_str().unwrap()
    }
}

impl Issuer {
    pub(super) async fn discover(iss: &str, asks: Asks) -> Self {
        let url = format!("{iss}/.well-known/openid-configuration");
        let metadata = client().get(url).send().await.unwrap();
        let metadata: Value = serde_json::from_slice(&metadata.bytes().await.unwrap()).unwrap();
        assert_eq!(metadata["issuer"], iss);
        Self {
            iss: iss.to_owned(),
            metadata,
            asks,
        }
    }

    fn endpoint(&self, name: &str) -> &str {
        self.metadata[name].as_str().unwrap()
    }

    /// The user ada logs in, with a browser of her own.
    pub(super) async fn log_in(&self, client_id: &str) -> Login {
        self.authorize(Browser::new(), client_id, &[], self.asks.login)
            .await
    }

    /// She comes back with the same browser, and is asked for nothing.
    pub(super) async fn sign_on_again(&self, login: Login) -> Login {
        let forms = self.asks.single_sign_on;
        self.authorize(login.browser, &login.client_id, &[], forms)
            .await
    }

    /// She comes back with the same browser, and has to authenticate.
    pub(super) async fn authenticate_again(&self, login: Login) -> Login {
        let (prompt, forms) = (("prompt", "login"), self.asks.login);
        self.authorize(login.browser, &login.client_id, &[prompt], forms)
            .await
    }

    async fn authorize(
        &self,
        browser: Browser,
        client_id: &str,
        more: &[(&str, &str)],
        forms: Forms,
    ) -> Login {
        let mut browser = browser;
        let mut url = Url::parse(self.endpoint("authorization_endpoint")).unwrap();
        let challenge = BASE64.encode(Sha256::digest(CODE_VERIFIER));
        let fields = [
            ("response_type", "code"),
            ("client_id", client_id),
            ("redirect_uri", CALLBACK),
            ("scope", "openid"),
            ("code_challenge", &*challenge),
            ("code_challenge_method", "S256"),
        ];
        url.query_pairs_mut()
            .extend_pairs(fields)
            .extend_pairs(more);
        let back = browser.walk(url, forms).await;
        let code = back.query_pairs().find(|(name, _)| name == "code");
        let (_, code) = code.unwrap_or_else(|| panic!("no code in {back}"));
        let tokens = self
            .tokens(&[
                ("grant_type", "authorization_code"),
                ("client_id", client_id),
                ("code", &code),
                ("redirect_uri", CALLBACK),
                ("code_verifier", CODE_VERIFIER),
            ])
            .await
            .unwrap();
        let text = |name: &str| tokens[name].as_str().unwrap();
        Login {
            browser,
            client_id: client_id.to_owned(),
            access: Token::new(text("access_token")),
            id: Token::new(text("id_token")),
            refresh: text("refresh_token").to_owned(),
        }
    }

    /// The next access token of a login, or the issuer's refusal.
    pub(super) async fn refresh(&self, login: &mut Login) -> Result<Token, Value> {
        let tokens = self
            .tokens(&[
                ("grant_type", "refresh_token"),
                ("client_id", &login.client_id),
                ("refresh_token", &login.refresh),
            ])
            .await?;
        tokens["refresh_token"]
            .as_str()
            .unwrap()
            .clone_into(&mut login.refresh);
        Ok(Token::new(tokens["access_token"].as_str().unwrap()))
    }

    /// What the issuer gives for this, or its refusal.
    pub(super) async fn tokens(&self, fields: &[(&str, &str)]) -> Result<Value, Value> {
        let response = post(&client(), self.endpoint("token_endpoint"), fields).await;
        let done = response.status().is_success();
        let answer: Value = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
        if done { Ok(answer) } else { Err(answer) }
    }

    /// Logs this browser out.
    pub(super) async fn log_out(&self, login: &mut Login) {
        let fields = form([
            ("id_token_hint", &*login.id.text),
            ("post_logout_redirect_uri", CALLBACK),
        ]);
        let url = format!("{}?{fields}", self.endpoint("end_session_endpoint"));
        let url = Url::parse(&url).unwrap();
        login.browser.walk(url, self.asks.logout).await;
    }
}

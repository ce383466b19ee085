//! As much of a browser as a login needs: cookies, redirects, forms.

use std::collections::BTreeMap;

use reqwest::{
    Client, Method, Response, Url,
    header::{self, HeaderMap},
    redirect,
};

use super::login::CALLBACK;

/// More than any login takes.
const REDIRECTS_MAX: usize = 10;

/// HTTP to this machine only, past every proxy that the environment names.
pub(super) fn client() -> Client {
    Client::builder()
        .no_proxy()
        .tls_certs_only([])
        .redirect(redirect::Policy::none())
        .build()
        .unwrap()
}

/// What forms send.
pub(super) fn form<'a>(fields: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut url = Url::parse("http://form").unwrap();
    url.query_pairs_mut().extend_pairs(fields);
    url.query().unwrap_or_default().to_owned()
}

/// Sends a form.
pub(super) async fn post(client: &Client, url: &str, fields: &[(&str, &str)]) -> Response {
    let sent = client
        .post(url)
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(form(fields.iter().copied()))
        .send();
    sent.await.unwrap()
}

/// Somebody's browser. It is at one site only, so every cookie goes along with every request.
#[derive(Debug)]
pub(super) struct Browser {
    client: Client,
    cookies: BTreeMap<String, String>,
}

/// What it shows.
#[derive(Debug)]
pub(super) struct Page {
    /// Its address; at the callback nobody listens, and there is nothing but this.
    pub(super) url: Url,
    text: String,
}

impl Browser {
    pub(super) fn new() -> Self {
        Self {
            client: client(),
            cookies: BTreeMap::new(),
        }
    }

    /// Opens an address and sends these forms, each as the page asks for it; where that ends.
    pub(super) async fn walk(&mut self, url: Url, forms: &[&[(&str, &str)]]) -> Url {
        let mut page = self.open(Method::GET, url, None).await;
        for fields in forms {
            let (action, fields) = page.filled(fields);
            page = self.open(Method::POST, action, Some(fields)).await;
        }
        assert!(
            page.url.as_str().starts_with(CALLBACK),
            "the way ends at {}:\n{}",
            page.url,
            page.text
        );
        page.url
    }

    async fn open(&mut self, method: Method, url: Url, body: Option<String>) -> Page {
        let (mut method, mut url, mut body) = (method, url, body);
        for _ in 0..REDIRECTS_MAX {
            let cookies: Vec<String> = self
                .cookies
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            let mut request = self
                .client
                .request(method, url.clone())
                .header(header::COOKIE, cookies.join("; "));
            if let Some(body) = body.take() {
                request = request
                    .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
                    .body(body);
            }
            let response = request.send().await.unwrap();
            self.keep_cookies(response.headers());
            let Some(location) = response.headers().get(header::LOCATION) else {
                let status = response.status();
                let text = response.text().await.unwrap();
                assert!(status.is_success(), "{url} answers {status}:\n{text}");
                return Page { url, text };
            };
            url = url.join(location.to_str().unwrap()).unwrap();
            method = Method::GET;
            if url.as_str().starts_with(CALLBACK) {
                let text = String::new();
                return Page { url, text };
            }
        }
        panic!("more than {REDIRECTS_MAX} redirects, at last to {url}");
    }

    fn keep_cookies(&mut self, headers: &HeaderMap) {
        for cookie in headers.get_all(header::SET_COOKIE) {
            let cookie = cookie.to_str().unwrap();
            let (name, rest) = cookie.split_once('=').unwrap();
            let value = rest.split(';').next().unwrap();
            if value.is_empty() || rest.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
    }
}

impl Page {
    /// Where its first form goes, and what it sends with these fields filled in.
    fn filled(&self, fields: &[(&str, &str)]) -> (Url, String) {
        let text = &self.text;
        let form_tag = text.split_once("<form").map(|(_, form)| form);
        let form_tag = form_tag.unwrap_or_else(|| panic!("no form at {}:\n{text}", self.url));
        let action = attribute(form_tag, "action").unwrap();
        let inside = form_tag.split("</form>").next().unwrap();
        let hidden: Vec<(String, String)> = inside
            .split("<input")
            .skip(1)
            .filter(|input| attribute(input, "type").as_deref() == Some("hidden"))
            .filter_map(|input| Some((attribute(input, "name")?, attribute(input, "value")?)))
            .collect();
        let hidden = hidden.iter().map(|(name, value)| (&**name, &**value));
        let body = form(hidden.chain(fields.iter().copied()));
        (self.url.join(&action).unwrap(), body)
    }
}

/// An attribute of a tag that begins before `text`.
fn attribute(text: &str, name: &str) -> Option<String> {
    let tag = text.split('>').next()?;
    let (_, value) = tag.split_once(&format!(" {name}=\""))?;
    Some(value.split('"').next()?.replace("&amp;", "&"))
}

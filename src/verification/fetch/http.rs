//! What a key set is fetched with, and what an answer says of itself.

use std::{path::Path, time::Duration};

use reqwest::{Certificate, Client, header, redirect};

use crate::{limits, token::without_secrets};

pub(super) fn client(url: &str, ca_file: Option<&Path>) -> Result<Client, String> {
    let mut builder = Client::builder()
        .user_agent(concat!("rescind/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(limits::JWKS_FETCH_TIMEOUT)
        .redirect(redirect::Policy::custom(on_the_same_host));
    if reqwest::Url::parse(url).is_ok_and(|url| url.scheme() == "http") {
        // Without TLS the keys must not leave this machine, also not for a proxy that the
        // environment names; and no authorities are needed, which an image FROM scratch lacks.
        builder = builder.no_proxy().tls_certs_only([]);
    }
    if let Some(path) = ca_file {
        let shown = path.display();
        let pem = std::fs::read(path).map_err(|error| format!("cannot read {shown}: {error}"))?;
        let authorities = Certificate::from_pem_bundle(&pem)
            .map_err(|error| format!("{shown} holds no certificates in PEM: {error}"))?;
        if authorities.is_empty() {
            return Err(format!("{shown} holds no certificates in PEM"));
        }
        builder = builder.tls_certs_only(authorities);
    }
    builder.build().map_err(|error| {
        format!(
            "{} (where the system has no certificate authorities, give some with jwks_ca_file)",
            chain(&error)
        )
    })
}

/// The value of `Authorization` in a file, which may be replaced at any time.
pub(super) async fn authorization(path: &Path) -> Result<header::HeaderValue, String> {
    let shown = path.display();
    let text = tokio::fs::read_to_string(path).await;
    let text = text.map_err(|error| format!("cannot read {shown}: {error}"))?;
    let mut value = header::HeaderValue::from_str(text.trim())
        .ok()
        .filter(|value| !value.is_empty())
        .ok_or_else(|| format!("{shown} holds no value of a header: give one line"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// The `jwks_uri` of a discovery document; `None`: the answer is none. It is followed as a redirect
/// is: whoever can make the issuer name another host could give us keys of their own.
pub(super) fn named_by_discovery(url: &str, body: &[u8]) -> Result<Option<reqwest::Url>, String> {
    let body = body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(body);
    let Ok(document) = serde_json::from_slice::<serde_json::Value>(body) else {
        return Ok(None);
    };
    let Some(uri) = document.get("jwks_uri").and_then(serde_json::Value::as_str) else {
        return Ok(None);
    };
    if document.get("keys").is_some() {
        return Ok(None);
    }
    let named = reqwest::Url::parse(uri);
    let named = named.map_err(|error| format!("the issuer's jwks_uri is not a URL ({error})"))?;
    let own = reqwest::Url::parse(url).map_err(|error| error.to_string())?;
    if origin(&own) == origin(&named) {
        return Ok(Some(named));
    }
    Err(format!(
        "it answers with a discovery document, whose jwks_uri is on another host, which is not \
         followed: give that as jwks_url if it is the issuer's ({})",
        without_secrets(uri)
    ))
}

/// Scheme, host and port.
fn origin(url: &reqwest::Url) -> (String, Option<String>, Option<u16>) {
    let host = url.host_str().map(str::to_owned);
    (url.scheme().to_owned(), host, url.port_or_known_default())
}

/// Whoever can make the issuer redirect elsewhere could give us keys of their own.
fn on_the_same_host(attempt: redirect::Attempt<'_>) -> redirect::Action {
    let first = attempt.previous().first().map(origin);
    if attempt.previous().len() > limits::JWKS_REDIRECTS_MAX {
        attempt.error("too many redirects")
    } else if first == Some(origin(attempt.url())) {
        attempt.follow()
    } else {
        attempt.error("the issuer redirects to another host, which is not followed")
    }
}

/// How long the answer may be used, by its `Cache-Control` and `Age` (RFC 9111 section 4.2), within
/// bounds.
pub(super) fn max_age(headers: &header::HeaderMap) -> Duration {
    let lines = headers.get_all(header::CACHE_CONTROL).iter();
    let directives = lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .map(|directive| directive.split_once('=').unwrap_or((directive, "")));
    let mut said = None;
    for (name, value) in directives {
        let name = name.trim();
        if name.eq_ignore_ascii_case("no-store") || name.eq_ignore_ascii_case("no-cache") {
            said = Some(0);
            break;
        }
        if name.eq_ignore_ascii_case("max-age") {
            said = value.trim().trim_matches('"').parse::<u64>().ok();
        }
    }
    let age = headers.get(header::AGE).and_then(|age| age.to_str().ok());
    let age = age.and_then(|age| age.parse().ok()).unwrap_or(0);
    said.map_or(limits::JWKS_REFRESH_DEFAULT, |said| {
        Duration::from_secs(said.saturating_sub(age))
    })
    .clamp(limits::JWKS_REFRESH_MIN, limits::JWKS_REFRESH_MAX)
}

/// The causes: what failed is in the innermost.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

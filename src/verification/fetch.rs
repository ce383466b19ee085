//! A key set at a URL, fetched in the background.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use reqwest::{Certificate, Client, Response, header, redirect};
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use crate::{
    clock::Clock,
    limits,
    model::{Invalid, UnixNanos},
    token::{Issuer, keys::KeySet},
};

use super::saved::Saved;

/// How fetches of a key set went.
#[derive(Clone, Debug, Default)]
pub struct FetchState {
    /// When the set in use was fetched; `None`: there is none yet.
    pub fetched_at: Option<UnixNanos>,
    /// What went wrong in the last try; empty: nothing.
    pub last_error: String,
}

/// Fetches the key set of one issuer.
#[derive(Debug)]
pub struct Fetcher {
    issuer: Arc<Issuer>,
    url: String,
    client: Client,
    save_to: Option<PathBuf>,
    clock: Arc<dyn Clock>,
    state: Mutex<FetchState>,
    /// Somebody wants newer keys.
    wanted: Notify,
    /// When newer keys were last asked for, and how many tries had ended then.
    asked: Mutex<Option<(Instant, u64)>>,
    /// How many tries have ended.
    tries: watch::Sender<u64>,
}

impl Fetcher {
    pub(super) fn new(
        issuer: Arc<Issuer>,
        url: &str,
        ca_file: Option<&Path>,
        save_to: Option<PathBuf>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, String> {
        let fetcher = Self {
            issuer,
            url: url.to_owned(),
            client: client(ca_file)?,
            save_to,
            clock,
            state: Mutex::default(),
            wanted: Notify::new(),
            asked: Mutex::default(),
            tries: watch::Sender::new(0),
        };
        fetcher.take_saved();
        Ok(fetcher)
    }

    /// How fetches went.
    pub fn state(&self) -> FetchState {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Asks for a fetch soon.
    pub(super) fn want(&self) {
        self.wanted.notify_one();
    }

    /// Asks for newer keys, at a limited rate, and waits for them within a bound.
    pub(super) async fn newer(&self) -> Result<(), Invalid> {
        let mut tries = self.tries.subscribe();
        if let Err(next) = self.ask(*tries.borrow_and_update()) {
            return Err(self.not_known(&format!(
                "they are not fetched again for another {} s",
                next.as_secs().max(1)
            )));
        }
        match tokio::time::timeout(limits::JWKS_WAIT_MAX, tries.changed()).await {
            Ok(_) => Ok(()),
            Err(_) => Err(self.not_known(&format!(
                "a fetch of newer keys did not end within the {} s that a Check waits",
                limits::JWKS_WAIT_MAX.as_secs()
            ))),
        }
    }

    /// Unknown kids may be invented, so they lead to one fetch in a while; those who come while
    /// that one is under way wait for it too. Otherwise answers when to ask again.
    fn ask(&self, tries: u64) -> Result<(), Duration> {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if let Some((last, tries_then)) = *asked {
            let left = limits::JWKS_UNKNOWN_KID_INTERVAL
                .saturating_sub(now.saturating_duration_since(last));
            if !left.is_zero() {
                return if tries == tries_then {
                    Ok(())
                } else {
                    Err(left)
                };
            }
        }
        *asked = Some((now, tries));
        self.want();
        Ok(())
    }

    /// What a Check says of a `kid` that is not known.
    fn not_known(&self, why: &str) -> Invalid {
        let state = self.state();
        let age = match state.fetched_at {
            None => "none were fetched yet".to_owned(),
            Some(at) => format!("fetched {} s ago", self.clock.wall().since(at).as_secs()),
        };
        let error = if state.last_error.is_empty() {
            String::new()
        } else {
            format!("; the last fetch failed: {}", state.last_error)
        };
        Invalid::new(format!(
            "no key at the issuer's jwks_url has the token's `kid` ({age}; {why}{error})"
        ))
    }

    /// Fetches until `stop`.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut pause = Duration::ZERO;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
                () = self.wanted.notified() => {}
            }
            pause = tokio::select! {
                () = stop.cancelled() => return,
                next = self.fetch() => next,
            };
            self.tries.send_modify(|tries| *tries += 1);
        }
    }

    /// One try; answers when to try next.
    async fn fetch(&self) -> Duration {
        let fetched = tokio::time::timeout(limits::JWKS_FETCH_TIMEOUT, self.get()).await;
        let fetched = fetched.unwrap_or_else(|_| {
            Err(format!(
                "no answer within {} s",
                limits::JWKS_FETCH_TIMEOUT.as_secs()
            ))
        });
        let used = fetched.and_then(|(jwks, next)| self.use_keys(&jwks).map(|()| (jwks, next)));
        match used {
            Ok((jwks, next)) => {
                self.note(jwks);
                next
            }
            Err(error) => {
                tracing::warn!(
                    iss = %self.issuer.iss,
                    %error,
                    "keys not fetched: the last good ones stay"
                );
                let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
                state.last_error = error;
                limits::JWKS_REFRESH_MIN.min(limits::JWKS_UNKNOWN_KID_INTERVAL)
            }
        }
    }

    async fn get(&self) -> Result<(Vec<u8>, Duration), String> {
        let mut response = self
            .client
            .get(&self.url)
            .header(header::ACCEPT, "application/jwk-set+json, application/json")
            .send()
            .await
            .map_err(|error| chain(&error))?;
        if !response.status().is_success() {
            return Err(format!("the issuer answered {}", response.status()));
        }
        let next = max_age(&response);
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| chain(&error))? {
            body.extend_from_slice(&chunk);
            if body.len() > limits::JWKS_BYTES_MAX {
                return Err(format!(
                    "the answer has more than {} bytes",
                    limits::JWKS_BYTES_MAX
                ));
            }
        }
        Ok((body, next))
    }

    /// A set without one usable key is a mistake at the other end: the last good one stays.
    fn use_keys(&self, jwks: &[u8]) -> Result<(), String> {
        let algorithms = &self.issuer.demands.algorithms;
        let keys = KeySet::from_jwks(jwks, algorithms, false).map_err(|error| error.to_string())?;
        if keys.keys().is_empty() {
            return Err(format!(
                "the key set holds no key for the configured algorithms: {}",
                keys.skipped().join("; ")
            ));
        }
        self.issuer.set_keys(keys);
        Ok(())
    }

    fn note(&self, jwks: Vec<u8>) {
        let now = self.clock.wall();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.fetched_at.is_none() || !state.last_error.is_empty() {
            tracing::info!(iss = %self.issuer.iss, "keys fetched");
        }
        *state = FetchState {
            fetched_at: Some(now),
            last_error: String::new(),
        };
        drop(state);
        if let (Some(path), Ok(jwks)) = (&self.save_to, String::from_utf8(jwks)) {
            let saved = Saved {
                url: self.url.clone(),
                fetched_at: now,
                jwks,
            };
            saved.write(path);
        }
    }

    fn take_saved(&self) {
        let saved = self.save_to.as_deref();
        let Some(saved) = saved.and_then(|path| Saved::read(path, &self.url)) else {
            return;
        };
        if self.use_keys(saved.jwks.as_bytes()).is_ok() {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.fetched_at = Some(saved.fetched_at);
        }
    }
}

fn client(ca_file: Option<&Path>) -> Result<Client, String> {
    let mut builder = Client::builder()
        .user_agent(concat!("rescind/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(limits::JWKS_FETCH_TIMEOUT)
        .redirect(redirect::Policy::custom(on_the_same_host));
    if let Some(path) = ca_file {
        let shown = path.display();
        let pem = std::fs::read(path).map_err(|error| format!("cannot read {shown}: {error}"))?;
        let authorities = Certificate::from_pem_bundle(&pem)
            .map_err(|error| format!("{shown} holds no certificates in PEM: {error}"))?;
        for authority in authorities {
            builder = builder.add_root_certificate(authority);
        }
    }
    builder.build().map_err(|error| chain(&error))
}

/// Whoever can make the issuer redirect elsewhere could give us keys of their own.
fn on_the_same_host(attempt: redirect::Attempt<'_>) -> redirect::Action {
    let origin = |url: &reqwest::Url| {
        let port = url.port_or_known_default();
        (
            url.scheme().to_owned(),
            url.host_str().map(str::to_owned),
            port,
        )
    };
    let first = attempt.previous().first().map(origin);
    if attempt.previous().len() > limits::JWKS_REDIRECTS_MAX {
        attempt.error("too many redirects")
    } else if first == Some(origin(attempt.url())) {
        attempt.follow()
    } else {
        attempt.error("the issuer redirects to another host, which is not followed")
    }
}

/// How long the answer may be used, by its `Cache-Control` (RFC 9111 section 5.2.2.1).
fn max_age(response: &Response) -> Duration {
    let said = response
        .headers()
        .get(header::CACHE_CONTROL)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| {
            value
                .split(',')
                .find_map(|part| part.trim().strip_prefix("max-age=")?.parse().ok())
        });
    said.map_or(limits::JWKS_REFRESH_DEFAULT, Duration::from_secs)
        .clamp(limits::JWKS_REFRESH_MIN, limits::JWKS_REFRESH_MAX)
}

/// The causes: what failed is in the innermost.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

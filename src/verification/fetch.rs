//! A key set at a URL, fetched in the background.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use reqwest::{Certificate, Client, header, redirect};
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
    /// Digest of the set in use: the same set again changes nothing.
    in_use: Mutex<Option<blake3::Hash>>,
    /// Somebody wants newer keys.
    wanted: Notify,
    asks: Mutex<Asks>,
    tries: watch::Sender<Tries>,
}

/// How many tries there were; they follow one another.
#[derive(Clone, Copy, Debug, Default)]
struct Tries {
    started: u64,
    ended: u64,
}

/// The fetches that Checks had made.
#[derive(Debug, Default)]
struct Asks {
    last: Option<Asked>,
    /// When, of those that count towards the limit.
    counted: Vec<Instant>,
}

/// A fetch that was asked for.
#[derive(Clone, Copy, Debug)]
struct Asked {
    at: Instant,
    /// The number of the try that answers it: one that was under way already may have read the
    /// key set before the key was in it.
    answered_by: u64,
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
            client: client(url, ca_file)?,
            save_to,
            clock,
            state: Mutex::default(),
            in_use: Mutex::default(),
            wanted: Notify::new(),
            asks: Mutex::default(),
            tries: watch::Sender::new(Tries::default()),
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

    /// Asks for newer keys, at a limited rate.
    pub(super) fn ask_for_newer(&self) -> Result<(), Invalid> {
        self.asked().map(drop)
    }

    fn asked(&self) -> Result<Asked, Invalid> {
        self.ask().map_err(|left| {
            self.not_known(&format!(
                "they are not fetched again for another {} s",
                left.as_secs().max(1)
            ))
        })
    }

    /// Asks for newer keys, at a limited rate, and waits for them within a bound.
    pub(super) async fn newer(&self) -> Result<(), Invalid> {
        let asked = self.asked()?;
        let mut tries = self.tries.subscribe();
        let answered = tries.wait_for(|tries| tries.ended >= asked.answered_by);
        // From when it was asked for, not from when this Check came: where the issuer hangs, those
        // who come later do not wait each for themselves.
        match tokio::time::timeout_at(asked.at + limits::JWKS_WAIT_MAX, answered).await {
            Ok(_) if self.state().last_error.is_empty() => Ok(()),
            Ok(_) => Err(self.not_known("newer ones could not be had")),
            Err(_) => Err(self.not_known(&format!(
                "a fetch of newer keys did not end within the {} s that a Check waits",
                limits::JWKS_WAIT_MAX.as_secs()
            ))),
        }
    }

    /// Unknown kids may be invented, so they lead to a few fetches in a while; those who come while
    /// one is under way wait for it too. Otherwise answers when to ask again.
    fn ask(&self) -> Result<Asked, Duration> {
        let mut asks = self.asks.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let tries = *self.tries.borrow();
        if let Some(asked) = asks.last
            && tries.ended < asked.answered_by
        {
            return Ok(asked);
        }
        let mut answered_by = 1;
        // The first fetch comes without being asked for.
        if tries.ended > 0 {
            let period = limits::JWKS_UNKNOWN_KID_PERIOD;
            let since = |at: &Instant| now.saturating_duration_since(*at);
            asks.counted.retain(|at| since(at) < period);
            if let Some(first) = asks.counted.first()
                && asks.counted.len() >= limits::JWKS_UNKNOWN_KID_FETCHES
            {
                return Err(period.saturating_sub(since(first)));
            }
            asks.counted.push(now);
            answered_by = tries.started + 1;
            self.want();
        }
        let asked = Asked {
            at: now,
            answered_by,
        };
        asks.last = Some(asked);
        Ok(asked)
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
            self.tries.send_modify(|tries| tries.started += 1);
            pause = tokio::select! {
                () = stop.cancelled() => return,
                next = self.fetch() => next,
            };
            self.tries.send_modify(|tries| tries.ended = tries.started);
        }
    }

    /// One try; answers when to try next.
    pub(super) async fn fetch(&self) -> Duration {
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
                limits::JWKS_RETRY
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
        let next = max_age(response.headers());
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
        let mut in_use = self.in_use.lock().unwrap_or_else(PoisonError::into_inner);
        let digest = blake3::hash(jwks);
        if *in_use == Some(digest) {
            // A new set would have every signature checked again.
            return Ok(());
        }
        let algorithms = &self.issuer.demands.algorithms;
        let keys = KeySet::from_jwks(jwks, algorithms, false).map_err(|error| error.to_string())?;
        if keys.keys().is_empty() {
            return Err(format!(
                "the key set holds no key for the configured algorithms: {}",
                keys.skipped().join("; ")
            ));
        }
        self.issuer.set_keys(keys);
        *in_use = Some(digest);
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

fn client(url: &str, ca_file: Option<&Path>) -> Result<Client, String> {
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

/// How long the answer may be used, by its `Cache-Control` and `Age` (RFC 9111 section 4.2), within
/// bounds.
fn max_age(headers: &header::HeaderMap) -> Duration {
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

#[cfg(test)]
mod tests;

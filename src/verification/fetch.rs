//! A key set at a URL, fetched in the background.

mod http;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use reqwest::{Client, header};
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
use http::{authorization, chain, client, max_age, named_by_discovery};

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
    authorization_file: Option<PathBuf>,
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

/// Why a Check asks for newer keys. Either can be had by forging tokens, so each has fetches of its
/// own, which the other cannot use up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    /// No key is known that the token may be by.
    Unknown,
    /// The key that the token names is known, and does not fit.
    Misfit,
}

/// The fetches that Checks had made.
#[derive(Debug, Default)]
struct Asks {
    last: Option<Asked>,
    /// When, of those for unknown keys that count towards their limit.
    for_unknown: Vec<Instant>,
    /// When, of those for keys that do not fit.
    for_misfits: Vec<Instant>,
}

impl Asks {
    /// Counts a fetch towards its limit; where that is reached, answers when to ask again.
    fn count(&mut self, lack: Lack, now: Instant) -> Result<(), Duration> {
        let (counted, limit) = match lack {
            Lack::Unknown => (&mut self.for_unknown, limits::JWKS_UNKNOWN_KID_FETCHES),
            Lack::Misfit => (&mut self.for_misfits, limits::JWKS_MISFIT_FETCHES),
        };
        let period = limits::JWKS_UNKNOWN_KID_PERIOD;
        let since = |at: &Instant| now.saturating_duration_since(*at);
        counted.retain(|at| since(at) < period);
        if let Some(first) = counted.first()
            && counted.len() >= limit
        {
            return Err(period.saturating_sub(since(first)));
        }
        counted.push(now);
        Ok(())
    }
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
        authorization_file: Option<PathBuf>,
        save_to: Option<PathBuf>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, String> {
        let fetcher = Self {
            issuer,
            url: url.to_owned(),
            client: client(url, ca_file)?,
            authorization_file,
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
    pub(super) fn ask_for_newer(&self, lack: Lack) -> Result<(), Invalid> {
        self.asked(lack).map(drop)
    }

    fn asked(&self, lack: Lack) -> Result<Asked, Invalid> {
        self.ask(lack).map_err(|left| {
            self.not_known(&format!(
                "they are not fetched again for another {} s",
                left.as_secs().max(1)
            ))
        })
    }

    /// Asks for newer keys, at a limited rate, and waits for them within a bound.
    pub(super) async fn newer(&self, lack: Lack) -> Result<(), Invalid> {
        let asked = self.asked(lack)?;
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

    /// Unknown kids may be invented and signatures forged, so they lead to a few fetches in a while; those
    /// who come while one is under way wait for it too. Otherwise answers when to ask again.
    fn ask(&self, lack: Lack) -> Result<Asked, Duration> {
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
            asks.count(lack, now)?;
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

    /// Why there are no keys, where there never were any: fetched now or kept from an earlier run.
    pub(super) fn never_had(&self) -> Option<String> {
        let state = self.state();
        if state.fetched_at.is_some() {
            return None;
        }
        let why = match &*state.last_error {
            "" => "they are being fetched for the first time".to_owned(),
            error => format!("the last fetch failed: {error}"),
        };
        Some(why)
    }

    /// Whether keys were had or, unless they are required, a first try has ended.
    pub(super) fn is_ready(&self, required: bool) -> bool {
        let tried = self.tries.borrow().ended > 0;
        self.never_had().is_none() || (tried && !required)
    }

    /// Until it is.
    pub(super) async fn ready(&self, required: bool) {
        let mut tries = self.tries.subscribe();
        while !self.is_ready(required) {
            if tries.changed().await.is_err() {
                return;
            }
        }
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

    /// The key set; where the URL is that of an issuer's discovery document (OpenID Connect
    /// Discovery 1.0 section 3, RFC 8414 section 2), the one that this names.
    async fn get(&self) -> Result<(Vec<u8>, Duration), String> {
        let (body, next) = self.get_from(&self.url).await?;
        match named_by_discovery(&self.url, &body)? {
            Some(named) => self.get_from(named.as_str()).await,
            None => Ok((body, next)),
        }
    }

    async fn get_from(&self, url: &str) -> Result<(Vec<u8>, Duration), String> {
        let mut headers = header::HeaderMap::new();
        if let Some(path) = &self.authorization_file {
            headers.insert(header::AUTHORIZATION, authorization(path).await?);
        }
        let mut response = self
            .client
            .get(url)
            .headers(headers)
            .header(header::ACCEPT, "application/jwk-set+json, application/json")
            .send()
            .await
            .map_err(|error| chain(&error.without_url()))?;
        if !response.status().is_success() {
            return Err(format!("the issuer answered {}", response.status()));
        }
        let next = max_age(response.headers());
        let mut body = Vec::new();
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|error| chain(&error.without_url()))?
        {
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
                keys.has_none_because()
            ));
        }
        super::warn_of(&self.issuer.iss, &keys);
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

#[cfg(test)]
mod tests;

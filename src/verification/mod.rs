//! Who vouches for tokens, and with which keys now.
//!
//! Keys in files are read at the start and on SIGHUP. Keys at a URL are fetched in the background;
//! a Check that meets an unknown `kid` asks for a fetch and waits for it, within bounds.

mod fetch;
mod saved;

use std::{
    collections::HashMap,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

pub use fetch::{FetchState, Fetcher, Lack};

use crate::{
    clock::Clock,
    model::{Invalid, UnixNanos},
    token::{Demands, Issuer, KeySource, Parts, Refusal, SourceError, Verifier, keys::KeySet},
};

/// An issuer as it is configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerKeys {
    /// Its `iss`.
    pub iss: String,
    /// What is demanded of its tokens.
    pub demands: Demands,
    /// Where its keys come from.
    pub source: KeySource,
    /// Whether the node is not ready before it has some.
    pub require_keys: bool,
}

/// Why verification cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum VerificationError {
    /// An issuer's keys cannot be had.
    #[error("the keys of issuer {iss}: {error}")]
    Source {
        /// Whose.
        iss: String,
        /// Why.
        error: SourceError,
    },
    /// The client for fetching cannot be made.
    #[error("the keys of issuer {iss} cannot be fetched: {why}")]
    Client {
        /// Whose.
        iss: String,
        /// Why.
        why: String,
    },
}

/// An issuer's keys, and how they are renewed.
#[derive(Debug)]
struct Source {
    issuer: Arc<Issuer>,
    from: KeySource,
    fetcher: Option<Arc<Fetcher>>,
    /// Whether the node is not ready before it has some.
    is_required: bool,
    /// Why the file could not be used when it was last read anew; empty: it could.
    reload_error: Mutex<String>,
}

/// How an issuer's keys are, for status.
#[derive(Clone, Debug)]
pub struct IssuerState {
    /// Its `iss`.
    pub iss: String,
    /// The name of its key source's setting.
    pub source: &'static str,
    /// The URL or the file.
    pub place: String,
    /// How many keys can be used.
    pub keys: usize,
    /// Which were skipped, and why.
    pub skipped: Vec<String>,
    /// What a person should know of those that are used.
    pub warnings: Vec<String>,
    /// Of a URL, how its fetches went.
    pub fetches: Option<FetchState>,
    /// What went wrong when its keys were last fetched or, of a file, read anew; empty: nothing.
    pub last_error: String,
}

/// Everything that verifies.
#[derive(Debug)]
pub struct Verification {
    verifier: Verifier,
    sources: HashMap<String, Source>,
    clock: Arc<dyn Clock>,
}

impl Verification {
    /// Reads all keys that are in files, and those that were fetched and saved before.
    ///
    /// # Errors
    /// When a file cannot be used: then nothing is served, rather than tokens refused one by one.
    pub fn open(
        issuers: &[IssuerKeys],
        data_dir: Option<&Path>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, VerificationError> {
        let mut sources = HashMap::new();
        for configured in issuers {
            let source = Source::open(configured, data_dir, &clock)?;
            sources.insert(configured.iss.clone(), source);
        }
        let issuers = sources.values().map(|source| Arc::clone(&source.issuer));
        Ok(Self {
            verifier: Verifier::new(issuers.collect::<Vec<_>>()),
            sources,
            clock,
        })
    }

    /// An issuer that is verified.
    pub fn issuer(&self, iss: &str) -> Option<&Arc<Issuer>> {
        self.sources.get(iss).map(|source| &source.issuer)
    }

    /// Fetches all keys that are at URLs, once each, for those who run no tasks; how it went is in
    /// [`Verification::states`].
    pub async fn fetch_once(&self) {
        for fetcher in self.fetchers() {
            fetcher.fetch().await;
        }
    }

    /// The fetchers, each to be run as a task.
    pub fn fetchers(&self) -> Vec<Arc<Fetcher>> {
        let fetchers = self.sources.values().map(|source| source.fetcher.clone());
        fetchers.flatten().collect()
    }

    /// Whether an issuer vouches for a token; answers with the `kid` of the key that verified it.
    ///
    /// # Errors
    /// When nobody vouches for it.
    pub fn verify(
        &self,
        parts: &Parts<'_>,
        iss: &str,
        exp: Option<UnixNanos>,
    ) -> Result<Option<Arc<str>>, Refusal> {
        self.verifier.verify(parts, iss, exp, self.clock.wall())
    }

    /// Why nothing can be said of an issuer's tokens, where its keys were never had.
    pub fn without_keys(&self, iss: &str) -> Option<String> {
        let source = self.sources.get(iss)?;
        let why = source.fetcher.as_ref()?.never_had()?;
        Some(format!(
            "the keys of the token's issuer were never had, so nothing can be said of it: {why}"
        ))
    }

    /// Until the keys of each issuer were tried to be had, and were had where they are required.
    pub async fn ready(&self) {
        for source in self.sources.values() {
            if let Some(fetcher) = &source.fetcher {
                fetcher.ready(source.is_required).await;
            }
        }
    }

    /// The issuers whose keys readiness waits for.
    pub fn waits_for(&self) -> Vec<&str> {
        let is_waited_for = |source: &&Source| {
            let fetcher = source.fetcher.as_ref();
            fetcher.is_some_and(|fetcher| !fetcher.is_ready(source.is_required))
        };
        let missing = self.sources.values().filter(is_waited_for);
        let mut names: Vec<&str> = missing.map(|source| source.issuer.iss.as_str()).collect();
        names.sort_unstable();
        names
    }

    /// By which thumbprints the keys are known that an issuer calls so.
    pub fn thumbprints_of(&self, iss: &str, kid: &str) -> Vec<Arc<str>> {
        let issuer = self.issuer(iss);
        issuer.map_or_else(Vec::new, |issuer| issuer.keys().thumbprints_of(kid))
    }

    /// Whether newer keys of an issuer can be had by fetching them.
    pub fn fetches(&self, iss: &str) -> bool {
        let source = self.sources.get(iss);
        source.is_some_and(|source| source.fetcher.is_some())
    }

    /// Has newer keys of an issuer fetched, and waits for nothing.
    ///
    /// # Errors
    /// When none are on their way: what a Check says then.
    pub fn ask_for_newer_keys(&self, iss: &str, lack: Lack) -> Result<(), Invalid> {
        self.fetcher(iss)?.ask_for_newer(lack)
    }

    /// Waits, within bounds, for newer keys of an issuer.
    ///
    /// # Errors
    /// When there are none to wait for: what a Check says then.
    pub async fn newer_keys(&self, iss: &str, lack: Lack) -> Result<(), Invalid> {
        self.fetcher(iss)?.newer(lack).await
    }

    fn fetcher(&self, iss: &str) -> Result<&Fetcher, Invalid> {
        let Some(source) = self.sources.get(iss) else {
            return Err(Invalid::new("the token's issuer is not configured"));
        };
        source.fetcher.as_deref().ok_or_else(|| {
            Invalid::new(format!(
                "no key in the issuer's {} has the token's `kid`: add the key there and send \
                 SIGHUP, or see why the issuer signs with another one",
                source.from.name()
            ))
        })
    }

    /// Reads the files anew. What cannot be used stays as it was, and is told.
    pub fn reload(&self) {
        for source in self.sources.values().filter(|of| of.fetcher.is_none()) {
            source.reload();
        }
        for fetcher in self.fetchers() {
            fetcher.want();
        }
    }

    /// How the issuers' keys are, by `iss`.
    pub fn states(&self) -> Vec<IssuerState> {
        let mut states: Vec<IssuerState> = self.sources.values().map(Source::state).collect();
        states.sort_by(|a, b| a.iss.cmp(&b.iss));
        states
    }
}

/// Tells in the log what a person should know of new keys.
fn warn_of(iss: &str, keys: &KeySet) {
    for warning in keys.warnings() {
        tracing::warn!(%iss, %warning, "of the issuer's keys");
    }
}

impl Source {
    fn open(
        configured: &IssuerKeys,
        data_dir: Option<&Path>,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, VerificationError> {
        let IssuerKeys {
            iss,
            demands,
            source,
            require_keys,
        } = configured;
        let keys = source
            .load(&demands.algorithms)
            .map_err(|error| VerificationError::Source {
                iss: iss.clone(),
                error,
            })?;
        warn_of(iss, &keys);
        let issuer = Arc::new(Issuer::new(iss.clone(), demands.clone(), keys));
        let fetcher = match source {
            KeySource::JwksUrl {
                url,
                ca_file,
                authorization_file,
            } => {
                let fetcher = Fetcher::new(
                    Arc::clone(&issuer),
                    url,
                    ca_file.as_deref(),
                    authorization_file.clone(),
                    data_dir.map(|dir| saved::path(dir, iss)),
                    Arc::clone(clock),
                );
                Some(Arc::new(fetcher.map_err(|why| {
                    VerificationError::Client {
                        iss: iss.clone(),
                        why,
                    }
                })?))
            }
            _ => None,
        };
        Ok(Self {
            issuer,
            from: source.clone(),
            fetcher,
            is_required: *require_keys,
            reload_error: Mutex::default(),
        })
    }

    /// Reads the file anew; the old keys stay when it cannot be used.
    fn reload(&self) {
        let iss = &self.issuer.iss;
        let problem = match self.from.load(&self.issuer.demands.algorithms) {
            Ok(keys) => {
                tracing::info!(%iss, keys = keys.keys().len(), "keys read anew");
                warn_of(iss, &keys);
                self.issuer.set_keys(keys);
                String::new()
            }
            Err(error) => {
                tracing::error!(%iss, %error, "keys not reloaded: the old ones stay");
                error.to_string()
            }
        };
        *self.reload_error() = problem;
    }

    fn reload_error(&self) -> MutexGuard<'_, String> {
        self.reload_error
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> IssuerState {
        let fetches = self.fetcher.as_ref().map(|fetcher| fetcher.state());
        let last_error = match &fetches {
            Some(fetches) => fetches.last_error.clone(),
            None => self.reload_error().clone(),
        };
        let keys = self.issuer.keys();
        IssuerState {
            iss: self.issuer.iss.clone(),
            source: self.from.name(),
            place: self.from.place(),
            keys: keys.keys().len(),
            skipped: keys.skipped().to_vec(),
            warnings: keys.warnings().to_vec(),
            fetches,
            last_error,
        }
    }
}

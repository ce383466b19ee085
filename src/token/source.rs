//! Where an issuer's keys come from.

use std::{
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
};

use crate::limits;

use super::{
    algorithm::Algorithm,
    keys::{KeyError, KeySet},
};

/// Where an issuer's keys come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// A JWKS that the issuer publishes.
    JwksUrl {
        /// https, or http to this machine.
        url: String,
        /// Certificate authorities to trust instead of the system's, in PEM.
        ca_file: Option<PathBuf>,
        /// A file with the value of the header `Authorization`, read at each fetch.
        authorization_file: Option<PathBuf>,
    },
    /// A JWKS in a file.
    JwksFile(PathBuf),
    /// One public key in PEM.
    PublicKeyFile {
        /// The file.
        path: PathBuf,
        /// What the key is called.
        kid: Option<String>,
    },
    /// An HMAC secret: the file's bytes, all of them.
    SecretFile {
        /// The file.
        path: PathBuf,
        /// What the secret is called.
        kid: Option<String>,
    },
}

/// Why keys cannot be had from their source.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}")]
    Unreadable {
        /// Which.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// It does not hold what it should.
    #[error("{path}: {error}")]
    Unusable {
        /// Which.
        path: String,
        /// What is wrong.
        error: KeyError,
    },
    /// Every key in it is of no use.
    #[error("{path} holds no key for the configured algorithms: {skipped}")]
    NoKeys {
        /// Which.
        path: String,
        /// Why each was skipped.
        skipped: String,
    },
}

impl KeySource {
    /// The name of its setting.
    pub fn name(&self) -> &'static str {
        match self {
            Self::JwksUrl { .. } => "jwks_url",
            Self::JwksFile(_) => "jwks_file",
            Self::PublicKeyFile { .. } => "public_key_file",
            Self::SecretFile { .. } => "secret_file",
        }
    }

    /// The URL, without what may be secret in it, or the file.
    pub fn place(&self) -> String {
        match self {
            Self::JwksUrl { url, .. } => without_secrets(url),
            Self::JwksFile(path)
            | Self::PublicKeyFile { path, .. }
            | Self::SecretFile { path, .. } => path.display().to_string(),
        }
    }

    /// The keys in a file; none of a URL, which is fetched later.
    ///
    /// # Errors
    /// When the file cannot be read, or holds nothing that can be used.
    pub fn load(&self, allowed: &[Algorithm]) -> Result<KeySet, SourceError> {
        let (path, keys) = match self {
            Self::JwksUrl { .. } => return Ok(KeySet::default()),
            Self::JwksFile(path) => (path, KeySet::from_jwks(&read(path)?, allowed, true)),
            Self::PublicKeyFile { path, kid } => {
                let keys = KeySet::from_pem(&read(path)?, allowed);
                (path, keys.map(|keys| keys.called(kid.as_deref())))
            }
            Self::SecretFile { path, kid } => {
                let keys = KeySet::from_secret(&read(path)?, allowed);
                (path, keys.map(|keys| keys.called(kid.as_deref())))
            }
        };
        let path = path.display().to_string();
        match keys {
            Err(error) => Err(SourceError::Unusable { path, error }),
            Ok(keys) if keys.keys().is_empty() => Err(SourceError::NoKeys {
                path,
                skipped: keys.has_none_because(),
            }),
            Ok(keys) => Ok(keys),
        }
    }
}

/// A URL as it may be shown: some issuers have the caller name a key of theirs in the query, or a
/// password before the host.
pub fn without_secrets(url: &str) -> String {
    let Ok(mut url) = reqwest::Url::parse(url) else {
        return "a URL that cannot be read".to_owned();
    };
    url.set_query(None);
    url.set_fragment(None);
    // Neither fails on a URL that has a host, and one without has nothing to take out.
    let _without_user = url.set_username("");
    let _without_password = url.set_password(None);
    url.to_string()
}

fn read(path: &Path) -> Result<Vec<u8>, SourceError> {
    let unreadable = |source| SourceError::Unreadable {
        path: path.display().to_string(),
        source,
    };
    let file = File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    // One byte more than is accepted tells a file that is too long.
    file.take(limits::KEY_FILE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() as u64 > limits::KEY_FILE_BYTES_MAX {
        return Err(unreadable(std::io::Error::other(format!(
            "it has more than {} bytes, which no key has",
            limits::KEY_FILE_BYTES_MAX
        ))));
    }
    Ok(bytes)
}

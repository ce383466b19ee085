//! Signatures that were found good, so that the next look at the same token is cheap.
//!
//! **Invariant:** only that a signature is good is remembered, under a digest of the whole token,
//! for one generation of its issuer's keys. Revocations, times, the header and the claims are
//! never taken from here, so nothing here can hide them.

use std::sync::Arc;

use quick_cache::sync::Cache as Bounded;

use crate::{limits, model::UnixNanos};

use super::Parts;

/// 256 bits of BLAKE3 over the signing input and the signature.
type Name = [u8; 32];

/// A good signature.
#[derive(Clone, Debug)]
pub(super) struct Vouched {
    /// The generation of keys that it was checked against.
    pub(super) generation: u64,
    /// The key that verified it.
    pub(super) kid: Option<Arc<str>>,
    /// When its token ends.
    pub(super) exp: Option<UnixNanos>,
}

/// Good signatures, bounded in number and with that in bytes.
#[derive(Debug)]
pub(super) struct Cache {
    vouched: Bounded<Name, Vouched>,
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            vouched: Bounded::new(limits::VERIFIED_TOKENS_MAX),
        }
    }
}

impl Cache {
    /// What a token is remembered by: all of it, since another signature is another token here.
    pub(super) fn name(parts: &Parts<'_>) -> Name {
        let mut hasher = blake3::Hasher::new();
        hasher.update(parts.signing_input.as_bytes());
        // A dot is in neither part's alphabet.
        hasher.update(b".");
        hasher.update(parts.signature);
        *hasher.finalize().as_bytes()
    }

    /// Whether this very token was found good under this generation of keys.
    pub(super) fn vouched(&self, name: &Name, generation: u64, now: UnixNanos) -> Option<Vouched> {
        let vouched = self.vouched.get(name)?;
        if vouched.generation != generation || vouched.exp.is_some_and(|exp| exp <= now) {
            self.vouched.remove(name);
            return None;
        }
        Some(vouched)
    }

    pub(super) fn add(&self, name: Name, vouched: Vouched) {
        self.vouched.insert(name, vouched);
    }
}

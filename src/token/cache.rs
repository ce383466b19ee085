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

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixNanos = UnixNanos::from_secs(100);

    fn vouched(generation: u64, exp: Option<u64>) -> Vouched {
        Vouched {
            generation,
            kid: Some("k".into()),
            exp: exp.map(UnixNanos::from_secs),
        }
    }

    #[test]
    fn what_was_vouched_for_counts_for_its_generation_until_its_exp() {
        let cache = Cache::default();
        for (generation, exp, asked, known) in [
            (1, Some(101), 1, true),
            (1, None, 1, true),
            (1, Some(100), 1, false),
            (1, Some(99), 1, false),
            (1, Some(101), 2, false),
            (1, Some(101), 0, false),
        ] {
            cache.add([7; 32], vouched(generation, exp));
            let found = cache.vouched(&[7; 32], asked, NOW);
            assert_eq!(found.is_some(), known, "{generation} {exp:?} {asked}");
            assert_eq!(
                cache.vouched.len(),
                usize::from(known),
                "out when it no longer counts"
            );
        }
    }

    #[test]
    fn the_number_of_signatures_is_bounded() {
        let cache = Cache::default();
        for number in 0..limits::VERIFIED_TOKENS_MAX as u64 + 5_000 {
            let mut name = [0; 32];
            name[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
            cache.add(name, vouched(0, None));
        }
        assert!(cache.vouched.len() <= limits::VERIFIED_TOKENS_MAX);
        assert!(cache.vouched.len() > limits::VERIFIED_TOKENS_MAX / 2);
    }
}

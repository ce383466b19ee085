//! What Check looks up: the live revocations, in memory.
//!
//! Two maps: tokens, of which there are millions and which need sixteen bytes each; and everything
//! else, which has rules. A kind of target with no live entry costs Check nothing.
//!
//! **Invariant:** nothing here expires by itself. An entry denies until it is replaced or removed,
//! and it is removed only while it is no newer than what the remover has seen.

mod names;
mod rules;
mod seen_claims;
mod sightings;
mod token_slot;

use std::{
    collections::BTreeMap,
    hash::{BuildHasherDefault, Hasher},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use dashmap::{DashMap, Entry};

pub use rules::{RuleSet, StandingRule};
pub use seen_claims::SeenClaims;
pub use sightings::{SavedSighting, Sightings};
pub use token_slot::TokenSlot;

use crate::model::{KeyKind, Target, TargetKey, TargetKind, What};
use names::ClaimNames;

/// Shards of the token map: a shard is locked while it grows, so there are many small ones.
const TOKEN_SHARDS: usize = 1_024;
/// Shards of the other maps.
const RULE_SHARDS: usize = 64;

/// A key is a digest already: its first eight bytes are as good a hash as any.
#[derive(Clone, Copy, Debug, Default)]
struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk::<8>() {
            self.0 = u64::from_le_bytes(*first);
        }
    }

    // The length that arrays write before themselves is the same for every key.
    fn write_usize(&mut self, _len: usize) {}

    fn finish(&self) -> u64 {
        self.0
    }
}

type ByKey<V> = DashMap<TargetKey, V, BuildHasherDefault<KeyHasher>>;

/// The live revocations.
#[derive(Debug)]
pub struct Index {
    tokens: ByKey<TokenSlot>,
    rules: ByKey<RuleSet>,
    /// The revoked keys of each issuer, for tokens that do not say which key signed them.
    keys_of: ByKey<BTreeMap<TargetKey, Box<str>>>,
    claim_names: ClaimNames,
    live: [AtomicU64; KeyKind::ALL.len()],
}

impl Default for Index {
    fn default() -> Self {
        Self {
            tokens: DashMap::with_hasher_and_shard_amount(
                BuildHasherDefault::default(),
                TOKEN_SHARDS,
            ),
            rules: DashMap::with_hasher_and_shard_amount(
                BuildHasherDefault::default(),
                RULE_SHARDS,
            ),
            keys_of: DashMap::with_hasher_and_shard_amount(
                BuildHasherDefault::default(),
                RULE_SHARDS,
            ),
            claim_names: ClaimNames::default(),
            live: Default::default(),
        }
    }
}

impl Index {
    /// Whether any target of this kind is revoked.
    #[inline]
    pub fn has(&self, kind: KeyKind) -> bool {
        self.live_of(kind) != 0
    }

    /// How many targets of this kind are revoked.
    pub fn count(&self, kind: TargetKind) -> u64 {
        KeyKind::ALL
            .into_iter()
            .filter(|key_kind| key_kind.target_kind() == kind)
            .map(|key_kind| self.live_of(key_kind))
            .sum()
    }

    /// The names of the claims that live revocations of an issuer speak of.
    pub fn claim_names(&self, iss: &str) -> Option<Arc<[Box<str>]>> {
        if !self.has(KeyKind::Claim) {
            return None;
        }
        self.claim_names.of(iss)
    }

    /// The revocation of a token.
    pub fn token(&self, key: &TargetKey) -> Option<TokenSlot> {
        self.tokens.get(key).map(|slot| *slot)
    }

    /// What `look` finds in the rules of a target. The target's shard is locked meanwhile.
    pub fn in_rules<T>(
        &self,
        key: &TargetKey,
        look: impl FnOnce(&RuleSet) -> Option<T>,
    ) -> Option<T> {
        self.rules.get(key).and_then(|rules| look(&rules))
    }

    /// The first of an issuer's revoked keys in which `look` finds something, and its `kid`.
    pub fn in_keys_of<T>(
        &self,
        iss: &str,
        look: impl Fn(&RuleSet) -> Option<T>,
    ) -> Option<(Box<str>, T)> {
        let keys = self.keys_of.get(&issuer_key(iss))?;
        keys.iter()
            .find_map(|(key, kid)| Some((kid.clone(), self.in_rules(key, &look)?)))
    }

    /// Puts a token's revocation in place of an older one.
    pub fn put_token(&self, kind: KeyKind, key: TargetKey, slot: TokenSlot) {
        match self.tokens.entry(key) {
            Entry::Occupied(mut held) if held.get().seq() <= slot.seq() => {
                held.insert(slot);
            }
            Entry::Occupied(held) => is_in_order(held.get().seq(), slot.seq()),
            Entry::Vacant(vacant) => {
                self.counter(kind, |live| live.fetch_add(1, Ordering::Relaxed));
                vacant.insert(slot);
            }
        }
    }

    /// Puts a target's rules in place of older ones.
    pub fn put_rules(&self, target: &Target, key: TargetKey, rules: RuleSet) {
        match self.rules.entry(key) {
            Entry::Occupied(mut held) if held.get().seq <= rules.seq => {
                held.insert(rules);
            }
            Entry::Occupied(held) => is_in_order(held.get().seq, rules.seq),
            Entry::Vacant(vacant) => {
                if let What::Claim { name, .. } = &target.what {
                    self.claim_names.add(&target.iss, name);
                }
                self.counter(target.key_kind(), |live| {
                    live.fetch_add(1, Ordering::Relaxed)
                });
                vacant.insert(rules);
            }
        }
        // Never with a shard of the rules locked: Check locks an issuer's keys first.
        if let What::Key(kid) = &target.what {
            let mut keys = self.keys_of.entry(issuer_key(&target.iss)).or_default();
            keys.insert(key, kid.as_str().into());
        }
    }

    /// Removes a target that no longer has anything in force, unless what stands there is newer
    /// than `seq`. Looking and removing are one step: a revocation that comes in between stays.
    pub fn remove(&self, target: &Target, key: TargetKey, seq: u64) {
        let removed = if target.is_token() {
            self.tokens
                .remove_if(&key, |_, slot| slot.seq() <= seq)
                .is_some()
        } else {
            self.rules
                .remove_if(&key, |_, rules| rules.seq <= seq)
                .is_some()
        };
        if !removed {
            return;
        }
        self.counter(target.key_kind(), |live| {
            live.fetch_sub(1, Ordering::Relaxed)
        });
        match &target.what {
            What::Claim { name, .. } => self.claim_names.remove(&target.iss, name),
            What::Key(_) => self.unlink_key(&target.iss, key),
            _ => {}
        }
    }

    fn unlink_key(&self, iss: &str, key: TargetKey) {
        let issuer = issuer_key(iss);
        if let Some(mut keys) = self.keys_of.get_mut(&issuer) {
            // It may have been revoked again since it was removed.
            if !self.rules.contains_key(&key) {
                keys.remove(&key);
            }
        }
        self.keys_of.remove_if(&issuer, |_, keys| keys.is_empty());
    }

    fn live_of(&self, kind: KeyKind) -> u64 {
        self.counter(kind, |live| live.load(Ordering::Relaxed))
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "a kind's place is below the number of kinds"
    )]
    fn counter<T>(&self, kind: KeyKind, with: impl FnOnce(&AtomicU64) -> T) -> T {
        with(&self.live[kind.place()])
    }
}

/// The ledger never gives a seq twice, and shows its writes in their order: so what is put is never
/// older than what it finds. Should that ever not hold, a revocation may be missing, loudly.
fn is_in_order(held: u64, put: u64) {
    debug_assert!(put >= held, "seq {put} after {held}");
    tracing::error!(
        held,
        put,
        "a record came to the index out of order and was left out: restart this node"
    );
}

fn issuer_key(iss: &str) -> TargetKey {
    TargetKey::of(KeyKind::Issuer, iss, [b"", b""])
}

#[cfg(test)]
mod tests;

//! A token's revocation in sixteen bytes.

use crate::model::{Reason, UnixNanos};

const HAS_COMMENT: u64 = 0x80;
const REASON: u64 = 0x7f;

/// A token's revocation: where the journal has it, when it is forgotten, when and why it was made.
///
/// Ten million of these are the memory of a large node, so it is packed: seq (56 bits), whether
/// there is a comment (1), reason (7), and two times in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenSlot {
    seq_and_reason: u64,
    until_s: u32,
    at_s: u32,
}

impl TokenSlot {
    /// Packs a revocation. Seconds beyond the year 2106 count as for ever.
    pub fn new(
        seq: u64,
        until: UnixNanos,
        at: UnixNanos,
        reason: Reason,
        has_comment: bool,
    ) -> Self {
        let comment = if has_comment { HAS_COMMENT } else { 0 };
        Self {
            seq_and_reason: (seq << 8) | comment | u64::from(reason as u8),
            until_s: u32::try_from(until.secs_ceil()).unwrap_or(u32::MAX),
            at_s: u32::try_from(at.secs_floor()).unwrap_or(u32::MAX),
        }
    }

    /// Where the journal has it.
    pub fn seq(self) -> u64 {
        self.seq_and_reason >> 8
    }

    /// When it is forgotten, rounded up to seconds.
    pub fn until(self) -> UnixNanos {
        if self.until_s == u32::MAX {
            return UnixNanos::FOREVER;
        }
        UnixNanos::from_secs(u64::from(self.until_s))
    }

    /// When it was made, to the second.
    pub fn at(self) -> UnixNanos {
        UnixNanos::from_secs(u64::from(self.at_s))
    }

    /// Why.
    pub fn reason(self) -> Reason {
        // What this build does not know was written by a newer one.
        u32::try_from(self.seq_and_reason & REASON)
            .ok()
            .and_then(Reason::from_number)
            .unwrap_or_default()
    }

    /// Whether somebody wrote a comment, which the journal has.
    pub fn has_comment(self) -> bool {
        self.seq_and_reason & HAS_COMMENT != 0
    }

    /// As the journal keeps it.
    pub fn to_bytes(self) -> [u8; 16] {
        let times = (u64::from(self.until_s) << 32) | u64::from(self.at_s);
        let packed = (u128::from(self.seq_and_reason) << 64) | u128::from(times);
        packed.to_be_bytes()
    }

    /// From the journal.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        let packed = u128::from_be_bytes(bytes);
        // Each part is cut to its width on purpose.
        let part = |shift: u32, bits: u32| (packed >> shift) & ((1_u128 << bits) - 1);
        Self {
            seq_and_reason: u64::try_from(part(64, 64)).unwrap_or_default(),
            until_s: u32::try_from(part(32, 32)).unwrap_or_default(),
            at_s: u32::try_from(part(0, 32)).unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixteen_bytes_hold_it_all() {
        assert_eq!(size_of::<TokenSlot>(), 16);
        for (seq, reason, has_comment) in [
            (1, Reason::Unspecified, false),
            ((1 << 56) - 1, Reason::SuspiciousActivity, true),
        ] {
            let until = UnixNanos::from_nanos(1_700_000_000_000_000_001);
            let at = UnixNanos::from_nanos(1_600_000_000_999_999_999);
            let slot = TokenSlot::new(seq, until, at, reason, has_comment);
            assert_eq!(TokenSlot::from_bytes(slot.to_bytes()), slot);
            assert_eq!(slot.seq(), seq);
            assert_eq!(slot.reason(), reason);
            assert_eq!(slot.has_comment(), has_comment);
            assert_eq!(slot.until(), UnixNanos::from_secs(1_700_000_001));
            assert_eq!(slot.at(), UnixNanos::from_secs(1_600_000_000));
        }
    }

    #[test]
    fn for_ever_stays_for_ever() {
        let slot = TokenSlot::new(1, UnixNanos::FOREVER, UnixNanos::ZERO, Reason::Admin, false);
        assert!(slot.until().is_forever());
    }
}

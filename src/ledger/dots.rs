//! The names of this node's writes.
//!
//! (boot, counter) names one write for ever. Should a record come in that claims to know writes of
//! this boot that were never made – forged, or of a cloned disk – the next writes would look as if
//! they had been replaced already: so they are made under a fresh boot.

use crate::model::{Boot, Dot, Record};

/// Gives dots.
#[derive(Clone, Debug)]
pub(super) struct Dots {
    boot: Boot,
    counter: u64,
    /// Boots that this run used up, and their last counters.
    former: Vec<(Boot, u64)>,
}

impl Dots {
    pub(super) fn new(boot: Boot, counter: u64) -> Self {
        Self {
            boot,
            counter,
            former: Vec::new(),
        }
    }

    pub(super) fn next(&mut self) -> Dot {
        let dot = self.coming();
        self.counter = dot.counter;
        dot
    }

    /// The next one, not given yet.
    pub(super) fn coming(&self) -> Dot {
        Dot {
            boot: self.boot,
            counter: self.counter + 1,
        }
    }

    /// How many were given under this boot.
    pub(super) fn given(&self) -> u64 {
        self.counter
    }

    /// Takes out of a record what it claims to know of writes that were never made. Whether it
    /// claimed anything about those to come: then [`Dots::renew`] before the next.
    pub(super) fn take_out_forged(&self, record: &mut Record) -> bool {
        let made = self.former.iter().copied();
        let mut is_ahead = false;
        for (boot, counter) in made.chain([(self.boot, self.counter)]) {
            for rule in record.rules.values_mut() {
                let forged = rule.context.get(&boot);
                if forged.is_none_or(|seen| seen.counter <= counter) {
                    continue;
                }
                rule.context.remove(&boot);
                rule.entries.retain(|dot, _| dot.boot != boot);
                is_ahead |= boot == self.boot;
            }
        }
        is_ahead
    }

    /// Goes on under a fresh boot.
    pub(super) fn renew(&mut self, boot: Boot) {
        self.former.push((self.boot, self.counter));
        (self.boot, self.counter) = (boot, 0);
    }
}

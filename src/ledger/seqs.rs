//! Sets of seqs of a log, which mostly stand close together.

use std::collections::BTreeMap;

use crate::limits;

/// Seqs of one page, which is one bit for each.
const PAGE_SEQS: u64 = 1_024;
const WORD_SEQS: u64 = 64;

type Page = [u64; 16];

/// A set of seqs, in pages of bits: in whatever order they come and however many of those between
/// them are gone, a million next to each other take a few hundred KiB.
#[derive(Clone, Debug, Default)]
pub struct Seqs {
    pages: BTreeMap<u64, Page>,
}

/// The page of a seq, the word in it and the bit in that.
fn place(seq: u64) -> (u64, usize, u64) {
    let word = usize::try_from(seq % PAGE_SEQS / WORD_SEQS).unwrap_or_default();
    (seq / PAGE_SEQS, word, seq % WORD_SEQS)
}

impl Seqs {
    /// Adds a seq. Of too many the oldest go, or it is not taken in if it is older than all of them.
    pub fn insert(&mut self, seq: u64) {
        let (page, word, bit) = place(seq);
        if let Some(word) = self.pages.entry(page).or_default().get_mut(word) {
            *word |= 1 << bit;
        }
        if self.pages.len() > limits::SEQ_PAGES_MAX {
            self.pages.pop_first();
        }
    }

    /// Whether it is one of them.
    pub fn has(&self, seq: u64) -> bool {
        let (page, word, bit) = place(seq);
        let word = self.pages.get(&page).and_then(|page| page.get(word));
        word.is_some_and(|word| word & (1 << bit) != 0)
    }

    /// The first of them after a seq.
    pub fn after(&self, seq: u64) -> Option<u64> {
        let from = seq.checked_add(1)?;
        let (first, ..) = place(from);
        let mut pages = self.pages.range(first..);
        pages.find_map(|(page, words)| {
            let mut seqs = (page * PAGE_SEQS..).step_by(64).zip(words);
            seqs.find_map(|(start, word)| {
                let past = from.saturating_sub(start).min(WORD_SEQS);
                let left = u32::try_from(past)
                    .ok()
                    .and_then(|past| u64::MAX.checked_shl(past));
                let left = word & left.unwrap_or_default();
                (left != 0).then(|| start + u64::from(left.trailing_zeros()))
            })
        })
    }

    /// Takes out all up to a seq.
    pub fn forget_up_to(&mut self, seq: u64) {
        let (page, word, bit) = place(seq);
        self.pages = self.pages.split_off(&page);
        if let Some(words) = self.pages.get_mut(&page) {
            for (at, bits) in words.iter_mut().enumerate() {
                if at < word {
                    *bits = 0;
                } else if at == word {
                    // All but the bits up to this one.
                    *bits &= (u64::MAX << bit) << 1;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn all(seqs: &Seqs) -> Vec<u64> {
        let mut all: Vec<u64> = seqs.has(0).then_some(0).into_iter().collect();
        let mut at = 0;
        while let Some(next) = seqs.after(at) {
            all.push(next);
            at = next;
        }
        all
    }

    proptest! {
        #[test]
        fn it_is_a_set(
            added in proptest::collection::vec(0_u64..5_000, 0..300),
            up_to in 0_u64..5_000,
            after in 0_u64..5_000,
        ) {
            let (mut seqs, mut set) = (Seqs::default(), BTreeSet::new());
            for seq in added {
                seqs.insert(seq);
                set.insert(seq);
            }
            prop_assert_eq!(all(&seqs), set.iter().copied().collect::<Vec<_>>());
            prop_assert_eq!(seqs.after(after), set.range(after + 1..).next().copied());
            prop_assert_eq!(seqs.has(after), set.contains(&after));
            seqs.forget_up_to(up_to);
            set.retain(|seq| *seq > up_to);
            prop_assert_eq!(all(&seqs), set.into_iter().collect::<Vec<_>>());
        }
    }

    /// It held 65,536 seqs: what a leaf had caught up with beyond them went back to the hub.
    #[test]
    fn a_million_of_them_fit_in_whatever_order_and_with_gaps() {
        let mut seqs = Seqs::default();
        for seq in (0..2_000_000_u64).step_by(2) {
            seqs.insert(seq * 1_000_003 % 2_000_000);
        }
        assert!((0..2_000_000_u64).step_by(2).all(|seq| seqs.has(seq)));
        assert!(!seqs.has(1) && !seqs.has(1_999_999));
        assert_eq!(seqs.after(u64::MAX), None);
    }

    #[test]
    fn of_too_many_the_oldest_go() {
        let most = u64::try_from(limits::SEQ_PAGES_MAX).unwrap();
        let mut seqs = Seqs::default();
        for page in 0..most {
            seqs.insert(page * PAGE_SEQS);
        }
        assert!(seqs.has(0));
        seqs.insert(most * PAGE_SEQS);
        assert!(!seqs.has(0) && seqs.has(PAGE_SEQS) && seqs.has(most * PAGE_SEQS));
    }
}

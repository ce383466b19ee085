//! What happens, one thing after another: drawn from a seed, or recorded.

use serde::Deserialize;

use super::disk::{Key, Place};

/// Hubs come first, leaves after them.
pub(super) const HUBS: usize = 3;
pub(super) const NODES: usize = 6;
const KEYS: u64 = 6;

/// How long a revocation is kept.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kept {
    #[default]
    UntilLifted,
    /// As long as tokens may live by the bounds of the node that is asked.
    ForLifetime,
    /// Until the token's own end.
    ForS(u64),
}

/// One thing that happens.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub(super) enum Op {
    Revoke {
        node: Place,
        key: Key,
        /// Which kind of rule, of two.
        #[serde(default)]
        kind: usize,
        cut_off: u64,
        #[serde(default)]
        kept: Kept,
    },
    Lift {
        node: Place,
        key: Key,
        #[serde(default)]
        kind: usize,
    },
    /// A commit, after which the node's latest write is answered.
    Acknowledge {
        node: Place,
    },
    Commit {
        node: Place,
    },
    Pull {
        node: Place,
        upstream: Place,
        count: usize,
    },
    Push {
        node: Place,
        upstream: Place,
        count: usize,
    },
    Crash {
        node: Place,
    },
    BackUp {
        node: Place,
    },
    RollBack {
        node: Place,
    },
    Lose {
        node: Place,
    },
    Pass {
        seconds: u64,
    },
    Sweep {
        node: Place,
    },
    SetClock {
        node: Place,
        ahead_s: i64,
        is_trusted: bool,
    },
    Raise {
        node: Place,
        lifetime_s: u64,
    },
}

/// Everything that happens before all is quiet.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Schedule {
    /// Whom each node follows.
    pub(super) follows: Vec<Vec<Place>>,
    /// Each node's bound on lifetimes, in seconds.
    #[serde(default)]
    pub(super) lifetimes_s: Vec<u64>,
    pub(super) operations: Vec<Op>,
}

/// What may go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Faults {
    /// Processes die and lose what was not yet synced.
    Crash,
    /// ... and disks are restored from an older backup of theirs.
    Rollback,
    /// ... and disks are lost.
    Loss,
}

/// Random numbers that are the same on every machine (splitmix64).
#[derive(Debug)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0xd134_2543_de82_ef95))
    }

    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.roll() % end
    }

    pub(super) fn place(&mut self, end: usize) -> usize {
        usize::try_from(self.below(end as u64)).unwrap()
    }

    pub(super) fn is(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub(super) fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.place(of.len())]
    }

    fn two(&mut self, of: usize) -> (Place, Place) {
        let first = self.place(of);
        (first, (first + 1 + self.place(of - 1)) % of)
    }
}

/// Hubs mesh, and each leaf follows two of them.
pub(super) fn follows(dice: &mut Dice) -> Vec<Vec<Place>> {
    let mesh = (0..HUBS).map(|hub| (0..HUBS).filter(|other| *other != hub).collect());
    let leaves = (HUBS..NODES).map(|_| {
        let (first, second) = dice.two(HUBS);
        vec![first, second]
    });
    mesh.chain(leaves).collect()
}

impl Schedule {
    /// The schedule of a seed, in the proportions of `sync_model.py`.
    pub(super) fn drawn(seed: u64, faults: Faults) -> Self {
        let dice = &mut Dice::new(seed);
        let mut schedule = Self {
            follows: follows(dice),
            lifetimes_s: Vec::new(),
            operations: Vec::new(),
        };
        let mut cut = Vec::new();
        for _ in 0..30 + dice.below(131) {
            schedule.draw(dice, &mut cut, faults);
        }
        schedule
    }

    fn draw(&mut self, dice: &mut Dice, cut: &mut Vec<(Place, Place)>, faults: Faults) {
        let node = dice.place(NODES);
        match dice.below(1_000) {
            0..300 => self.draw_write(dice, node, |_| Kept::UntilLifted),
            300..400 => self.operations.push(Op::Commit { node }),
            400..850 => self.draw_talk(dice, node, cut),
            850..900 => *cut = (0..dice.below(6)).map(|_| dice.two(NODES)).collect(),
            900..960 => self.operations.push(Op::Crash { node }),
            960..975 => self.operations.push(Op::BackUp { node }),
            975..990 if faults >= Faults::Rollback => self.operations.push(Op::RollBack { node }),
            990.. if faults >= Faults::Loss => self.operations.push(Op::Lose { node }),
            _ => {}
        }
    }

    pub(super) fn draw_write(
        &mut self,
        dice: &mut Dice,
        node: Place,
        kept: impl FnOnce(&mut Dice) -> Kept,
    ) {
        let key = dice.place(usize::try_from(KEYS).unwrap());
        let kind = usize::from(dice.is(15));
        if dice.is(20) {
            self.operations.push(Op::Lift { node, key, kind });
            if dice.is(30) {
                self.operations.push(Op::Acknowledge { node });
            }
            return;
        }
        let cut_off = 1 + dice.below(100);
        let kept = kept(dice);
        self.operations.push(Op::Revoke {
            node,
            key,
            kind,
            cut_off,
            kept,
        });
        if dice.is(80) {
            self.operations.push(Op::Acknowledge { node });
        }
    }

    pub(super) fn draw_talk(&mut self, dice: &mut Dice, node: Place, cut: &[(Place, Place)]) {
        let upstream = *dice.pick(&self.follows[node]);
        if cut.contains(&(node, upstream)) || cut.contains(&(upstream, node)) {
            return;
        }
        let count = 1 + dice.place(4);
        self.operations.push(Op::Pull {
            node,
            upstream,
            count,
        });
        if dice.is(60) {
            self.operations.push(Op::Commit { node });
        }
        if node >= HUBS && dice.is(50) {
            let count = 1 + dice.place(4);
            self.operations.push(Op::Push {
                node,
                upstream,
                count,
            });
        }
    }

    /// The least that still fails, by leaving out what can be left out.
    pub(super) fn shrunk(mut self, fails: impl Fn(&Self) -> bool) -> Self {
        let mut size = self.operations.len().div_ceil(2);
        loop {
            let mut start = 0;
            let mut has_shrunk = false;
            while start < self.operations.len() {
                let mut less = self.clone();
                let end = (start + size).min(less.operations.len());
                less.operations.drain(start..end);
                if fails(&less) {
                    self = less;
                    has_shrunk = true;
                } else {
                    start = end;
                }
            }
            if size == 1 && !has_shrunk {
                return self;
            }
            size = size.div_ceil(2);
        }
    }

    /// For a message: a line for each thing that happens.
    pub(super) fn told(&self) -> String {
        let lines = self.operations.iter().map(|op| format!("  {op:?}\n"));
        format!(
            "follows {:?}, lifetimes {:?}\n{}",
            self.follows,
            self.lifetimes_s,
            lines.collect::<String>()
        )
    }
}

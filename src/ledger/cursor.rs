//! Where a watcher stands in one node's journal: opaque bytes outside, a few numbers inside.
//!
//! A watcher on its way does not see what was superseded ahead of it: it will meet what came
//! instead. Should the disk then be rolled back to before that, it would miss what holds again. So
//! a cursor also says how far the journal was when it was given, and holds only while the journal
//! still has all of that.

use crate::{journal::BootSpan, model::Boot};

const VERSION: u8 = 1;
const BODY: usize = 1 + 5 * 8;
const CHECK: usize = 4;

/// A place in a node's journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The node.
    pub node: u64,
    /// The boot that gave it.
    pub boot: Boot,
    /// How far the journal was then.
    pub head: u64,
    /// The last record dealt with.
    pub seq: u64,
    /// A digest of the watch's filters: they cannot change on the way.
    pub filters: u64,
}

/// Where a watch goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resume {
    /// After this seq.
    After(u64),
    /// From the beginning: the cursor is of another node, of a lost disk, or from beyond what a
    /// restored one wrote.
    Reset,
}

impl Cursor {
    /// As bytes.
    pub fn encode(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(BODY + CHECK);
        bytes.push(VERSION);
        for part in [self.node, self.boot.0, self.head, self.seq, self.filters] {
            bytes.extend(part.to_be_bytes());
        }
        bytes.extend(check(&bytes));
        bytes
    }

    /// From bytes; `None` when they never were a cursor.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (body, sum) = bytes.split_at_checked(BODY)?;
        let (version, parts) = body.split_first()?;
        if *version != VERSION || check(body) != *sum {
            return None;
        }
        let mut parts = parts
            .chunks_exact(8)
            .map(|part| part.try_into().map_or(0, u64::from_be_bytes));
        Some(Self {
            node: parts.next()?,
            boot: Boot(parts.next()?),
            head: parts.next()?,
            seq: parts.next()?,
            filters: parts.next()?,
        })
    }

    /// Whether its reader lacks nothing that was acknowledged before its place: what was superseded
    /// ahead of a reader on its way comes after that place, up to the head that it knew.
    pub fn is_complete(self) -> bool {
        self.seq >= self.head
    }

    /// Where a watch with this cursor goes on at a node with these boots and this head.
    pub fn resume(self, node: u64, boots: &[BootSpan], head: u64) -> Resume {
        let place = boots.iter().position(|span| span.boot == self.boot);
        let Some(place) = place.filter(|_| self.node == node) else {
            return Resume::Reset;
        };
        let wrote_up_to = boots.get(place + 1).map_or(head, |next| next.head_before);
        if self.seq.max(self.head) <= wrote_up_to {
            Resume::After(self.seq)
        } else {
            Resume::Reset
        }
    }
}

fn check(body: &[u8]) -> [u8; CHECK] {
    let digest = blake3::hash(body);
    digest.as_bytes().first_chunk().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOTS: [BootSpan; 2] = [
        BootSpan {
            boot: Boot(1),
            head_before: 0,
        },
        BootSpan {
            boot: Boot(2),
            head_before: 10,
        },
    ];

    fn cursor(node: u64, boot: u64, seq: u64) -> Cursor {
        Cursor {
            node,
            boot: Boot(boot),
            head: seq,
            seq,
            filters: 7,
        }
    }

    #[test]
    fn a_cursor_comes_back_and_anything_else_never_was_one() {
        let bytes = cursor(1, 2, 3).encode();
        assert_eq!(Cursor::decode(&bytes), Some(cursor(1, 2, 3)));
        for cut in 0..bytes.len() {
            assert_eq!(Cursor::decode(&bytes[..cut]), None);
            let mut flipped = bytes.clone();
            flipped[cut] ^= 1;
            assert_eq!(Cursor::decode(&flipped), None);
        }
        assert_eq!(Cursor::decode(&[bytes, vec![0]].concat()), None);
    }

    #[test]
    fn only_what_this_node_wrote_can_be_resumed_from() {
        for (cursor, resume) in [
            (cursor(9, 1, 0), Resume::After(0)),
            (cursor(9, 1, 10), Resume::After(10)),
            (cursor(9, 2, 15), Resume::After(15)),
            (cursor(9, 1, 11), Resume::Reset),
            (cursor(9, 2, 16), Resume::Reset),
            (cursor(9, 3, 1), Resume::Reset),
            (cursor(8, 1, 1), Resume::Reset),
        ] {
            assert_eq!(cursor.resume(9, &BOOTS, 15), resume, "{cursor:?}");
        }
        for (boot, head, resume) in [
            (1, 10, Resume::After(3)),
            (1, 11, Resume::Reset),
            (2, 15, Resume::After(3)),
            (2, 16, Resume::Reset),
        ] {
            let on_its_way = Cursor {
                head,
                ..cursor(9, boot, 3)
            };
            assert_eq!(on_its_way.resume(9, &BOOTS, 15), resume, "{on_its_way:?}");
        }
    }
}

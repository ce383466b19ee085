//! What of a log one call hands up.

use crate::{ledger::Chunk, limits, proto::v1, wire};

/// What one call hands up.
#[derive(Debug)]
pub(super) struct Gathered {
    pub(super) messages: Vec<v1::MergeRecordsRequest>,
    /// Everything up to here was read.
    pub(super) through: u64,
    /// Whether that was all there is. What was superseded before it was read stands further up: only
    /// who reads to the newest has everything that was ever written below it.
    pub(super) is_all: bool,
    /// Whether there is nothing more to read now: what is not shown yet wakes the outbox when it is.
    pub(super) is_over: bool,
}

impl Gathered {
    /// Nothing yet of what stands after a seq.
    pub(super) fn after(seq: u64) -> Self {
        Self {
            messages: Vec::new(),
            through: seq,
            is_all: false,
            is_over: false,
        }
    }

    /// What comes next in the log, without what is to be skipped.
    pub(super) fn take_in(&mut self, chunk: &Chunk, skips: &impl Fn(u64) -> bool) {
        let (revocations, through) = wanted(chunk, skips);
        self.is_all = through >= chunk.newest;
        self.is_over = self.is_all || through <= self.through;
        self.through = self.through.max(through);
        if !revocations.is_empty() {
            self.messages.push(v1::MergeRecordsRequest {
                revocations,
                ..v1::MergeRecordsRequest::default()
            });
        }
    }
}

/// What of a chunk is to be handed up, as much as fits one message, and up to which seq that goes.
fn wanted(chunk: &Chunk, skips: &impl Fn(u64) -> bool) -> (Vec<v1::Revocation>, u64) {
    let mut revocations = Vec::new();
    let (mut bytes, mut before) = (0, None);
    for (seq, record) in &chunk.records {
        if !skips(*seq) {
            let shown = wire::record_out(record);
            bytes += prost::Message::encoded_len(&shown);
            if let Some(before) = before
                && bytes > limits::WATCH_BATCH_BYTES_MAX
            {
                return (revocations, before);
            }
            revocations.push(shown);
        }
        before = Some(*seq);
    }
    (revocations, chunk.through)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A write stood at 4, and was superseded before that was read: it stands at 9 now. The hub was
    /// taken to have it once everything up to 7 was handed up.
    #[test]
    fn the_hub_has_everything_only_when_the_newest_was_read() {
        let mut gathered = Gathered::after(3);
        let mut read = |through, newest| {
            let records = Vec::new();
            gathered.take_in(
                &Chunk {
                    records,
                    through,
                    newest,
                },
                &|_| false,
            );
            (gathered.is_all, gathered.is_over)
        };
        assert_eq!(read(7, 9), (false, false));
        assert_eq!(read(7, 9), (false, true), "the rest is not shown yet");
        assert_eq!(read(9, 9), (true, true));
        assert_eq!(read(9, 9), (true, true));
    }
}

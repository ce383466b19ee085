//! What a leaf hands up to a hub: every record of its log above the outbox position, whoever wrote
//! it.
//!
//! The position is (own seq, the hub's cursor at its acknowledgement): it says that the hub had, at
//! that cursor, everything of this log up to that seq. A hub that no longer has the cursor – its
//! disk was lost or rolled back – is sent everything again.

use std::sync::Arc;

use tokio::{sync::watch, time::Instant};

use crate::{
    fleet::{HubPlace, NodeId, Run, Upstream},
    ledger::{Chunk, Cursor},
    limits,
    proto::v1::{self, WatchMode},
    wire,
};

use super::{
    Sync,
    asking::Asking,
    connection::{self, Ask, Client, Ended},
    follow::role_of,
    held::Held,
};

const VERSION: u8 = 1;

/// Up to where a hub has this node's log.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mark {
    seq: u64,
    cursor: Vec<u8>,
}

impl Mark {
    fn encode(&self) -> Vec<u8> {
        [&[VERSION][..], &self.seq.to_be_bytes(), &self.cursor].concat()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (version, rest) = bytes.split_first()?;
        let (seq, cursor) = rest.split_first_chunk()?;
        (*version == VERSION).then(|| Self {
            seq: u64::from_be_bytes(*seq),
            cursor: cursor.to_vec(),
        })
    }
}

/// What is to be handed up to one hub.
#[derive(Debug)]
pub(super) struct Outbox {
    sync: Sync,
    upstream: Arc<Upstream>,
    /// Of which hub, and where it stands.
    mark: Option<(NodeId, Mark)>,
    /// Up to which finding of lacking records everything was handed up again.
    hand_ups: u64,
}

impl Outbox {
    pub(super) fn new(sync: &Sync, upstream: &Arc<Upstream>) -> Self {
        Self {
            sync: sync.clone(),
            upstream: Arc::clone(upstream),
            mark: None,
            hand_ups: 0,
        }
    }

    /// Hands up whatever comes, as long as the connection holds.
    pub(super) async fn run(&mut self, mut client: Client, run: Run, held: &Held) -> Ended {
        let began = self.begin(&mut client, run).await;
        let mut seq = match began {
            Ok(seq) => seq,
            Err(ended) => return ended,
        };
        let sync = self.sync.clone();
        let asking = Asking::new(&sync.fleet, client.clone(), self.opening(run));
        let hub = &self.upstream.address;
        let place = sync.fleet.hand_up.connected(hub, Box::new(asking));
        let mut head = sync.ledger.subscribe();
        let mut is_all = true;
        loop {
            self.note_size(&head, seq);
            wait_for_work(&sync, &place, &mut head, seq, is_all).await;
            (seq, is_all) = match self.hand_up(&mut client, run, held, seq).await {
                Ok(done) => done,
                Err(ended) => return ended,
            };
            if is_all {
                place.has(seq);
            }
            held.forget_up_to(seq);
        }
    }

    /// Who hands up, and to which run of the hub.
    fn opening(&self, run: Run) -> v1::MergeRecordsRequest {
        v1::MergeRecordsRequest {
            hub_boot: run.boot.0,
            follower: Some(v1::Follower {
                node_id: NodeId(self.sync.ledger.node()).to_string(),
                role: role_of(self.upstream.kind).into(),
            }),
            ..v1::MergeRecordsRequest::default()
        }
    }

    /// From which seq to hand up.
    async fn begin(&mut self, client: &mut Client, run: Run) -> Result<u64, Ended> {
        let hand_ups = self.upstream.view().hand_ups;
        if self.hand_ups != hand_ups {
            (self.hand_ups, self.mark) = (hand_ups, None);
            return Ok(0);
        }
        let mark = match self.mark.take() {
            Some((node, mark)) if node == run.node => Some(mark),
            _ => self.saved(run).await?,
        };
        let Some(mark) = mark else { return Ok(0) };
        let ask = Ask {
            cursor: mark.cursor.clone(),
            is_probe: true,
            ..Ask::default()
        };
        let role = role_of(self.upstream.kind);
        let begun = connection::watch(client, &self.sync.ledger, role, ask).await?;
        if begun.run != run {
            return Err("the hub was restarted meanwhile".to_owned().into());
        }
        if begun.hello.mode() != WatchMode::Resumed {
            tracing::warn!(
                hub = self.upstream.address,
                "its disk was lost or restored: handing everything up again"
            );
            return Ok(0);
        }
        let seq = mark.seq;
        self.mark = Some((run.node, mark));
        Ok(seq)
    }

    async fn saved(&self, run: Run) -> Result<Option<Mark>, Ended> {
        let name = Self::name(run);
        let saved = self.sync.ledger.remembered(name).await;
        let saved = saved.map_err(|error| format!("the journal cannot be read: {error}"))?;
        let mark = saved.as_deref().and_then(Mark::decode);
        // After a restore from a backup this log may be shorter than it once was.
        let head = self.sync.ledger.condition().head;
        Ok(mark.filter(|mark| mark.seq <= head))
    }

    fn name(run: Run) -> String {
        format!("outbox:{}", run.node)
    }

    fn note_size(&self, head: &watch::Receiver<u64>, seq: u64) {
        let size = head.borrow().saturating_sub(seq);
        if self.upstream.view().outbox != size {
            self.upstream.update(|view| view.outbox = size);
        }
    }

    /// Hands up what stands after a seq, as much as one call takes. Returns how far that went, and
    /// whether the hub has everything that was written up to there.
    async fn hand_up(
        &mut self,
        client: &mut Client,
        run: Run,
        held: &Held,
        seq: u64,
    ) -> Result<(u64, bool), Ended> {
        let Gathered {
            messages,
            through,
            is_all,
            ..
        } = self.gather(held, seq).await?;
        if messages.is_empty() {
            // The hub sent all of that itself, by the cursor up to which this node has followed it.
            let cursor = held.cursor();
            if through > seq && !cursor.is_empty() {
                let cursor = self.farther(cursor);
                self.advance(run, through, cursor).await?;
            }
            return Ok((through, is_all));
        }
        let answer = self.call(client, run, messages).await?;
        self.advance(run, through, answer.cursor).await?;
        Ok((through, is_all))
    }

    async fn gather(&self, held: &Held, seq: u64) -> Result<Gathered, Ended> {
        let mut gathered = Gathered {
            messages: Vec::new(),
            through: seq,
            is_all: false,
            is_over: false,
        };
        while gathered.messages.len() < limits::MERGE_MESSAGES_MAX && !gathered.is_over {
            let chunk = self
                .sync
                .ledger
                .read_after(gathered.through, limits::WATCH_BATCH_RECORDS_MAX)
                .await
                .map_err(|error| format!("the journal cannot be read: {error}"))?;
            gathered.take_in(&chunk, held);
        }
        Ok(gathered)
    }

    async fn call(
        &self,
        client: &mut Client,
        run: Run,
        mut messages: Vec<v1::MergeRecordsRequest>,
    ) -> Result<v1::MergeRecordsResponse, Ended> {
        if let Some(first) = messages.first_mut() {
            let revocations = std::mem::take(&mut first.revocations);
            *first = v1::MergeRecordsRequest {
                revocations,
                ..self.opening(run)
            };
        }
        let call = client.merge_records(futures_util::stream::iter(messages));
        let answer = tokio::time::timeout(limits::PEER_CALL_TIMEOUT, call)
            .await
            .map_err(|_| "handing up: no answer in time".to_owned())?
            .map_err(|status| format!("handing up: {}", status.message()))?
            .into_inner();
        if answer.skipped > 0 {
            tracing::warn!(
                hub = self.upstream.address,
                skipped = answer.skipped,
                first = answer.first_skipped,
                "the hub did not take everything"
            );
        }
        Ok(answer)
    }

    /// What was handed up is only known to be there by the cursor of that acknowledgement: the watch
    /// may be behind it, and a hub that went back to in between would be taken to have it still.
    fn farther(&self, watched: Vec<u8>) -> Vec<u8> {
        let acknowledged = self.mark.as_ref().map(|(_, mark)| &mark.cursor);
        let both = (
            acknowledged.and_then(|cursor| Cursor::decode(cursor)),
            Cursor::decode(&watched),
        );
        match (acknowledged, both) {
            (Some(cursor), (Some(old), Some(new))) if is_farther(old, new) => cursor.clone(),
            _ => watched,
        }
    }

    /// The hub has everything up to a seq, as of its cursor.
    async fn advance(&mut self, run: Run, seq: u64, cursor: Vec<u8>) -> Result<(), Ended> {
        let mark = Mark { seq, cursor };
        let remembered = self.sync.ledger.remember(Self::name(run), mark.encode());
        remembered.await.map_err(|error| error.to_string())?;
        self.mark = Some((run.node, mark));
        Ok(())
    }
}

/// Whether a cursor stands for more of a hub's journal than another; each boot goes on where those
/// before it ended.
fn is_farther(old: Cursor, new: Cursor) -> bool {
    old.node == new.node && old.boot == new.boot && old.head > new.head
}

/// What one call hands up.
#[derive(Debug)]
struct Gathered {
    messages: Vec<v1::MergeRecordsRequest>,
    /// Everything up to here was read.
    through: u64,
    /// Whether that was all there is. What was superseded before it was read stands further up: only
    /// who reads to the newest has everything that was ever written below it.
    is_all: bool,
    /// Whether there is nothing more to read now: what is not shown yet wakes the outbox when it is.
    is_over: bool,
}

impl Gathered {
    fn take_in(&mut self, chunk: &Chunk, held: &Held) {
        let (revocations, through) = wanted(chunk, held);
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
fn wanted(chunk: &Chunk, held: &Held) -> (Vec<v1::Revocation>, u64) {
    let mut revocations = Vec::new();
    let (mut bytes, mut before) = (0, None);
    for (seq, record) in &chunk.records {
        if !held.has(*seq) {
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

/// Waits until there is something above `seq` to hand up. What came to this node first is handed up
/// at once; the rest a moment later, since most of it the hub will have sent by then. Who waits for
/// what stands below is told when the log has been looked at to its end, which it was not if not
/// `is_all`: then more is about to be shown.
async fn wait_for_work(
    sync: &Sync,
    place: &HubPlace<'_>,
    head: &mut watch::Receiver<u64>,
    seq: u64,
    is_all: bool,
) {
    let mut patience: Option<Instant> = None;
    let mut news = sync.fleet.hand_up.news();
    loop {
        let newest = *head.borrow_and_update();
        let is_urgent = place.is_wanted() && (is_all || newest > seq);
        if is_urgent || (newest > seq && sync.ledger.first_head() > seq) {
            return;
        }
        if newest > seq {
            patience.get_or_insert_with(|| Instant::now() + limits::OUTBOX_PATIENCE);
        }
        let end = patience.unwrap_or_else(|| Instant::now() + limits::DIGESTS_INTERVAL);
        tokio::select! {
            biased;
            () = tokio::time::sleep_until(end) => if patience.is_some() { return },
            // The fleet outlives those who follow.
            _ = news.changed() => {}
            changed = head.changed() => if changed.is_err() { std::future::pending::<()>().await },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Boot;

    /// A leaf's write was acknowledged at the hub's seq 100 while its watch had come to 60. Then a row
    /// that the hub itself had sent moved the position on, with the cursor of the watch: a hub restored
    /// from a backup at 70 still had that, and was never sent the leaf's write again.
    #[test]
    fn a_position_never_stands_for_less_of_the_hub_than_before() {
        let cursor = |boot, head| Cursor {
            node: 1,
            boot: Boot(boot),
            head,
            seq: head,
            filters: 0,
        };
        assert!(is_farther(cursor(1, 100), cursor(1, 60)));
        assert!(!is_farther(cursor(1, 60), cursor(1, 60)));
        assert!(!is_farther(cursor(1, 60), cursor(1, 100)));
        assert!(
            !is_farther(cursor(1, 100), cursor(2, 60)),
            "of a later boot"
        );
    }

    /// A write stood at 4, and was superseded before that was read: it stands at 9 now. The hub was
    /// taken to have it once everything up to 7 was handed up.
    #[test]
    fn the_hub_has_everything_only_when_the_newest_was_read() {
        let mut gathered = Gathered {
            messages: Vec::new(),
            through: 3,
            is_all: false,
            is_over: false,
        };
        let held = Held::default();
        let mut read = |through, newest| {
            let records = Vec::new();
            gathered.take_in(
                &Chunk {
                    records,
                    through,
                    newest,
                },
                &held,
            );
            (gathered.is_all, gathered.is_over)
        };
        assert_eq!(read(7, 9), (false, false));
        assert_eq!(read(7, 9), (false, true), "the rest is not shown yet");
        assert_eq!(read(9, 9), (true, true));
        assert_eq!(read(9, 9), (true, true));
    }
}

//! What a leaf hands up to a hub: every record of its log above the outbox position, whoever wrote
//! it.
//!
//! The position is (own seq, the hub's cursor at its acknowledgement): it says that the hub had, at
//! that cursor, everything of this log up to that seq. A hub that no longer has the cursor – its
//! disk was lost or rolled back – is sent everything again.
//!
//! Most of a log came from others, and a hub that is met for the first time has most of it. So it is
//! heard out before anything that others wrote goes up to it. What came to this node first goes
//! ahead of that; the position stays until its turn comes, when it goes up once more.

use std::sync::Arc;

use tokio::{sync::watch, time::Instant};

use crate::{
    fleet::{HubPlace, NodeId, Run, Upstream},
    ledger::Cursor,
    limits,
    proto::v1::{self, WatchMode},
};

use super::{
    Sync,
    asking::Asking,
    connection::{self, Ask, Client, Ended},
    follow::role_of,
    gathered::Gathered,
    held::{Held, Level},
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
    /// The hub did not take all that this connection handed up.
    is_refused: bool,
}

impl Outbox {
    pub(super) fn new(sync: &Sync, upstream: &Arc<Upstream>) -> Self {
        Self {
            sync: sync.clone(),
            upstream: Arc::clone(upstream),
            mark: None,
            hand_ups: 0,
            is_refused: false,
        }
    }

    /// Hands up whatever comes, as long as the connection holds.
    pub(super) async fn run(&mut self, mut client: Client, run: Run, held: &Held) -> Ended {
        self.is_refused = false;
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
        self.note_size(&head, seq);
        if let Err(ended) = self.go_ahead(&mut client, run, held, seq, &mut head).await {
            return ended;
        }
        let mut is_all = true;
        loop {
            self.note_size(&head, seq);
            wait_for_work(&sync, &place, &mut head, seq, is_all).await;
            (seq, is_all) = match self.hand_up(&mut client, run, held, seq).await {
                Ok(done) => done,
                Err(ended) => return ended,
            };
            // Of what it refused it is not said that it has it, and nobody knows what that was.
            if is_all && !self.is_refused {
                place.has(seq);
            }
            held.forget_up_to(seq);
        }
    }

    /// Until the hub has been heard out, only what came to this node first is handed up. With a
    /// position there the rest is what came since; a hub that has everything to begin with may have
    /// to hear it from other hubs itself, and says when it has.
    async fn go_ahead(
        &mut self,
        client: &mut Client,
        run: Run,
        held: &Held,
        seq: u64,
        head: &mut watch::Receiver<u64>,
    ) -> Result<(), Ended> {
        let enough = if seq > 0 {
            Level::CaughtUp
        } else {
            Level::Ready
        };
        let mut patience = Patience {
            level: held.level(),
            enough,
            end: Instant::now() + limits::OUTBOX_READY_PATIENCE,
            last: Instant::now() + limits::OUTBOX_READY_PATIENCE_MAX,
        };
        let mut ahead = seq;
        while patience.until_first(&self.sync, head, ahead).await {
            let ledger = &self.sync.ledger;
            let from = ledger.first_after(ahead).map_or(ahead, |first| first - 1);
            let skips = |seq| !ledger.came_first(seq) || held.has(seq);
            let gathered = self.gather(from, skips).await?;
            if !gathered.messages.is_empty() {
                self.call(client, run, gathered.messages).await?;
            }
            ahead = gathered.through;
        }
        Ok(())
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
            self.hand_ups = hand_ups;
            // Noted before anything else: the connection may break before the first answer, and the
            // old position would be taken up again.
            self.advance(run, 0, Vec::new()).await?;
        }
        let mark = match self.mark.clone() {
            Some((node, mark)) if node == run.node => Some(mark),
            _ => self.saved(run).await?,
        };
        let Some(mark) = mark else { return Ok(0) };
        if mark.seq == 0 {
            self.mark = Some((run.node, mark));
            return Ok(0);
        }
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
        } = self.gather(seq, |seq| held.has(seq)).await?;
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

    /// Reads what stands after a seq, as much as one call takes, without what is to be skipped.
    async fn gather(&self, seq: u64, skips: impl Fn(u64) -> bool) -> Result<Gathered, Ended> {
        let mut gathered = Gathered::after(seq);
        while gathered.messages.len() < limits::MERGE_MESSAGES_MAX && !gathered.is_over {
            let chunk = self
                .sync
                .ledger
                .read_after(gathered.through, limits::WATCH_BATCH_RECORDS_MAX)
                .await
                .map_err(|error| format!("the journal cannot be read: {error}"))?;
            gathered.take_in(&chunk, &skips);
        }
        Ok(gathered)
    }

    async fn call(
        &mut self,
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
        let count: usize = messages
            .iter()
            .map(|message| message.revocations.len())
            .sum();
        let call = client.merge_records(futures_util::stream::iter(messages));
        let answer = tokio::time::timeout(limits::PEER_CALL_TIMEOUT, call)
            .await
            .map_err(|_| "handing up: no answer in time".to_owned())?
            .map_err(|status| format!("handing up: {}", status.message()))?
            .into_inner();
        self.upstream.update(|view| view.handed_up += count as u64);
        if answer.skipped > 0 {
            self.is_refused = true;
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

/// How long a hub is heard out.
struct Patience {
    level: watch::Receiver<Level>,
    /// This is level enough.
    enough: Level,
    end: Instant,
    /// However much it sends: it may wait for ever for another hub.
    last: Instant,
}

impl Patience {
    /// Waits until something after a seq is shown that came to this node first; or returns false,
    /// when the hub has been heard out or that took too long.
    async fn until_first(
        &mut self,
        sync: &Sync,
        head: &mut watch::Receiver<u64>,
        ahead: u64,
    ) -> bool {
        loop {
            let newest = *head.borrow_and_update();
            let is_level = *self.level.borrow_and_update() >= self.enough;
            if is_level || Instant::now() >= self.end {
                return false;
            }
            let first = sync.ledger.first_after(ahead);
            if first.is_some_and(|first| first <= newest) {
                return true;
            }
            tokio::select! {
                biased;
                () = tokio::time::sleep_until(self.end) => return false,
                // As long as it sends something there is reason to wait. The session outlives this.
                _ = self.level.changed() => {
                    self.end = self.last.min(Instant::now() + limits::OUTBOX_READY_PATIENCE);
                }
                changed = head.changed() => if changed.is_err() {
                    std::future::pending::<()>().await;
                },
            }
        }
    }
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
    use crate::{
        clock::SystemClock,
        fleet::{Fleet, Kind},
        journal::{Journal, Storage},
        ledger::{Ledger, Merge, Options},
        model::{Boot, Semantics, sample},
        sync::{Settings, SystemNet},
    };

    /// That everything is to be handed up again was forgotten when the connection broke before the
    /// first answer: the next one went on from the position that the journal still had.
    #[tokio::test]
    async fn handing_everything_up_again_is_not_forgotten_when_the_connection_breaks() {
        let clock = Arc::new(SystemClock);
        let options = Options {
            clock: Arc::clone(&clock) as _,
            semantics: Arc::new(Semantics::default()),
            live_max: limits::LIVE_DEFAULT,
            sweep_settle: limits::SWEEP_SETTLE_DEFAULT,
            accept_changed_meaning: false,
        };
        let mut numbers = 1..;
        let journal = Journal::open(&Storage::Memory).unwrap();
        let ledger = Ledger::open_inline(journal, &options, || numbers.next().unwrap()).unwrap();
        let fleet = Arc::new(Fleet::alone(clock));
        let group = fleet
            .upstreams
            .add("h:1".to_owned(), Kind::Hub, false, None);
        let upstream = group.member("h:1");
        let settings = Settings::default();
        let sync = Sync::new(ledger.clone(), fleet, Arc::new(SystemNet), settings);
        let run = Run {
            node: NodeId(9),
            boot: Boot(9),
        };
        let mark = Mark {
            seq: 1,
            cursor: vec![1],
        };
        let order = Merge {
            records: vec![sample::log_out("ada", Boot(7))],
            place: Some((Outbox::name(run), mark.encode())),
            ..Merge::default()
        };
        ledger.merge(order).await.unwrap();
        let mut outbox = Outbox::new(&sync, &upstream);
        assert_eq!(outbox.saved(run).await.unwrap(), Some(mark));

        upstream.update(|view| view.hand_ups = 1);
        // Nothing is asked of the hub: so nobody need answer there.
        let nowhere = tonic::transport::Endpoint::from_static("http://127.0.0.1:9").connect_lazy();
        let mut client = Client::new(nowhere);
        for _ in 0..2 {
            assert_eq!(outbox.begin(&mut client, run).await.unwrap(), 0);
        }
    }

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
}

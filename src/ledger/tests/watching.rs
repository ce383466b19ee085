//! What watchers read: from memory, from the journal, and with a cursor from before.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::model::TargetKey;

/// What a watcher knows: the newest record of each target.
type Known = HashMap<TargetKey, Record>;

/// A reader that remembers what it has read, and its cursor as it got it.
#[derive(Debug, Default)]
struct Reader {
    /// The newest seq of whatever it read from.
    newest: u64,
    known: Known,
    after: u64,
    cursor: Option<Vec<u8>>,
}

impl Reader {
    async fn read(&mut self, node: &Node, count_max: usize) -> bool {
        let chunk = node.read_after(self.after, count_max).await.unwrap();
        assert!(chunk.records.len() <= count_max);
        let mut last = self.after;
        for (seq, record) in chunk.records {
            assert!(
                last < seq && seq <= chunk.through,
                "in order, and no further than it says"
            );
            last = seq;
            self.known
                .insert(record.target.key(), Record::clone(&record));
        }
        let is_level = chunk.through == self.after;
        self.newest = self.newest.max(chunk.newest);
        self.after = chunk.through;
        self.cursor = Some(node.cursor(self.after, self.newest, 0).encode());
        !is_level
    }

    /// The connection is cut, or the node restarted: all that is left is the cursor.
    fn reconnect(&mut self, node: &Node) {
        let Some(cursor) = &self.cursor else {
            self.after = 0;
            return;
        };
        match node.resume(Cursor::decode(cursor).unwrap()) {
            Resume::After(seq) => {
                assert_eq!(seq, self.after);
            }
            Resume::Reset => {
                self.known.clear();
                self.after = 0;
                self.newest = 0;
            }
        }
    }
}

/// What the node holds, apart from what has run out: that, a watcher forgets by itself.
async fn held(node: &Node, now: UnixNanos) -> Known {
    current(
        node.records().await.into_iter().map(|(_, record)| record),
        now,
    )
}

fn current(records: impl IntoIterator<Item = Record>, now: UnixNanos) -> Known {
    records
        .into_iter()
        .map(|record| (record.target.key(), record.forget(now)))
        .filter(|(_, record)| !record.is_empty())
        .collect()
}

#[derive(Clone, Debug)]
enum Step {
    Revoke(Vec<u8>, bool),
    Lift(u8),
    Pass(u64),
    Read(usize),
    Cut,
    Restart,
    /// The disk is replaced by a copy that was made earlier.
    Restore,
    Backup,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (proptest::collection::vec(0_u8..8, 1..5), any::<bool>())
            .prop_map(|(users, is_short)| Step::Revoke(users, is_short)),
        2 => (0_u8..8).prop_map(Step::Lift),
        2 => (1_u64..100_000).prop_map(Step::Pass),
        6 => (1_usize..6).prop_map(Step::Read),
        3 => Just(Step::Cut),
        2 => Just(Step::Restart),
        1 => Just(Step::Backup),
        1 => Just(Step::Restore),
    ]
}

struct World {
    setup: Setup,
    disk: Disk,
    backup: Option<Vec<u8>>,
    node: Node,
    reader: Reader,
}

impl World {
    async fn take(mut self, step: &Step) -> Self {
        match step {
            Step::Revoke(users, is_short) => {
                let targets = users.iter().map(|number| user(&number.to_string()));
                let mut order = revoke(targets, all());
                let end = self.setup.clock.wall().plus(HOUR);
                order.expires_at = is_short.then_some(end);
                self.node.revoke(order).await.unwrap();
            }
            Step::Lift(number) => {
                self.node
                    .lift(user(&number.to_string()), RuleKind::All)
                    .await;
            }
            Step::Pass(seconds) => {
                self.setup.clock.advance(Duration::from_secs(*seconds));
                self.node.sweep_all().await;
            }
            Step::Read(count_max) => drop(self.reader.read(&self.node, *count_max).await),
            Step::Cut => self.reader.reconnect(&self.node),
            Step::Restart => return self.restart(),
            Step::Backup => self.backup = Some(self.disk.bytes()),
            Step::Restore => {
                if let Some(bytes) = &self.backup {
                    self.disk = Disk::holding(bytes);
                    return self.restart();
                }
            }
        }
        self
    }

    fn restart(mut self) -> Self {
        self.node.stop();
        let node = self.setup.start(&self.disk);
        self.reader.reconnect(&node);
        Self { node, ..self }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn a_reader_cut_at_random_and_resumed_with_its_cursor_ends_equal_to_the_node(
        steps in proptest::collection::vec(step(), 1..40),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (setup, disk) = (Setup::new(), Disk::default());
        let node = setup.start(&disk);
        let mut world = World { setup, disk, backup: None, node, reader: Reader::default() };
        for step in &steps {
            world = runtime.block_on(world.take(step));
        }
        world.reader.reconnect(&world.node);
        while runtime.block_on(world.reader.read(&world.node, 3)) {}
        let now = world.setup.clock.wall();
        let read = current(world.reader.known.into_values(), now);
        prop_assert_eq!(read, runtime.block_on(held(&world.node, now)));
    }
}

#[tokio::test]
async fn memory_and_journal_tell_the_same() {
    let (setup, disk) = (Setup::new(), Disk::default());
    let node = setup.start(&disk);
    for number in 0..30_u8 {
        node.revoke_one(user(&(number % 7).to_string()), all())
            .await;
    }
    let head = node.condition().head;
    for after in 0..=head {
        for count_max in [1, 3, 100] {
            let chunk = node.ledger.shared.feed.recent(after, count_max).unwrap();
            let journal = &node.ledger.shared.journal;
            let read = feed::from_journal(journal, after, head, count_max).unwrap();
            let newest: Known = [chunk.records.as_slice(), read.records.as_slice()]
                .concat()
                .into_iter()
                .map(|(_, record)| (record.target.key(), Record::clone(&record)))
                .collect();
            // Memory still has what was superseded; nothing of the journal may be missing there.
            if count_max == 100 {
                let read: Vec<_> = read.records.iter().map(|(seq, _)| *seq).collect();
                assert!(
                    read.iter()
                        .all(|seq| chunk.records.iter().any(|(held, _)| held == seq))
                );
                assert_eq!((chunk.through, newest.len()), (head, read.len()));
            } else {
                assert!(chunk.through <= read.through);
            }
        }
    }
    node.stop();
    let node = setup.start(&disk);
    assert!(
        node.ledger.shared.feed.recent(0, 100).is_none(),
        "memory begins with the boot"
    );
    assert_eq!(node.read_after(0, 100).await.unwrap().records.len(), 7);
    assert_eq!(node.read_after(head, 100).await.unwrap().through, head);
}

#[tokio::test]
async fn memory_keeps_the_newest_and_the_journal_has_the_rest() {
    let mut setup = Setup::new();
    setup.options.live_max = 1_000_000;
    let node = setup.start(&Disk::default());
    let total = limits::TAIL_RECORDS_MAX + 2_500;
    let targets: Vec<Target> = (0..total).map(|number| jti(&number.to_string())).collect();
    for targets in targets.chunks(limits::BATCH_MAX) {
        node.revoke(revoke(targets.to_vec(), AskedRules::default()))
            .await
            .unwrap();
    }
    let evicted = (total - limits::TAIL_RECORDS_MAX) as u64;
    assert!(node.ledger.shared.feed.recent(evicted - 1, 10).is_none());
    assert!(node.ledger.shared.feed.recent(evicted, 10).is_some());
    let (mut after, mut count) = (0, 0);
    loop {
        let chunk = node.read_after(after, 700).await.unwrap();
        if chunk.through == after {
            break;
        }
        count += chunk.records.len();
        after = chunk.through;
    }
    assert_eq!((count, after), (total, total as u64));
}

#[tokio::test]
async fn a_watcher_is_woken_once_what_it_may_read_is_durable() {
    let node = Setup::new().start(&Disk::default());
    let mut woken = node.subscribe();
    assert_eq!(*woken.borrow_and_update(), 0);
    node.revoke_one(user("u"), all()).await;
    woken.changed().await.unwrap();
    assert_eq!(*woken.borrow_and_update(), 1);
    assert_eq!(node.read_after(0, 10).await.unwrap().records.len(), 1);
}

/// A reader had not come to a ban yet when it was lifted: the journal no longer showed the ban,
/// and the reader would meet the lift. Then the disk was replaced by a backup from before the
/// lift. The ban held again, below where the reader stood: it never heard of it.
#[tokio::test]
async fn a_reader_on_its_way_begins_anew_when_the_disk_is_rolled_back() {
    let (setup, disk) = (Setup::new(), Disk::default());
    let node = setup.start(&disk);
    for sub in ["banned", "b", "c"] {
        node.revoke_one(user(sub), all()).await;
    }
    let backup = Disk::holding(&disk.bytes());
    node.lift(user("banned"), RuleKind::All).await;
    let mut reader = Reader {
        after: 1,
        ..Reader::default()
    };
    reader.read(&node, 1).await;
    assert_eq!(reader.after, 2);
    let cursor = Cursor::decode(reader.cursor.as_ref().unwrap()).unwrap();
    assert_eq!(node.resume(cursor), Resume::After(2));
    node.stop();
    setup.start(&disk).stop();
    let same = setup.start(&disk);
    assert_eq!(
        same.resume(cursor),
        Resume::After(2),
        "over restarts of the same disk"
    );
    let node = setup.start(&backup);
    assert_eq!(node.resume(cursor), Resume::Reset);
}

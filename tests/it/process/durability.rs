//! What was acknowledged is on disk: kill -9 at any time, under load.

use std::{
    io::Write as _,
    sync::atomic::Ordering,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rescind::proto::v1::{
    Revocation, WatchMode, WatchRevocationsRequest, watch_revocations_response::Event,
};
use tokio::task::JoinHandle;

use crate::harness::{
    PATIENCE, eventually,
    load::Load,
    random::Random,
    sidecar::{Client, Launch, Sidecar},
    within,
};

/// Kills when nobody asks for more with `RESCIND_KILLS`.
const KILLS: u64 = 30;
/// Callers at once.
const WRITERS: usize = 24;

/// A number from the environment.
fn asked_for(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// The seed of this run: `RESCIND_SEED` repeats the choices of another.
fn seed() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    asked_for("RESCIND_SEED", u64::from(now.subsec_nanos()))
}

/// Kills the process as it writes, not when a clock of ours says so.
async fn kill_under_load(sidecar: Sidecar, load: Load, random: &mut Random) -> Load {
    let running = load.start(&sidecar).await;
    let enough = 1 + random.below(400);
    let what = "enough acknowledged writes";
    eventually(PATIENCE, what, || {
        (running.acknowledged.load(Ordering::Relaxed) >= enough).then_some(())
    })
    .await;
    std::thread::sleep(Duration::from_micros(random.below(5_000)));
    sidecar.kill();
    within(PATIENCE, "writers that see it", running.stopped()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_acknowledged_revocation_survives_kill_minus_nine_under_load() {
    let seed = seed();
    let kills = asked_for("RESCIND_KILLS", KILLS);
    println!("RESCIND_SEED={seed} RESCIND_KILLS={kills}");
    let mut random = Random::new(seed);
    let data_dir = tempfile::tempdir().unwrap();
    let launch = Launch::on(data_dir.path());
    let mut load = Load::new(WRITERS, &mut random);
    let mut ready_after = Vec::new();
    let mut watcher = Watcher::default();
    for kill in 1..=kills {
        // Now and then it is killed again before it is ready.
        if random.below(4) == 0 {
            let starting = launch.spawn();
            std::thread::sleep(Duration::from_micros(random.below(60_000)));
            starting.kill();
        }
        let sidecar = launch.start().await;
        ready_after.push(sidecar.ready_after);
        let checked = load.check(&sidecar, false).await;
        println!(
            "start {kill}: ready after {:.0?}, {checked} targets as acknowledged",
            sidecar.ready_after
        );
        let watching = watcher.start(sidecar.client().await);
        load = kill_under_load(sidecar, load, &mut random).await;
        watcher = within(PATIENCE, "the watch's end", watching).await.unwrap();
    }
    let sidecar = launch.start().await;
    let checked = load.check(&sidecar, true).await;
    watcher.equals(&sidecar).await;
    ready_after.sort_unstable();
    // Past the capture of tests that pass: these figures are for whoever reads CI's log.
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "{kills} kills, {checked} targets; ready after {:.0?} at least, {:.0?} in the median, \
         {:.0?} at most",
        ready_after[0],
        ready_after[ready_after.len() / 2],
        ready_after[ready_after.len() - 1]
    )
    .unwrap();
}

/// Follows the node across its kills, from its last cursor each time.
#[derive(Debug, Default)]
struct Watcher {
    cursor: Vec<u8>,
    records: Vec<Revocation>,
}

impl Watcher {
    /// Watches until the connection breaks.
    fn start(mut self, mut client: Client) -> JoinHandle<Self> {
        tokio::spawn(async move {
            self.watch(&mut client, false).await;
            self
        })
    }

    async fn watch(&mut self, client: &mut Client, until_caught_up: bool) {
        let resumes = !self.cursor.is_empty();
        let request = WatchRevocationsRequest {
            cursor: self.cursor.clone(),
            ..WatchRevocationsRequest::default()
        };
        let Ok(events) = client.watch_revocations(request).await else {
            return;
        };
        let mut events = events.into_inner();
        while let Ok(Some(message)) = events.message().await {
            match message.event {
                Some(Event::Hello(hello)) if resumes => {
                    assert_eq!(hello.mode(), WatchMode::Resumed);
                }
                Some(Event::Records(records)) => self.records.extend(records.revocations),
                Some(Event::CaughtUp(_)) if until_caught_up => return,
                _ => {}
            }
            self.cursor = message.cursor;
        }
    }

    /// What it was told in pieces is what a new watcher is told at once.
    async fn equals(mut self, sidecar: &Sidecar) {
        let mut client = sidecar.client().await;
        let pieces = self.records.len();
        within(PATIENCE, "the rest", self.watch(&mut client, true)).await;
        let mut whole = Self::default();
        within(PATIENCE, "everything", whole.watch(&mut client, true)).await;
        assert!(whole.records.len() > 100 && pieces > 100);
        let state = |watcher: Self| {
            let records = watcher.records.into_iter();
            records
                .map(|record| (format!("{:?}", record.target), record))
                .collect::<std::collections::BTreeMap<_, _>>()
        };
        assert!(state(self) == state(whole), "a watch that was cut differs");
    }
}

/// The journal's file used to be there before it was whole, and every later start refused it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_in_the_very_first_start_spoils_nothing() {
    let seed = seed();
    println!("RESCIND_SEED={seed}");
    let mut random = Random::new(seed);
    for _ in 0..40 {
        let data_dir = tempfile::tempdir().unwrap();
        let launch = Launch::on(data_dir.path());
        let starting = launch.spawn();
        // It is made within a millisecond of its first byte, too short for a timer of tokio's.
        while std::fs::read_dir(data_dir.path()).unwrap().next().is_none() {
            assert!(starting.began.elapsed() < PATIENCE, "no file was made");
            std::thread::yield_now();
        }
        std::thread::sleep(Duration::from_micros(random.below(4_000)));
        starting.kill();
        launch.start().await.kill();
    }
}

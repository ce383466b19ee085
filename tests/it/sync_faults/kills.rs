//! kill -9 on every role, under load.

use std::{sync::Arc, time::Duration};

use super::{
    Site, asked_for, start_all, tell,
    truth::{By, Truth},
};
use crate::harness::{
    random::Random,
    sidecar::{Launch, Sidecar},
};

/// Kills when nobody asks for more with `RESCIND_FLEET_KILLS`.
const KILLS: u64 = 24;

/// A fleet that is killed and started again and again.
struct Fleet {
    names: Vec<&'static str>,
    launches: Vec<Launch>,
    running: Vec<Sidecar>,
}

impl Fleet {
    async fn start(nodes: Vec<(&'static str, Launch)>) -> Self {
        let (names, launches): (Vec<_>, Vec<_>) = nodes.into_iter().unzip();
        Self {
            running: start_all(&launches).await,
            names,
            launches,
        }
    }

    /// Kills somebody, or two at once, and starts them again without waiting for anything but the
    /// time that their disks' locks need.
    async fn kill(&mut self, random: &mut Random) {
        let count = 1 + u64::from(random.below(4) == 0);
        let mut down = Vec::new();
        for _ in 0..count {
            let place = usize::try_from(random.below(self.running.len() as u64)).unwrap();
            if down.len() + 1 < self.names.len() || down.is_empty() {
                self.running.remove(place).kill();
                let launch = self.launches.remove(place);
                down.push((self.names.remove(place), launch));
            }
        }
        let away = Duration::from_millis(random.below(500));
        tokio::time::sleep(away).await;
        for (name, launch) in down {
            self.running.push(launch.spawn());
            self.launches.push(launch);
            self.names.push(name);
        }
    }
}

fn seed() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    asked_for("RESCIND_SEED", u64::from(now.unwrap().subsec_nanos()))
}

async fn kill_again_and_again(
    what: &str,
    site: Site,
    nodes: Vec<(&'static str, Launch)>,
    by: impl Fn(&str) -> By,
) {
    let (seed, kills) = (seed(), asked_for("RESCIND_FLEET_KILLS", KILLS));
    println!("RESCIND_SEED={seed} RESCIND_FLEET_KILLS={kills}");
    let mut random = Random::new(seed);
    let truth = Truth::new();
    let mut fleet = Fleet::start(nodes).await;
    let names = fleet.names.clone();
    let (mut writers, mut samplers) = (Vec::new(), Vec::new());
    for name in &names {
        let pace = Duration::from_millis(3);
        writers.push(truth.write(name, site.client(name), by(name), pace));
        samplers.push(truth.sample(name, site.client(name), random.next()));
    }
    for _ in 0..kills {
        // So much is to be acknowledged in between.
        tokio::time::sleep(Duration::from_millis(50 + random.below(700))).await;
        fleet.kill(&mut random).await;
    }
    truth.stop.cancel();
    for writer in writers {
        writer.await.unwrap();
    }
    let mut seen = super::truth::Samples::default();
    for sampler in samplers {
        seen.add(sampler.await.unwrap());
    }
    let mut clients: Vec<_> = names
        .iter()
        .map(|name| (*name, site.client(name)))
        .collect();
    let revoked = truth.all_end_equal(&mut clients).await;
    assert!(truth.len() > 100, "so few writes try nothing");
    tell(&format!(
        "{what}: {kills} kills, {} acknowledged, {revoked} revoked on every node, {seen:?}",
        truth.len()
    ));
    drop((fleet, Arc::into_inner(truth)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mesh_whose_members_are_killed_under_load_keeps_every_promise() {
    let site = Site::new();
    let all = ["a", "b", "c"];
    let nodes = all.map(|name| (name, site.member(name, &all)));
    kill_again_and_again("mesh", site, nodes.into(), |_| By::Upstream).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hubs_and_leaves_that_are_killed_under_load_keep_every_promise() {
    let site = Site::new();
    let hubs = ["h", "k"];
    let hub = hubs.map(|name| (name, site.member(name, &hubs)));
    let leaf = ["l", "m"].map(|name| (name, site.leaf(name, &hubs)));
    let by = |name: &str| match name {
        "h" | "k" => By::Upstream,
        _ => By::Leaf,
    };
    kill_again_and_again("hubs and leaves", site, [hub, leaf].concat(), by).await;
}

//! A leaf that joins a hub which holds much and takes more all the time.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rescind::proto::v1;

use super::{
    fleet::Fleet, fleet::Node, fleet::revoke, fleet::revoke_many, fleet::until_denied, shown,
};

/// Revocations a second that the hub takes meanwhile.
const RATE: u64 = 1_000;

pub(crate) async fn bench() {
    let records = super::asked_for("RESCIND_JOIN_RECORDS").unwrap_or(1_000_000);
    let hub = Fleet::alone().await;
    let hub = &hub.nodes[0];
    let began = Instant::now();
    revoke_many(hub, "held", records).await;
    let took = began.elapsed().as_secs_f64();
    println!(
        "\na hub took {records} revocations in {took:.1} s, {:.0}/s",
        records as f64 / took
    );
    println!("| the hub | revocation acknowledged p50 | p99 | max |\n|---|---|---|---|");
    let (times, ()) = under_load(hub, "before", tokio::time::sleep(Duration::from_secs(5))).await;
    println!("| {RATE}/s | {} |", shown(times));
    let joining = async {
        let began = Instant::now();
        let leaf = Fleet::leaf_of(&hub.address).await;
        let ready = began.elapsed();
        // Everything that was acknowledged before now.
        revoke(hub, "last").await;
        until_denied(&leaf.nodes[0], "last").await;
        (leaf, ready, began.elapsed())
    };
    let (times, (leaf, ready, level)) = under_load(hub, "while", joining).await;
    println!("| {RATE}/s while a leaf joins | {} |", shown(times));
    println!(
        "\na leaf that joined it meanwhile was ready after {ready:.1?} and level after {level:.1?}, process \
         start included: {:.0} records/s; memory: hub {} MiB, leaf {} MiB",
        records as f64 / level.as_secs_f64(),
        hub.memory() >> 20,
        leaf.nodes[0].memory() >> 20,
    );
    digests(hub, records).await;
    restart(leaf, hub).await;
}

/// Revocations at a steady rate for as long as something takes, and how long each was not answered.
async fn under_load<T>(
    hub: &Node,
    name: &str,
    meanwhile: impl Future<Output = T>,
) -> (Vec<Duration>, T) {
    let mut ticks = tokio::time::interval(Duration::from_micros(1_000_000 / RATE));
    let mut writes = tokio::task::JoinSet::new();
    let load = async {
        for number in 0_u64.. {
            ticks.tick().await;
            let (mut api, request) = (
                hub.api.clone(),
                super::fleet::user(&format!("{name}-{number}")),
            );
            writes.spawn(async move {
                let began = Instant::now();
                api.revoke_user(request).await.unwrap();
                began.elapsed()
            });
        }
    };
    let came = tokio::select! {
        came = meanwhile => came,
        () = load => unreachable!("the load goes on"),
    };
    (writes.join_all().await, came)
}

async fn digests(hub: &Node, records: u64) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap();
    let request = v1::GetDigestsRequest {
        written_before_ns: nanos(now),
        runs_out_after_ns: nanos(now + Duration::from_secs(3_600)),
    };
    let (cpu, memory, began) = (hub.cpu(), hub.memory(), Instant::now());
    let answer = hub.api.clone().get_digests(request).await.unwrap();
    println!(
        "digests of {} records (of {records} and the load's): {:.1?}, CPU {:.1?}, {} bytes, memory +{} MiB",
        answer.get_ref().records,
        began.elapsed(),
        hub.cpu().saturating_sub(cpu),
        answer.get_ref().digests.len(),
        hub.memory().saturating_sub(memory) >> 20,
    );
}

/// On its own disk it has everything but what it missed.
async fn restart(leaf: Fleet, hub: &Node) {
    let stopped = leaf.stop();
    revoke_many(hub, "missed", 1_000).await;
    let began = Instant::now();
    let leaf = stopped.start().await;
    let ready = began.elapsed();
    until_denied(&leaf.nodes[0], "missed-999").await;
    println!(
        "restarted on its own disk, it was ready after {ready:.1?} and level after {:.1?}",
        began.elapsed()
    );
}

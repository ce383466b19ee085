//! Nodes on a simulated network, and what can be done to them.

use std::{
    cell::RefCell,
    collections::BTreeSet,
    fmt::Write as _,
    ops::ControlFlow,
    rc::Rc,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::FutureExt as _;
use rescind::{
    journal::Journal,
    model::{Target, Verdict},
    sync::{Address, Settings},
};

use crate::{
    disk::{Disk, Image},
    history::{History, State, knows},
    invariants::Sampled,
    net::{Dns, Now, PORT, SimClock, SimNet},
    node::{self, Live, Machine, Setup},
    random::Random,
    reader::{self, Client},
};

/// How long a step of the simulation is.
pub(crate) const TICK: Duration = Duration::from_millis(10);
/// How many steps apart everybody is looked at.
const SAMPLED_TICKS: u32 = 50;

/// What a node is to the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// A member of a mesh, a hub among them.
    Mesh,
    /// A leaf.
    Leaf,
}

/// A node, whether or not it runs.
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) place: Place,
    pub(crate) machine: Machine,
    pub(crate) backup: Option<Image>,
    /// Counts the disks that it had: a lost, restored or cloned one is another.
    pub(crate) disks: u64,
    pub(crate) is_clone: bool,
    pub(crate) sampled: Sampled,
}

/// All of it.
pub(crate) struct World {
    pub(crate) sim: turmoil::Sim<'static>,
    pub(crate) now: Now,
    pub(crate) dns: Dns,
    pub(crate) nodes: Vec<Node>,
    pub(crate) history: History,
    pub(crate) trace: String,
    seed: u64,
    pub(crate) jtis: u64,
    asked: u64,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let sim = turmoil::Builder::new()
            .rng_seed(seed)
            .tick_duration(TICK)
            .simulation_duration(Duration::from_secs(3_600))
            .min_message_latency(Duration::from_millis(1))
            .max_message_latency(Duration::from_millis(40))
            // Connections of busy nodes never overflow; what is slow waits in HTTP/2.
            .tcp_capacity(64 * 1024)
            .build();
        Self {
            sim,
            now: Now::default(),
            dns: Dns::default(),
            nodes: Vec::new(),
            history: History::default(),
            trace: String::new(),
            seed,
            jtis: 0,
            asked: 0,
        }
    }

    /// A mesh, named m0, m1 and so on.
    pub(crate) fn mesh(seed: u64, count: usize) -> Self {
        let mut world = Self::new(seed);
        world.add_mesh("m", count);
        world
    }

    /// Hubs h0 … that mesh, and leaves l0 …, each of which follows two of them.
    pub(crate) fn hubs(seed: u64, hubs: usize, leaves: usize) -> Self {
        let mut world = Self::new(seed);
        world.add_mesh("h", hubs);
        for leaf in 0..leaves {
            let mut follow = vec![leaf % hubs, (leaf + 1) % hubs];
            follow.dedup();
            let follow = Settings {
                hubs: follow.iter().map(|hub| host(&format!("h{hub}"))).collect(),
                ..Settings::default()
            };
            world.add(&format!("l{leaf}"), Place::Leaf, Setup::new(follow));
        }
        world
    }

    /// A mesh whose members find each other by one name, which lists them all.
    pub(crate) fn named_mesh(seed: u64, names: &[&str], expected_peers: Option<usize>) -> Self {
        let mut world = Self::new(seed);
        world.dns.set("mesh", Some(names));
        for name in names {
            let follow = Settings {
                peers: vec![format!("dns:mesh:{PORT}").parse().expect("an address")],
                expected_peers,
                ..Settings::default()
            };
            world.add(name, Place::Mesh, Setup::new(follow));
        }
        world
    }

    fn add_mesh(&mut self, prefix: &str, count: usize) {
        for member in 0..count {
            let others = (0..count).filter(|other| *other != member);
            let follow = Settings {
                peers: others
                    .map(|other| host(&format!("{prefix}{other}")))
                    .collect(),
                ..Settings::default()
            };
            self.add(
                &format!("{prefix}{member}"),
                Place::Mesh,
                Setup::new(follow),
            );
        }
    }

    /// One more node, which starts with the next step.
    pub(crate) fn add(&mut self, name: &str, place: Place, setup: Setup) {
        let number = self.nodes.len() as u64;
        let machine = Machine {
            disk: Disk::default(),
            clock: SimClock::new(&self.now),
            net: SimNet(self.dns.clone()),
            setup: Arc::new(Mutex::new(setup)),
            random: Arc::new(Mutex::new(Random::new(self.seed ^ (number + 1) << 48))),
            live: Arc::default(),
        };
        let running = machine.clone();
        self.sim.host(name, move || node::run(running.clone()));
        self.nodes.push(Node {
            name: name.to_owned(),
            place,
            machine,
            backup: None,
            disks: 0,
            is_clone: false,
            sampled: Sampled::default(),
        });
    }

    pub(crate) fn say(&mut self, what: std::fmt::Arguments<'_>) {
        let at = self.now.get().as_millis();
        writeln!(self.trace, "{at:>7} ms  {what}").expect("a text");
    }

    /// One tick: whoever lost its power in it is down afterwards.
    pub(crate) fn step(&mut self) {
        self.now.set(self.sim.elapsed());
        if let Err(error) = self.sim.step() {
            panic!("the simulation failed: {error}\n{}", self.trace);
        }
        self.now.set(self.sim.elapsed());
        for node in 0..self.nodes.len() {
            if self.nodes[node].machine.disk.is_dark() {
                self.crash(node);
            }
        }
    }

    /// Time goes by, with a look at everybody now and then.
    pub(crate) fn run(&mut self, span: Duration) {
        let end = self.sim.elapsed() + span;
        let mut ticks = 0;
        while self.sim.elapsed() < end {
            self.step();
            ticks += 1;
            if ticks % SAMPLED_TICKS == 0 {
                self.sample();
            }
        }
        self.sample();
    }

    /// Time goes by until something is so.
    pub(crate) fn run_until(
        &mut self,
        what: &str,
        within: Duration,
        is_so: impl Fn(&Self) -> bool,
    ) {
        let end = self.sim.elapsed() + within;
        let mut ticks = 0;
        while !is_so(self) {
            assert!(
                self.sim.elapsed() < end,
                "{what}: not within {within:?}\n{}{}",
                self.trace,
                self.describe()
            );
            self.step();
            ticks += 1;
            if ticks % SAMPLED_TICKS == 0 {
                self.sample();
            }
        }
    }

    pub(crate) fn live(&self, node: usize) -> Option<Live> {
        self.nodes[node].machine.live()
    }

    pub(crate) fn up(&self) -> Vec<(usize, Live)> {
        (0..self.nodes.len())
            .filter_map(|node| Some((node, self.live(node)?)))
            .collect()
    }

    /// The number of a node.
    pub(crate) fn at(&self, name: &str) -> usize {
        let place = self.nodes.iter().position(|node| node.name == name);
        place.expect("a node of that name")
    }

    /// Whether all nodes that run deny a user.
    pub(crate) fn is_banned_everywhere(&self, sub: &str) -> bool {
        self.up()
            .iter()
            .all(|(node, _)| matches!(self.verdict(*node, sub), Verdict::Revoked(_)))
    }

    /// Nothing goes between these and those any more.
    pub(crate) fn part(&self, these: &[&str], those: &[&str]) {
        for a in these {
            for b in those {
                self.sim.partition(*a, *b);
            }
        }
    }

    // Faults of nodes.

    /// The process is gone, and what was not synced with it.
    pub(crate) fn crash(&mut self, node: usize) {
        let name = self.nodes[node].name.clone();
        self.say(format_args!("{name}: crash"));
        self.nodes[node].machine.disk.crash();
        self.nodes[node].machine.forget_process();
        self.sim.crash(name.as_str());
    }

    pub(crate) fn start(&mut self, node: usize) {
        let name = self.nodes[node].name.clone();
        self.say(format_args!("{name}: start"));
        self.sim.bounce(name.as_str());
    }

    pub(crate) fn restart(&mut self, node: usize) {
        self.crash(node);
        self.start(node);
    }

    /// Keeps what stands on a disk, for [`World::restore_backup`].
    pub(crate) fn back_up(&mut self, node: usize) {
        let image = self.nodes[node].machine.disk.image();
        self.nodes[node].backup = Some(image);
    }

    /// Crashes a node and puts another disk into it, which it finds when it starts.
    pub(crate) fn replace_disk(&mut self, node: usize, image: Image) {
        self.crash(node);
        self.nodes[node].machine.disk.replace(image);
        self.nodes[node].disks += 1;
        self.nodes[node].sampled.disk_replaced();
        self.excuse();
    }

    pub(crate) fn lose_disk(&mut self, node: usize) {
        let name = self.nodes[node].name.clone();
        self.say(format_args!("{name}: its disk is lost"));
        self.replace_disk(node, Image::new());
    }

    pub(crate) fn restore_backup(&mut self, node: usize) {
        if let Some(image) = self.nodes[node].backup.clone() {
            let name = self.nodes[node].name.clone();
            self.say(format_args!("{name}: its disk is restored from a backup"));
            self.replace_disk(node, image);
        }
    }

    /// What no disk has any more is nobody's fault.
    fn excuse(&mut self) {
        let states: Vec<State> = (0..self.nodes.len()).map(|node| self.state(node)).collect();
        let held =
            |target: &Target, kind, dot| states.iter().any(|state| knows(state, target, kind, dot));
        let History { writes, lifts, .. } = &mut self.history;
        for write in writes.iter_mut().filter(|write| !write.excused) {
            write.excused = !held(&write.target, write.kind, write.dot);
        }
        for lift in lifts.iter_mut().filter(|lift| !lift.excused) {
            lift.excused = !held(&lift.target, lift.kind, lift.dot);
        }
    }

    /// What a node holds, whether or not it runs.
    pub(crate) fn state(&self, node: usize) -> State {
        let mut state = State::new();
        if let Some(live) = self.live(node) {
            let all = live.ledger.scan(0, state, |state, record| {
                state.insert(record.target.clone(), record.clone());
                ControlFlow::Continue(())
            });
            return all
                .now_or_never()
                .expect("an inline ledger")
                .expect("a journal")
                .0;
        }
        let image = self.nodes[node].machine.disk.image();
        if image.is_empty() {
            return state;
        }
        let journal = Journal::open_with(Disk::holding(image).open(), true).expect("a journal");
        let all = journal.each_record(0, u64::MAX, |_, record| {
            state.insert(record.target.clone(), record);
            ControlFlow::Continue(())
        });
        all.expect("a journal");
        state
    }

    /// Asks a node something over the network, and waits for the answer.
    pub(crate) fn ask<T: 'static>(
        &mut self,
        node: usize,
        question: impl AsyncFnOnce(Client) -> T + 'static,
    ) -> T {
        self.asked += 1;
        let name = self.nodes[node].name.clone();
        let answer = Rc::new(RefCell::new(None));
        let slot = Rc::clone(&answer);
        self.sim
            .client(format!("caller{}", self.asked), async move {
                let client = reader::connect(&name).await?;
                let answered = question(client).await;
                *slot.borrow_mut() = Some(answered);
                Ok(())
            });
        while answer.borrow().is_none() {
            self.step();
        }
        let answer = answer.borrow_mut().take();
        answer.expect("an answer")
    }

    /// How every node sees things, for people.
    pub(crate) fn describe(&self) -> String {
        let mut text = String::new();
        for (node, live) in self.up() {
            let condition = live.ledger.condition();
            writeln!(
                text,
                "{}: head {} held {} ready {} staleness {:?} trust {:?} {}",
                self.nodes[node].name,
                condition.head,
                condition.held,
                live.fleet.is_ready(),
                live.fleet.staleness(),
                condition.trust,
                live.fleet.not_ready_because(),
            )
            .expect("a text");
            for (upstream, view) in live.fleet.upstreams.list() {
                writeln!(
                    text,
                    "    {} {:?} seq {} head {} outbox {} {}",
                    upstream.address, view.phase, view.seq, view.head, view.outbox, view.last_error,
                )
                .expect("a text");
            }
        }
        text
    }

    pub(crate) fn names(&self) -> BTreeSet<String> {
        self.nodes.iter().map(|node| node.name.clone()).collect()
    }
}

pub(crate) fn host(name: &str) -> Address {
    format!("{name}:{PORT}").parse().expect("an address")
}

//! One history from one seed: writes and faults at random, then peace.

use std::time::Duration;

use rescind::model::RuleKind;

use crate::{random::Random, reader::Reader, world::World};

/// How long faults go on.
const TROUBLE: Duration = Duration::from_secs(14);
/// Users that are written of.
const USERS: u64 = 5;

/// What is going on.
struct Schedule {
    world: World,
    random: Random,
    reader: Reader,
    /// Nodes that are down, and when they come back.
    down: Vec<(usize, Duration)>,
}

/// Plays the history of a seed; returns all that was said of it.
pub(crate) fn play(seed: u64) -> String {
    let mut random = Random::new(seed);
    let mut world = match random.below(5) {
        0 => World::mesh(seed, 2),
        1 => World::mesh(seed, 3),
        2 => World::mesh(seed, 4),
        3 => World::hubs(seed, 2, 2),
        _ => World::hubs(seed, 3, 3),
    };
    let watched = pick(&mut random, world.nodes.len());
    let reader = world.reader(watched);
    let mut schedule = Schedule {
        world,
        random,
        reader,
        down: Vec::new(),
    };
    if schedule.random.below(3) > 0 {
        // Mostly the trouble begins once all are up; else they start together in the midst of it.
        schedule.world.run(Duration::from_secs(3));
    }
    schedule.trouble();
    let Schedule {
        mut world, reader, ..
    } = schedule;
    world.heal_and_check();
    if seed.is_multiple_of(8) {
        // This takes the greatest part of the time.
        world.forgets_for_good();
        world.memory_is_bounded();
    }
    world.caught_up_means_it(&reader);
    world.reader_knows_all(&reader);
    let heads = world.describe();
    world.say(format_args!("the end\n{heads}"));
    world.trace
}

fn pick(random: &mut Random, count: usize) -> usize {
    usize::try_from(random.below(count as u64)).expect("a small number")
}

impl Schedule {
    fn trouble(&mut self) {
        let end = self.world.sim.elapsed() + TROUBLE;
        while self.world.sim.elapsed() < end {
            self.come_back();
            self.write();
            if self.random.below(100) < 45 {
                self.fault();
            }
            let pause = Duration::from_millis(20 + self.random.below(600));
            self.world.run(pause);
            self.world.caught_up_means_it(&self.reader);
            if self.random.below(4) == 0 {
                self.world.acknowledgements_are_honest();
            }
        }
    }

    fn come_back(&mut self) {
        let now = self.world.sim.elapsed();
        let (due, rest): (Vec<_>, Vec<_>) = self.down.iter().partition(|(_, at)| *at <= now);
        self.down = rest;
        for (node, _) in due {
            self.world.start(node);
        }
    }

    fn node(&mut self) -> usize {
        pick(&mut self.random, self.world.nodes.len())
    }

    fn user(&mut self) -> String {
        format!("u{}", self.random.below(USERS))
    }

    fn write(&mut self) {
        let (node, user) = (self.node(), self.user());
        match self.random.below(10) {
            0..=2 => drop(self.world.ban(node, &user)),
            3..=4 => drop(self.world.log_out(node, &user)),
            5..=6 => drop(self.world.revoke_token(node)),
            7 => drop(self.world.lift(node, &user, RuleKind::All)),
            8 => drop(self.world.lift(node, &user, RuleKind::IssuedBefore)),
            _ => self.race(&user),
        }
    }

    /// A lift and a revocation of one user at the same moment, on two nodes.
    fn race(&mut self, user: &str) {
        let (a, b) = (self.node(), self.node());
        self.world.lift(a, user, RuleKind::All);
        self.world.ban(b, user);
    }

    fn fault(&mut self) {
        match self.random.below(100) {
            0..=29 => self.cut_link(),
            30..=44 => self.mend_links(),
            45..=69 => self.process(),
            70..=79 => self.disk(),
            80..=91 => self.clock(),
            _ => self.all_hubs_restart(),
        }
    }

    fn cut_link(&mut self) {
        let (a, b) = (self.node(), self.node());
        if a == b {
            return;
        }
        let (a, b) = (
            self.world.nodes[a].name.clone(),
            self.world.nodes[b].name.clone(),
        );
        let (from, to) = (a.as_str(), b.as_str());
        let what = match self.random.below(4) {
            0 => {
                self.world.sim.partition(from, to);
                "apart"
            }
            1 => {
                self.world.sim.partition_oneway(from, to);
                "apart one way"
            }
            2 => {
                self.world.sim.hold(from, to);
                "held"
            }
            _ => {
                let latency = Duration::from_millis(100 + self.random.below(500));
                self.world.sim.set_link_latency(from, to, latency);
                "slow"
            }
        };
        self.world.say(format_args!("{a}, {b}: {what}"));
    }

    fn mend_links(&mut self) {
        self.world.say(format_args!("links heal"));
        let names: Vec<String> = self.world.names().into_iter().collect();
        for (at, a) in names.iter().enumerate() {
            for b in &names[at + 1..] {
                self.world.heal_link(a, b);
            }
        }
    }

    /// A process ends and comes back, or its machine loses power in the midst of a write.
    fn process(&mut self) {
        let node = self.node();
        if self.world.live(node).is_none() {
            return;
        }
        let back = self.world.sim.elapsed() + Duration::from_millis(self.random.below(5_000));
        if self.random.below(3) == 0 {
            let actions = self.random.below(12);
            let name = self.world.nodes[node].name.clone();
            self.world
                .say(format_args!("{name}: power for {actions} more writes"));
            self.world.nodes[node].machine.disk.cut_power_after(actions);
            self.write_at(node);
            self.world.step();
            if self.world.live(node).is_some() {
                self.world.crash(node);
            }
        } else {
            self.world.crash(node);
        }
        self.down.push((node, back));
    }

    fn write_at(&mut self, node: usize) {
        let user = self.user();
        self.world.ban(node, &user);
        self.world.revoke_token(node);
    }

    fn disk(&mut self) {
        let node = self.node();
        if self.world.nodes[node].is_clone || self.world.live(node).is_none() {
            return;
        }
        match self.random.below(5) {
            0..=1 => {
                self.world.back_up(node);
                return;
            }
            2 => {
                if self.world.nodes[node].backup.is_none() {
                    return;
                }
                self.world.restore_backup(node);
            }
            3 => {
                self.world.lose_disk(node);
                self.world.expect_sync(node);
            }
            _ => {
                let other = self.node();
                if other == node {
                    return;
                }
                let image = self.world.nodes[other].machine.disk.image();
                let (name, of) = (&self.world.nodes[node].name, &self.world.nodes[other].name);
                let story = format!("{name}: its disk is now a clone of that of {of}");
                self.world.say(format_args!("{story}"));
                self.world.replace_disk(node, image);
                self.world.nodes[node].is_clone = true;
            }
        }
        let back = self.world.sim.elapsed() + Duration::from_millis(self.random.below(2_000));
        self.down.push((node, back));
    }

    /// Clocks differ by up to half the grace, and now and then one jumps far.
    fn clock(&mut self) {
        let node = self.node();
        let off = match self.random.below(4) {
            0 => 0,
            // Further than what another node's clock may be off for this one to be believed.
            1 => {
                let far = 130_000 + i64::try_from(self.random.below(170_000)).expect("small");
                if self.random.below(2) == 0 { far } else { -far }
            }
            _ => i64::try_from(self.random.below(22_000)).expect("small") - 11_000,
        };
        self.world.nodes[node].machine.clock.set_off(off);
        let name = self.world.nodes[node].name.clone();
        self.world
            .say(format_args!("{name}: its clock is off by {off} ms"));
    }

    fn all_hubs_restart(&mut self) {
        let hubs: Vec<usize> = self
            .world
            .up()
            .iter()
            .map(|(node, _)| *node)
            .filter(|node| self.world.nodes[*node].place == crate::world::Place::Mesh)
            .collect();
        for node in hubs {
            self.world.crash(node);
            let back = self.world.sim.elapsed() + Duration::from_millis(self.random.below(1_000));
            self.down.push((node, back));
        }
    }
}

//! The ledger against a plain model: a list of everything that was ever revoked and not lifted,
//! evaluated as the rules are written down, which forgets nothing at all.
//!
//! Whatever the model denies, the ledger must not let pass, be it REVOKED, EXPIRED or INVALID: so
//! forgetting is held to its promise. And the ledger may say REVOKED only where the model knows of
//! a revocation.

mod model;

use proptest::prelude::*;

use super::*;
use crate::model::Lifetime;
use model::{LEEWAY, Model, SESSION_BOUND, TOKEN_BOUND, names};

#[derive(Clone, Debug)]
struct Ask {
    targets: Vec<Target>,
    end: TokenEnd,
    rules: AskedRules,
    ends_in: Option<Duration>,
    is_trial: bool,
    id: Option<u8>,
}

/// Times in a step are relative to the clock at that step.
#[derive(Clone, Debug)]
enum Step {
    Revoke(Ask),
    Restore(Vec<Target>, Vec<RuleKind>),
    Pass(Duration),
    /// Goes to the last moment of a token, and sweeps.
    ToTheEndOf(usize),
    Sweep,
    SetForward(Duration),
    SetBack(Duration),
    AcceptClock,
    Restart {
        down: Duration,
    },
}

fn targets() -> Vec<Target> {
    let text = str::to_owned;
    let whats = [
        What::Jti(text("0")),
        What::Jti(text("3")),
        What::Digest([5; 32]),
        What::User(text("u0")),
        What::User(text("u1")),
        What::Session(text("s0")),
        What::Session(text("s1")),
        What::Client(text("c0")),
        What::Key(text("k0")),
        What::Key(text("k1")),
        What::Claim {
            name: text("tenant"),
            value: text("a"),
        },
        What::Claim {
            name: text("tenant"),
            value: text("b"),
        },
        What::Issuer,
    ];
    let of = |iss: &'static str| {
        move |what| Target {
            iss: iss.to_owned(),
            what,
        }
    };
    whats
        .iter()
        .cloned()
        .map(of("i"))
        .chain(whats.iter().cloned().map(of("j")))
        .collect()
}

fn rules() -> impl Strategy<Value = (bool, Option<i64>, Option<u64>, Option<i64>, Vec<Exception>)> {
    let time = || prop_oneof![-200_000_i64..=60, Just(0)];
    let except = prop_oneof![
        3 => Just(vec![]),
        1 => Just(vec![Exception::Sid("s0".to_owned())]),
        1 => Just(vec![Exception::Jti("3".to_owned())]),
    ];
    prop_oneof![
        2 => Just((true, None, None, None, vec![])),
        2 => except.clone().prop_map(|except| (false, None, None, None, except)),
        2 => (time(), except.clone()).prop_map(|(t, except)| (false, Some(t), None, None, except)),
        1 => (1_u64..5).prop_map(|version| (false, None, Some(version), None, vec![])),
        1 => (time(), except).prop_map(|(t, except)| (false, None, None, Some(t), except)),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let some = || proptest::sample::subsequence(targets(), 1..=3);
    let seconds = |range: std::ops::Range<u64>| range.prop_map(Duration::from_secs);
    let end = prop_oneof![
        3 => Just(TokenEnd::Unknown),
        1 => Just(TokenEnd::Never),
        2 => seconds(1..200_000).prop_map(|end| TokenEnd::At(UnixNanos::ZERO.plus(end))),
    ];
    let asked = (
        some(),
        end,
        rules(),
        proptest::option::weighted(0.2, seconds(1..300_000)),
    );
    let how = (
        proptest::bool::weighted(0.1),
        proptest::option::weighted(0.2, 0_u8..3),
    );
    let ask = (asked, how).prop_map(|((targets, end, rules, ends_in), (is_trial, id))| {
        Step::Revoke(Ask {
            targets,
            end,
            rules: asked_rules(rules),
            ends_in,
            is_trial,
            id,
        })
    });
    let kinds = proptest::sample::subsequence(RuleKind::ALL.to_vec(), 1..=4);
    prop_oneof![
        10 => ask,
        3 => (some(), kinds).prop_map(|(targets, kinds)| Step::Restore(targets, kinds)),
        8 => prop_oneof![seconds(1..120), seconds(600..7_200), seconds(30_000..260_000)]
            .prop_map(Step::Pass),
        4 => (0_usize..1_000).prop_map(Step::ToTheEndOf),
        8 => Just(Step::Sweep),
        1 => seconds(1..200_000).prop_map(Step::SetForward),
        1 => prop_oneof![seconds(1..20), seconds(1..200_000)].prop_map(Step::SetBack),
        1 => Just(Step::AcceptClock),
        2 => prop_oneof![seconds(0..10), seconds(0..200_000)]
            .prop_map(|down| Step::Restart { down }),
    ]
}

/// Times are kept as offsets until the step is taken: see [`placed`].
fn asked_rules(
    (all, issued, version_below, authenticated, except): (
        bool,
        Option<i64>,
        Option<u64>,
        Option<i64>,
        Vec<Exception>,
    ),
) -> AskedRules {
    let offset = |seconds: i64| UnixNanos::from_secs(u64::try_from(seconds + 1_000_000).unwrap());
    AskedRules {
        all,
        issued_before: issued.map(offset),
        version_below,
        authenticated_before: authenticated.map(offset),
        except,
        ..AskedRules::default()
    }
}

fn placed(ask: &Ask, now: UnixNanos) -> Revoke {
    let place = |offset: UnixNanos| {
        let base = now.minus(Duration::from_secs(1_000_000));
        base.plus(offset.since(UnixNanos::ZERO))
    };
    let mut rules = ask.rules.clone();
    rules.issued_before = rules.issued_before.map(place);
    rules.authenticated_before = rules.authenticated_before.map(place);
    let end = match ask.end {
        TokenEnd::At(after) => TokenEnd::At(now.plus(after.since(UnixNanos::ZERO))),
        other => other,
    };
    Revoke {
        targets: ask
            .targets
            .iter()
            .map(|target| Named {
                target: target.clone(),
                end,
            })
            .collect(),
        rules,
        expires_at: ask.ends_in.map(|after| now.plus(after)),
        reason: Reason::Policy,
        terms: Terms {
            validate_only: ask.is_trial,
            // Another request under the same id is refused, the same one is a repeat.
            request_id: ask.id.map(|id| request_id(id, id)),
            ..Terms::default()
        },
    }
}

/// Tokens whose lives are spread over the time that a history may take.
fn tokens() -> impl Strategy<Value = Vec<Claims<'static>>> {
    let pick = |from: &'static [&'static str]| proptest::sample::select(from);
    let ids = (
        pick(&["0", "1", "2", "3", ""]),
        pick(&["u0", "u1", ""]),
        pick(&["s0", "s1", ""]),
    );
    let of = (
        pick(&["i", "i", "j"]),
        pick(&["c0", ""]),
        pick(&["k0", "k1", ""]),
        pick(&["a", "b", ""]),
    );
    let times = (
        -200_000_i64..1_500_000,
        1_u64..180_000,
        proptest::option::of(0_u64..440_000),
    );
    let one = (ids, of, times, proptest::option::of(0_u64..6), 0_u8..6).prop_map(
        |((jti, sub, sid), (iss, client, kid, tenant), (iat, life, age), version, digest)| {
            let iat = UnixNanos::from_secs(T0.secs_floor().checked_add_signed(iat).unwrap());
            Claims {
                iss: iss.into(),
                jti: jti.into(),
                sub: sub.into(),
                sid: sid.into(),
                client_id: client.into(),
                kid: kid.into(),
                iat: Some(iat),
                exp: Some(iat.plus(Duration::from_secs(life))),
                auth_time: age.map(|age| iat.minus(Duration::from_secs(age))),
                version,
                other: (!tenant.is_empty())
                    .then(|| ("tenant".into(), tenant.into()))
                    .into_iter()
                    .collect(),
                digest: (jti.is_empty() || digest == 5).then_some([digest; 32]),
                ..Claims::default()
            }
        },
    );
    proptest::collection::vec(one, 60)
}

fn setup() -> Setup {
    let mut setup = Setup::with(IssuerSettings {
        max_token_lifetime: Lifetime::AtMost(TOKEN_BOUND),
        max_session_lifetime: Lifetime::AtMost(SESSION_BOUND),
        revocable_claims: vec!["tenant".to_owned()],
        ..IssuerSettings::default()
    });
    setup.change(|semantics| {
        let unlimited = IssuerSettings {
            max_token_lifetime: Lifetime::Unlimited,
            max_session_lifetime: Lifetime::Unlimited,
            ..semantics.defaults.clone()
        };
        semantics.issuers.insert("j".to_owned(), unlimited);
    });
    setup
}

struct World {
    setup: Setup,
    disk: Disk,
    node: Node,
    model: Model,
    tokens: Vec<Claims<'static>>,
    answered: Vec<(u8, UnixNanos)>,
}

impl World {
    fn new(tokens: Vec<Claims<'static>>) -> Self {
        let (setup, disk) = (setup(), Disk::default());
        let node = setup.start(&disk);
        Self {
            setup,
            disk,
            node,
            model: Model::default(),
            tokens,
            answered: Vec::new(),
        }
    }

    fn now(&self) -> UnixNanos {
        self.setup.clock.wall()
    }

    /// Whether this id was answered less than ten minutes ago, or at a time to come.
    fn is_repeat(&self, id: Option<u8>) -> bool {
        let now = self.now();
        let is_recent = |at: UnixNanos| now.since(at) <= limits::REQUEST_ID_KEPT;
        let last = self
            .answered
            .iter()
            .rev()
            .find(|(held, _)| Some(*held) == id);
        last.is_some_and(|(_, at)| is_recent(*at))
    }

    async fn take(mut self, step: &Step) -> Self {
        let clock = Arc::clone(&self.setup.clock);
        match step {
            Step::Revoke(ask) => self.revoke(ask).await,
            Step::Restore(targets, kinds) => {
                let mut order = Restore {
                    targets: targets.clone(),
                    kinds: kinds.clone(),
                    terms: Terms::default(),
                };
                if targets.iter().all(Target::is_token) {
                    order.kinds.clear();
                }
                self.node.restore(order).await.unwrap();
                self.model.lift(targets, kinds);
            }
            Step::Pass(by) => clock.advance(*by),
            Step::ToTheEndOf(which) => {
                // Those of the latest writes come last.
                let place = self.tokens.len() - 1 - which % self.tokens.len().min(12);
                let end = self.tokens[place].exp.unwrap_or_default().plus(LEEWAY);
                let left = end.since(clock.wall()).saturating_sub(SECOND);
                // A node that sweeps now and then, and so has no gap in its journal.
                for _ in 0..20 {
                    clock.advance(left / 20);
                    self.node.sweep_all().await;
                }
            }
            Step::Sweep => drop(self.node.sweep_all().await),
            Step::SetForward(by) => clock.set_wall(clock.wall().plus(*by)),
            Step::SetBack(by) => clock.set_wall(clock.wall().minus(*by)),
            Step::AcceptClock => self.node.accept_clock().await.unwrap(),
            Step::Restart { down } => return self.restart(*down).await,
        }
        self
    }

    async fn revoke(&mut self, ask: &Ask) {
        let mut order = placed(ask, self.now());
        // Nothing but users and sessions has a default, and tokens have no rules.
        let is_plain = |named: &Named| {
            let kind = named.target.kind();
            [TargetKind::Token, TargetKind::User, TargetKind::Session].contains(&kind)
        };
        if order.rules.has_no_cut_off() && !order.targets.iter().all(is_plain) {
            order.rules.issued_before = Some(self.now());
        }
        if order.targets.iter().all(|named| named.target.is_token()) {
            order.rules = AskedRules::default();
        }
        let is_repeat = self.is_repeat(ask.id);
        self.node.settle().await;
        let before = (self.node.records().await, self.node.condition().held);
        self.node.revoke(order.clone()).await.unwrap();
        if is_repeat || ask.is_trial {
            assert_eq!(
                (self.node.records().await, self.node.condition().held),
                before
            );
            return;
        }
        if let Some(id) = ask.id {
            // With each that is remembered, old ones are forgotten, and stay so.
            let now = self.now();
            let is_recent = |at: UnixNanos| now.since(at) <= limits::REQUEST_ID_KEPT;
            self.answered.retain(|(_, at)| is_recent(*at));
            self.answered.push((id, now));
        }
        let known = self.model.writes.len();
        self.model.write(&order, self.now());
        self.tokens.extend(self.model.probes(known));
    }

    /// What the journal holds is what Check answers from.
    async fn restart(self, down: Duration) -> Self {
        let judge = |node: &Node| {
            self.tokens
                .iter()
                .map(|t| node.judge(t))
                .collect::<Vec<_>>()
        };
        let verdicts = judge(&self.node);
        self.node.settle().await;
        let before = (self.node.records().await, self.node.counts(), verdicts);
        let was_rewound = self.node.condition().swept > self.now();
        self.node.stop();
        let node = self.setup.start(&self.disk);
        assert_eq!((node.records().await, node.counts()), (before.0, before.1));
        if !was_rewound {
            assert_eq!(judge(&node), before.2);
        }
        node.stop();
        self.setup.clock.advance(down);
        let node = self.setup.start(&self.disk);
        Self { node, ..self }
    }

    fn check(&mut self) {
        let now = self.now();
        self.model.look(now);
        for claims in &self.tokens {
            let verdict = self.node.judge(claims);
            if self.model.denies(claims, now) {
                let passes = matches!(verdict, Verdict::Active | Verdict::NotYetValid);
                assert!(
                    !passes,
                    "at {now} this token passes: {claims:#?}\n{:#?}",
                    self.model
                );
            }
            if let Verdict::Revoked(found) = &verdict {
                assert!(names(&found.target, claims), "{found:?} {claims:?}");
                let known = self.model.may_deny(claims, now);
                assert!(
                    known,
                    "nobody revoked {claims:#?}\n{found:?}\n{:#?}",
                    self.model
                );
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, max_shrink_iters: 4_000, ..ProptestConfig::default() })]

    #[test]
    fn the_ledger_denies_what_a_plain_model_denies_and_nothing_that_nobody_revoked(
        tokens in tokens(),
        steps in proptest::collection::vec(step(), 1..40),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut world = World::new(tokens);
        for step in &steps {
            world = runtime.block_on(world.take(step));
            world.check();
        }
        world = runtime.block_on(world.restart(Duration::ZERO));
        world.check();
    }
}

//! The laws of merging, on random histories of several writers, with time passing.
//!
//! This is `merge.py` of the design, law for law, and what the types add to it: whose write a
//! record is, and keeping longer.

use std::time::Duration;

use proptest::prelude::*;

use super::{
    Boot, CutOff, Dot, Entry, Exception, KeptBy, Note, Record, Request, Rule, RuleKind, Target,
    UnixNanos, What,
};

/// The bound that writers keep by.
const LIFETIME_S: u64 = 6;

/// What one writer does.
#[derive(Clone, Debug)]
enum Step {
    Revoke {
        cut_off: CutOff,
        kept: Kept,
        except: Vec<Exception>,
    },
    Lift,
    Forget,
    Hear {
        from: usize,
    },
}

#[derive(Clone, Copy, Debug)]
enum Kept {
    UntilLifted,
    ForLifetime,
    ForS(u64),
}

/// A token, as a rule sees it: its claim, and the session or jti it has.
type Token = (Option<CutOff>, Vec<Exception>);

fn ids() -> Vec<Exception> {
    vec![
        Exception::Sid("a".to_owned()),
        Exception::Sid("b".to_owned()),
        Exception::Jti("x".to_owned()),
    ]
}

fn tokens() -> Vec<Token> {
    let ids = ids();
    let mut held: Vec<Vec<Exception>> = vec![Vec::new()];
    held.extend(ids.iter().map(|id| vec![id.clone()]));
    held.push(vec![ids[0].clone(), ids[2].clone()]);
    let values = std::iter::once(None).chain((1..10).map(Some));
    values
        .flat_map(|value| held.iter().map(move |held| (value, held.clone())))
        .collect()
}

fn denies(rule: &Rule, token: &Token) -> bool {
    rule.entries
        .values()
        .any(|entry| entry_denies(entry, token))
}

fn entry_denies(entry: &Entry, (value, held): &Token) -> bool {
    super::denies(entry.cut_off, &entry.floors, *value, |id| held.contains(id))
}

fn step() -> impl Strategy<Value = Step> {
    let revoke = (
        1_u64..10,
        prop_oneof![
            Just(Kept::UntilLifted),
            Just(Kept::ForLifetime),
            (1_u64..13).prop_map(Kept::ForS),
        ],
        prop_oneof![
            2 => Just(Vec::new()),
            2 => proptest::sample::subsequence(ids(), 1..=2),
        ],
    );
    prop_oneof![
        40 => revoke.prop_map(|(cut_off, kept, except)| Step::Revoke { cut_off, kept, except }),
        12 => Just(Step::Lift),
        10 => Just(Step::Forget),
        38 => (0_usize..4).prop_map(|from| Step::Hear { from }),
    ]
}

/// Everything that a history leaves behind.
struct History {
    states: Vec<Rule>,
    seen: Vec<Rule>,
    now: UnixNanos,
    revoked: Vec<(Dot, Vec<Token>, UnixNanos)>,
    lifted: Vec<Rule>,
}

impl History {
    fn new() -> Self {
        Self {
            states: vec![Rule::default(); 4],
            seen: vec![Rule::default()],
            now: UnixNanos::from_secs(1),
            revoked: Vec::new(),
            lifted: Vec::new(),
        }
    }

    fn play(&mut self, node: usize, counter: u64, pause_ms: u64, step: &Step) {
        self.now = self.now.plus(Duration::from_millis(pause_ms));
        let before = self.states[node].clone();
        let dot = Dot {
            boot: Boot(node as u64),
            counter,
        };
        let note = Note {
            at: self.now,
            ..Note::default()
        };
        self.states[node] = match step {
            Step::Revoke {
                cut_off,
                kept,
                except,
            } => self.revoke(&before, dot, (*cut_off, *kept, except)),
            Step::Lift => match before.lift(dot, &note) {
                Some(after) => {
                    assert!(
                        !tokens().iter().any(|token| denies(&after, token)),
                        "a lift leaves nothing that the node had seen"
                    );
                    assert!(after.lifted().is_some(), "and says so");
                    self.lifted.push(before);
                    after
                }
                None => before,
            },
            Step::Forget => before.forget(self.now),
            Step::Hear { from } => before.join(&self.states[*from]),
        };
        self.seen.push(self.states[node].clone());
    }

    fn revoke(
        &mut self,
        before: &Rule,
        dot: Dot,
        (cut_off, kept, except): (CutOff, Kept, &Vec<Exception>),
    ) -> Rule {
        let after = |seconds| self.now.plus(Duration::from_secs(seconds));
        let (until, kept_by) = match kept {
            Kept::UntilLifted => (UnixNanos::FOREVER, KeptBy::Itself),
            Kept::ForLifetime => (after(LIFETIME_S), KeptBy::TokenLifetime),
            Kept::ForS(seconds) => (after(seconds), KeptBy::Itself),
        };
        let request = Request {
            cut_off,
            until,
            kept_by,
            kept_from: match kept_by {
                KeptBy::Itself => until,
                _ => self.now,
            },
            except: except.clone(),
        };
        let after = before.revoke(dot, &request, &Note::default());
        let asked: Vec<Token> = tokens()
            .into_iter()
            .filter(|(value, held)| {
                !held.iter().any(|id| except.contains(id))
                    && value.is_none_or(|value| value < cut_off)
            })
            .collect();
        for token in tokens() {
            assert!(
                denies(&after, &token) || !(asked.contains(&token) || denies(before, &token)),
                "un-revoked, or did not take: {token:?}"
            );
        }
        assert_eq!(after.entries.len(), 1, "a writer leaves one entry");
        self.revoked.push((dot, asked, until));
        after
    }

    /// Everything that is known anywhere.
    fn end(&self) -> Rule {
        self.states
            .iter()
            .fold(Rule::default(), |sum, state| sum.join(state))
            .forget(self.now)
    }
}

/// A record with these states of two kinds of rule.
fn record(rules: [&Rule; 2], origin: Option<u64>) -> Record {
    let kinds = [RuleKind::All, RuleKind::IssuedBefore];
    let states = kinds.into_iter().zip(rules.map(Clone::clone));
    Record {
        target: Target {
            iss: "i".to_owned(),
            what: What::Issuer,
        },
        rules: states.filter(|(_, rule)| !rule.is_empty()).collect(),
        origin: origin.map(Boot),
    }
}

/// Until when a node needs an entry whose bound is greater by so much.
fn needed(greater_by_s: u64) -> impl Fn(&Entry) -> UnixNanos {
    let lifetime = Duration::from_secs(LIFETIME_S + greater_by_s);
    move |entry| match entry.kept_by {
        KeptBy::Itself => entry.until,
        _ => entry.until.max(entry.kept_from.plus(lifetime)),
    }
}

/// The first write of a boot that no history has.
fn dot(boot: u64) -> Dot {
    Dot {
        boot: Boot(boot),
        counter: 1,
    }
}

fn played(steps: &[(usize, u64, Step)]) -> History {
    let mut history = History::new();
    for (counter, (node, pause_ms, step)) in (1..).zip(steps) {
        history.play(*node, counter, *pause_ms, step);
    }
    history
}

fn steps() -> impl Strategy<Value = Vec<(usize, u64, Step)>> {
    proptest::collection::vec((0_usize..4, 0_u64..1000, step()), 3..30)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn what_no_lift_had_seen_is_never_lost(steps in steps()) {
        let history = played(&steps);
        let end = history.end();
        for (dot, asked, until) in &history.revoked {
            if *until > history.now && !history.lifted.iter().any(|lifted| lifted.knows(*dot)) {
                for token in asked {
                    prop_assert!(denies(&end, token), "lost: {token:?}");
                }
            }
        }
    }

    #[test]
    fn joining_is_commutative_associative_and_idempotent(
        steps in steps(),
        picks in prop::array::uniform3(any::<prop::sample::Index>()),
    ) {
        let history = played(&steps);
        let [a, b, c] = picks.map(|pick| pick.get(&history.seen).clone());
        prop_assert_eq!(a.join(&b), b.join(&a));
        prop_assert_eq!(a.join(&a), a.clone());
        prop_assert_eq!(a.join(&b).join(&c), a.join(&b.join(&c)));
    }

    #[test]
    fn order_repetition_and_the_moment_of_forgetting_do_not_matter(
        steps in steps(),
        hear in proptest::collection::vec((0_usize..4, any::<bool>()), 0..12),
    ) {
        let history = played(&steps);
        let all = (0..4).map(|node| (node, false));
        let again = hear.into_iter().chain(all).fold(Rule::default(), |sum, (node, early)| {
            let state = history.states[node].clone();
            sum.join(&if early { state.forget(history.now) } else { state })
        });
        prop_assert_eq!(again.forget(history.now), history.end());
    }

    #[test]
    fn keeping_longer_changes_nothing_else(steps in steps(), raise_s in 0_u64..100) {
        let end = played(&steps).end();
        let needed = |entry: &Entry| entry.until.plus(Duration::from_secs(raise_s));
        let Some(longer) = end.keep_longer(dot(9), needed) else {
            // Each is kept long enough by one that denies as much.
            for entry in end.in_force() {
                let lasts = |kept: &&Entry| kept.until >= needed(entry);
                for token in tokens().iter().filter(|token| entry_denies(entry, token)) {
                    let mut lasting = end.in_force().filter(lasts);
                    prop_assert!(lasting.any(|kept| entry_denies(kept, token)));
                }
            }
            return Ok(());
        };
        prop_assert!(raise_s > 0);
        prop_assert_eq!(longer.entries.len(), 1);
        for token in tokens() {
            prop_assert!(denies(&longer, &token) || !denies(&end, &token));
        }
        for entry in end.in_force() {
            prop_assert!(longer.in_force().all(|kept| kept.until >= needed(entry)));
        }
    }

    #[test]
    fn taking_in_joins_and_says_whether_anything_was_new(
        steps in steps(),
        picks in prop::array::uniform4(any::<prop::sample::Index>()),
        origin in proptest::option::of(0_u64..4),
    ) {
        let history = played(&steps);
        let [a, b, c, d] = picks.map(|pick| pick.get(&history.seen));
        let (ours, theirs) = (record([a, b], Some(7)), record([c, d], origin));
        let joined = ours.join(&theirs).rules;
        prop_assert_eq!(ours.take_in(&ours), None);
        let Some(taken) = ours.take_in(&theirs) else {
            prop_assert_eq!(joined, ours.rules);
            return Ok(());
        };
        prop_assert_ne!(&taken.rules, &ours.rules);
        prop_assert_eq!(&taken.rules, &joined);
        let is_theirs = taken.rules == theirs.rules;
        prop_assert_eq!(taken.origin, theirs.origin.filter(|_| is_theirs));
        prop_assert_eq!(taken.take_in(&theirs), None);
        prop_assert_eq!(taken.take_in(&ours), None);
    }

    /// Two nodes with the same greater bound, and one with a bound between: once they have heard
    /// of each other nobody writes again.
    #[test]
    fn whoever_must_keep_longer_writes_once(
        steps in steps(),
        between_s in 0_u64..50,
        more_s in 0_u64..50,
    ) {
        let end = played(&steps).end();
        let greater = needed(between_s + more_s);
        let write = |boot, needed: &dyn Fn(&Entry) -> UnixNanos| {
            end.keep_longer(dot(boot), needed).unwrap_or_else(|| end.clone())
        };
        let [one, other] = [7, 8].map(|boot| write(boot, &greater));
        let between = write(9, &needed(between_s));
        prop_assert_eq!(one.keep_longer(dot(10), &greater), None);
        let joined = one.join(&other).join(&between);
        prop_assert_eq!(joined.keep_longer(dot(10), &greater), None);
        prop_assert_eq!(joined.keep_longer(dot(10), needed(between_s)), None);
    }

    /// A node whose clock is ahead forgets first that it had seen what it wrote again. When that
    /// comes back, it stands beside what covers it, and calls for nothing.
    #[test]
    fn what_comes_back_after_it_was_written_again_is_not_written_again(
        steps in steps(),
        greater_by_s in 1_u64..100,
    ) {
        let end = played(&steps).end();
        let greater = needed(greater_by_s);
        let Some(mut longer) = end.keep_longer(dot(9), &greater) else {
            return Ok(());
        };
        longer.context.retain(|boot, _| *boot == Boot(9));
        prop_assert_eq!(longer.join(&end).keep_longer(dot(10), &greater), None);
    }
}

/// Two entries stand side by side until a writer restates them. The restated one was kept as long
/// as the raised bound said, even when the other had been meant to stay until lifted.
#[test]
fn raising_a_bound_shortens_nothing_that_stands_beside() {
    let request = |cut_off, until, kept_by| Request {
        cut_off,
        until,
        kept_by,
        kept_from: UnixNanos::ZERO,
        except: Vec::new(),
    };
    let write = |boot, request| Rule::default().revoke(dot(boot), &request, &Note::default());
    let soon = UnixNanos::from_secs(10);
    let for_ever = write(1, request(3, UnixNanos::FOREVER, KeptBy::Itself));
    let bounded = write(2, request(5, soon, KeptBy::TokenLifetime));
    let needed = |entry: &Entry| match entry.kept_by {
        KeptBy::TokenLifetime => entry.until.plus(Duration::from_secs(5)),
        _ => entry.until,
    };
    let longer = for_ever.join(&bounded).keep_longer(dot(3), needed).unwrap();
    let kept: Vec<_> = longer.in_force().collect();
    assert_eq!(kept.len(), 1);
    assert_eq!((kept[0].cut_off, kept[0].until), (5, UnixNanos::FOREVER));
    assert_eq!(kept[0].kept_by, KeptBy::TokenLifetime);
}

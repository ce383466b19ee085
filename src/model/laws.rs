//! The laws of merging, on random histories of several writers, with time passing.
//!
//! This is `merge.py` of the design, law for law.

use std::time::Duration;

use proptest::prelude::*;

use super::{Boot, CutOff, Dot, Entry, Exception, KeptBy, Note, Request, Rule, UnixNanos};

/// What one writer does.
#[derive(Clone, Debug)]
enum Step {
    Revoke {
        cut_off: CutOff,
        kept_s: Option<u64>,
        except: Vec<Exception>,
    },
    Lift,
    Forget,
    Hear {
        from: usize,
    },
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

fn denies(rule: &Rule, (value, held): &Token) -> bool {
    rule.entries
        .values()
        .any(|entry| super::denies(entry.cut_off, &entry.floors, *value, |id| held.contains(id)))
}

fn step() -> impl Strategy<Value = Step> {
    let revoke = (
        1_u64..10,
        prop_oneof![Just(None), (1_u64..13).prop_map(Some)],
        prop_oneof![
            2 => Just(Vec::new()),
            2 => proptest::sample::subsequence(ids(), 1..=2),
        ],
    );
    prop_oneof![
        40 => revoke.prop_map(|(cut_off, kept_s, except)| Step::Revoke { cut_off, kept_s, except }),
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
                kept_s,
                except,
            } => self.revoke(&before, dot, (*cut_off, *kept_s, except)),
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
        (cut_off, kept_s, except): (CutOff, Option<u64>, &Vec<Exception>),
    ) -> Rule {
        let until = kept_s.map_or(UnixNanos::FOREVER, |s| {
            self.now.plus(Duration::from_secs(s))
        });
        let request = Request {
            cut_off,
            until,
            kept_by: KeptBy::Itself,
            kept_from: UnixNanos::ZERO,
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
        let dot = Dot { boot: Boot(9), counter: 1 };
        let needed = |entry: &Entry| entry.until.plus(Duration::from_secs(raise_s));
        let Some(longer) = end.keep_longer(dot, needed) else {
            let all_for_ever = end.in_force().all(|entry| entry.until.is_forever());
            prop_assert!(raise_s == 0 || all_for_ever);
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
    let dot = |boot| Dot {
        boot: Boot(boot),
        counter: 1,
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

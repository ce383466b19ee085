//! The laws of merging, on random histories of several writers, with time passing.
//!
//! This is `merge.py` of the design, law for law.

use std::time::Duration;

use proptest::prelude::*;

use super::{
    Boot, CutOff, Dot, Entry, Exception, Floor, KeptBy, NEVER, Note, Request, Rule, UnixNanos,
};

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
        .any(|entry| entry.denies(*value, |id| held.contains(id)))
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
    fn keeping_longer_changes_nothing_else(steps in steps(), grace_s in 0_u64..100) {
        let history = played(&steps);
        let end = history.end();
        let dot = Dot { boot: Boot(9), counter: 1 };
        let bound = |_| Some(super::Lifetime::AtMost(Duration::from_secs(50)));
        if let Some(longer) = end.keep_longer(dot, bound, Duration::from_secs(grace_s)) {
            for token in tokens() {
                prop_assert!(denies(&longer, &token) || !denies(&end, &token));
            }
            prop_assert_eq!(longer.entries.len(), 1);
            prop_assert!(longer.keep_longer(dot, bound, Duration::from_secs(grace_s)).is_none());
        }
    }
}

fn entry(rule: &Rule, counter: u64, cut_off: CutOff, except: &[Exception]) -> Rule {
    let request = Request {
        cut_off,
        until: UnixNanos::FOREVER,
        kept_by: KeptBy::Itself,
        except: except.to_vec(),
    };
    let dot = Dot {
        boot: Boot(1),
        counter,
    };
    rule.revoke(dot, &request, &Note::default())
}

#[test]
fn a_mistake_can_be_taken_back() {
    let typed_too_high = entry(&Rule::default(), 1, 10, &[]);
    let dot = Dot {
        boot: Boot(1),
        counter: 2,
    };
    let lifted = typed_too_high.lift(dot, &Note::default()).unwrap();
    let corrected = entry(&lifted, 3, 5, &[]);
    assert!(denies(&corrected, &(Some(4), vec![])));
    assert!(!denies(&corrected, &(Some(5), vec![])));
}

#[test]
fn everywhere_but_here_never_gives_back_what_an_earlier_cut_off_took_from_here() {
    let (here, there) = (ids()[0].clone(), ids()[1].clone());
    let earlier = entry(&Rule::default(), 1, 10, &[]);
    let rule = entry(&earlier, 2, 20, std::slice::from_ref(&here));
    assert!(denies(&rule, &(Some(9), vec![here.clone()])));
    assert!(!denies(&rule, &(Some(15), vec![here.clone()])));
    assert!(denies(&rule, &(Some(15), vec![there])));
    let floors = &rule.entries.values().next().unwrap().floors;
    assert_eq!(
        *floors,
        [Floor {
            of: here,
            cut_off: 10
        }]
    );
}

#[test]
fn a_lift_on_one_node_spares_what_another_revoked_meanwhile() {
    let theirs = entry(&Rule::default(), 1, 10, &[]);
    let other = |counter| Dot {
        boot: Boot(2),
        counter,
    };
    let request = Request {
        cut_off: 5,
        until: UnixNanos::FOREVER,
        kept_by: KeptBy::Itself,
        except: vec![],
    };
    let mine = Rule::default()
        .revoke(other(1), &request, &Note::default())
        .lift(other(2), &Note::default())
        .unwrap();
    assert!(denies(&theirs.join(&mine), &(Some(9), vec![])));
    assert!(denies(&mine.join(&theirs), &(Some(9), vec![])));
}

#[test]
fn the_note_tells_of_the_cut_off_that_counts() {
    let by = |actor: &str| Note {
        actor: actor.to_owned(),
        ..Note::default()
    };
    let request = |cut_off| Request {
        cut_off,
        until: UnixNanos::FOREVER,
        kept_by: KeptBy::Itself,
        except: vec![],
    };
    let dot = |counter| Dot {
        boot: Boot(1),
        counter,
    };
    let rule = Rule::default()
        .revoke(dot(1), &request(10), &by("strong"))
        .revoke(dot(2), &request(5), &by("weak"));
    let told: Vec<&Entry> = rule.entries.values().collect();
    assert_eq!(told[0].note.actor, "strong");
    let again = rule.revoke(dot(3), &request(10), &by("again"));
    assert_eq!(again.entries.values().next().unwrap().note.actor, "again");
    assert_eq!(again.context[&Boot(1)].counter, 3);
    assert_ne!(again.entries[&dot(3)].cut_off, NEVER);
}

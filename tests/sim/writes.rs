//! What is asked of nodes, and noted in the history.

use std::time::Duration;

use futures_util::FutureExt as _;
use rescind::{
    clock::Clock as _,
    ledger::{AskedRules, Named, Restore, Revoke, Terms, TokenEnd},
    model::{CutOff, Dot, Reason, Rule, RuleKind, Target, UnixNanos, Verdict},
};

use crate::{
    history::{Lift, Victim, Write, token, user},
    node::LIFETIME,
    world::{Place, World},
};

impl World {
    /// Bans a user at a node, if it takes writes.
    pub(crate) fn ban(&mut self, node: usize, sub: &str) -> bool {
        let rules = AskedRules {
            all: true,
            ..AskedRules::default()
        };
        let victim = Victim::Any(sub.to_owned());
        self.revoke(
            node,
            (user(sub), RuleKind::All),
            TokenEnd::Unknown,
            rules,
            victim,
        )
    }

    /// Logs a user out at a node: whatever was issued before now.
    pub(crate) fn log_out(&mut self, node: usize, sub: &str) -> bool {
        let wall = self.nodes[node].machine.clock.wall();
        let rules = AskedRules {
            issued_before: Some(wall),
            ..AskedRules::default()
        };
        let victim = Victim::Issued(sub.to_owned(), wall.minus(Duration::from_secs(1)));
        let of = (user(sub), RuleKind::IssuedBefore);
        self.revoke(node, of, TokenEnd::Unknown, rules, victim)
    }

    /// Revokes a fresh token at a node.
    pub(crate) fn revoke_token(&mut self, node: usize) -> bool {
        self.jtis += 1;
        let jti = format!("j{}", self.jtis);
        let iat = self.nodes[node].machine.clock.wall();
        let end = TokenEnd::At(iat.plus(LIFETIME));
        let of = (token(&jti), RuleKind::All);
        self.revoke(
            node,
            of,
            end,
            AskedRules::default(),
            Victim::Token(jti, iat),
        )
    }

    fn revoke(
        &mut self,
        node: usize,
        (target, kind): (Target, RuleKind),
        end: TokenEnd,
        rules: AskedRules,
        victim: Victim,
    ) -> bool {
        let Some(live) = self.live(node) else {
            return false;
        };
        let cut_off = rules.issued_before.map_or(CutOff::MAX, UnixNanos::nanos);
        let asked = self.history.asked.entry((target.clone(), kind));
        asked.or_default().push(cut_off);
        let order = Revoke {
            targets: vec![Named {
                target: target.clone(),
                end,
            }],
            rules,
            expires_at: None,
            reason: Reason::Unspecified,
            terms: Terms::default(),
        };
        let answer = live
            .ledger
            .revoke(order)
            .now_or_never()
            .expect("an inline ledger");
        let name = self.nodes[node].name.clone();
        if answer.is_err() {
            self.say(format_args!("{name}: revoking {target} failed"));
            return false;
        }
        let (dot, seen) = self.written(node, &target, kind);
        let number = self.history.writes.len();
        let seq = live.ledger.first_head();
        self.say(format_args!("{name}: revoked {target} {}", kind.as_str()));
        self.history.writes.push(Write {
            target,
            kind,
            dot,
            seen,
            number,
            cut_off,
            seq,
            at: self.now.get(),
            node,
            disk: self.nodes[node].disks,
            is_by_leaf: self.nodes[node].place == Place::Leaf,
            victim,
            excused: false,
        });
        true
    }

    /// Lifts a kind of rule of a user at a node.
    pub(crate) fn lift(&mut self, node: usize, sub: &str, kind: RuleKind) -> bool {
        let Some(live) = self.live(node) else {
            return false;
        };
        let order = Restore {
            targets: vec![user(sub)],
            kinds: vec![kind],
            terms: Terms::default(),
        };
        let answer = live
            .ledger
            .restore(order)
            .now_or_never()
            .expect("an inline ledger");
        let state = self.state(node);
        let record = state.get(&user(sub));
        if answer.is_err() || record.is_none_or(|record| !record.rules.contains_key(&kind)) {
            return false;
        }
        let (dot, seen) = self.written(node, &user(sub), kind);
        let name = self.nodes[node].name.clone();
        let is_lifted = seen.in_force().next().is_none();
        assert!(is_lifted, "a lift leaves nothing in force");
        self.say(format_args!("{name}: lifted {sub} {}", kind.as_str()));
        self.history.lifts.push(Lift {
            target: user(sub),
            kind,
            seen,
            dot,
            excused: false,
        });
        true
    }

    /// The dot and the context that a write left: a receipt leaves out what a fast clock takes to
    /// have run out.
    fn written(&self, node: usize, target: &Target, kind: RuleKind) -> (Dot, Rule) {
        let rule = self.state(node)[target].rules[&kind].clone();
        let dot = rule.entries.keys().next().expect("a write has a dot");
        (*dot, rule)
    }

    /// What a node that runs says of a token of a user, issued now.
    pub(crate) fn verdict(&self, node: usize, sub: &str) -> Verdict {
        let live = self.live(node).expect("a node that runs");
        let victim = Victim::Any(sub.to_owned());
        live.ledger.judge(&victim.claims(live.ledger.wall()))
    }
}

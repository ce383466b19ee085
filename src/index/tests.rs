use std::sync::{
    Barrier,
    atomic::{AtomicBool, AtomicU64},
};

use super::*;
use crate::model::{
    Boot, Claims, Dot, KeptBy, Note, Reason, Record, Request, Rule, RuleKind, UnixNanos,
};

fn target(what: What) -> Target {
    Target {
        iss: "i".to_owned(),
        what,
    }
}

fn slot(seq: u64) -> TokenSlot {
    TokenSlot::new(
        seq,
        UnixNanos::FOREVER,
        UnixNanos::ZERO,
        Reason::Logout,
        false,
    )
}

fn banned(target: &Target, seq: u64) -> RuleSet {
    let mut record = Record::new(target.clone());
    let request = Request {
        cut_off: UnixNanos::FOREVER.nanos(),
        until: UnixNanos::FOREVER,
        kept_by: KeptBy::Itself,
        kept_from: UnixNanos::ZERO,
        except: vec![],
    };
    let dot = Dot {
        boot: Boot(1),
        counter: seq,
    };
    let rule = Rule::default().revoke(dot, &request, &Note::default());
    record.rules.insert(RuleKind::All, rule);
    RuleSet::of(&record, seq)
}

fn denies(index: &Index, target: &Target) -> bool {
    index
        .in_rules(&target.key(), |rules| {
            rules
                .denies(&Claims::default(), UnixNanos::ZERO)
                .map(|_| ())
        })
        .is_some()
}

#[test]
fn what_is_put_is_found_and_counted_until_it_is_removed() {
    let index = Index::default();
    let claim = |value: &str| {
        target(What::Claim {
            name: "tenant".to_owned(),
            value: value.to_owned(),
        })
    };
    let key = target(What::Key("k1".to_owned()));
    for (seq, target) in [(1, &claim("a")), (2, &claim("b")), (3, &key)] {
        index.put_rules(target, target.key(), banned(target, seq));
        assert!(denies(&index, target));
    }
    assert_eq!(index.count(TargetKind::Claim), 2);
    assert_eq!(*index.claim_names("i").unwrap(), [Box::from("tenant")]);
    assert_eq!(index.claim_names("other"), None);
    let any_key = index.in_keys_of("i", |_| Some(()));
    assert_eq!(any_key, Some((Box::from("k1"), ())));

    index.remove(&claim("a"), claim("a").key(), 1);
    assert!(index.claim_names("i").is_some());
    index.remove(&claim("b"), claim("b").key(), 2);
    index.remove(&key, key.key(), 3);
    assert_eq!(index.claim_names("i"), None);
    assert!(index.in_keys_of("i", |_| Some(())).is_none());
    for kind in TargetKind::ALL {
        assert_eq!(index.count(kind), 0, "{kind:?}");
    }
}

#[test]
fn an_older_write_does_not_remove_a_newer_one() {
    let index = Index::default();
    let token = target(What::Jti("t".to_owned()));
    index.put_token(KeyKind::Jti, token.key(), slot(5));
    index.remove(&token, token.key(), 4);
    assert_eq!(index.token(&token.key()).map(TokenSlot::seq), Some(5));
    assert_eq!(index.count(TargetKind::Token), 1);
    index.remove(&token, token.key(), 5);
    assert_eq!(index.token(&token.key()), None);
    assert_eq!(index.count(TargetKind::Token), 0);
}

#[test]
#[should_panic(expected = "seq 4 after 5")]
fn a_token_that_comes_out_of_order_is_our_own_mistake() {
    let index = Index::default();
    let token = target(What::Jti("t".to_owned()));
    index.put_token(KeyKind::Jti, token.key(), slot(5));
    index.put_token(KeyKind::Jti, token.key(), slot(4));
}

#[test]
#[should_panic(expected = "seq 4 after 5")]
fn rules_that_come_out_of_order_are_our_own_mistake() {
    let index = Index::default();
    let key = target(What::Key("k".to_owned()));
    index.put_rules(&key, key.key(), banned(&key, 5));
    index.put_rules(&key, key.key(), banned(&key, 4));
}

/// A sweep that looks, and removes what it saw a moment ago, would throw away what was revoked
/// again in between. Replace `remove_if` by a look and a removal to see this go red.
#[test]
fn a_removal_that_races_with_a_new_revocation_loses_nothing() {
    const ROUNDS: u64 = 20_000;
    let index = Index::default();
    let token = target(What::Jti("t".to_owned()));
    let key = target(What::Key("k".to_owned()));
    let start = Barrier::new(2);
    let newest = AtomicU64::new(0);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            start.wait();
            while !done.load(Ordering::SeqCst) {
                // What the sweep has seen may be old by the time that it removes.
                let seen = newest.load(Ordering::SeqCst);
                index.remove(&token, token.key(), seen);
                index.remove(&key, key.key(), seen);
            }
        });
        start.wait();
        for seq in 1..=ROUNDS {
            index.put_token(KeyKind::Jti, token.key(), slot(seq));
            index.put_rules(&key, key.key(), banned(&key, seq));
            assert_eq!(index.token(&token.key()).map(TokenSlot::seq), Some(seq));
            assert!(denies(&index, &key), "lost at {seq}");
            assert!(
                index.in_keys_of("i", |_| Some(())).is_some(),
                "lost the way to it at {seq}"
            );
            newest.store(seq, Ordering::SeqCst);
        }
        done.store(true, Ordering::SeqCst);
    });
}

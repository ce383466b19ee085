//! Tokens that share a `jti`.

use super::*;
use crate::model::{JtiUse, Lifetime};

/// Short times, a clock that is trusted at once, and tokens of at most an hour.
fn setup(jti: JtiUse) -> Setup {
    let mut setup = Setup::with(IssuerSettings {
        leeway: SECOND,
        forget_grace: SECOND * 2,
        max_token_lifetime: Lifetime::AtMost(HOUR),
        jti,
        ..IssuerSettings::default()
    });
    setup.options.sweep_settle = Duration::ZERO;
    setup
}

fn is_warned(receipt: &Receipt) -> bool {
    receipt
        .warnings
        .iter()
        .any(|text| text.contains("share a jti"))
}

async fn until(node: &Node) -> UnixNanos {
    let records = node.records().await;
    let rule = &records.last().unwrap().1.rules[&RuleKind::All];
    rule.in_force().map(|entry| entry.until).max().unwrap()
}

#[tokio::test]
async fn a_revoked_jti_is_kept_as_long_as_the_longest_lived_token_that_is_met() {
    let (setup, disk) = (setup(JtiUse::Unique), Disk::default());
    let node = setup.start(&disk);
    let other = token("p", T0, SECOND * 900);
    let mut order = revoke_until("p", T0.plus(SECOND * 3));
    order.terms.comment = "why".to_owned();
    assert!(!is_warned(&node.revoke(order).await.unwrap()[0]));
    for _ in 0..3 {
        assert!(node.is_revoked(&other), "at once");
    }
    node.settle().await;
    assert_eq!(until(&node).await, T0.plus(SECOND * 902));
    assert_eq!(
        node.condition().shared_jtis,
        1,
        "once, however often it is met"
    );
    let note = node.records().await[0].1.rules[&RuleKind::All]
        .in_force()
        .next()
        .unwrap()
        .note
        .clone();
    assert_eq!(
        (&*note.comment, note.reason, note.at),
        ("why", Reason::Admin, T0)
    );

    // It is told, and stays so for what comes later.
    let receipt = node
        .revoke(revoke_until("q", T0.plus(SECOND * 3)))
        .await
        .unwrap()
        .remove(0);
    assert!(is_warned(&receipt));
    assert!(!is_warned(
        &node.revoke_one(user("u2"), AskedRules::default()).await
    ));

    setup.clock.advance(SECOND * 10);
    node.sweep_all().await;
    assert!(
        node.is_revoked(&other),
        "the first has expired, this one has not"
    );
    node.stop();
    let node = setup.start(&disk);
    assert!(node.is_revoked(&other), "it is on disk");
    setup.clock.advance(SECOND * 920);
    node.sweep_all().await;
    assert!(matches!(node.judge(&other), Verdict::Expired));
    assert_eq!(
        node.records().await.len(),
        1,
        "the user alone: it is forgotten in the end"
    );
}

#[tokio::test]
async fn a_revocation_is_never_kept_longer_than_a_token_may_live_and_not_for_the_revoked_one() {
    let setup = setup(JtiUse::Unique);
    let node = setup.start(&Disk::default());
    // The revoked token itself, and one that was issued a little ahead of a bare jti's revocation.
    node.revoke(revoke_until("own", T0.plus(SECOND * 30)))
        .await
        .unwrap();
    node.revoke_one(jti("bare"), AskedRules::default()).await;
    let head = node.condition().head;
    assert!(node.is_revoked(&token("own", T0, SECOND * 30)));
    assert!(node.is_revoked(&token("bare", T0.plus(SECOND), HOUR)));
    node.settle().await;
    assert_eq!(node.condition().head, head, "nothing to write");

    // What lives as long as a token may, from a second ahead of us.
    node.revoke(revoke_until("last", T0.plus(SECOND * 3)))
        .await
        .unwrap();
    for _ in 0..2 {
        assert!(node.is_revoked(&token("last", T0.plus(SECOND), HOUR)));
        node.settle().await;
    }
    assert_eq!(until(&node).await, T0.plus(HOUR + SECOND * 2));
    assert_eq!(node.condition().shared_jtis, 1);
    // A lift stays a lift: nothing was waiting any more.
    node.lift(jti("last"), RuleKind::All).await;
    assert!(!node.is_revoked(&token("last", T0, HOUR)));
}

#[tokio::test]
async fn where_a_jti_is_shared_its_revocation_is_kept_for_the_longest_lifetime() {
    let setup = setup(JtiUse::Shared);
    let node = setup.start(&Disk::default());
    node.revoke(revoke_until("p", T0.plus(SECOND * 3)))
        .await
        .unwrap();
    assert_eq!(until(&node).await, T0.plus(HOUR + SECOND * 2));
    let other = token("p", T0, SECOND * 900);
    setup.clock.advance(SECOND * 60);
    node.sweep_all().await;
    assert!(node.is_revoked(&other));
    // A digest names one token.
    let mut order = revoke([target(What::Digest([7; 32]))], AskedRules::default());
    order.targets[0].end = TokenEnd::At(T0.plus(SECOND * 70));
    node.revoke(order).await.unwrap();
    assert_eq!(until(&node).await, T0.plus(SECOND * 72));
    assert_eq!(node.condition().shared_jtis, 0);
}

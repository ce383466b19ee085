//! Lifetimes: how long what is kept, and what raising a bound costs.

use super::*;
use crate::model::{KeptBy, Lifetime};

fn days(days: u32) -> Lifetime {
    Lifetime::AtMost(DAY * days)
}

/// Tokens live for 10 days at most and sessions for 30.
fn setup() -> Setup {
    Setup::with(IssuerSettings {
        max_token_lifetime: days(10),
        max_session_lifetime: days(30),
        ..IssuerSettings::default()
    })
}

fn set_token_bound(setup: &mut Setup, to: Lifetime) {
    setup.change(|semantics| semantics.defaults.max_token_lifetime = to);
}

/// Lets time go by on a node that sweeps, until everything that can run out has.
async fn pass(setup: &Setup, node: &Node, by: Duration) {
    let end = setup.clock.wall().plus(by);
    while setup.clock.wall() < end {
        let left = end.since(setup.clock.wall());
        setup.clock.advance(left.min(HOUR * 12));
        node.sweep_all().await;
    }
}

fn until_of(receipt: &Receipt, kind: RuleKind) -> (UnixNanos, KeptBy) {
    let (_, rule) = receipt
        .rules
        .iter()
        .find(|(held, _)| *held == kind)
        .unwrap();
    let entry = rule.in_force().next().unwrap();
    (entry.until, entry.kept_by)
}

#[tokio::test]
async fn each_rule_is_kept_as_long_as_what_it_denies_may_live() {
    let setup = setup();
    let node = setup.start(&Disk::default());
    let tokens = T0.plus(DAY * 10 + GRACE);
    let sessions = T0.plus(DAY * 40 + GRACE);
    let rules = AskedRules {
        issued_before: Some(T0),
        version_below: Some(3),
        authenticated_before: Some(T0),
        ..AskedRules::default()
    };
    let receipt = node.revoke_one(user("u"), rules).await;
    for (kind, until) in [
        (RuleKind::IssuedBefore, (tokens, KeptBy::TokenLifetime)),
        (RuleKind::VersionBelow, (sessions, KeptBy::SessionLifetime)),
        (
            RuleKind::AuthenticatedBefore,
            (sessions, KeptBy::SessionLifetime),
        ),
    ] {
        assert_eq!(until_of(&receipt, kind), until, "{kind:?}");
    }
    for_all(&node, user("u"), None, (UnixNanos::FOREVER, KeptBy::Itself)).await;
    let session = target(What::Session("s".to_owned()));
    for_all(&node, session, None, (sessions, KeptBy::SessionLifetime)).await;
    let end = T0.plus(HOUR);
    for_all(
        &node,
        user("v"),
        Some(end),
        (end.plus(GRACE), KeptBy::Itself),
    )
    .await;
    for_all(&node, jti("t"), None, (tokens, KeptBy::TokenLifetime)).await;
    let late = T0.plus(DAY * 20);
    for_all(
        &node,
        jti("l"),
        Some(late),
        (late.plus(GRACE), KeptBy::TokenLifetime),
    )
    .await;
    for (end, until) in [
        (TokenEnd::At(T0.plus(HOUR)), T0.plus(HOUR + GRACE)),
        (TokenEnd::Never, UnixNanos::FOREVER),
    ] {
        let mut order = revoke([jti(&format!("{end:?}"))], AskedRules::default());
        order.targets[0].end = end;
        let receipts = node.revoke(order).await.unwrap();
        assert_eq!(
            until_of(&receipts[0], RuleKind::All),
            (until, KeptBy::Itself)
        );
    }
}

#[tokio::test]
async fn an_exp_beyond_the_bound_is_cut_to_it_and_without_a_bound_kept_as_given() {
    let mut setup = setup();
    let (disk, bound) = (Disk::default(), T0.plus(DAY * 10));
    let node = setup.start(&disk);
    let in_millis = UnixNanos::from_secs(T0.secs_floor() * 1_000);
    for (exp, until, warns) in [
        (bound, (bound.plus(GRACE), KeptBy::Itself), false),
        (
            bound.plus(SECOND),
            (bound.plus(GRACE), KeptBy::TokenLifetime),
            false,
        ),
        (
            bound.plus(DAY),
            (bound.plus(GRACE), KeptBy::TokenLifetime),
            true,
        ),
        (in_millis, (bound.plus(GRACE), KeptBy::TokenLifetime), true),
    ] {
        let order = revoke_until(&format!("{exp}"), exp);
        let receipt = node.revoke(order).await.unwrap().remove(0);
        assert_eq!(until_of(&receipt, RuleKind::All), until, "{exp}");
        let warned = receipt
            .warnings
            .iter()
            .any(|text| text.contains("further ahead"));
        assert_eq!(warned, warns, "{exp}: {:?}", receipt.warnings);
    }
    pass(&setup, &node, DAY * 11).await;
    assert_eq!(node.condition().held, 0, "nothing takes a place for ever");
    node.stop();

    set_token_bound(&mut setup, Lifetime::Unlimited);
    let node = setup.start(&disk);
    let far = setup.clock.wall().plus(DAY * 1_000);
    for (exp, until) in [(far, far.plus(GRACE)), (in_millis, UnixNanos::FOREVER)] {
        let order = revoke_until(&format!("{exp}"), exp);
        let receipt = node.revoke(order).await.unwrap().remove(0);
        assert_eq!(until_of(&receipt, RuleKind::All), (until, KeptBy::Itself));
    }
}

async fn for_all(
    node: &Node,
    target: Target,
    expires_at: Option<UnixNanos>,
    until: (UnixNanos, KeptBy),
) {
    let rules = if target.is_token() {
        AskedRules::default()
    } else {
        all()
    };
    let mut order = revoke([target], rules);
    order.expires_at = expires_at;
    let receipts = node.revoke(order).await.unwrap();
    assert_eq!(
        until_of(&receipts[0], RuleKind::All),
        until,
        "{:?}",
        receipts[0].target
    );
}

/// A session's tokens were thought to be gone when the session's longest life was over. But the
/// last of them is issued just before that and then lives for `max_token_lifetime`: it came back
/// from the dead once the revocation was forgotten.
#[tokio::test]
async fn the_last_token_of_a_revoked_session_never_comes_back() {
    let setup = setup();
    let node = setup.start(&Disk::default());
    let begun = T0.minus(MINUTE);
    let session = target(What::Session("s".to_owned()));
    node.revoke_one(session, all()).await;
    let rules = AskedRules {
        authenticated_before: Some(T0),
        ..AskedRules::default()
    };
    node.revoke_one(user("u"), rules).await;
    let rules = AskedRules {
        version_below: Some(2),
        ..AskedRules::default()
    };
    node.revoke_one(target(What::Client("c".to_owned())), rules)
        .await;
    let issued = begun.plus(DAY * 30);
    let last = |sub, sid, client_id| Claims {
        sub,
        sid,
        client_id,
        version: Some(1),
        auth_time: Some(begun),
        ..token("last", issued, DAY * 10)
    };
    let tokens = [
        last("u".into(), "".into(), "".into()),
        last("".into(), "s".into(), "".into()),
        last("".into(), "".into(), "c".into()),
    ];
    pass(&setup, &node, DAY * 29).await;
    while setup.clock.wall() < issued.plus(DAY * 11) {
        pass(&setup, &node, HOUR * 6).await;
        for claims in &tokens {
            let verdict = node.judge(claims);
            assert!(
                !matches!(verdict, Verdict::Active),
                "at {}: {claims:?}",
                setup.clock.wall()
            );
        }
    }
    pass(&setup, &node, DAY).await;
    assert_eq!(node.condition().held, 0, "but it is not kept for ever");
}

#[tokio::test]
async fn with_a_raised_bound_what_is_held_is_kept_longer_and_what_may_be_forgotten_stays_invalid() {
    let (mut setup, disk) = (setup(), Disk::default());
    let node = setup.start(&disk);
    node.revoke_one(jti("forgotten"), AskedRules::default())
        .await;
    pass(&setup, &node, DAY * 9).await;
    node.revoke_one(jti("held"), AskedRules::default()).await;
    pass(&setup, &node, DAY * 2).await;
    assert_eq!(node.condition().held, 1);
    let head = node.condition().head;
    node.stop();

    let raised_at = setup.clock.wall();
    set_token_bound(&mut setup, days(30));
    let node = setup.start(&disk);
    assert_eq!(
        node.condition().head,
        head + 1,
        "rewritten, for watchers too"
    );
    let records = node.records().await;
    let entry = records[0].1.rules[&RuleKind::All]
        .in_force()
        .next()
        .unwrap();
    assert_eq!(entry.until, T0.plus(DAY * 39 + GRACE));

    // What lived under the old bound lives on; what was older than it does not come back.
    let of = |jti, iat| token(jti, iat, DAY * 30);
    assert_eq!(
        node.judge(&of("x", raised_at.minus(DAY * 10))),
        Verdict::Active
    );
    let older = of("forgotten", raised_at.minus(DAY * 10 + SECOND));
    assert!(matches!(node.judge(&older), Verdict::Invalid(_)));
    setup.change(|semantics| semantics.defaults.max_token_lifetime = Lifetime::Unlimited);
    assert!(node.is_revoked(&of("held", T0.plus(DAY * 5))));
    pass(&setup, &node, DAY * 27).await;
    assert!(node.is_revoked(&of("held", T0.plus(DAY * 9))));
    node.stop();

    let node = setup.start(&disk);
    let records = node.records().await;
    let entry = records[0].1.rules[&RuleKind::All]
        .in_force()
        .next()
        .unwrap();
    assert!(entry.until.is_forever(), "unlimited: until lifted");
    let without_iat = Claims {
        iat: None,
        exp: None,
        ..of("y", T0)
    };
    assert!(
        matches!(node.judge(&without_iat), Verdict::Invalid(_)),
        "for good"
    );
    assert_eq!(node.judge(&of("z", setup.clock.wall())), Verdict::Active);
}

#[tokio::test]
async fn a_lowered_bound_shortens_nothing_that_is_held() {
    let (mut setup, disk) = (setup(), Disk::default());
    let node = setup.start(&disk);
    node.revoke_one(jti("t"), AskedRules::default()).await;
    let before = node.records().await;
    node.stop();
    set_token_bound(&mut setup, days(1));
    let node = setup.start(&disk);
    assert_eq!(node.records().await, before);
    let long = token("x", T0, DAY * 2);
    assert!(matches!(node.judge(&long), Verdict::Invalid(_)));
    let old = token("x", T0.minus(DAY * 9), DAY);
    assert_eq!(
        node.judge(&old),
        Verdict::Expired,
        "a lowered bound has no horizon"
    );
}

#[tokio::test]
async fn a_bound_raised_for_one_issuer_concerns_no_other() {
    let (mut setup, disk) = (setup(), Disk::default());
    let node = setup.start(&disk);
    let other = Target {
        iss: "j".to_owned(),
        what: What::Jti("t".to_owned()),
    };
    node.revoke(revoke([jti("t"), other], AskedRules::default()))
        .await
        .unwrap();
    let before = node.records().await;
    node.stop();
    setup.change(|semantics| {
        let raised = IssuerSettings {
            max_token_lifetime: days(20),
            ..semantics.defaults.clone()
        };
        semantics.issuers.insert("j".to_owned(), raised);
    });
    setup.clock.advance(DAY);
    let node = setup.start(&disk);
    let after = node.records().await;
    assert_eq!(after[0], before[0]);
    assert_eq!(after[1].0, 3);
    let of = |iss| Claims {
        iss,
        ..token("x", T0.minus(DAY * 9 + SECOND), DAY * 10)
    };
    assert_eq!(node.judge(&of("i".into())), Verdict::Active);
    assert!(matches!(node.judge(&of("j".into())), Verdict::Invalid(_)));
}

/// The longer life was counted from when the strongest cut-off was written, though a weaker one
/// had been written since: what that was for was forgotten too early.
#[tokio::test]
async fn a_raised_bound_counts_from_the_last_write_and_not_from_the_strongest() {
    let (mut setup, disk) = (setup(), Disk::default());
    let node = setup.start(&disk);
    let below = |version| AskedRules {
        version_below: Some(version),
        ..AskedRules::default()
    };
    node.revoke_one(user("u"), below(9)).await;
    pass(&setup, &node, DAY * 20).await;
    node.revoke_one(user("u"), below(5)).await;
    node.stop();
    setup.change(|semantics| semantics.defaults.max_session_lifetime = days(35));
    let node = setup.start(&disk);
    let records = node.records().await;
    let entry = records[0].1.rules[&RuleKind::VersionBelow]
        .in_force()
        .next()
        .unwrap();
    assert_eq!(entry.until, T0.plus(DAY * (20 + 35 + 10) + GRACE));
}

/// The raise was dated by the wall clock. Set back below what a sweep had used, it let tokens in
/// whose revocations that sweep had forgotten.
#[tokio::test]
async fn a_bound_raised_while_the_clock_is_set_back_counts_from_the_greatest_sweep() {
    let (mut setup, disk) = (setup(), Disk::default());
    let node = setup.start(&disk);
    node.revoke_one(jti("t"), AskedRules::default()).await;
    pass(&setup, &node, DAY * 11).await;
    assert_eq!(node.condition().held, 0);
    node.stop();
    setup.clock.set_wall(T0.plus(DAY * 5));
    set_token_bound(&mut setup, days(30));
    let node = setup.start(&disk);
    setup.clock.set_wall(T0.plus(DAY * 11));
    let verdict = node.judge(&token("t", T0.minus(HOUR), DAY * 30));
    assert!(matches!(verdict, Verdict::Invalid(_)), "{verdict:?}");
}

/// A revocation made while the clock was set back was kept from the time that the clock showed,
/// and forgotten before a token that had been issued earlier, at a later time, had expired.
#[tokio::test]
async fn what_is_revoked_while_the_clock_is_set_back_is_kept_from_the_later_time() {
    let setup = setup();
    let node = setup.start(&Disk::default());
    pass(&setup, &node, HOUR).await;
    node.revoke_one(user("somebody"), AskedRules::default())
        .await;
    let issued = setup.clock.wall();
    setup.clock.set_wall(issued.minus(DAY * 3));
    let receipt = node.revoke_one(jti("t"), AskedRules::default()).await;
    assert_eq!(
        until_of(&receipt, RuleKind::All).0,
        issued.plus(DAY * 10 + GRACE)
    );
    assert!(
        receipt
            .warnings
            .iter()
            .any(|warning| warning.contains("set back"))
    );
    setup.clock.set_wall(issued);
    pass(&setup, &node, DAY * 9).await;
    assert!(node.is_revoked(&token("t", issued, DAY * 10)));
}

/// With a longer leeway, tokens that had expired came back for a moment, and their revocations
/// were forgotten.
#[tokio::test]
async fn raising_leeway_brings_no_expired_token_back_and_keeps_revocations_longer() {
    let mut setup = setup();
    setup.change(|semantics| {
        semantics.defaults.leeway = SECOND;
        semantics.defaults.forget_grace = SECOND * 2;
    });
    let disk = Disk::default();
    let node = setup.start(&disk);
    pass(&setup, &node, HOUR).await;
    let now = setup.clock.wall();
    for (jti, exp) in [("gone", now.plus(MINUTE)), ("held", now.plus(MINUTE * 4))] {
        node.revoke(revoke_until(jti, exp)).await.unwrap();
    }
    pass(&setup, &node, MINUTE * 2).await;
    assert_eq!(node.condition().held, 1);
    node.stop();
    setup.change(|semantics| {
        semantics.defaults.leeway = MINUTE * 5;
        semantics.defaults.forget_grace = MINUTE * 10;
    });
    let node = setup.start(&disk);
    assert_eq!(node.judge(&token("gone", now, MINUTE)), Verdict::Expired);
    let held = token("held", now, MINUTE * 4);
    pass(&setup, &node, MINUTE * 6).await;
    assert!(node.is_revoked(&held), "still within leeway");
    pass(&setup, &node, MINUTE * 12).await;
    assert_eq!(node.judge(&held), Verdict::Expired);
}

#[tokio::test]
async fn other_claim_names_or_another_default_issuer_need_to_be_accepted() {
    type Change = fn(&mut Semantics);
    let changes: [(&str, Change); 2] = [
        ("sub", |semantics| {
            semantics.defaults.claims.sub = "uid".to_owned();
        }),
        ("default_issuer", |semantics| {
            semantics.default_issuer = None;
        }),
    ];
    for (what, change) in changes {
        let (mut setup, disk) = (setup(), Disk::default());
        setup.change(|semantics| semantics.default_issuer = Some("i".to_owned()));
        let node = setup.start(&disk);
        node.revoke_one(user("u"), all()).await;
        node.stop();
        let before = setup.clone();
        setup.change(change);
        let error = setup.try_start(&disk).unwrap_err();
        assert!(
            matches!(error, StartError::ChangedMeaning { .. }),
            "{error}"
        );
        assert!(error.to_string().contains(what), "{error}");
        let node = before.start(&disk);
        assert!(
            node.is_revoked(&token("t", T0, HOUR)),
            "nothing was changed"
        );
        node.stop();
        setup.options.accept_changed_meaning = true;
        setup.start(&disk).stop();
        setup.options.accept_changed_meaning = false;
        let node = setup.start(&disk);
        node.lift(user("u"), RuleKind::All).await;
        node.stop();
        before.start(&disk).stop();
    }
}

//! What a write is told: quotas, repeats, trials, and targets that are named twice.

use super::*;

fn client(id: &str) -> Target {
    target(What::Client(id.to_owned()))
}

fn with_id(mut order: Revoke, key: u8, digest: u8) -> Revoke {
    order.terms.request_id = Some(request_id(key, digest));
    order
}

fn trial(mut order: Revoke) -> Revoke {
    order.terms.validate_only = true;
    order
}

/// A receipt but for the dots, which callers never see.
fn seen(receipts: &[Receipt]) -> Vec<impl PartialEq + std::fmt::Debug> {
    let entries = |rule: &Rule| rule.in_force().cloned().collect::<Vec<_>>();
    receipts
        .iter()
        .map(|receipt| {
            let rules: Vec<_> = receipt
                .rules
                .iter()
                .map(|(kind, rule)| (*kind, entries(rule), rule.lifted().cloned()))
                .collect();
            let warnings = receipt.warnings.clone();
            (
                receipt.target.clone(),
                rules,
                receipt.not_before_s,
                warnings,
            )
        })
        .collect()
}

async fn fill(node: &Node, name: &str, count: u64) -> Result<Vec<Receipt>, WriteError> {
    let targets = (0..count).map(|number| jti(&format!("{name}{number}")));
    node.revoke(revoke(targets, AskedRules::default())).await
}

#[tokio::test]
async fn a_flood_stops_at_the_quota_and_leaves_a_tenth_for_emergencies() {
    let mut setup = Setup::new();
    setup.options.live_max = 100;
    let node = setup.start(&Disk::default());
    fill(&node, "a", 89).await.unwrap();
    let error = fill(&node, "b", 2).await.unwrap_err();
    assert!(
        matches!(
            error,
            WriteError::QuotaFull {
                live_max: 100,
                held: 89,
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(node.condition().held, 89, "neither of the two was written");
    fill(&node, "b", 1).await.unwrap();
    fill(&node, "c", 1).await.unwrap_err();
    let logout = revoke([user("u")], AskedRules::default());
    node.revoke(trial(logout.clone())).await.unwrap_err();
    node.revoke(logout).await.unwrap_err();

    // What is held, however often it is named, is never refused; nor is taking back.
    fill(&node, "a", 89).await.unwrap();
    let twice = revoke([jti("a1"), jti("a1"), jti("b0")], AskedRules::default());
    node.revoke(twice).await.unwrap();
    node.lift(jti("a1"), RuleKind::All).await;
    node.lift(jti("unknown"), RuleKind::All).await;
    fill(&node, "a", 89).await.unwrap();

    let emergencies = [
        user("banned"),
        client("c"),
        target(What::Key("k".to_owned())),
        target(What::Issuer),
    ];
    for target in emergencies {
        node.revoke_one(target, all()).await;
    }
    let rest = (4..10).map(|number| client(&number.to_string()));
    node.revoke(revoke(rest, all())).await.unwrap();
    assert_eq!(node.condition().held, 100);
    node.revoke(revoke([client("more")], all()))
        .await
        .unwrap_err();
    node.revoke_one(client("c"), all()).await;
}

#[tokio::test]
async fn a_target_named_twice_counts_once() {
    let mut setup = Setup::new();
    setup.options.live_max = 100;
    let node = setup.start(&Disk::default());
    fill(&node, "a", 89).await.unwrap();
    let order = revoke([jti("x"), jti("x"), jti("x")], AskedRules::default());
    let receipts = node.revoke(order).await.unwrap();
    assert_eq!(
        receipts.len(),
        3,
        "a receipt for each time that it is named"
    );
    assert_eq!(node.condition().held, 90);
    assert_eq!(node.condition().head, 90, "one record");
    node.lift(jti("x"), RuleKind::All).await;
    assert!(!node.is_revoked(&token("x", T0, HOUR)));
}

#[tokio::test]
async fn what_is_lifted_and_revoked_again_in_one_commit_is_revoked() {
    let setup = Setup::new();
    let node = setup.start(&Disk::default());
    node.revoke_one(user("u"), all()).await;
    let restore = Restore {
        targets: vec![user("u"), user("u")],
        kinds: vec![RuleKind::All, RuleKind::All],
        terms: Terms::default(),
    };
    // All three wait for the same turn of the writer, or not: it must not matter.
    let (lifted, revoked, again) = tokio::join!(
        node.restore(restore.clone()),
        node.revoke(revoke([user("u")], all())),
        node.restore(Restore {
            kinds: vec![RuleKind::IssuedBefore],
            ..restore
        }),
    );
    let warnings: usize = lifted
        .unwrap()
        .iter()
        .map(|receipt| receipt.warnings.len())
        .sum();
    assert_eq!(warnings, 3, "the first lifts, and the rest finds nothing");
    revoked.unwrap();
    again.unwrap();
    assert!(node.is_revoked(&token("t", T0, HOUR)));
}

#[tokio::test]
async fn a_repeat_writes_nothing_and_gets_what_holds_across_a_restart_too() {
    let (setup, disk) = (Setup::new(), Disk::default());
    let node = setup.start(&disk);
    let order = with_id(revoke([user("u")], all()), 1, 1);
    let first = node.revoke(order.clone()).await.unwrap();
    let head = node.condition().head;
    let repeat = node.revoke(order.clone()).await.unwrap();
    assert_eq!(first[0].rules, repeat[0].rules);
    assert_eq!(node.condition().head, head);

    node.stop();
    setup.clock.advance(limits::REQUEST_ID_KEPT);
    let node = setup.start(&disk);
    let repeat = node.revoke(order.clone()).await.unwrap();
    assert_eq!(first[0].rules, repeat[0].rules);
    let lifted = node.lift(user("u"), RuleKind::All).await;
    let repeat = node.revoke(order.clone()).await.unwrap();
    assert_eq!(
        lifted.rules, repeat[0].rules,
        "what holds, and not what held"
    );
    assert!(!node.is_revoked(&token("t", T0, HOUR)));

    setup.clock.advance(Duration::from_nanos(1));
    node.revoke(order).await.unwrap();
    assert!(
        node.is_revoked(&token("t", T0, HOUR)),
        "forgotten after ten minutes"
    );
}

#[tokio::test]
async fn another_request_under_the_same_id_is_wrong_and_changes_nothing() {
    let setup = Setup::new();
    let node = setup.start(&Disk::default());
    node.revoke(with_id(revoke([user("u")], all()), 1, 1))
        .await
        .unwrap();
    let other = with_id(revoke([user("v")], all()), 1, 2);
    let error = node.revoke(other).await.unwrap_err();
    assert!(matches!(&error, WriteError::Invalid { field, .. } if field == "request_id"));
    let restore = Restore {
        targets: vec![user("u")],
        kinds: vec![RuleKind::All],
        terms: Terms {
            request_id: Some(request_id(1, 3)),
            ..Terms::default()
        },
    };
    node.restore(restore.clone()).await.unwrap_err();
    assert_eq!(node.condition().head, 1);
    let mut lift = restore;
    lift.terms.request_id = Some(request_id(2, 3));
    for _ in 0..2 {
        node.restore(lift.clone()).await.unwrap();
        assert_eq!(node.condition().head, 2);
    }
}

/// The end of a suspension was checked before it was known that the request had been answered: a
/// client that repeated it a moment later was told that its request was wrong.
#[tokio::test]
async fn a_repeat_is_answered_even_when_its_end_has_passed() {
    let setup = Setup::new();
    let node = setup.start(&Disk::default());
    let mut order = with_id(revoke([user("u")], all()), 1, 1);
    order.expires_at = Some(T0.plus(SECOND));
    node.revoke(order.clone()).await.unwrap();
    setup.clock.advance(SECOND);
    node.revoke(order.clone()).await.unwrap();
    order.terms.request_id = None;
    let error = node.revoke(order).await.unwrap_err();
    assert!(matches!(&error, WriteError::Invalid { field, .. } if field == "expires_at"));
}

/// The first write after a busy time forgot all old requests at once, up to a million in one
/// transaction, while everybody waited.
#[tokio::test]
async fn old_requests_are_forgotten_oldest_first_and_a_few_at_a_time() {
    let setup = Setup::new();
    let node = setup.start(&Disk::default());
    for number in 0..100 {
        node.revoke(with_id(revoke([user("u")], all()), number, 1))
            .await
            .unwrap();
        setup.clock.advance(SECOND);
    }
    setup.clock.advance(limits::REQUEST_ID_KEPT);
    let held = || {
        let look = |tables: &mut crate::journal::Tables<'_>| {
            let held: Vec<bool> = (0..100)
                .map(|number| Ok(tables.answered(&[number; 16])?.is_some()))
                .collect::<Result<_, JournalError>>()?;
            Ok(ControlFlow::Break(held))
        };
        node.ledger.shared.journal.write(look).unwrap()
    };
    let few = limits::REQUESTS_FORGOTTEN_MAX;
    for round in 1..4_u8 {
        node.revoke(with_id(revoke([user("u")], all()), 100 + round, 1))
            .await
            .unwrap();
        let held = held();
        assert!(held[..few * usize::from(round)].iter().all(|held| !held));
        assert!(held[few * usize::from(round)..].iter().all(|held| *held));
    }
    // One that is still there but too old is not taken for a repeat.
    node.revoke(with_id(revoke([user("v")], all()), 99, 2))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_trial_changes_nothing_and_tells_what_the_real_call_then_gets() {
    let setup = Setup::new();
    let disk = Disk::recording();
    let node = setup.start(&disk);
    let logout = AskedRules {
        except: vec![Exception::Sid("mine".to_owned())],
        ..AskedRules::default()
    };
    node.revoke_one(
        user("u"),
        AskedRules {
            version_below: Some(3),
            ..all()
        },
    )
    .await;
    let orders = [
        revoke([user("u"), jti("t")], logout),
        revoke([user("u")], all()),
        with_id(revoke([user("w"), user("w")], AskedRules::default()), 1, 1),
    ];
    for order in orders {
        let before = (disk.position(), node.records().await, node.condition().held);
        let told = node.revoke(trial(order.clone())).await.unwrap();
        assert_eq!(
            (disk.position(), node.records().await, node.condition().held),
            before
        );
        let got = node.revoke(order).await.unwrap();
        assert_eq!(seen(&told), seen(&got));
    }
    let mut lift = Restore {
        targets: vec![user("u"), jti("unknown")],
        kinds: vec![RuleKind::All],
        terms: Terms {
            validate_only: true,
            ..Terms::default()
        },
    };
    let told = node.restore(lift.clone()).await.unwrap();
    let banned = Claims {
        version: Some(3),
        ..token("x", T0, HOUR)
    };
    assert!(node.is_revoked(&banned));
    lift.terms.validate_only = false;
    let got = node.restore(lift).await.unwrap();
    assert_eq!(seen(&told), seen(&got));
}

/// A cut-off of zero denies nothing. It was taken all the same, and stood in the journal as if
/// something had been lifted.
#[tokio::test]
async fn a_cut_off_that_denies_nothing_is_wrong() {
    let node = Setup::new().start(&Disk::default());
    let rules = [
        AskedRules {
            version_below: Some(0),
            ..AskedRules::default()
        },
        AskedRules {
            issued_before: Some(UnixNanos::ZERO),
            ..AskedRules::default()
        },
        AskedRules {
            authenticated_before: Some(UnixNanos::ZERO),
            ..all()
        },
    ];
    for rules in rules {
        let error = node.revoke(revoke([user("u")], rules)).await.unwrap_err();
        assert!(matches!(&error, WriteError::Invalid { field, .. } if field.starts_with("rules.")));
    }
    assert_eq!(node.condition().head, 0);
}

#[tokio::test]
async fn every_bound_of_a_request_holds_at_the_limit_and_one_past_it() {
    let node = Setup::new().start(&Disk::default());
    let many = |count: usize| (0..count).map(|number| jti(&number.to_string()));
    let wrong = |order| async {
        match node.revoke(order).await.unwrap_err() {
            WriteError::Invalid { field, .. } => field,
            other => panic!("{other}"),
        }
    };
    let max = limits::BATCH_MAX;
    for count in [0, max + 1] {
        let order = revoke(many(count), AskedRules::default());
        assert_eq!(wrong(order).await, "targets", "{count}");
    }
    let full = revoke(many(max), AskedRules::default());
    node.revoke(trial(full)).await.unwrap_err();
    let sparing = |count: usize| AskedRules {
        except: (0..count)
            .map(|number| Exception::Sid(number.to_string()))
            .collect(),
        ..AskedRules::default()
    };
    let most = limits::EXCEPTIONS_MAX;
    node.revoke_one(user("u"), sparing(most)).await;
    assert_eq!(
        wrong(revoke([user("u")], sparing(most + 1))).await,
        "rules.except_sid"
    );
    assert_eq!(
        wrong(revoke(
            [user("u")],
            AskedRules {
                all: true,
                ..sparing(1)
            }
        ))
        .await,
        "rules.all"
    );
    assert_eq!(wrong(revoke([jti("t")], all())).await, "rules");
    assert_eq!(
        wrong(revoke([client("c")], AskedRules::default())).await,
        "rules"
    );
    assert_eq!(wrong(revoke([client("c")], sparing(1))).await, "rules");
    let before = |time| AskedRules {
        issued_before: Some(time),
        ..AskedRules::default()
    };
    let latest = T0.plus(limits::LEEWAY_DEFAULT);
    node.revoke_one(user("u"), before(latest)).await;
    let late = latest.plus(Duration::from_nanos(1));
    assert_eq!(
        wrong(revoke([user("u")], before(late))).await,
        "rules.issued_before"
    );
    let claim = target(What::Claim {
        name: "tenant".to_owned(),
        value: "a".to_owned(),
    });
    assert_eq!(wrong(revoke([claim], all())).await, "targets[0].claim.name");
    assert_eq!(node.condition().head, 2);
}

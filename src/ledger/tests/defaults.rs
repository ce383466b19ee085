//! Cut-offs that default to now, and clocks of issuers that are ahead of ours.

use super::*;

fn cut_off(receipt: &Receipt) -> UnixNanos {
    let (kind, rule) = &receipt.rules[0];
    assert_eq!(*kind, RuleKind::IssuedBefore);
    UnixNanos::from_nanos(rule.in_force().next().unwrap().cut_off)
}

/// A token whose `iat` is ahead of our clock is checked here.
fn see(setup: &Setup, node: &Node, lead: Duration) {
    let claims = Claims {
        sub: "anybody".into(),
        ..token("seen", setup.clock.wall().plus(lead), HOUR)
    };
    assert_eq!(node.judge(&claims), Verdict::Active);
}

#[tokio::test]
async fn logging_out_now_reaches_tokens_that_seem_to_be_issued_a_little_later() {
    let setup = Setup::new();
    let node = setup.start(&Disk::default());
    let unseen = node.revoke_one(user("v"), AskedRules::default()).await;
    assert_eq!(cut_off(&unseen), T0);
    assert!(unseen.warnings[0].contains("no token of this issuer was ever checked here"));
    for (lead_s, expected_s) in [(0, 0), (7, 7), (3, 7), (60, 60)] {
        see(&setup, &node, SECOND * lead_s);
        let receipt = node.revoke_one(user("u"), AskedRules::default()).await;
        let is_told = receipt
            .warnings
            .iter()
            .any(|text| text.contains(&format!("the cut-off is {expected_s}s later than now")));
        // The words for a minute are its own.
        let is_told = is_told
            || receipt
                .warnings
                .iter()
                .any(|text| text.contains("1m later"));
        assert_eq!(is_told, expected_s > 0, "{:?}", receipt.warnings);
        assert_eq!(receipt.warnings.len(), usize::from(is_told));
        assert_eq!(cut_off(&receipt), T0.plus(SECOND * expected_s));
    }
    let just_before = T0.plus(MINUTE).minus(Duration::from_nanos(1));
    assert!(node.is_revoked(&token("t", just_before, HOUR)));
    assert_eq!(
        node.judge(&token("t", T0.plus(MINUTE), HOUR)),
        Verdict::Active
    );
}

#[tokio::test]
async fn revoking_a_user_tells_of_tokens_that_name_none() {
    // Keycloak's lightweight access tokens have no `sub`: the revocation of their user was
    // acknowledged without a word, and they went on.
    let setup = Setup::new();
    let node = setup.start(&Disk::default());
    see(&setup, &node, Duration::ZERO);
    let receipt = node.revoke_one(user("u"), AskedRules::default()).await;
    assert!(receipt.warnings.is_empty(), "{:?}", receipt.warnings);
    let nameless = Claims {
        sub: "".into(),
        ..token("light", setup.clock.wall(), HOUR)
    };
    assert_eq!(node.judge(&nameless), Verdict::Active);
    let told = |receipt: &Receipt| {
        let warnings = receipt.warnings.iter();
        let part = "tokens of this issuer that name no user were checked here";
        warnings.filter(|text| text.contains(part)).count()
    };
    let receipt = node.revoke_one(user("u"), all()).await;
    assert_eq!(told(&receipt), 1, "{:?}", receipt.warnings);
    assert_eq!(node.judge(&nameless), Verdict::Active);
    let session = target(What::Session("s".to_owned()));
    let receipt = node.revoke_one(session, all()).await;
    assert_eq!(told(&receipt), 0, "{:?}", receipt.warnings);
}

#[tokio::test]
async fn not_before_is_the_first_whole_second_that_is_safe() {
    let mut setup = Setup::new();
    setup.change(|semantics| semantics.defaults.clock_skew = Some(Duration::ZERO));
    let node = setup.start(&Disk::default());
    for (nanos, after_s) in [(0, 0), (1, 1), (999_999_999, 1)] {
        setup.clock.set_wall(T0.plus(Duration::from_nanos(nanos)));
        let target = user(&nanos.to_string());
        let receipt = node.revoke_one(target, AskedRules::default()).await;
        let safe_s = T0.secs_floor() + after_s;
        assert_eq!(receipt.not_before_s, Some(safe_s));
        let fresh = |iat_s| Claims {
            sub: nanos.to_string().into(),
            ..token("t", UnixNanos::from_secs(iat_s), HOUR)
        };
        assert_eq!(node.judge(&fresh(safe_s)), Verdict::Active);
        assert!(node.is_revoked(&fresh(safe_s - 1)));
    }
    assert_eq!(node.revoke_one(user("b"), all()).await.not_before_s, None);
}

#[tokio::test]
async fn a_configured_skew_counts_instead_of_what_was_seen_and_at_most_leeway() {
    for (skew_s, expected_s) in [(0, 0), (5, 5), (600, 60)] {
        let mut setup = Setup::new();
        setup.change(|semantics| semantics.defaults.clock_skew = Some(SECOND * skew_s));
        let node = setup.start(&Disk::default());
        see(&setup, &node, SECOND * 30);
        let receipt = node.revoke_one(user("u"), AskedRules::default()).await;
        assert_eq!(cut_off(&receipt), T0.plus(SECOND * expected_s));
    }
}

/// The lead of an issuer's clock was journaled once an hour. After a crash a logout spared the
/// tokens that had been issued, by that clock, after it.
#[tokio::test]
async fn how_far_an_issuer_is_ahead_survives_a_crash_once_it_is_saved() {
    let (setup, disk) = (Setup::new(), Disk::recording());
    let node = setup.start(&disk);
    see(&setup, &node, SECOND * 9);
    node.ledger.save_leads().await.unwrap();
    let written = disk.position();
    see(&setup, &node, SECOND * 9);
    node.ledger.save_leads().await.unwrap();
    node.sweep_all().await;
    assert_eq!(disk.position(), written, "nothing new, nothing written");
    let node = setup.start(&Disk::holding(&disk.bytes()));
    setup.clock.set_wall(T0.plus(MINUTE));
    let receipt = node.revoke_one(user("u"), AskedRules::default()).await;
    assert_eq!(cut_off(&receipt), T0.plus(MINUTE + SECOND * 9));
}

/// What was checked a moment before a crash may not be saved. No token is ACTIVE further ahead than
/// leeway, so for that long after the start every "now" is later by it.
#[tokio::test]
async fn for_leeway_after_a_crash_now_is_later_by_leeway() {
    let (setup, disk) = (Setup::new(), Disk::recording());
    let node = setup.start(&disk);
    let crashed = Disk::holding(&disk.bytes());
    see(&setup, &node, SECOND * 50);
    let ahead = Claims {
        sub: "u".into(),
        ..token("t", T0.plus(SECOND * 50), HOUR)
    };
    let node = setup.start(&crashed);
    setup.clock.set_wall(T0.plus(SECOND));
    let receipt = node.revoke_one(user("u"), AskedRules::default()).await;
    assert_eq!(cut_off(&receipt), T0.plus(SECOND + MINUTE));
    assert!(
        receipt
            .warnings
            .iter()
            .any(|text| text.contains("did not stop orderly")),
        "{:?}",
        receipt.warnings
    );
    setup.clock.set_wall(T0.plus(SECOND + MINUTE));
    let receipt = node.revoke_one(user("v"), AskedRules::default()).await;
    assert_eq!(
        cut_off(&receipt),
        T0.plus(SECOND + MINUTE),
        "leeway has gone by"
    );
    assert!(node.is_revoked(&ahead));
}

#[tokio::test]
async fn a_run_that_ended_in_order_costs_the_next_one_nothing() {
    let (setup, disk) = (Setup::new(), Disk::recording());
    let node = setup.start(&disk);
    see(&setup, &node, SECOND * 9);
    node.stop();
    let node = setup.start(&disk);
    let receipt = node.revoke_one(user("u"), AskedRules::default()).await;
    assert_eq!(cut_off(&receipt), T0.plus(SECOND * 9));
}

#[tokio::test]
async fn every_way_to_say_now_is_later_by_the_lead() {
    let setup = Setup::new();
    let node = setup.start(&Disk::default());
    see(&setup, &node, SECOND * 30);
    let issued = AskedRules {
        issued_before_now: true,
        ..AskedRules::default()
    };
    let authenticated = AskedRules {
        authenticated_before_now: true,
        ..AskedRules::default()
    };
    for what in [
        What::User("u".to_owned()),
        What::Session("s".to_owned()),
        What::Client("c".to_owned()),
        What::Key("k".to_owned()),
        What::Issuer,
    ] {
        for (rules, kind) in [
            (&issued, RuleKind::IssuedBefore),
            (&authenticated, RuleKind::AuthenticatedBefore),
        ] {
            let receipt = node.revoke_one(target(what.clone()), rules.clone()).await;
            let (_, rule) = receipt.rules.iter().find(|(of, _)| *of == kind).unwrap();
            let cut_off = rule.in_force().next().unwrap().cut_off;
            assert_eq!(cut_off, T0.plus(SECOND * 30).nanos(), "{what:?} {kind:?}");
        }
    }
}

/// The receipt offered a `not_before` that never helps, and warned of nothing.
#[tokio::test]
async fn a_rule_whose_claim_the_tokens_lack_warns_and_offers_no_time_to_log_in() {
    let setup = Setup::with(IssuerSettings {
        max_token_lifetime: crate::model::Lifetime::Unlimited,
        ..IssuerSettings::default()
    });
    let issued = AskedRules {
        issued_before_now: true,
        ..AskedRules::default()
    };
    let authenticated = AskedRules {
        authenticated_before_now: true,
        ..AskedRules::default()
    };
    let version = AskedRules {
        version_below: Some(7),
        ..AskedRules::default()
    };
    for (rules, claim) in [
        (issued, "iat"),
        (authenticated, "auth_time"),
        (version, "version"),
    ] {
        let node = setup.start(&Disk::default());
        let whole = Claims {
            auth_time: Some(T0),
            version: Some(7),
            ..token("t", T0, HOUR)
        };
        let mut lacking = whole.clone();
        match claim {
            "iat" => lacking.iat = None,
            "auth_time" => lacking.auth_time = None,
            _ => lacking.version = None,
        }
        let told = |receipt: &Receipt| {
            let text = format!("without {claim} were checked here");
            receipt
                .warnings
                .iter()
                .any(|warning| warning.contains(&text))
        };
        assert_eq!(node.judge(&lacking), Verdict::Active, "{claim}");
        let receipt = node.revoke_one(user("u"), rules.clone()).await;
        assert!(told(&receipt), "{claim}: {:?}", receipt.warnings);
        assert_eq!(receipt.not_before_s, None, "{claim}");
        // Others carry it: for these there is a time.
        assert_eq!(node.judge(&whole), Verdict::Active, "{claim}");
        let receipt = node.revoke_one(user("v"), rules.clone()).await;
        assert!(told(&receipt), "{claim}: {:?}", receipt.warnings);
        assert_eq!(receipt.not_before_s.is_some(), claim != "version");
        node.stop();

        let node = setup.start(&Disk::default());
        assert_eq!(node.judge(&whole), Verdict::Active, "{claim}");
        let receipt = node.revoke_one(user("u"), rules).await;
        assert!(!told(&receipt), "{claim}: {:?}", receipt.warnings);
        node.stop();
    }
}

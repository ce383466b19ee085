//! What time does to a token: leeway, lifetimes, cut-offs, and clocks that are set back.

use super::*;

#[test]
fn leeway_reaches_to_the_nanosecond_at_both_ends() {
    let node = Node::new();
    let with = |iat, exp, nbf| Claims {
        iat: Some(iat),
        exp: Some(exp),
        nbf: Some(nbf),
        ..whole()
    };
    let (old, new) = (NOW.minus(HOUR), NOW.plus(HOUR));
    let (lower, upper) = (NOW.minus(LEEWAY), NOW.plus(LEEWAY));
    for (claims, verdict) in [
        (with(old, lower.plus(NANO), old), Verdict::Active),
        (with(old, lower, old), Verdict::Expired),
        (with(old, new, upper), Verdict::Active),
        (with(old, new, upper.plus(NANO)), Verdict::NotYetValid),
        (with(upper, new, old), Verdict::Active),
    ] {
        assert_eq!(node.judge(&claims), verdict, "{claims:?}");
    }
    let early = with(upper.plus(NANO), new, old);
    assert!(
        node.detail(&early)
            .contains("iat is 1 s further in the future")
    );
    let authenticated_early = Claims {
        auth_time: Some(upper.plus(NANO)),
        ..whole()
    };
    assert!(node.detail(&authenticated_early).contains("auth_time"));
    let strict = Node::configured(|settings| settings.leeway = Duration::ZERO);
    assert_eq!(strict.judge(&with(old, NOW, old)), Verdict::Expired);
    assert_eq!(strict.judge(&with(NOW, new, NOW)), Verdict::Active);
}

#[test]
fn issued_before_counts_fractions_and_denies_what_has_no_iat() {
    let cut_off = UnixNanos::from_nanos(NOW.minus(HOUR).nanos() + 500_000_000);
    let node = Node::configured(|settings| settings.max_token_lifetime = Lifetime::Unlimited)
        .revoked(
            What::User(text("u")),
            &[(RuleKind::IssuedBefore, cut_off.nanos(), &[])],
        );
    let issued = |iat| Claims { iat, ..whole() };
    for (iat, is_denied) in [
        (Some(NOW.minus(HOUR)), true),
        (Some(cut_off.minus(NANO)), true),
        (Some(cut_off), false),
        (Some(NOW.minus(HOUR).plus(SECOND)), false),
        (None, true),
    ] {
        assert_eq!(node.denies(&issued(iat)), is_denied, "{iat:?}");
    }
}

#[test]
fn a_suspension_ends_at_its_instant_by_the_clock_of_check() {
    let end = NOW.plus(SECOND);
    let mut node = Node::new().revoked(What::User(text("u")), &[(RuleKind::All, end.nanos(), &[])]);
    for (wall, is_denied) in [(NOW, true), (end.minus(NANO), true), (end, false)] {
        node.wall = wall;
        assert_eq!(node.denies(&whole()), is_denied, "{wall}");
    }
}

#[test]
fn what_could_outlive_its_revocation_is_invalid() {
    let node = Node::configured(|settings| {
        settings.max_token_lifetime = Lifetime::AtMost(HOUR * 2);
        settings.max_session_lifetime = Lifetime::AtMost(DAY);
    });
    let (iat, exp) = (NOW.minus(HOUR), NOW.plus(HOUR));
    let with = |iat, exp, auth_time| Claims {
        iat,
        exp,
        auth_time,
        ..whole()
    };
    let authenticated = iat.minus(DAY);
    let fits = with(Some(iat), Some(exp), Some(authenticated));
    assert_eq!(node.judge(&fits), Verdict::Active, "at the bounds");
    for (claims, names) in [
        (
            with(Some(iat), Some(exp.plus(NANO)), None),
            "max_token_lifetime",
        ),
        (with(Some(iat), None, None), "no exp"),
        (with(None, Some(exp), None), "no iat"),
        (with(None, None, None), "no exp"),
        (
            with(Some(iat), Some(exp), Some(authenticated.minus(NANO))),
            "max_session_lifetime",
        ),
    ] {
        let detail = node.detail(&claims);
        assert!(detail.contains(names), "{detail}");
    }
    let unlimited = Node::configured(|settings| {
        settings.max_token_lifetime = Lifetime::Unlimited;
        settings.max_session_lifetime = Lifetime::Unlimited;
    });
    for claims in [
        with(Some(iat), None, None),
        with(None, None, None),
        with(
            Some(UnixNanos::ZERO),
            Some(UnixNanos::FOREVER),
            Some(UnixNanos::ZERO),
        ),
    ] {
        assert_eq!(unlimited.judge(&claims), Verdict::Active, "{claims:?}");
    }
}

#[test]
fn each_issuer_is_judged_by_its_own_settings() {
    let mut node = Node::new();
    let strict = IssuerSettings {
        leeway: Duration::ZERO,
        max_token_lifetime: Lifetime::AtMost(HOUR),
        missing_kid: MissingKid::Pass,
        ..IssuerSettings::default()
    };
    node.semantics.issuers.insert(text("strict"), strict);
    let theirs = Claims {
        iss: "strict".into(),
        ..whole()
    };
    assert_eq!(node.judge(&whole()), Verdict::Active);
    assert!(
        node.detail(&theirs)
            .contains("max_token_lifetime is 3600 s")
    );
    let expired = |iss| Claims {
        iss,
        exp: Some(NOW),
        ..whole()
    };
    assert_eq!(node.judge(&expired("strict".into())), Verdict::Expired);
    assert_eq!(node.judge(&expired("i".into())), Verdict::Active);
}

#[test]
fn after_a_raise_what_was_older_than_the_old_bound_stays_out() {
    let mut node = Node::new();
    let mut before = node.semantics.clone();
    before.defaults.max_token_lifetime = Lifetime::AtMost(HOUR * 3);
    before.defaults.max_session_lifetime = Lifetime::AtMost(DAY * 2);
    before.defaults.leeway = SECOND;
    node.before = Some(before);
    let with = |hours: u32, days: u32| Claims {
        iat: Some(NOW.minus(HOUR * hours)),
        auth_time: Some(NOW.minus(DAY * days)),
        ..whole()
    };
    assert_eq!(node.judge(&with(3, 2)), Verdict::Active);
    assert!(
        node.detail(&with(4, 2))
            .contains("max_token_lifetime was raised")
    );
    assert!(
        node.detail(&with(3, 3))
            .contains("max_session_lifetime was raised")
    );
    for (exp, verdict) in [
        (NOW.minus(SECOND), Verdict::Expired),
        (NOW.minus(SECOND).plus(NANO), Verdict::Active),
    ] {
        let claims = Claims {
            exp: Some(exp),
            ..with(3, 2)
        };
        assert_eq!(node.judge(&claims), verdict);
    }
}

#[test]
fn with_the_clock_set_back_older_tokens_are_judged_by_the_greatest_sweep() {
    let mut node = Node::new();
    let swept = NOW.plus(DAY);
    node.rewind.set(swept, UnixNanos::ZERO);
    let fresh = Claims {
        iat: Some(NOW),
        ..whole()
    };
    let long = Claims {
        exp: Some(swept.plus(HOUR)),
        ..whole()
    };
    assert_eq!(
        node.judge(&fresh),
        Verdict::Expired,
        "not noticed yet: all are from before"
    );
    node.rewind.set(swept, NOW);
    assert_eq!(
        node.judge(&fresh),
        Verdict::Active,
        "people can log in again"
    );
    assert_eq!(node.judge(&whole()), Verdict::Expired);
    assert_eq!(node.judge(&long), Verdict::Active);
    node.wall = swept;
    assert_eq!(node.judge(&fresh), Verdict::Expired);
    assert_eq!(node.judge(&long), Verdict::Active);
}

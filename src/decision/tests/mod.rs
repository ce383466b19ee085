//! The rules of deciding, one by one.

mod times;

use super::*;
use crate::{
    index::TokenSlot,
    model::{Boot, Dot, Exception, KeptBy, Note, Reason, Record, Request, Rule},
};

const NOW: UnixNanos = UnixNanos::from_secs(1_700_000_000);
const SECOND: Duration = Duration::from_secs(1);
const NANO: Duration = Duration::from_nanos(1);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);
const LEEWAY: Duration = Duration::from_secs(60);

/// A node on which things are revoked.
struct Node {
    semantics: Semantics,
    before: Option<Semantics>,
    index: Index,
    rewind: Rewind,
    wall: UnixNanos,
}

impl Node {
    fn new() -> Self {
        Self {
            semantics: Semantics::default(),
            before: None,
            index: Index::default(),
            rewind: Rewind::default(),
            wall: NOW,
        }
    }

    fn configured(change: impl FnOnce(&mut IssuerSettings)) -> Self {
        let mut node = Self::new();
        change(&mut node.semantics.defaults);
        node
    }

    /// Every rule of a target, as if each were written after the other.
    fn revoked(self, what: What, rules: &[(RuleKind, u64, &[Exception])]) -> Self {
        self.revoked_of("i", what, rules)
    }

    fn revoked_of(self, iss: &str, what: What, rules: &[(RuleKind, u64, &[Exception])]) -> Self {
        let target = Target {
            iss: iss.to_owned(),
            what,
        };
        let note = Note {
            at: NOW.plus(NANO),
            reason: Reason::Policy,
            actor: String::new(),
            comment: "why".to_owned(),
        };
        if target.is_token() {
            let slot = TokenSlot::new(7, UnixNanos::FOREVER, note.at, note.reason, true);
            self.index.put_token(target.key_kind(), target.key(), slot);
            return self;
        }
        let mut record = Record::new(target);
        for (counter, (kind, cut_off, except)) in (1..).zip(rules) {
            let request = Request {
                cut_off: *cut_off,
                until: UnixNanos::FOREVER,
                kept_by: KeptBy::Itself,
                kept_from: UnixNanos::ZERO,
                except: except.to_vec(),
            };
            let dot = Dot {
                boot: Boot(1),
                counter,
            };
            let rule: &mut Rule = record.rules.entry(*kind).or_default();
            *rule = rule.revoke(dot, &request, &note);
        }
        let key = record.target.key();
        self.index
            .put_rules(&record.target, key, RuleSet::of(&record, 7));
        self
    }

    fn judge(&self, claims: &Claims<'_>) -> Verdict {
        let bounds = match &self.before {
            Some(before) => Bounds::new(before).moved(&self.semantics, NOW),
            None => Bounds::new(&self.semantics),
        };
        let grounds = Grounds {
            semantics: &self.semantics,
            bounds: &bounds,
            index: &self.index,
            rewind: &self.rewind,
            wall: self.wall,
        };
        grounds.judge(claims)
    }

    fn denies(&self, claims: &Claims<'_>) -> bool {
        match self.judge(claims) {
            Verdict::Revoked(_) => true,
            Verdict::Active => false,
            other => panic!("{other:?}"),
        }
    }

    fn detail(&self, claims: &Claims<'_>) -> String {
        match self.judge(claims) {
            Verdict::Invalid(invalid) => invalid.to_string(),
            other => panic!("{other:?}"),
        }
    }

    fn found(&self, claims: &Claims<'_>) -> (What, RuleKind) {
        match self.judge(claims) {
            Verdict::Revoked(found) => (found.target.what, found.rule),
            other => panic!("{other:?}"),
        }
    }
}

/// A token with every claim, issued an hour ago and good for another.
fn whole() -> Claims<'static> {
    Claims {
        iss: "i".into(),
        jti: "t".into(),
        sub: "u".into(),
        sid: "s".into(),
        client_id: "c".into(),
        kid: "k".into(),
        iat: Some(NOW.minus(HOUR)),
        exp: Some(NOW.plus(HOUR)),
        nbf: Some(NOW.minus(HOUR)),
        auth_time: Some(NOW.minus(DAY)),
        version: Some(3),
        other: vec![("tenant".into(), "a".into()), ("tenant".into(), "b".into())],
        digest: Some([1; 32]),
    }
}

fn text(text: &str) -> String {
    text.to_owned()
}

fn claim(name: &str, value: &str) -> What {
    What::Claim {
        name: text(name),
        value: text(value),
    }
}

/// What the whole token is caught by, in the order in which it is looked for.
fn all_targets() -> Vec<What> {
    vec![
        What::Jti(text("t")),
        What::Digest([1; 32]),
        What::User(text("u")),
        What::Session(text("s")),
        What::Client(text("c")),
        What::Key(text("k")),
        claim("tenant", "b"),
        What::Issuer,
    ]
}

const BAN: &[(RuleKind, u64, &[Exception])] = &[(RuleKind::All, u64::MAX, &[])];

#[test]
fn a_token_is_denied_by_each_of_its_targets_and_told_by_which() {
    assert_eq!(Node::new().judge(&whole()), Verdict::Active);
    for what in all_targets() {
        let node = Node::new().revoked(what.clone(), BAN);
        let Verdict::Revoked(found) = node.judge(&whole()) else {
            panic!("{what:?}");
        };
        let expected = Match {
            target: Target {
                iss: text("i"),
                what,
            },
            rule: RuleKind::All,
            reason: Reason::Policy,
            revoked_at: NOW,
            comment_at: Some(7),
        };
        assert_eq!(*found, expected);
    }
}

#[test]
fn what_is_most_particular_is_named_first() {
    let mut node = Node::new();
    for what in all_targets().into_iter().rev() {
        node = node.revoked(what.clone(), BAN);
        assert_eq!(node.found(&whole()).0, what);
    }
}

#[test]
fn names_are_exact_typed_and_of_one_issuer() {
    let others = [
        What::Jti(text("u")),
        What::Jti(text("T")),
        What::Jti(text("t ")),
        What::Digest([2; 32]),
        What::User(text("t")),
        What::User(text("U")),
        What::Session(text("u")),
        What::Client(text("s")),
        What::Key(text("c")),
        claim("tenant", "c"),
        claim("Tenant", "a"),
        claim("sub", "u"),
    ];
    let mut node = Node::new();
    for what in others {
        node = node.revoked(what, BAN);
    }
    for what in all_targets() {
        node = node.revoked_of("j", what, BAN);
    }
    assert_eq!(node.judge(&whole()), Verdict::Active);
    let theirs = Claims {
        iss: "j".into(),
        ..whole()
    };
    assert!(node.denies(&theirs));
}

#[test]
fn a_claim_that_is_not_there_is_not_the_empty_text() {
    let node = Node::new()
        .revoked(What::User(text("")), BAN)
        .revoked(What::Session(text("")), BAN)
        .revoked(What::Client(text("")), BAN)
        .revoked(What::Jti(text("")), BAN);
    let bare = Claims {
        jti: "".into(),
        sub: "".into(),
        sid: "".into(),
        client_id: "".into(),
        ..whole()
    };
    assert_eq!(node.judge(&bare), Verdict::Active);
}

#[test]
fn a_token_is_known_by_its_jti_and_without_one_by_its_digest() {
    let by_jti = Node::new().revoked(What::Jti(text("t")), &[]);
    let by_digest = Node::new().revoked(What::Digest([1; 32]), &[]);
    let without_digest = Claims {
        digest: None,
        ..whole()
    };
    let without_jti = Claims {
        jti: "".into(),
        ..whole()
    };
    assert!(by_jti.denies(&whole()) && by_jti.denies(&without_digest));
    assert!(!by_jti.denies(&without_jti));
    assert!(by_digest.denies(&whole()) && by_digest.denies(&without_jti));
    assert!(!by_digest.denies(&without_digest));
    let nameless = Claims {
        digest: None,
        ..without_jti
    };
    assert!(by_jti.detail(&nameless).contains("signing_input_sha256"));
}

#[test]
fn verdicts_come_in_their_order() {
    let mut claims = Claims {
        exp: Some(NOW.minus(LEEWAY)),
        nbf: Some(NOW.plus(HOUR)),
        iat: Some(NOW.plus(LEEWAY + NANO)),
        ..whole()
    };
    let node = Node::new().revoked(What::User(text("u")), BAN);
    assert!(matches!(node.judge(&claims), Verdict::Invalid(_)));
    claims.iat = Some(NOW.minus(HOUR));
    assert_eq!(node.judge(&claims), Verdict::Expired);
    claims.exp = Some(NOW.minus(LEEWAY).plus(NANO));
    assert!(matches!(node.judge(&claims), Verdict::Revoked(_)));
    claims.sub = "v".into();
    assert_eq!(node.judge(&claims), Verdict::NotYetValid);
    claims.nbf = Some(NOW.plus(LEEWAY));
    assert_eq!(node.judge(&claims), Verdict::Active);
}

#[test]
fn version_below_and_authenticated_before_deny_what_lacks_their_claim() {
    let node = Node::new()
        .revoked(What::User(text("u")), &[(RuleKind::VersionBelow, 5, &[])])
        .revoked(
            What::Client(text("c")),
            &[(RuleKind::AuthenticatedBefore, NOW.nanos(), &[])],
        );
    for (version, auth_time, is_denied) in [
        (Some(4), Some(NOW), true),
        (None, Some(NOW), true),
        (Some(5), Some(NOW.minus(NANO)), true),
        (Some(5), None, true),
        (Some(5), Some(NOW), false),
        (Some(u64::MAX), Some(NOW.plus(LEEWAY)), false),
    ] {
        let claims = Claims {
            auth_time,
            version,
            ..whole()
        };
        assert_eq!(node.denies(&claims), is_denied, "{version:?} {auth_time:?}");
    }
    assert_eq!(
        node.found(&whole()),
        (What::User(text("u")), RuleKind::VersionBelow)
    );
}

#[test]
fn of_several_cut_offs_the_greatest_counts() {
    let rules: &[(RuleKind, u64, &[Exception])] = &[
        (RuleKind::VersionBelow, 4, &[]),
        (RuleKind::VersionBelow, 2, &[]),
    ];
    let node = Node::new().revoked(What::User(text("u")), rules);
    assert!(node.denies(&whole()));
}

#[test]
fn an_exception_spares_from_its_cut_off_and_from_no_earlier_one() {
    let at = |hours: u32| NOW.minus(HOUR * hours).nanos();
    let mine = [Exception::Sid(text("s")), Exception::Jti(text("kept"))];
    let rules: &[(RuleKind, u64, &[Exception])] = &[
        (RuleKind::IssuedBefore, at(4), &[]),
        (RuleKind::IssuedBefore, at(2), &mine),
    ];
    let node = Node::new().revoked(What::User(text("u")), rules);
    let issued = |hours: u32, sid, jti| Claims {
        sid,
        jti,
        iat: Some(NOW.minus(HOUR * hours)),
        ..whole()
    };
    for (hours, sid, jti, is_denied) in [
        (5, "s", "t", true),
        (5, "x", "kept", true),
        (3, "s", "t", false),
        (3, "x", "kept", false),
        (3, "x", "t", true),
        (3, "", "t", true),
        (1, "x", "t", false),
    ] {
        let claims = issued(hours, sid.into(), jti.into());
        assert_eq!(node.denies(&claims), is_denied, "{claims:?}");
    }
    // A jti is no sid.
    assert!(node.denies(&issued(3, "kept".into(), "s".into())));
}

#[test]
fn a_missing_kid_may_be_any_key_unless_the_issuer_never_sets_one() {
    let without_kid = Claims {
        kid: "".into(),
        ..whole()
    };
    let rules: &[(RuleKind, u64, &[Exception])] =
        &[(RuleKind::IssuedBefore, NOW.minus(DAY).nanos(), &[])];
    let revoke = |node: Node| {
        node.revoked(What::Key(text("old")), rules)
            .revoked(What::Key(text("burnt")), BAN)
    };
    let deny = revoke(Node::new());
    assert_eq!(
        deny.found(&without_kid),
        (What::Key(text("burnt")), RuleKind::All)
    );
    assert_eq!(
        deny.judge(&whole()),
        Verdict::Active,
        "signed by another key"
    );
    let pass = revoke(Node::configured(|settings| {
        settings.missing_kid = MissingKid::Pass;
    }));
    assert_eq!(pass.judge(&without_kid), Verdict::Active);
    let burnt = Claims {
        kid: "burnt".into(),
        ..whole()
    };
    assert!(pass.denies(&burnt));
    let old = Node::new().revoked(What::Key(text("old")), rules);
    assert_eq!(old.judge(&without_kid), Verdict::Active, "issued since");
    let theirs = Node::new().revoked_of("j", What::Key(text("k")), BAN);
    assert_eq!(theirs.judge(&without_kid), Verdict::Active);
}

#[test]
fn each_value_of_a_claim_counts() {
    let node = Node::new().revoked(claim("tenant", "a"), BAN);
    for (values, is_denied) in [
        (vec!["a"], true),
        (vec!["x", "a"], true),
        (vec!["x", "y"], false),
        (vec![], false),
    ] {
        let other = values
            .iter()
            .map(|value| ("tenant".into(), (*value).into()));
        let claims = Claims {
            other: other.collect(),
            ..whole()
        };
        assert_eq!(node.denies(&claims), is_denied, "{values:?}");
    }
}

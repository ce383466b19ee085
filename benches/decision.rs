//! The in-process decision, hashing included: what Check costs once a token's claims are known.
//!
//! One million live token revocations and ten thousand rules of every kind.

use std::{sync::Arc, time::Duration};

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use rescind::{
    clock::ManualClock,
    journal::{Journal, Storage},
    ledger::{AskedRules, Ledger, Named, Options, Revoke, Terms, TokenEnd},
    model::{Claims, IssuerSettings, Reason, Semantics, Target, UnixNanos, Verdict, What},
};

const NOW: UnixNanos = UnixNanos::from_secs(1_700_000_000);
const HOUR: Duration = Duration::from_secs(3_600);
const TOKENS: u32 = 1_000_000;
const RULES_OF_A_KIND: u32 = 2_000;
const BATCH: u32 = 1_000;

fn options() -> Options {
    let defaults = IssuerSettings {
        revocable_claims: vec!["tenant".to_owned()],
        ..IssuerSettings::default()
    };
    Options {
        clock: Arc::new(ManualClock::new(NOW)),
        semantics: Arc::new(Semantics {
            defaults,
            ..Semantics::default()
        }),
        live_max: 2 * u64::from(TOKENS),
        sweep_settle: HOUR,
        accept_changed_meaning: false,
    }
}

/// Of an issuer of which no token is judged.
const NOBODY: u32 = u32::MAX;

fn issuer(number: u32) -> String {
    if number == NOBODY {
        return "https://unused.example".to_owned();
    }
    format!("https://issuer-{}.example/realms/main", number % 4)
}

/// As long as a UUID, which is what most issuers write.
fn id(kind: &str, number: u32) -> String {
    format!("{kind:_<8}-4f2a-4b6e-9a53-{number:012}")
}

fn what(kind: u32, number: u32) -> What {
    match kind {
        0 => What::User(id("user", number)),
        1 => What::Session(id("session", number)),
        2 => What::Client(id("client", number)),
        3 => What::Key(id("key", number)),
        _ => What::Claim {
            name: "tenant".to_owned(),
            value: id("tenant", number),
        },
    }
}

fn revoke(ledger: &Ledger, whats: impl Iterator<Item = (u32, What)>, all: bool) {
    let targets = whats.map(|(number, what)| Named {
        target: Target {
            iss: issuer(number),
            what,
        },
        end: TokenEnd::Unknown,
    });
    let order = Revoke {
        targets: targets.collect(),
        rules: AskedRules {
            all,
            ..AskedRules::default()
        },
        expires_at: None,
        reason: Reason::Logout,
        terms: Terms::default(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let done = runtime.map(|runtime| runtime.block_on(ledger.revoke(order)));
    assert!(matches!(done, Ok(Ok(_))), "{done:?}");
}

fn filled() -> Option<Ledger> {
    let journal = Journal::open(&Storage::Memory).ok()?;
    let (ledger, _thread) = Ledger::open(journal, &options()).ok()?;
    for first in (0..TOKENS).step_by(BATCH as usize) {
        let tokens = (first..first + BATCH).map(|number| (number, What::Jti(id("jti", number))));
        revoke(&ledger, tokens, false);
    }
    for kind in 0..5 {
        for first in (0..RULES_OF_A_KIND).step_by(BATCH as usize) {
            let rules = (first..first + BATCH).map(|number| (number, what(kind, number)));
            revoke(&ledger, rules, true);
        }
    }
    // One issuer is revoked, so that issuers are looked up too.
    revoke(&ledger, std::iter::once((NOBODY, What::Issuer)), true);
    Some(ledger)
}

/// A token whose `jti`, `sub`, `sid`, `client_id`, `kid` and `tenant` have these numbers: below
/// [`TOKENS`] and [`RULES_OF_A_KIND`] they are revoked.
fn claims(numbers: [u32; 6], of: u32) -> Claims<'static> {
    let [jti, sub, sid, client_id, kid, tenant] = numbers;
    Claims {
        iss: issuer(of).into(),
        jti: id("jti", jti).into(),
        sub: id("user", sub).into(),
        sid: id("session", sid).into(),
        client_id: id("client", client_id).into(),
        kid: id("key", kid).into(),
        iat: Some(NOW.minus(HOUR)),
        exp: Some(NOW.plus(HOUR)),
        auth_time: Some(NOW.minus(HOUR)),
        version: Some(1),
        other: vec![("tenant".into(), id("tenant", tenant).into())],
        ..Claims::default()
    }
}

/// From a random number and one that is nowhere revoked, the numbers of a token.
type Numbers = fn(u32, u32) -> [u32; 6];

/// Each measured decision is about another token, so that no lookup is in the cache already.
fn decide(criterion: &mut Criterion) {
    let Some(ledger) = filled() else {
        return;
    };
    let miss = 100_000_000;
    let far = |number: u32| number.wrapping_mul(2_654_435_761) % TOKENS;
    let cases: [(&str, Numbers, bool); 4] = [
        ("active, six lookups", |far, miss| [miss + far; 6], true),
        ("active, the same token", |_, miss| [miss; 6], true),
        (
            "revoked by jti",
            |far, miss| [far, miss, miss, miss, miss, miss],
            false,
        ),
        (
            "revoked by tenant",
            |far, miss| {
                let rule = far % RULES_OF_A_KIND;
                [miss, miss, miss, miss, miss, rule]
            },
            false,
        ),
    ];
    for (name, numbers, is_active) in cases {
        let mut next = 0;
        criterion.bench_function(name, |bencher| {
            let make = || {
                next += 1;
                let numbers = numbers(far(next), miss);
                claims(numbers, numbers.into_iter().min().unwrap_or_default())
            };
            let judge = |claims: Claims<'static>| {
                let verdict = ledger.judge(&claims);
                assert_eq!(matches!(verdict, Verdict::Active), is_active);
                (claims, verdict)
            };
            bencher.iter_batched(make, judge, BatchSize::LargeInput);
        });
    }
}

criterion_group!(benches, decide);
criterion_main!(benches);

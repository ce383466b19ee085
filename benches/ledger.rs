//! Durable revocations: how many a second, with 256 callers that each wait for theirs.

use std::{sync::Arc, time::Duration};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rescind::{
    clock::SystemClock,
    journal::{Journal, Storage},
    ledger::{AskedRules, Ledger, Named, Options, Revoke, Terms, TokenEnd},
    model::{Reason, Semantics, Target, What},
};

const CALLERS: usize = 256;
const ROUND: u64 = 20_000;

fn order(number: u64) -> Revoke {
    Revoke {
        targets: vec![Named {
            target: Target {
                iss: "https://issuer.example".to_owned(),
                what: What::Jti(format!("4f2a1c7e-4b6e-9a53-{number:016}")),
            },
            end: TokenEnd::Unknown,
        }],
        rules: AskedRules::default(),
        expires_at: None,
        reason: Reason::Logout,
        terms: Terms {
            actor: "spiffe://example/service".to_owned(),
            ..Terms::default()
        },
    }
}

/// 20,000 revocations, of which 256 are on their way at any time.
async fn round(ledger: &Ledger, first: u64) {
    let mut callers = Vec::with_capacity(CALLERS);
    for caller in 0..CALLERS as u64 {
        let ledger = ledger.clone();
        #[expect(
            clippy::disallowed_methods,
            reason = "a bench is no part of the process"
        )]
        let task = tokio::spawn(async move {
            for number in (caller..ROUND).step_by(CALLERS) {
                let done = ledger.revoke(order(first + number)).await;
                assert!(done.is_ok(), "{done:?}");
            }
        });
        callers.push(task);
    }
    for caller in callers {
        assert!(caller.await.is_ok());
    }
}

fn durable(criterion: &mut Criterion) {
    let options = Options {
        clock: Arc::new(SystemClock),
        semantics: Arc::new(Semantics::default()),
        live_max: 100_000_000,
        sweep_settle: Duration::from_secs(3_600),
        accept_changed_meaning: false,
    };
    let Ok(runtime) = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .build()
    else {
        return;
    };
    let mut group = criterion.benchmark_group("20,000 revocations by 256 callers");
    group
        .throughput(Throughput::Elements(ROUND))
        .sample_size(10);
    let Ok(directory) = tempfile::tempdir() else {
        return;
    };
    let places = [
        ("on disk", Storage::Directory(directory.path().to_owned())),
        ("in memory", Storage::Memory),
    ];
    for (name, storage) in places {
        let opened = Journal::open(&storage).ok();
        let Some((ledger, _thread)) = opened.and_then(|it| Ledger::open(it, &options).ok()) else {
            return;
        };
        let mut first = 0;
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                runtime.block_on(round(&ledger, first));
                first += ROUND;
            });
        });
    }
}

criterion_group!(benches, durable);
criterion_main!(benches);

//! The ledger, tried from outside: a node that is started, asked, stopped and started again on a
//! disk that can be looked into.

mod answers;
mod bounds;
mod crash;
mod defaults;
mod disk;
mod history;
mod shared_jti;
mod sweeping;
mod sync_model;
mod watching;

use std::{sync::Arc, time::Duration};

use super::*;
use crate::{
    clock::{Clock as _, ManualClock},
    model::{Exception, IssuerSettings, Reason, Rule, RuleKind, Target, What},
};
use disk::Disk;

const T0: UnixNanos = UnixNanos::from_secs(1_700_000_000);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);
const GRACE: Duration = limits::FORGET_GRACE_DEFAULT;
const SETTLE: Duration = limits::SWEEP_SETTLE_DEFAULT;

/// What a node is started with.
#[derive(Clone, Debug)]
struct Setup {
    clock: Arc<ManualClock>,
    options: Options,
}

impl Setup {
    fn new() -> Self {
        Self::with(IssuerSettings::default())
    }

    fn with(defaults: IssuerSettings) -> Self {
        let clock = Arc::new(ManualClock::new(T0));
        let semantics = Semantics {
            defaults,
            ..Semantics::default()
        };
        let options = Options {
            clock: Arc::clone(&clock) as _,
            semantics: Arc::new(semantics),
            live_max: 1_000,
            sweep_settle: SETTLE,
            accept_changed_meaning: false,
        };
        Self { clock, options }
    }

    fn change(&mut self, change: impl FnOnce(&mut Semantics)) {
        change(Arc::make_mut(&mut self.options.semantics));
    }

    fn try_start(&self, disk: &Disk) -> Result<Node, StartError> {
        let journal = Journal::open_with(disk.open(), true)?;
        let (ledger, thread) = Ledger::open(journal, &self.options)?;
        Ok(Node { ledger, thread })
    }

    fn start(&self, disk: &Disk) -> Node {
        self.try_start(disk).unwrap()
    }
}

/// A running ledger.
#[derive(Debug)]
struct Node {
    ledger: Ledger,
    thread: WriterThread,
}

impl std::ops::Deref for Node {
    type Target = Ledger;

    fn deref(&self) -> &Ledger {
        &self.ledger
    }
}

impl Node {
    fn stop(self) {
        drop(self.ledger);
        self.thread.join();
    }

    /// Sweeps until there is no more; how many records were forgotten, or parts of them.
    async fn sweep_all(&self) -> usize {
        let mut count = 0;
        loop {
            let swept = self.sweep().await.unwrap();
            count += swept.count;
            if !swept.more {
                return count;
            }
        }
    }

    async fn revoke_one(&self, target: Target, rules: AskedRules) -> Receipt {
        let mut receipts = self.revoke(revoke([target], rules)).await.unwrap();
        receipts.pop().unwrap()
    }

    /// Waits until the writer has seen to what Check left for it.
    async fn settle(&self) {
        let mut trial = revoke([jti("nobody's")], AskedRules::default());
        trial.terms.validate_only = true;
        // Refused or not, it came after what was left.
        drop(self.revoke(trial).await);
    }

    async fn lift(&self, target: Target, kind: RuleKind) -> Receipt {
        let order = Restore {
            targets: vec![target],
            kinds: vec![kind],
            terms: Terms::default(),
        };
        self.restore(order).await.unwrap().pop().unwrap()
    }

    /// Everything that the journal holds, in order.
    async fn records(&self) -> Vec<(u64, Record)> {
        let head = self.condition().head;
        let shared = Arc::clone(&self.ledger.shared);
        let read = move || feed::from_journal(&shared.journal, 0, head, usize::MAX);
        let chunk = tokio::task::spawn_blocking(read).await.unwrap().unwrap();
        let owned = |(seq, fed): (u64, Arc<Fed>)| (seq, Record::clone(&fed));
        chunk.records.into_iter().map(owned).collect()
    }

    fn counts(&self) -> [u64; TargetKind::ALL.len()] {
        TargetKind::ALL.map(|kind| self.count(kind))
    }

    fn is_revoked(&self, claims: &Claims<'_>) -> bool {
        matches!(self.judge(claims), Verdict::Revoked(_))
    }
}

fn target(what: What) -> Target {
    Target {
        iss: "i".to_owned(),
        what,
    }
}

fn user(sub: &str) -> Target {
    target(What::User(sub.to_owned()))
}

fn jti(jti: &str) -> Target {
    target(What::Jti(jti.to_owned()))
}

fn named(target: Target) -> Named {
    Named {
        target,
        end: TokenEnd::Unknown,
    }
}

fn revoke(targets: impl IntoIterator<Item = Target>, rules: AskedRules) -> Revoke {
    Revoke {
        targets: targets.into_iter().map(named).collect(),
        rules,
        expires_at: None,
        reason: Reason::Admin,
        terms: Terms::default(),
    }
}

/// A token until its `exp`.
fn revoke_until(jti_text: &str, exp: UnixNanos) -> Revoke {
    let mut order = revoke([jti(jti_text)], AskedRules::default());
    order.targets[0].end = TokenEnd::At(exp);
    order
}

fn request_id(key: u8, digest: u8) -> RequestId {
    RequestId {
        key: [key; 16],
        digest: [digest; 16],
    }
}

fn all() -> AskedRules {
    AskedRules {
        all: true,
        ..AskedRules::default()
    }
}

/// A token of issuer "i" and user "u".
fn token(jti: &'static str, iat: UnixNanos, lifetime: Duration) -> Claims<'static> {
    Claims {
        iss: "i".into(),
        jti: jti.into(),
        sub: "u".into(),
        iat: Some(iat),
        exp: Some(iat.plus(lifetime)),
        ..Claims::default()
    }
}

//! One simulated node: what `app` composes, over a simulated network, disk and clock.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::future::join_all;
use rescind::{
    fleet::{Fleet, Join},
    journal::Journal,
    ledger::{Ledger, Options},
    limits,
    model::{IssuerSettings, Lifetime, Semantics},
    server::{self, Access, Service},
    sync::{self, Settings},
};
use tokio_util::sync::CancellationToken;

use crate::{
    disk::Disk,
    net::{self, SimClock, SimNet},
    random::Random,
};

/// How long tokens live, at most. The times of a simulation stand to each other as the defaults do,
/// so that its few minutes hold several lifetimes.
pub(crate) const LIFETIME: Duration = Duration::from_secs(20);
/// How long revocations are kept beyond that: clocks differ by up to half of it.
pub(crate) const GRACE: Duration = Duration::from_secs(24);
/// How long a clock must behave before anything is forgotten by it.
pub(crate) const SETTLE: Duration = Duration::from_secs(6);

/// How a node is set up.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) follow: Settings,
    pub(crate) join: rescind::fleet::JoinPolicy,
    pub(crate) semantics: Semantics,
}

impl Setup {
    pub(crate) fn new(follow: Settings) -> Self {
        let defaults = IssuerSettings {
            leeway: Duration::from_secs(2),
            max_token_lifetime: Lifetime::AtMost(LIFETIME),
            max_session_lifetime: Lifetime::AtMost(LIFETIME * 2),
            forget_grace: GRACE,
            ..IssuerSettings::default()
        };
        Self {
            follow,
            join: rescind::fleet::JoinPolicy::Wait,
            semantics: Semantics {
                defaults,
                ..Semantics::default()
            },
        }
    }
}

/// A node that runs, as seen from outside the simulation.
#[derive(Clone, Debug)]
pub(crate) struct Live {
    pub(crate) ledger: Ledger,
    pub(crate) fleet: Arc<Fleet>,
}

/// What outlives a node's process.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    pub(crate) disk: Disk,
    pub(crate) clock: SimClock,
    pub(crate) net: SimNet,
    pub(crate) setup: Arc<Mutex<Setup>>,
    pub(crate) random: Arc<Mutex<Random>>,
    pub(crate) live: Arc<Mutex<Option<Live>>>,
}

impl Machine {
    fn random(&self) -> u64 {
        let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
        random.next()
    }

    /// The process that runs on it, if one does.
    pub(crate) fn live(&self) -> Option<Live> {
        let live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        live.clone()
    }

    pub(crate) fn forget_process(&self) {
        *self.live.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// Runs a node until its host crashes.
pub(crate) async fn run(machine: Machine) -> turmoil::Result {
    let setup = machine.setup.lock().expect("a setup").clone();
    let clock = Arc::new(machine.clock.clone());
    let Some(ledger) = open(&machine, &setup) else {
        // The power went before it was up.
        return std::future::pending().await;
    };
    let join = Join::new(setup.join, limits::JOIN_TIMEOUT_DEFAULT);
    let fleet = Arc::new(Fleet::new(clock, join, None));
    server::recall_followers(&ledger, &fleet).await?;
    let stop = CancellationToken::new();
    let follow = sync::Sync::new(
        ledger.clone(),
        Arc::clone(&fleet),
        Arc::new(machine.net.clone()),
        setup.follow,
    );
    let access = Access { peers: true };
    let service = Service::new(
        ledger.clone(),
        Arc::clone(&fleet),
        None,
        access,
        stop.clone(),
    );
    let router = tonic::transport::Server::builder()
        .http2_keepalive_interval(Some(limits::KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(limits::KEEPALIVE_TIMEOUT))
        .add_service(service);
    let serving =
        router.serve_with_incoming_shutdown(net::incoming().await?, stop.clone().cancelled_owned());
    let followers = async {
        join_all(follow.tasks(&stop)).await;
        std::future::pending::<()>().await;
    };
    let keeping = server::keep_followers(ledger.clone(), Arc::clone(&fleet), stop.clone());
    let leads = server::keep_leads(ledger.clone(), stop.clone());
    *machine.live.lock().expect("a slot") = Some(Live {
        ledger: ledger.clone(),
        fleet,
    });
    let sweeping = async {
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            // A disk that failed is a matter for the writes.
            drop(ledger.sweep().await);
        }
    };
    tokio::select! {
        biased;
        ended = serving => ended?,
        () = followers => {}
        () = sweeping => {}
        () = keeping => {}
        () = leads => {}
    }
    std::future::pending().await
}

fn open(machine: &Machine, setup: &Setup) -> Option<Ledger> {
    let options = Options {
        clock: Arc::new(machine.clock.clone()),
        semantics: Arc::new(setup.semantics.clone()),
        live_max: limits::LIVE_DEFAULT,
        sweep_settle: SETTLE,
        accept_changed_meaning: false,
    };
    let opened = Journal::open_with(machine.disk.open(), true)
        .map_err(|error| error.to_string())
        .and_then(|journal| {
            let ledger = Ledger::open_inline(journal, &options, || machine.random());
            ledger.map_err(|error| error.to_string())
        });
    match opened {
        Ok(ledger) => Some(ledger),
        Err(_) if machine.disk.is_dark() => None,
        Err(error) => panic!("a node cannot start: {error}"),
    }
}

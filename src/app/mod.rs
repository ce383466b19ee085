//! Composes a node, runs it, and drains it.
//!
//! Bind first, run second: the addresses are taken and known, and everything that can be wrong at
//! a start has been told, before the first task runs.

mod accept_file;
mod drain;
mod listen;
mod logging;
mod tasks;

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

use crate::{
    clock::{Clock, SystemClock},
    config::{Config, Loaded, Storage},
    fleet::{Fleet, Join},
    journal::{self, Journal, JournalError},
    ledger::{Ledger, Options, WriterThread},
    ops,
    proto::{self, v1::revocation_service_server::RevocationServiceServer},
    server::{self, Access, Service},
    sync::{Sync, SystemNet},
    verification::Verification,
};

pub use listen::Bound as BoundAddress;
use listen::Listener;
use tasks::Tasks;

/// Runs `rescind serve` until a signal ends it.
pub fn serve(loaded: Loaded) -> anyhow::Result<()> {
    logging::init(loaded.config.log_format, &loaded.config.log_filter)?;
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let done = runtime.block_on(async {
        let app = App::bind(loaded.config, Arc::new(SystemClock)).await?;
        listen::print_addresses(app.addresses())?;
        let stop = CancellationToken::new();
        let signals = drain::Signals::listen()?;
        let verification = app.verification().cloned();
        let reload = move || {
            if let Some(verification) = &verification {
                verification.reload();
            }
        };
        let drained = app.run(stop.clone());
        drain::until_done(drained, stop, signals, reload).await
    });
    // The writer has ended. A reading that is under way – digests of many records – is not waited for.
    runtime.shutdown_background();
    done
}

/// A node that has its addresses and its journal, and answers nobody yet.
#[derive(Debug)]
pub struct App {
    listeners: Vec<Listener>,
    ops: Option<Listener>,
    addresses: Vec<BoundAddress>,
    ledger: Ledger,
    fleet: Arc<Fleet>,
    sync: Sync,
    access: Access,
    verification: Option<Arc<Verification>>,
    writer: WriterThread,
    sweep_interval: Duration,
    data_dir: Option<PathBuf>,
}

impl App {
    /// Takes the addresses and replays the journal.
    pub async fn bind(config: Config, clock: Arc<dyn Clock>) -> anyhow::Result<Self> {
        let listeners = listen::bind_all(&config.listen).await?;
        let ops = listen::bind_all(config.ops_listen.as_slice()).await?.pop();
        let addresses: Vec<_> = listeners.iter().map(Listener::address).collect();
        let ops_address = ops.as_ref().map(Listener::address);
        let data_dir = match &config.storage {
            Storage::Ephemeral => None,
            Storage::Directory(path) => Some(path.clone()),
        };
        let address_file = config.address_file.clone();
        let sweep_interval = config.sweep_interval;
        let verification = verification(&config, data_dir.as_deref(), &clock)?;
        let join = Join::new(config.join, config.join_timeout);
        let fleet = Arc::new(Fleet::new(Arc::clone(&clock), join, config.max_staleness));
        let (follow, access) = (
            config.follow.clone(),
            Access {
                peers: config.insecure,
            },
        );
        let (ledger, writer) = tokio::task::spawn_blocking(move || open(&config, &clock))
            .await
            .context("the journal's replay was cut short")??;
        server::recall_followers(&ledger, &fleet).await?;
        let sync = Sync::new(
            ledger.clone(),
            Arc::clone(&fleet),
            Arc::new(SystemNet),
            follow,
        );
        if let Some(path) = &address_file {
            listen::write_addresses(path, &addresses, ops_address.as_ref())?;
        }
        Ok(Self {
            listeners,
            ops,
            addresses,
            ledger,
            fleet,
            sync,
            access,
            verification,
            writer,
            sweep_interval,
            data_dir,
        })
    }

    /// The addresses really bound.
    pub fn addresses(&self) -> &[BoundAddress] {
        &self.addresses
    }

    /// The ledger, for tests that drive the sweeper by hand.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// What verifies, to be told when its keys are to be read anew; `None`: nothing is verified.
    pub fn verification(&self) -> Option<&Arc<Verification>> {
        self.verification.as_ref()
    }

    /// Serves until `stop`, then drains: streams end, calls under way finish, what was acknowledged
    /// is on disk already.
    pub async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let (readiness, health) = server::health(stop.clone()).await;
        let verification = self.verification;
        let service = Service::shared(
            self.ledger.clone(),
            Arc::clone(&self.fleet),
            verification.clone(),
            self.access,
            stop.clone(),
        );
        let routes = with_deadlines(routes(service.grpc())?.add_service(health));
        let mut tasks = Tasks::new(stop.clone());
        if let Some(ops) = self.ops {
            tasks.spawn(
                "metrics",
                ops.serve_http(ops::router(service), stop.clone()),
            );
        } else {
            drop(service);
        }
        for follower in self.sync.tasks(&stop) {
            tasks.spawn("follower", async move {
                follower.await;
                Ok(())
            });
        }
        drop(self.sync);
        let keeper = keep_followers(self.ledger.clone(), Arc::clone(&self.fleet), stop.clone());
        tasks.spawn("keeper of followers", keeper);
        let leads = keep_leads(self.ledger.clone(), stop.clone());
        tasks.spawn("keeper of clock leads", leads);
        for listener in self.listeners {
            tasks.spawn("listener", listener.serve(routes.clone(), stop.clone()));
        }
        let sweeper = sweep(
            self.ledger.clone(),
            self.sweep_interval,
            self.data_dir,
            stop.clone(),
        );
        tasks.spawn("sweeper", sweeper);
        spawn_fetchers(&mut tasks, verification.as_deref(), &stop);
        drop(routes);
        drop(self.ledger);
        for address in &self.addresses {
            tracing::info!(%address, "listening");
        }
        tokio::select! {
            () = ready(&self.fleet, verification.as_deref()) => {
                readiness.set(true).await;
                tracing::info!("ready");
                stop.cancelled().await;
            }
            () = stop.cancelled() => {}
        }
        tracing::info!("draining");
        readiness.set(false).await;
        let ended = tasks.join().await;
        let writer = self.writer;
        tokio::task::spawn_blocking(move || writer.join())
            .await
            .context("the journal's writer was cut short")?;
        tracing::info!("stopped");
        ended
    }
}

fn spawn_fetchers(
    tasks: &mut Tasks,
    verification: Option<&Verification>,
    stop: &CancellationToken,
) {
    for fetcher in verification.iter().flat_map(|of| of.fetchers()) {
        let stop = stop.clone();
        tasks.spawn("fetcher", async move {
            fetcher.run(stop).await;
            Ok(())
        });
    }
}

/// Until the node knows what others revoked, and has tried to have the keys of each issuer.
async fn ready(fleet: &Fleet, verification: Option<&Verification>) {
    fleet.joined().await;
    let Some(verification) = verification else {
        return;
    };
    let missing = verification.waits_for();
    if !missing.is_empty() {
        tracing::info!(?missing, "waiting for keys of issuers");
    }
    verification.ready().await;
}

fn open(config: &Config, clock: &Arc<dyn Clock>) -> anyhow::Result<(Ledger, WriterThread)> {
    let storage = match &config.storage {
        Storage::Ephemeral => journal::Storage::Memory,
        Storage::Directory(path) => journal::Storage::Directory(path.clone()),
    };
    let place = match &config.storage {
        Storage::Ephemeral => "cannot start".to_owned(),
        Storage::Directory(path) => {
            format!("cannot start on the data directory {}", path.display())
        }
    };
    let began = clock.steady();
    if let (journal::Storage::Directory(path), true) = (&storage, config.accept_empty_journal) {
        Journal::accept_empty(path)?;
    }
    let journal = Journal::open(&storage).map_err(|error| match error {
        // These name the place themselves.
        JournalError::Directory { .. } | JournalError::InUse { .. } | JournalError::Lost { .. } => {
            anyhow::Error::new(error)
        }
        other => anyhow::Error::new(other).context(place.clone()),
    })?;
    let options = Options {
        clock: Arc::clone(clock),
        semantics: Arc::new(config.semantics.clone()),
        live_max: config.max_live,
        sweep_settle: config.sweep_settle,
        accept_changed_meaning: config.accept_changed_meaning,
    };
    let (ledger, writer) = Ledger::open(journal, &options).context(place)?;
    tracing::info!(
        records = ledger.condition().held,
        head = ledger.condition().head,
        node = format!("{:016x}", ledger.node()),
        took_ms =
            u64::try_from(clock.steady().saturating_sub(began).as_millis()).unwrap_or(u64::MAX),
        "journal replayed"
    );
    Ok((ledger, writer))
}

fn verification(
    config: &Config,
    data_dir: Option<&std::path::Path>,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<Option<Arc<Verification>>> {
    if config.issuer_keys.is_empty() {
        return Ok(None);
    }
    let verification = Verification::open(&config.issuer_keys, data_dir, Arc::clone(clock))?;
    Ok(Some(Arc::new(verification)))
}

fn routes(service: RevocationServiceServer<Service>) -> anyhow::Result<Routes> {
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(proto::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            // So that tools can show what an error carries.
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
    };
    Ok(Routes::new(service)
        .add_service(reflection().build_v1().context("reflection v1")?)
        .add_service(reflection().build_v1alpha().context("reflection v1alpha")?))
}

/// Calls end at the deadlines that callers give.
fn with_deadlines(routes: Routes) -> Routes {
    let deadlines = axum::middleware::from_fn(server::keep_deadline);
    routes.into_axum_router().layer(deadlines).into()
}

/// Forgets what has run out, every now and then, in slices that let writes through.
async fn sweep(
    ledger: Ledger,
    interval: Duration,
    data_dir: Option<PathBuf>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            _ = ticks.tick() => {}
        }
        if let Some(data_dir) = &data_dir
            && accept_file::take(data_dir, ledger.wall()).await
        {
            report(ledger.accept_clock().await.err());
        }
        loop {
            match ledger.sweep().await {
                Ok(swept) if swept.more && !stop.is_cancelled() => {}
                Ok(_) => break,
                Err(error) => {
                    report(Some(error));
                    break;
                }
            }
        }
    }
}

async fn keep_followers(
    ledger: Ledger,
    fleet: Arc<Fleet>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    server::keep_followers(ledger, fleet, stop).await;
    Ok(())
}

async fn keep_leads(ledger: Ledger, stop: CancellationToken) -> anyhow::Result<()> {
    server::keep_leads(ledger, stop).await;
    Ok(())
}

fn report(error: Option<crate::ledger::WriteError>) {
    if let Some(error) = error {
        tracing::warn!(%error, "housekeeping has to wait");
    }
}

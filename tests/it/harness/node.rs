//! A real node in this process: the whole app on a port of its own, with a clock that goes only
//! when told to.

use std::{path::Path, sync::Arc, time::Duration};

use rescind::{
    app::{App, BoundAddress},
    clock::ManualClock,
    config::{self, Config, Environment, Listen, ServeFlags, Storage},
    ledger::{Ledger, Swept},
    model::{IssuerSettings, Semantics, UnixNanos},
    proto::v1::revocation_service_client::RevocationServiceClient,
    verification::Verification,
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};

/// A client of the API.
pub(crate) type Api = RevocationServiceClient<Channel>;

/// When the manual clock begins: half a second into a second.
pub(crate) const START: UnixNanos = UnixNanos::from_nanos(1_750_000_000_500_000_000);

/// How a node is to be.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    config: Config,
}

impl Default for Options {
    fn default() -> Self {
        let config = Config {
            listen: vec![Listen::Tcp(([127, 0, 0, 1], 0).into())],
            // Sweeps are driven by hand: the one at the start finds the clock not settled yet.
            sweep_interval: Duration::from_secs(3_600),
            ..Config::default()
        };
        Self { config }
    }
}

impl Options {
    /// As a file with settings says, but for where it listens.
    pub(crate) fn of_file(path: &Path) -> Self {
        let flags = ServeFlags {
            config: Some(path.to_owned()),
            ephemeral: Some("true".to_owned()),
            ..ServeFlags::default()
        };
        let config = config::load(&flags, &Environment::default())
            .unwrap()
            .config;
        let Self { config: own } = Self::default();
        Self {
            config: Config {
                listen: own.listen,
                sweep_interval: own.sweep_interval,
                ..config
            },
        }
    }

    /// With its journal in a directory.
    pub(crate) fn on_disk(mut self, directory: &Path) -> Self {
        self.config.storage = Storage::Directory(directory.to_owned());
        self
    }

    /// With this many records at most.
    pub(crate) fn max_live(mut self, max_live: u64) -> Self {
        self.config.max_live = max_live;
        self
    }

    /// Open to other nodes.
    pub(crate) fn for_nodes(mut self) -> Self {
        self.config.insecure = true;
        self
    }

    /// With these settings of issuers that are not configured.
    pub(crate) fn defaults(mut self, set: impl FnOnce(&mut IssuerSettings)) -> Self {
        set(&mut self.config.semantics.defaults);
        self
    }

    /// With these settings.
    pub(crate) fn semantics(mut self, set: impl FnOnce(&mut Semantics)) -> Self {
        set(&mut self.config.semantics);
        self
    }
}

/// A node that runs.
pub(crate) struct TestNode {
    pub(crate) api: Api,
    pub(crate) channel: Channel,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) ledger: Ledger,
    pub(crate) verification: Option<Arc<Verification>>,
    endpoint: Endpoint,
    options: Options,
    stop: CancellationToken,
    running: JoinHandle<anyhow::Result<()>>,
}

impl TestNode {
    /// Starts a node whose clock stands at [`START`].
    pub(crate) async fn start(options: Options) -> Self {
        Self::start_with(options, Arc::new(ManualClock::new(START))).await
    }

    /// Starts a node on somebody else's clock.
    pub(crate) async fn start_with(options: Options, clock: Arc<ManualClock>) -> Self {
        let app = App::bind(options.config.clone(), Arc::<ManualClock>::clone(&clock))
            .await
            .unwrap();
        let BoundAddress::Tcp(address) = app.addresses()[0].clone() else {
            panic!("bound elsewhere than asked");
        };
        let ledger = app.ledger().clone();
        let verification = app.verification().cloned();
        let stop = CancellationToken::new();
        let running = tokio::spawn(app.run(stop.clone()));
        let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
        let channel = endpoint.connect().await.unwrap();
        Self {
            endpoint,
            api: RevocationServiceClient::new(channel.clone()),
            channel,
            clock,
            ledger,
            verification,
            options,
            stop,
            running,
        }
    }

    /// Another connection.
    pub(crate) async fn connect(&self, set: impl FnOnce(Endpoint) -> Endpoint) -> Channel {
        set(self.endpoint.clone()).connect().await.unwrap()
    }

    /// Asks the node to stop, and goes on.
    pub(crate) fn begin_to_stop(&self) {
        self.stop.cancel();
    }

    /// Stops the node and waits for it: everything it had taken is on disk.
    pub(crate) async fn stop(self) -> Arc<ManualClock> {
        let Self {
            api,
            channel,
            clock,
            ledger,
            stop,
            running,
            ..
        } = self;
        // The writer goes on for as long as anybody could ask it.
        drop((api, channel, ledger));
        stop.cancel();
        running.await.unwrap().unwrap();
        clock
    }

    /// Stops the node, and starts it again on the same directory and clock.
    pub(crate) async fn restart(self) -> Self {
        let options = self.options.clone();
        self.restart_with(options).await
    }

    /// Stops the node, and starts it with other settings on the same clock.
    pub(crate) async fn restart_with(self, options: Options) -> Self {
        let clock = self.stop().await;
        Self::start_with(options, clock).await
    }

    /// Seconds since 1970, by the node's clock.
    pub(crate) fn now_s(&self) -> u64 {
        self.ledger.wall().secs_floor()
    }

    /// Lets time go by.
    pub(crate) fn advance_s(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    /// Forgets what has run out.
    pub(crate) async fn sweep(&self) -> Swept {
        self.ledger.sweep().await.unwrap()
    }
}

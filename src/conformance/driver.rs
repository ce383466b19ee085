//! The two worlds in which cases are played.
//!
//! Both are asked through the same generated client, so whatever the wire would do to a message
//! happens in both. A node in this process has a clock that stands still until told, and can be
//! swept and restarted; a server elsewhere has real time and goes on.

use std::{path::PathBuf, sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;
use tonic::{Response, Status, transport::Channel};

use crate::{
    clock::{Clock, ManualClock, SystemClock},
    fleet::Fleet,
    journal::{Journal, Storage},
    ledger::{Ledger, Options, WriterThread},
    limits,
    model::UnixNanos,
    proto::v1::{
        self, revocation_service_client::RevocationServiceClient,
        revocation_service_server::RevocationServiceServer,
    },
    server::{Access, Service},
    token::{Demands, KeySource, algorithm::Algorithm},
    verification::{IssuerKeys, Verification},
};

use super::{Stop, case::Key, settings::Settings, text::Frame};

/// When a case in this process begins: a quarter past a whole second, so that a token of the same
/// second was issued before.
const BEGIN: Duration = Duration::from_millis(1_700_000_000_250);

/// The longest step that is waited for in real time.
const WAIT_MAX: Duration = Duration::from_secs(2);

/// A client, of a server elsewhere or of a node in this process.
#[derive(Clone, Debug)]
pub(super) enum Rpc {
    Elsewhere(RevocationServiceClient<Channel>),
    Here(RevocationServiceClient<RevocationServiceServer<Service>>),
}

macro_rules! calls {
    ($($name:ident: $request:ident -> $response:ident;)*) => {
        impl Rpc {
            $(
                pub(super) async fn $name(
                    &mut self,
                    request: v1::$request,
                ) -> Result<v1::$response, Status> {
                    match self {
                        Self::Elsewhere(client) => client.$name(request).await,
                        Self::Here(client) => client.$name(request).await,
                    }
                    .map(Response::into_inner)
                }
            )*

            /// One question over a stream of its own, and everything that comes back.
            pub(super) async fn check_stream(
                &mut self,
                question: v1::CheckStreamRequest,
            ) -> Result<Vec<v1::CheckStreamResponse>, Status> {
                let questions = tokio_stream::once(question);
                let answers = match self {
                    Self::Elsewhere(client) => client.check_stream(questions).await,
                    Self::Here(client) => client.check_stream(questions).await,
                }?;
                let mut answers = answers.into_inner();
                let mut all = Vec::new();
                while let Some(answer) = answers.message().await? {
                    all.push(answer);
                }
                Ok(all)
            }
        }
    };
}

calls! {
    check_batch: CheckBatchRequest -> CheckBatchResponse;
    check: CheckRequest -> CheckResponse;
    revoke: RevokeRequest -> RevokeResponse;
    revoke_user: RevokeUserRequest -> RevokeUserResponse;
    restore: RestoreRequest -> RestoreResponse;
    list_revocations: ListRevocationsRequest -> ListRevocationsResponse;
    get_status: GetStatusRequest -> GetStatusResponse;
}

/// Where a case is played.
#[derive(Debug)]
pub(super) enum World {
    Elsewhere(RevocationServiceClient<Channel>),
    Here(Box<Node>),
}

impl World {
    pub(super) fn rpc(&self) -> Result<Rpc, Stop> {
        match self {
            Self::Elsewhere(client) => Ok(Rpc::Elsewhere(client.clone())),
            Self::Here(node) => Ok(Rpc::Here(node.running()?.client.clone())),
        }
    }

    pub(super) fn is_here(&self) -> bool {
        matches!(self, Self::Here(_))
    }

    pub(super) fn wall(&self) -> i128 {
        let wall = match self {
            Self::Elsewhere(_) => SystemClock.wall(),
            Self::Here(node) => node.clock.wall(),
        };
        i128::from(wall.nanos())
    }

    pub(super) async fn advance(&self, by: Duration) -> Result<(), Stop> {
        match self {
            Self::Elsewhere(_) if by > WAIT_MAX => Err(Stop::Skipped(format!(
                "it lets {} pass, and at most {} are waited for in real time",
                humantime::format_duration(by),
                humantime::format_duration(WAIT_MAX)
            ))),
            Self::Elsewhere(_) => {
                tokio::time::sleep(by).await;
                Ok(())
            }
            Self::Here(node) => {
                node.clock.advance(by);
                Ok(())
            }
        }
    }

    /// The node in this process, for what only such a one can do.
    pub(super) fn node(&mut self, what: &str) -> Result<&mut Node, Stop> {
        match self {
            Self::Here(node) => Ok(node),
            Self::Elsewhere(_) => Err(Stop::Skipped(format!(
                "it {what}, which only a node in the runner's own process can"
            ))),
        }
    }
}

/// A node in this process.
#[derive(Debug)]
pub(super) struct Node {
    clock: Arc<ManualClock>,
    /// Where the journal is kept; `None`: in memory, and then it is lost at a restart.
    directory: Option<PathBuf>,
    settings: Settings,
    keys: KeyFiles,
    running: Option<Running>,
}

/// The key sets of issuers that are verified: a node reads them from files.
#[derive(Clone, Debug)]
pub(super) struct KeyFiles {
    /// A directory of this case's own.
    pub(super) directory: PathBuf,
    /// By the key that is in it.
    pub(super) sets: [(Key, Algorithm, String); 2],
}

impl KeyFiles {
    fn verification(
        &self,
        settings: &Settings,
        frame: &Frame,
        clock: Arc<dyn Clock>,
    ) -> Result<Option<Arc<Verification>>, String> {
        if !settings.verifies() {
            return Ok(None);
        }
        std::fs::create_dir_all(&self.directory).map_err(|error| error.to_string())?;
        let mut issuers = Vec::new();
        for (number, (iss, key)) in settings.verified.iter().enumerate() {
            let sets = self.sets.iter();
            let Some((_, algorithm, jwks)) = sets.clone().find(|(of, ..)| of == key) else {
                continue;
            };
            let path = self.directory.join(format!("jwks-{number}.json"));
            std::fs::write(&path, jwks).map_err(|error| error.to_string())?;
            issuers.push(IssuerKeys {
                require_keys: false,
                iss: frame.expand(iss)?,
                demands: Demands {
                    algorithms: vec![*algorithm],
                    audiences: Vec::new(),
                    types: ["JWT", ""].map(str::to_owned).to_vec(),
                },
                source: KeySource::JwksFile(path),
            });
        }
        let opened = Verification::open(&issuers, None, clock);
        opened
            .map(|verification| Some(Arc::new(verification)))
            .map_err(|error| error.to_string())
    }
}

#[derive(Debug)]
struct Running {
    ledger: Ledger,
    writer: WriterThread,
    client: RevocationServiceClient<RevocationServiceServer<Service>>,
}

impl Node {
    /// Starts one; with a directory it survives restarts.
    pub(super) async fn start(
        directory: Option<PathBuf>,
        settings: Settings,
        keys: KeyFiles,
        frame: &Frame,
    ) -> Result<Self, Stop> {
        let begin = UnixNanos::ZERO.plus(BEGIN);
        let mut node = Self {
            clock: Arc::new(ManualClock::new(begin)),
            directory,
            settings,
            keys,
            running: None,
        };
        let settings = node.settings.clone();
        node.run(&settings, false, frame).await?;
        Ok(node)
    }

    fn running(&self) -> Result<&Running, Stop> {
        self.running
            .as_ref()
            .ok_or_else(|| Stop::Failed("the node does not run".to_owned()))
    }

    async fn run(
        &mut self,
        settings: &Settings,
        accept_changed_meaning: bool,
        frame: &Frame,
    ) -> Result<(), Stop> {
        let semantics = settings.semantics(|text| frame.expand(text))?;
        let options = Options {
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            semantics: Arc::new(semantics),
            live_max: settings.max_live.unwrap_or(limits::LIVE_DEFAULT),
            sweep_settle: settings.sweep_settle.0,
            accept_changed_meaning,
        };
        let directory = self.directory.clone();
        let opened = tokio::task::spawn_blocking(move || {
            let storage = directory.map_or(Storage::Memory, Storage::Directory);
            let journal = Journal::open(&storage).map_err(|error| error.to_string())?;
            Ledger::open(journal, &options).map_err(|error| error.to_string())
        })
        .await
        .map_err(|error| Stop::Failed(error.to_string()))?;
        let (ledger, writer) = opened.map_err(Stop::Failed)?;
        let clock = || Arc::clone(&self.clock) as Arc<dyn Clock>;
        let verification = self.keys.verification(settings, frame, clock())?;
        let fleet = Arc::new(Fleet::alone(clock()));
        let stop = CancellationToken::new();
        let service = Service::new(ledger.clone(), fleet, verification, Access::default(), stop);
        self.running = Some(Running {
            ledger,
            writer,
            client: RevocationServiceClient::new(service)
                .max_decoding_message_size(limits::MESSAGE_BYTES_MAX),
        });
        Ok(())
    }

    pub(super) async fn stop(&mut self) -> Result<(), Stop> {
        let Some(running) = self.running.take() else {
            return Ok(());
        };
        let Running {
            ledger,
            writer,
            client,
        } = running;
        drop((ledger, client));
        tokio::task::spawn_blocking(move || writer.join())
            .await
            .map_err(|error| Stop::Failed(error.to_string()))
    }

    /// Stops, waits and starts on the same disk; why a start is refused.
    pub(super) async fn restart(
        &mut self,
        pause: Option<Duration>,
        settings: Option<Settings>,
        accept_changed_meaning: bool,
        frame: &Frame,
    ) -> Result<Result<(), String>, Stop> {
        self.stop().await?;
        self.clock.advance(pause.unwrap_or_default());
        let new = settings.unwrap_or_else(|| self.settings.clone());
        match self.run(&new, accept_changed_meaning, frame).await {
            Ok(()) => {
                self.settings = new;
                Ok(Ok(()))
            }
            Err(Stop::Failed(error)) => {
                let before = self.settings.clone();
                self.run(&before, false, frame).await?;
                Ok(Err(error))
            }
            Err(skipped) => Err(skipped),
        }
    }

    pub(super) fn set_wall(&self, nanos: i128) -> Result<(), Stop> {
        let nanos = u64::try_from(nanos).map_err(|_| "the time lies before 1970".to_owned())?;
        self.clock.set_wall(UnixNanos::from_nanos(nanos));
        Ok(())
    }

    /// Sweeps until there is no more; how many records were forgotten, or parts of them.
    pub(super) async fn sweep(&self) -> Result<usize, Stop> {
        let mut count = 0;
        loop {
            let swept = self.running()?.ledger.sweep().await;
            let swept = swept.map_err(|error| Stop::Failed(error.to_string()))?;
            count += swept.count;
            if !swept.more {
                return Ok(count);
            }
        }
    }

    pub(super) async fn accept_clock(&self) -> Result<(), Stop> {
        let accepted = self.running()?.ledger.accept_clock().await;
        accepted.map_err(|error| Stop::Failed(error.to_string()))
    }
}

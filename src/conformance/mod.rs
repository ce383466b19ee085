//! The semantics as data: named stories, played against a node in this process or against any
//! server that speaks `rescind.v1`.
//!
//! The stories stand in `tests/conformance/*.json` and are part of the program, so that whoever has
//! the program can ask a server whether it keeps the promises. docs/conformance.md tells how to run
//! them and how to write one.

mod case;
mod class;
mod driver;
mod expect;
mod mint;
mod play;
mod request;
mod settings;
mod text;
mod wanted;

use std::{collections::HashSet, path::PathBuf};

use tonic::{Status, transport::Channel};

use crate::proto::v1::{
    self, revocation_service_client::RevocationServiceClient, watch_revocations_response::Event,
};

pub use case::Case;
pub use class::Class;

use case::{Key, Step};
use driver::{KeyFiles, Node, World};
use mint::Keys;
use play::Play;
use settings::Settings;
use text::Frame;

/// Every file of cases: its name and its text.
const FILES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/conformance_files.rs"));

/// A case that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}: {case}: {problem}")]
pub struct CaseError {
    /// The file.
    pub file: String,
    /// Its name.
    pub case: String,
    /// What is wrong.
    pub problem: String,
}

/// All cases that are part of this program, in the order of their files.
///
/// # Errors
/// As [`parse`].
pub fn cases() -> Result<Vec<Case>, CaseError> {
    parse(FILES.iter().copied())
}

/// The cases of files: of each, its name and its text.
///
/// # Errors
/// When one cannot be read or two have one name.
pub fn parse<'a>(
    files: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<Vec<Case>, CaseError> {
    let mut cases: Vec<Case> = Vec::new();
    for (file, text) in files {
        cases.extend(case::parse(file, text)?);
    }
    let mut names = HashSet::new();
    if let Some(twice) = cases.iter().find(|case| !names.insert(case.name.as_str())) {
        return Err(CaseError {
            file: twice.file.clone(),
            case: twice.name.clone(),
            problem: "another case has this name".to_owned(),
        });
    }
    Ok(cases)
}

/// How a case went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// As wanted.
    Passed,
    /// Otherwise.
    Failed {
        /// At which step, counted from 1; 0: before the first.
        step: usize,
        /// What was got and what was wanted.
        problem: String,
    },
    /// It cannot be played here.
    Skipped {
        /// Why.
        why: String,
    },
}

/// Why a case was not played to its end.
#[derive(Debug)]
enum Stop {
    Failed(String),
    Skipped(String),
}

impl From<String> for Stop {
    fn from(problem: String) -> Self {
        Self::Failed(problem)
    }
}

impl Stop {
    #[expect(
        clippy::needless_pass_by_value,
        reason = "this is what map_err hands over"
    )]
    fn status(status: Status) -> Self {
        Self::Failed(format!("{:?}: {}", status.code(), status.message()))
    }

    fn at(self, step: usize) -> Outcome {
        match self {
            Self::Failed(problem) => Outcome::Failed { step, problem },
            Self::Skipped(why) => Outcome::Skipped { why },
        }
    }
}

/// Plays cases.
#[derive(Debug)]
pub struct Runner {
    keys: Keys,
    run: String,
    place: Place,
}

#[derive(Debug)]
enum Place {
    /// In this process; nodes that must survive a restart live in this directory.
    Here(PathBuf),
    Elsewhere(Elsewhere),
}

#[derive(Debug)]
struct Elsewhere {
    client: RevocationServiceClient<Channel>,
    settings_digest: Vec<u8>,
    any_settings: bool,
    verifies: bool,
}

/// Why nothing can be played.
#[derive(Debug, thiserror::Error)]
pub enum RunnerError {
    /// No keys to sign with.
    #[error("no keys can be made to sign tokens with")]
    Keys(#[from] crate::token::sign::SignError),
    /// The server does not tell what it is.
    #[error("the server does not tell its settings: {}", .0.message())]
    Server(#[from] Status),
    /// It is no server of `rescind.v1`.
    #[error("the server begins a watch with something else than Hello")]
    NoHello,
}

impl Runner {
    /// Plays on nodes in this process, of which those that are restarted keep their journals in
    /// `directory`.
    ///
    /// # Errors
    /// When no keys can be made.
    pub fn here(directory: PathBuf) -> Result<Self, RunnerError> {
        Ok(Self {
            keys: Keys::generate()?,
            run: "run".to_owned(),
            place: Place::Here(directory),
        })
    }

    /// Plays on a server elsewhere. Cases for other settings than the server has are skipped,
    /// unless `any_settings`: then those for the default settings are played all the same.
    ///
    /// # Errors
    /// When the server does not answer, or no keys can be made.
    pub async fn elsewhere(
        mut client: RevocationServiceClient<Channel>,
        any_settings: bool,
    ) -> Result<Self, RunnerError> {
        let status = client.get_status(v1::GetStatusRequest::default()).await?;
        let settings_digest = settings_digest(&mut client).await?;
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(|_| crate::token::sign::SignError::Failed)?;
        let run = format!("{:012x}", u64::from_be_bytes(random) >> 16);
        Ok(Self {
            keys: Keys::generate()?,
            run,
            place: Place::Elsewhere(Elsewhere {
                client,
                settings_digest,
                any_settings,
                verifies: status.get_ref().verifies_signatures,
            }),
        })
    }

    /// Plays one case; `number` must differ from case to case.
    pub async fn play(&self, case: &Case, number: usize) -> Outcome {
        let run = format!("{}-{number}", self.run);
        let mut frame = Frame {
            iss: format!("https://{run}.example"),
            run,
            start: 0,
            now: 0,
            not_before: None,
            n: 1,
        };
        let world = match self.world(case, number, &frame).await {
            Ok(world) => world,
            Err(stop) => return stop.at(0),
        };
        frame.now = world.wall();
        frame.start = frame.now - frame.now.rem_euclid(1_000_000_000);
        let mut play = Play {
            case,
            keys: &self.keys,
            world,
            frame,
            tokens: request::Tokens::new(),
        };
        match play.all().await {
            Ok(()) => Outcome::Passed,
            Err((step, stop)) => stop.at(step),
        }
    }

    async fn world(&self, case: &Case, number: usize, frame: &Frame) -> Result<World, Stop> {
        match &self.place {
            Place::Here(directory) => {
                let restarts = case
                    .steps
                    .iter()
                    .any(|step| matches!(step, Step::Restart(_)));
                let own = directory.join(number.to_string());
                let directory = restarts.then(|| own.clone());
                let keys = KeyFiles {
                    directory: own.with_extension("keys"),
                    sets: [Key::Hs256, Key::Es256]
                        .map(|key| (key, self.keys.algorithm(key), self.keys.jwks(key))),
                };
                let settings = case.settings.clone();
                let node = Node::start(directory, settings, keys, frame).await?;
                Ok(World::Here(Box::new(node)))
            }
            Place::Elsewhere(server) => {
                server.can_play(case, frame)?;
                begin_of_a_second().await;
                Ok(World::Elsewhere(server.client.clone()))
            }
        }
    }
}

impl Elsewhere {
    fn can_play(&self, case: &Case, frame: &Frame) -> Result<(), Stop> {
        if self.verifies {
            return Err(Stop::Skipped(
                "the server verifies signatures, and knows nothing of the runner's keys".to_owned(),
            ));
        }
        if case.exact {
            return Err(Stop::Skipped(
                "it needs a clock that stands still".to_owned(),
            ));
        }
        if let Some(what) = case.steps.iter().find_map(needs_own_node) {
            return Err(Stop::Skipped(format!(
                "it {what}, which only a node in the runner's own process can"
            )));
        }
        let is_default = case.settings == Settings::default();
        let wanted = case.settings.semantics(|text| frame.expand(text))?;
        let has = wanted.digest()[..] == self.settings_digest && !case.settings.is_unshown();
        if has || (is_default && self.any_settings) {
            return Ok(());
        }
        Err(Stop::Skipped(if is_default {
            "the server's settings are not the default ones".to_owned()
        } else {
            "it needs settings that the server does not have".to_owned()
        }))
    }
}

fn needs_own_node(step: &Step) -> Option<&'static str> {
    match step {
        Step::Sweep(_) => Some("sweeps"),
        Step::Restart(_) => Some("restarts the node"),
        Step::SetWall(_) => Some("sets the wall clock"),
        Step::AcceptClock(_) => Some("accepts the clock"),
        Step::Status(_) => Some("counts what a node holds"),
        _ => None,
    }
}

/// What gives the server's records their meaning, as it tells watchers.
async fn settings_digest(
    client: &mut RevocationServiceClient<Channel>,
) -> Result<Vec<u8>, RunnerError> {
    let watch = v1::WatchRevocationsRequest {
        start: v1::Start::Now.into(),
        watcher: "conformance".to_owned(),
        ..v1::WatchRevocationsRequest::default()
    };
    let mut answers = client.watch_revocations(watch).await?.into_inner();
    let first = answers.message().await?.and_then(|answer| answer.event);
    match first {
        Some(Event::Hello(hello)) => Ok(hello.settings_digest),
        _ => Err(RunnerError::NoHello),
    }
}

/// Waits until a second has just begun, so that a case's first steps lie in one second.
async fn begin_of_a_second() {
    use crate::clock::Clock as _;
    let into = crate::clock::SystemClock.wall().subsec_nanos();
    let left = 1_050_000_000_u64.saturating_sub(into.into());
    tokio::time::sleep(std::time::Duration::from_nanos(left)).await;
}

//! What `rescind serve` is to do: flags over `RESCIND_*` variables over a TOML file over defaults.
//!
//! A [`Config`] that exists is valid: names are resolved, bounds hold, and settings agree with
//! each other. This is also the only module that reads the environment.

mod env;
mod error;
mod flags;
mod keys;
mod layers;
mod listen;
mod schema;
mod semantics;
mod show;
#[cfg(test)]
mod tests;
mod value;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    fleet::JoinPolicy,
    limits,
    model::{IssuerSettings, Semantics},
    sync::{self, Address},
    verification::IssuerKeys,
};

pub use env::Environment;
pub use error::ConfigError;
pub use flags::ServeFlags;
pub use listen::Listen;

use layers::Layer;
use value::Table;

/// The file in the data directory by which a person accepts the time: `rescind journal
/// accept-clock` writes it, and the sidecar takes it away when it has acted on it.
pub const ACCEPT_CLOCK_FILE: &str = "accept-clock";

/// Everything that `serve` needs to know.
///
/// The default listens on `127.0.0.1:50551` and keeps nothing on disk.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Where to serve the API; never empty.
    pub listen: Vec<Listen>,
    /// Where to serve metrics and probes over HTTP.
    pub ops_listen: Option<Listen>,
    /// Where the journal is kept.
    pub storage: Storage,
    /// Where to write the addresses really bound, as JSON.
    pub address_file: Option<PathBuf>,
    /// Whether listening beyond this machine without TLS was asked for.
    pub insecure: bool,
    /// Whom to follow.
    pub follow: sync::Settings,
    /// What to do when no node that is ready was met in time.
    pub join: JoinPolicy,
    /// How long to try.
    pub join_timeout: Duration,
    /// How old this node's knowledge of others may be for an ACTIVE; `None`: any age.
    pub max_staleness: Option<Duration>,
    /// How often to look for what may be forgotten.
    pub sweep_interval: Duration,
    /// How long after a start nothing is forgotten.
    pub sweep_settle: Duration,
    /// Records to hold at most.
    pub max_live: u64,
    /// Whether to start although the meaning of live records has changed.
    pub accept_changed_meaning: bool,
    /// Start although the journal is gone or empty.
    pub accept_empty_journal: bool,
    /// How to write logs.
    pub log_format: LogFormat,
    /// What to log: a valid filter of `tracing_subscriber::EnvFilter`.
    pub log_filter: String,
    /// What tokens and revocations mean.
    pub semantics: Semantics,
    /// The issuers whose tokens are verified; with one of them, all tokens are.
    pub issuer_keys: Vec<IssuerKeys>,
}

/// Where the journal is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Storage {
    /// In memory: it ends with the process.
    #[default]
    Ephemeral,
    /// In this directory.
    Directory(PathBuf),
}

/// How to write logs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// Console on a terminal, JSON otherwise.
    #[default]
    Auto,
    /// For people.
    Console,
    /// For machines.
    Json,
}

const JOIN_POLICIES: [(&str, JoinPolicy); 2] =
    [("wait", JoinPolicy::Wait), ("alone", JoinPolicy::Alone)];

const LOG_FORMATS: [(&str, LogFormat); 3] = [
    ("auto", LogFormat::Auto),
    ("console", LogFormat::Console),
    ("json", LogFormat::Json),
];

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: vec![Listen::default()],
            ops_listen: None,
            storage: Storage::default(),
            address_file: None,
            insecure: false,
            follow: sync::Settings::default(),
            join: JoinPolicy::default(),
            join_timeout: limits::JOIN_TIMEOUT_DEFAULT,
            max_staleness: None,
            sweep_interval: limits::SWEEP_INTERVAL_DEFAULT,
            sweep_settle: limits::SWEEP_SETTLE_DEFAULT,
            max_live: limits::LIVE_DEFAULT,
            accept_changed_meaning: false,
            accept_empty_journal: false,
            log_format: LogFormat::default(),
            log_filter: "info".to_owned(),
            semantics: Semantics::default(),
            issuer_keys: Vec::new(),
        }
    }
}

/// A configuration, and how it came about.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What to do.
    pub config: Config,
    /// What the operator should know; to be logged at start.
    pub warnings: Vec<String>,
    /// Which flag, variable or file each setting came from, by its name; what is not here is a
    /// default.
    sources: BTreeMap<String, String>,
}

/// Reads all layers. The file is the one of `--config`, else of `RESCIND_CONFIG`, else none.
///
/// # Errors
/// The first thing that is wrong, in one line that says where it stands and what to do.
pub fn load(flags: &ServeFlags, environment: &Environment) -> Result<Loaded, ConfigError> {
    let file = flags
        .config
        .as_deref()
        .or_else(|| environment.get("RESCIND_CONFIG").map(Path::new));
    let file = match file {
        Some(path) => Layer::of_file(path)?,
        None => Layer::default(),
    };
    let (variables, mut warnings) = Layer::of_environment(environment)?;
    let merged = Layer::merge([file, variables, flags.layer()])?;
    let top = Table::new(&merged, String::new());

    let mut sources = BTreeMap::new();
    show::note_sources(&top, &mut sources);
    let storage = storage(&top, environment, &mut sources, &mut warnings)?;
    let mut config = Config {
        storage,
        accept_changed_meaning: flags.accept_changed_meaning,
        accept_empty_journal: flags.accept_empty_journal,
        semantics: semantics::read(&top)?,
        issuer_keys: keys::read(&top)?,
        ..Config::default()
    };
    config.semantics.verifies = !config.issuer_keys.is_empty();
    warn_of_issuers_without_keys(&config, &mut warnings);
    warnings.extend(semantics::dotted_names(&config.semantics));
    read_node_settings(&top, &mut config)?;
    read_follow(&top, &mut config)?;
    Ok(Loaded {
        config,
        warnings,
        sources,
    })
}

/// With verification on, an issuer without keys has no valid tokens, and one without audiences
/// may be mistaken for one that has them.
fn warn_of_issuers_without_keys(config: &Config, warnings: &mut Vec<String>) {
    if config.issuer_keys.is_empty() {
        return;
    }
    let has_keys = |iss: &String| config.issuer_keys.iter().any(|keys| keys.iss == *iss);
    for iss in config.semantics.issuers.keys().filter(|iss| !has_keys(iss)) {
        warnings.push(format!(
            "issuer {iss:?} has no keys while others have: all of its tokens are INVALID"
        ));
    }
    for keys in &config.issuer_keys {
        if keys.demands.audiences.is_empty() {
            warnings.push(format!(
                "issuer {:?} has no audiences: tokens that it made for other services pass too",
                keys.iss
            ));
        }
    }
}

/// The settings of the node itself.
fn read_node_settings(top: &Table<'_>, config: &mut Config) -> Result<(), ConfigError> {
    if let Some(setting) = top.get("insecure") {
        config.insecure = setting.boolean()?;
    }
    if let Some(setting) = top.get("listen") {
        config.listen = listeners(&setting, config.insecure)?;
    }
    if let Some(setting) = top.get("ops_listen") {
        config.ops_listen = Some(listener(&setting, config.insecure)?);
    }
    if let Some(setting) = top.get("address_file") {
        config.address_file = Some(setting.path()?);
    }
    if let Some(setting) = top.get("sweep_interval") {
        config.sweep_interval =
            setting.duration(limits::SWEEP_INTERVAL_MIN, limits::SWEEP_INTERVAL_MAX)?;
    }
    if let Some(setting) = top.get("sweep_settle") {
        config.sweep_settle = setting.duration(Duration::ZERO, limits::SWEEP_SETTLE_MAX)?;
    }
    if let Some(setting) = top.get("max_live") {
        config.max_live = setting.count(limits::LIVE_RESERVE_DIVISOR, limits::LIVE_MAX)?;
    }
    if let Some(setting) = top.get("log_format") {
        config.log_format = setting.word(&LOG_FORMATS)?;
    }
    if let Some(setting) = top.get("log_filter") {
        let filter = setting.text("a level such as info")?;
        tracing_subscriber::EnvFilter::builder()
            .parse(filter)
            .map_err(|error| {
                setting.wrong(
                    format!("{filter:?} is not a filter ({error})"),
                    "give error, warn, info, debug or trace, or a list such as info,rescind=debug",
                )
            })?;
        filter.clone_into(&mut config.log_filter);
    }
    Ok(())
}

/// Whom to follow, and how.
fn read_follow(top: &Table<'_>, config: &mut Config) -> Result<(), ConfigError> {
    if let Some(setting) = top.get("peer") {
        config.follow.peers = upstreams(&setting)?;
    }
    if let Some(setting) = top.get("hub") {
        config.follow.hubs = upstreams(&setting)?;
    }
    let follows = [("peer", &config.follow.peers), ("hub", &config.follow.hubs)];
    let followed = follows
        .into_iter()
        .find(|(_, addresses)| !addresses.is_empty());
    if let Some((key, _)) = followed {
        grace_covers_clocks(config, top.get(key).as_ref())?;
    }
    if let Some(setting) = top.get("expected_peers") {
        let count = setting.count(1, limits::UPSTREAMS_MAX as u64)?;
        config.follow.expected_peers = usize::try_from(count).ok();
    }
    if let Some(setting) = top.get("join") {
        config.join = setting.word(&JOIN_POLICIES)?;
    }
    if let Some(setting) = top.get("join_timeout") {
        config.join_timeout = setting.duration(Duration::ZERO, limits::JOIN_TIMEOUT_MAX)?;
    }
    if let Some(setting) = top.get("max_staleness") {
        let bound = setting.duration(limits::HEARTBEAT_MIN, limits::STALENESS_MAX)?;
        config.max_staleness = Some(bound);
    }
    Ok(())
}

/// A node whose clock is ahead forgets earlier than the others, which must not take that for a lift
/// while tokens could still pass by their clocks.
fn grace_covers_clocks(
    config: &Config,
    setting: Option<&value::Setting<'_>>,
) -> Result<(), ConfigError> {
    let semantics = &config.semantics;
    let all = semantics.issuers.values().chain([&semantics.defaults]);
    let short = |of: &&IssuerSettings| of.forget_grace < of.leeway + limits::CLOCKS_APART_MAX;
    match (all.into_iter().find(short), setting) {
        (Some(of), Some(setting)) => Err(setting.wrong(
            format!(
                "other nodes are followed, whose clocks may be 5m off, and forget_grace is {} with \
                 a leeway of {}",
                humantime::format_duration(of.forget_grace),
                humantime::format_duration(of.leeway)
            ),
            "raise forget_grace to at least leeway + 5m",
        )),
        _ => Ok(()),
    }
}

fn upstreams(setting: &value::Setting<'_>) -> Result<Vec<Address>, ConfigError> {
    let mut addresses: Vec<Address> = Vec::new();
    for element in setting.list()? {
        let text = element.text("HOST:PORT, dns:NAME:PORT or unix:PATH")?;
        let address: Address = text.parse().map_err(|_| {
            element.wrong(
                format!("{text:?} is no address of a node"),
                "give HOST:PORT, dns:NAME:PORT or unix:PATH",
            )
        })?;
        if addresses.contains(&address) {
            return Err(element.wrong(format!("{address} stands there twice"), "take one out"));
        }
        addresses.push(address);
    }
    if addresses.len() > limits::UPSTREAMS_MAX {
        return Err(setting.wrong(
            format!("there are {} of them", addresses.len()),
            format!(
                "give at most {}; a larger fleet runs on hubs",
                limits::UPSTREAMS_MAX
            ),
        ));
    }
    Ok(addresses)
}

fn listeners(setting: &value::Setting<'_>, insecure: bool) -> Result<Vec<Listen>, ConfigError> {
    let mut listeners = Vec::new();
    for element in setting.list()? {
        let listen = listener(&element, insecure)?;
        let picks_its_own = matches!(&listen, Listen::Tcp(address) if address.port() == 0);
        if listeners.contains(&listen) && !picks_its_own {
            return Err(element.wrong(format!("{listen} stands there twice"), "take one out"));
        }
        listeners.push(listen);
    }
    if listeners.is_empty() {
        return Err(setting.wrong(
            "the list is empty",
            "give at least one address, or leave the setting out",
        ));
    }
    Ok(listeners)
}

fn listener(setting: &value::Setting<'_>, insecure: bool) -> Result<Listen, ConfigError> {
    let listen = Listen::read(setting)?;
    if !listen.is_local() && !insecure {
        return Err(setting.wrong(
            format!(
                "{listen} can be reached from other machines, where anybody could revoke and \
                 restore, and Rescind cannot yet ask for TLS and a policy"
            ),
            "listen on 127.0.0.1, [::1] or unix:PATH, or, where the network itself keeps \
             others out, add --insecure",
        ));
    }
    Ok(listen)
}

fn storage(
    top: &Table<'_>,
    environment: &Environment,
    sources: &mut BTreeMap<String, String>,
    warnings: &mut Vec<String>,
) -> Result<Storage, ConfigError> {
    let ephemeral = match top.get("ephemeral") {
        Some(setting) => setting.boolean()?,
        None => false,
    };
    let given = top.get("data_dir");
    if ephemeral {
        if let Some(setting) = given {
            warnings.push(format!(
                "data_dir (from {}) is not used: ephemeral keeps nothing on disk",
                setting.origin()
            ));
        }
        return Ok(Storage::Ephemeral);
    }
    if let Some(setting) = given {
        return setting.path().map(Storage::Directory);
    }
    let (path, source) = environment.default_data_dir();
    sources.insert("data_dir".to_owned(), source.to_owned());
    Ok(Storage::Directory(path))
}

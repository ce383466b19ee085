//! The flags of `rescind serve`. They are taken as text: one place judges the values of every
//! layer, in the same words.

use std::path::PathBuf;

use super::layers::Layer;

/// The settings as flags; each is also `RESCIND_<NAME>` and a key of the file.
#[expect(
    clippy::doc_markdown,
    reason = "these are the help texts, which people read as they are"
)]
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ServeFlags {
    /// Read settings from this TOML file [env: RESCIND_CONFIG]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Where to serve the API: HOST:PORT or unix:PATH; repeatable; port 0 picks a free one
    /// [default: 127.0.0.1:50551]
    ///
    /// An address that is not loopback needs --insecure until TLS and a policy can be configured.
    #[arg(long, value_name = "HOST:PORT|unix:PATH")]
    pub listen: Vec<String>,

    /// Where to serve /metrics, /livez and /readyz over HTTP [default: nowhere]
    ///
    /// An address that is not loopback needs --insecure.
    #[arg(long, value_name = "HOST:PORT|unix:PATH")]
    pub ops_listen: Option<String>,

    /// Keep the journal in this directory
    ///
    /// Default: $STATE_DIRECTORY (which systemd sets from StateDirectory=), else
    /// $XDG_STATE_HOME/rescind, else $HOME/.local/state/rescind, else /var/lib/rescind.
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<String>,

    /// Keep nothing on disk: every revocation is lost when the process ends. For trying out
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub ephemeral: Option<String>,

    /// Write the addresses really bound to this file, as JSON
    #[arg(long, value_name = "FILE")]
    pub address_file: Option<String>,

    /// Allow listening beyond this machine without TLS and without a policy
    ///
    /// Anybody who can reach the port may then revoke and restore, read who was revoked, and do what
    /// only other nodes need, such as handing records up to this hub.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub insecure: Option<String>,

    /// Follow this member of the same mesh: HOST:PORT, dns:NAME:PORT (every address that the name
    /// has, this node left out) or unix:PATH; repeatable
    ///
    /// Every member follows every other: what one acknowledges, all enforce.
    #[arg(long, value_name = "ADDRESS")]
    pub peer: Vec<String>,

    /// Follow this hub, as a leaf that hands up what it takes; repeatable: two keep a leaf in touch
    /// while one of them restarts
    #[arg(long, value_name = "ADDRESS")]
    pub hub: Vec<String>,

    /// How many other nodes the names given by dns: have [default: as many as they list]
    ///
    /// A mesh that starts together from nothing is ready once so many have answered.
    #[arg(long, value_name = "COUNT")]
    pub expected_peers: Option<String>,

    /// What to do when no node that is ready was met in join_timeout: wait, or answer alone, by what
    /// this node knows itself [default: wait]
    #[arg(long, value_name = "wait|alone")]
    pub join: Option<String>,

    /// How long to try to join before `join` decides [default: 30s]
    #[arg(long, value_name = "DURATION")]
    pub join_timeout: Option<String>,

    /// How old this node's knowledge of the others may be for an ACTIVE, unless the caller says
    /// [default: any age]
    ///
    /// Beyond it Check answers UNAVAILABLE in place of ACTIVE; what is revoked is denied all the same.
    #[arg(long, value_name = "DURATION")]
    pub max_staleness: Option<String>,

    /// The issuer of tokens that carry no `iss`
    #[arg(long, value_name = "ISS")]
    pub default_issuer: Option<String>,

    /// How far clocks may differ, at most 5m [default: 60s]
    #[arg(long, value_name = "DURATION")]
    pub leeway: Option<String>,

    /// The longest `exp − iat` of a token, or "unlimited" [default: 30d]
    ///
    /// Revocations are kept that long; a token that could outlive its revocation is INVALID.
    #[arg(long, value_name = "DURATION|unlimited")]
    pub max_token_lifetime: Option<String>,

    /// The longest `iat − auth_time` of a token, or "unlimited" [default: 366d]
    #[arg(long, value_name = "DURATION|unlimited")]
    pub max_session_lifetime: Option<String>,

    /// How much longer than needed a revocation is kept, at least twice the leeway [default: 10m]
    #[arg(long, value_name = "DURATION")]
    pub forget_grace: Option<String>,

    /// How far issuers' clocks may be ahead, at most the leeway [default: as seen in 24 h]
    #[arg(long, value_name = "DURATION")]
    pub clock_skew: Option<String>,

    /// What a token without `kid` means when a key of its issuer is revoked: deny or pass
    /// [default: deny]
    #[arg(long, value_name = "deny|pass")]
    pub missing_kid: Option<String>,

    /// What a `jti` names: one token, or several; then its revocation is kept for max_token_lifetime
    /// [default: unique]
    #[arg(long, value_name = "unique|shared")]
    pub jti: Option<String>,

    /// Further claims to revoke by, such as tenant; comma-separated
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    pub revocable_claims: Vec<String>,

    /// What tokens call the claims jti, sub, sid, client_id, auth_time and version, such as
    /// sub=userId; comma-separated
    #[arg(long, value_name = "CLAIM=NAME,…", value_delimiter = ',')]
    pub claims: Vec<String>,

    /// How often to look for revocations that may be forgotten [default: 10s]
    #[arg(long, value_name = "DURATION")]
    pub sweep_interval: Option<String>,

    /// How long after a start nothing is forgotten, until the clock has proven itself
    /// [default: 10m]
    #[arg(long, value_name = "DURATION")]
    pub sweep_settle: Option<String>,

    /// Records to hold at most; beyond that, writes that add one are refused
    /// [default: 10000000]
    #[arg(long, value_name = "COUNT")]
    pub max_live: Option<String>,

    /// The longest token to read, in bytes, up to 65536 [default: 16384]
    #[arg(long, value_name = "BYTES")]
    pub max_token_bytes: Option<String>,

    /// Start although default_issuer or claim names differ from those that the journal's
    /// revocations were made under
    #[arg(long)]
    pub accept_changed_meaning: bool,

    /// Start although the data directory's journal is gone or empty: what was revoked on this node alone
    /// is forgotten, and must be revoked again
    #[arg(long)]
    pub accept_empty_journal: bool,

    /// How to write logs: console, json, or auto (console on a terminal, JSON otherwise)
    /// [default: auto]
    #[arg(long, value_name = "FORMAT")]
    pub log_format: Option<String>,

    /// What to log: a level, or a filter such as info,rescind=debug [default: info]
    #[arg(long, value_name = "FILTER")]
    pub log_filter: Option<String>,
}

impl ServeFlags {
    /// The flags that were given, as the strongest layer.
    pub(super) fn layer(&self) -> Layer {
        let mut layer = Layer::default();
        let one = [
            ("ops_listen", &self.ops_listen),
            ("data_dir", &self.data_dir),
            ("ephemeral", &self.ephemeral),
            ("address_file", &self.address_file),
            ("insecure", &self.insecure),
            ("expected_peers", &self.expected_peers),
            ("join", &self.join),
            ("join_timeout", &self.join_timeout),
            ("max_staleness", &self.max_staleness),
            ("default_issuer", &self.default_issuer),
            ("leeway", &self.leeway),
            ("max_token_lifetime", &self.max_token_lifetime),
            ("max_session_lifetime", &self.max_session_lifetime),
            ("forget_grace", &self.forget_grace),
            ("clock_skew", &self.clock_skew),
            ("missing_kid", &self.missing_kid),
            ("jti", &self.jti),
            ("sweep_interval", &self.sweep_interval),
            ("sweep_settle", &self.sweep_settle),
            ("max_live", &self.max_live),
            ("max_token_bytes", &self.max_token_bytes),
            ("log_format", &self.log_format),
            ("log_filter", &self.log_filter),
        ];
        for (key, value) in one {
            if let Some(value) = value {
                layer.set_text(key, &flag_of(key), value);
            }
        }
        for (key, values) in [
            ("listen", &self.listen),
            ("peer", &self.peer),
            ("hub", &self.hub),
            ("revocable_claims", &self.revocable_claims),
        ] {
            if !values.is_empty() {
                layer.set_list(key, &flag_of(key), values.iter().map(String::as_str));
            }
        }
        if !self.claims.is_empty() {
            layer.set_text("claims", "--claims", &self.claims.join(","));
        }
        layer
    }
}

/// The spelling of a setting as a flag.
fn flag_of(key: &str) -> String {
    format!("--{}", key.replace('_', "-"))
}

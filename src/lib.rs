//! Rescind calls JSON Web Tokens back before they expire.
//!
//! This crate answers one question – **may this token still be used?** – and keeps what the answer
//! depends on: which tokens, users, sessions, clients, keys, claims and issuers were revoked, by
//! which rules, and until when that matters. It is a library with one program, so that tests and
//! benches run the real thing.
//!
//! # The way data takes
//! ```text
//!  Check ───────────► server ─► token (─► verification) ─► decision ─► index ─► verdict
//!
//!  Revoke, Restore ─► server ─► ledger: validate → merge → journal → index → wake the feed → answer
//!                                                                                  │
//!  Watch, List ◄───── server ◄─ feed: the newest from memory, the rest from the journal
//! ```
//! A Check reads memory alone: no disk, and no lock held across an await. (A denial that somebody
//! commented on reads the comment from the journal, after it is decided.) A write waits for one
//! thread, which gathers the writes that wait into one transaction, makes it durable, and only then
//! shows it to Check and to watchers.
//!
//! # The modules, left to right
//! A module names only modules to its left.
//!
//! - values: [`limits`] (every bound, with its reason), `atomic_file`, [`proto`] (generated),
//!   [`model`] (target, rule, record, merge, verdict), [`clock`], `wire` (records as nodes send them to
//!   each other)
//! - mechanisms: [`token`] (what a token says, and who signed it), [`verification`] (with which keys
//!   now), [`index`] (what Check looks up), [`journal`] (the
//!   durable log that is the state), [`decision`] (one function of all of these)
//! - the one writer: [`ledger`], with the sweeper and the feed
//! - [`fleet`]: what is known of the nodes that this one follows, and of those that follow it
//! - edges: [`server`] (gRPC), [`sync`] (following other nodes), [`ops`]
//!   (metrics and probes over HTTP), [`conformance`] (the semantics as stories that anyone can play),
//!   [`config`] (flags, environment, file), [`cli`] (the commands)
//! - [`app`]: composes a node, runs it, and drains it
//!
//! What the rules mean is in `docs/semantics.md`; the contract is
//! `proto/rescind/v1/revocation.proto`.
//!
//! # What holds always
//! **Invariant:** what a write was answered for is on disk, and Check on this node sees it; what was
//! refused changed nothing.
//!
//! **Invariant:** nothing is forgotten while a token that it denies could pass, nothing is evicted,
//! and no clock decides which of two writes counts.
//!
//! **Invariant:** only [`index`] names `DashMap`; only [`ledger`] writes index and journal; only
//! `server::status` makes gRPC codes; only [`clock`] reads wall time; only [`config`] reads the
//! environment; only `app::tasks` spawns tasks. `tests/it/tidy` holds most of these, the lints in
//! `.clippy.toml` the rest.
//!
//! **Invariant:** no token, signature or secret stands in an error, a log line, a record or an
//! answer.
//!
//! Deliberately absent: `unsafe`, queues without a bound, a queue for each watcher, and – until
//! their time comes – TLS and policies.

pub mod app;
mod atomic_file;
pub mod cli;
pub mod clock;
pub mod config;
pub mod conformance;
pub mod decision;
pub mod fleet;
pub mod index;
pub mod journal;
pub mod ledger;
pub mod limits;
pub mod model;
pub mod ops;
pub mod proto;
pub mod server;
pub mod sync;
pub mod token;
pub mod verification;
mod wire;

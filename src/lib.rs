//! Rescind calls JSON Web Tokens back before they expire.

pub mod app;
mod atomic_file;
pub mod cli;
pub mod clock;
pub mod config;
pub mod conformance;
pub mod decision;
pub mod index;
pub mod journal;
pub mod ledger;
pub mod limits;
pub mod model;
pub mod proto;
pub mod server;
pub mod token;

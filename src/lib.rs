//! Rescind calls JSON Web Tokens back before they expire.

pub mod config;
pub mod limits;
pub mod model;
pub mod proto;

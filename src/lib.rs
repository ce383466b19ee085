//! Rescind calls JSON Web Tokens back before they expire.

pub mod clock;
pub mod config;
pub mod decision;
pub mod index;
pub mod journal;
pub mod limits;
pub mod model;
pub mod proto;

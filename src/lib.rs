//! Rescind calls JSON Web Tokens back before they expire.

pub mod proto;

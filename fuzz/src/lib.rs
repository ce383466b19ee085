//! What is fuzzed: functions of any bytes, which panic where something that must hold does not.
//!
//! They use nothing but the crate's public API, and read tokens a second time by themselves, with
//! another JSON reader, so that a fault of the crate's own cannot hide itself.

pub mod check;
pub mod jwks;
pub mod minted;
pub mod token;

//! What a token says: strict reading of a compact JWS (RFC 7515) with JSON claims (RFC 7519).
//!
//! A token is read in two stages, so that its signature can be verified in between:
//!
//! 1. [`Parts::decode`] takes the text apart: base64url without padding or spare bits, a header
//!    and claims that are JSON objects without duplicate members, an `alg` that signs something.
//! 2. [`Parts::claims`] reads the claims that a decision needs, by the names and types that the
//!    issuer's settings give them.
//!
//! [`decode()`] does both. Nothing here compares a time with a clock: that is for the decision.
//!
//! **Invariant:** no input makes this module panic, and no detail of an
//! [`Invalid`](crate::model::Invalid) holds any text of the token: only names of claims that are
//! standard or configured, sizes and positions.

pub mod algorithm;
mod cache;
mod claims;
mod decode;
mod explain;
mod inspect;
mod json;
pub mod keys;
pub mod sign;
mod source;
#[cfg(test)]
mod tests;
mod verify;

pub use claims::Wanted;
pub use decode::{Buffer, Header, Parts, decode};
pub use explain::{Step, explain};
pub use inspect::{Inspection, inspect};
pub use json::{Array, Elements, Fault, Object, Value};
pub use source::{KeySource, SourceError, without_secrets};
pub use verify::{Demands, Issuer, Refusal, Verifier};

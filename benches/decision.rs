//! The in-process decision.
fn main() {}

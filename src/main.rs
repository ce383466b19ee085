//! The `rescind` program.
fn main() {}

//! Bugs that the simulation found, a story each.

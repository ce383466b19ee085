//! The faults that issue 5 names, a story each.

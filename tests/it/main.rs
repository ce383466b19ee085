//! Integration tests: one binary, a module per behaviour.

mod conformance;

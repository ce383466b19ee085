//! Check, CheckBatch, CheckStream.

mod streams;
mod targets;
mod verdicts;

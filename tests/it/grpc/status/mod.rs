//! What a node says of itself: GetStatus, health, reflection, and what a failing disk does to them.

mod failing_disk;
mod healthy;

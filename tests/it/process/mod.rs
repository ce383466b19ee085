//! The real program as its own process: what is on disk, on the wire and on the terminal.

mod cli;
mod cli_watch;
mod clients;
mod durability;
mod full_disk;
mod metrics;
mod readme;
mod reload;
mod shutdown;
mod start_faults;

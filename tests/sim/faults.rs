//! The faults that issue 5 names, a story each.

mod clock_leads;
mod clocks;
mod disks;
mod leaves;
mod links;
mod names;
mod starts;

//! Projections: what follows from stored facts, as pure functions of the set of them.
//!
//! A sink loads facts, asks here what follows, and stores the answer. Nothing here reads a clock, a database or a file,
//! and nothing depends on the order in which facts came: so replays, partitions and restarts change nothing.

pub mod change_review;
pub mod compliance;
pub mod cost;
pub mod retention;
pub mod risk;

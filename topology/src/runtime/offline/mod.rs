//! Reading and changing topics outside a stage: administration, history, replay, the ends of logs.

pub mod admin;
pub mod history;
pub mod instants;
mod listening;
pub mod log_ends;
pub mod replay;

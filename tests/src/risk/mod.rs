//! Risk on real servers: facts in, exposures, scores and incidents out, whatever the order.

mod backtest;
mod bounds;
mod correlation;
mod first_seen;
pub(crate) mod fixture;
mod imported_again;
mod incidents;
mod rebuild;
mod reload;
mod stage;

pub(crate) use stage::trail_stopped;

//! Compliance: what events make of posture, findings and waivers at every instant, in whatever order they come.

mod api;
mod backtest;
mod evidence;
mod findings;
pub(crate) mod fixture;
mod folds;
mod imported;
mod stage;
mod waivers;

//! Risk: `risk_signal` and the other facts, what follows from them (`risk_exposure`, `entity_risk`, `incident`), and
//! how all of it is read.
//!
//! Facts are written once. In the same transaction the entities that they touch are locked in order, their exposures
//! brought up to date, read back with what was decided about them, and assessed ([`projections::risk`]): so what is
//! stored depends on the set of facts alone, never on their order.

mod correlation;
mod entity_facts;
mod exposure_cache;
mod exposures;
mod facts;
mod findings;
mod fold;
pub mod read;
mod rules;
mod signal_copy;
mod stored;
mod table;
mod write;

pub use projections::risk::{IncidentRule, RiskLevel, TopRule};
pub use write::RiskSignals;

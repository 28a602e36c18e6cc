//! Risk: `risk_signal` and the other facts, what follows from them (`risk_exposure`, `entity_risk`, `incident`), and
//! how all of it is read.
//!
//! Facts are written once. In the same transaction the entities that they touch are locked in order, their exposures
//! brought up to date, read back with what was decided about them, and assessed: so what is stored depends on the set
//! of facts alone, never on their order.

pub(crate) mod assessment;
mod correlation;
mod entity_facts;
mod facts;
mod finding;
mod fold;
mod incident_rows;
mod incidents;
pub mod read;
mod write;

pub use assessment::RiskLevel;
pub use correlation::{GroupEvent, completing};
pub use fold::TopRule;
pub use incidents::IncidentRule;
pub use write::RiskSignals;

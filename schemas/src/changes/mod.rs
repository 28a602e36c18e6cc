//! Changes that processors hand to sinks: plain data, so that neither depends on the other.

pub mod audit;
pub mod budget_verdicts;
pub mod change_review;
pub mod compliance;
pub mod correlation;
pub mod cost;
pub mod estimate;
pub mod policy_verdicts;
pub mod retention;
pub mod risk;
pub mod waivers;

pub use audit::{AuditEntry, OcsfRecord, UnreadableRecord};
pub use change_review::{ChangeFact, Proposal};
pub use compliance::ComplianceChange;
pub use cost::{ChargeFact, CostChange};
pub use retention::RetentionDecision;
pub use risk::{RiskChange, RiskSignal};

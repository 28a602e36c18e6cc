//! What a processor asks a sink to write: data that both know, so that neither knows the other.

mod audit;
pub mod risk;

pub use audit::AuditEntry;
pub use risk::{RiskChange, RiskSignal};

//! Risk: scores of entities, incidents, and findings about them.

pub mod assessment;
pub mod correlation;
pub mod entity;
pub mod exposure;
pub mod facts;
pub mod finding;
pub mod first_seen;
pub mod incidents;
mod travel;

pub use assessment::{
    Assessment, Contribution, Dismissal, Factor, RiskLevel, Score, TopRule, View, Weight, assess, factor,
    hour_of, top_rules,
};
pub use correlation::{GroupEvent, completing, first_of_hours};
pub use entity::{Known, Outcome};
pub use exposure::{Exposure, KeyHazard};
pub use facts::{EntityFacts, EntityName, MAX_DECISIONS, Triage};
pub use finding::{Activity, Finding};
pub use first_seen::{FirstSight, FirstSights};
pub use incidents::{FiredRule, Incident, IncidentRule, Status, first_affected_hour, incidents};

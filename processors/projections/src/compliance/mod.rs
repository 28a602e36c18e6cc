//! Compliance: the state of resources, findings, waivers and posture, from the set of facts alone.
//!
//! The state of a resource at an instant is its latest observation by event time; of two at one instant, that
//! with the larger event id. The order, repetition and late arrival of facts do not matter.

mod finding;
mod posture;
pub mod record;
mod waiver;

pub use finding::{Answer, CloseReason, Episode, State, episodes, finding_id, sla};
pub use posture::{
    Band, ControlCatalogue, ControlPosture, ControlState, FrameworkPosture, Judged, PolicyFacts, Score,
    Tally, controls, postures, verdict_score,
};
pub use waiver::{Ineffective, Waiver, waiver};

//! Infrastructure events: planned, applied and observed changes of resources.

use serde::{Deserialize, Serialize};

use super::{Actor, Outcome, Resource, kinds};

kinds! {
    /// Kind of an infrastructure event.
    InfrastructureKind, "infrastructure", {
        /// A change was proposed: a plan.
        ChangeProposed => "change_proposed",
        /// The resource was created.
        Provisioned => "provisioned",
        /// The resource's size changed.
        Scaled => "scaled",
        /// A change failed.
        Failed => "failed",
        /// A change was completed.
        Completed => "completed",
        /// The resource was deleted.
        Deleted => "deleted",
        /// The resource's configuration was observed.
        ConfigurationObserved => "configuration_observed",
    }
}

/// One change of one resource, or one observation of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Infrastructure {
    /// Kind of the event.
    pub kind: InfrastructureKind,
    /// The resource; for a plan, its workspace.
    pub resource: Resource,
    /// The actor, if known.
    #[serde(default)]
    pub actor: Option<Actor>,
    /// Outcome of the change.
    #[serde(default)]
    pub outcome: Outcome,
    /// Id of the operation it is part of: a plan, a run, a change request.
    #[serde(default)]
    pub change_id: Option<String>,
    /// Size or count after the change, a decimal.
    #[serde(default)]
    pub quantity: Option<String>,
    /// The unit of the quantity, for example `instances`.
    #[serde(default)]
    pub unit: Option<String>,
    /// The resource's configuration as JSON text.
    #[serde(default)]
    pub configuration: Option<String>,
}

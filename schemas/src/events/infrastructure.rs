//! What changed in the infrastructure.

use serde::{Deserialize, Serialize};

use super::{Actor, Outcome, Resource, kinds};

kinds! {
    /// What happened to a resource.
    InfrastructureKind, "infrastructure", {
        /// A change was proposed: a plan.
        ChangeProposed => "change_proposed",
        /// The resource came into being.
        Provisioned => "provisioned",
        /// Its size changed.
        Scaled => "scaled",
        /// A change failed.
        Failed => "failed",
        /// A change was completed.
        Completed => "completed",
        /// The resource was deleted.
        Deleted => "deleted",
        /// Its configuration was observed.
        ConfigurationObserved => "configuration_observed",
    }
}

/// One change of, or one look at, one resource.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Infrastructure {
    /// What happened.
    pub kind: InfrastructureKind,
    /// The resource; of a plan, the workspace it is for.
    pub resource: Resource,
    /// Who caused it, if known.
    #[serde(default)]
    pub actor: Option<Actor>,
    /// How it ended.
    #[serde(default)]
    pub outcome: Outcome,
    /// The undertaking it is part of: a plan, a run, a change request.
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

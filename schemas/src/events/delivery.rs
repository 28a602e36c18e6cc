//! Delivery events: projects, environments, pipelines, deployments and jobs.

use serde::{Deserialize, Serialize};

use super::{Actor, Outcome, kinds};

kinds! {
    /// Kind of a delivery event.
    DeliveryKind, "delivery", {
        /// A project was created.
        ProjectCreated => "project_created",
        /// A project was changed.
        ProjectUpdated => "project_updated",
        /// A project was deleted.
        ProjectDeleted => "project_deleted",
        /// A project's status changed.
        ProjectStatusChanged => "project_status_changed",
        /// An environment was created.
        EnvironmentCreated => "environment_created",
        /// A pipeline started.
        PipelineStarted => "pipeline_started",
        /// A pipeline finished.
        PipelineFinished => "pipeline_finished",
        /// A deployment started.
        DeploymentStarted => "deployment_started",
        /// A deployment finished.
        DeploymentFinished => "deployment_finished",
        /// A deployment was rolled back.
        DeploymentRolledBack => "deployment_rolled_back",
        /// A job was queued.
        JobQueued => "job_queued",
        /// A job started.
        JobStarted => "job_started",
        /// A job finished.
        JobFinished => "job_finished",
        /// A job failed.
        JobFailed => "job_failed",
    }
}

/// One step of one project's delivery.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Delivery {
    /// Kind of the event.
    pub kind: DeliveryKind,
    /// The project's id.
    pub project: String,
    /// The environment, for example `production`.
    #[serde(default)]
    pub environment: Option<String>,
    /// Id of the pipeline, deployment or job within the project.
    #[serde(default)]
    pub run_id: Option<String>,
    /// Its name for people.
    #[serde(default)]
    pub name: Option<String>,
    /// Version or commit that is delivered.
    #[serde(default)]
    pub version: Option<String>,
    /// Status in the source's words, after the event.
    #[serde(default)]
    pub status: Option<String>,
    /// The actor, if known.
    #[serde(default)]
    pub actor: Option<Actor>,
    /// Outcome.
    #[serde(default)]
    pub outcome: Outcome,
    /// Duration in milliseconds.
    #[serde(default)]
    pub duration_ms: Option<i64>,
}

//! Monitoring events: alerts, thresholds, health checks and measurements.

use serde::{Deserialize, Serialize};

use super::{Resource, kinds};

kinds! {
    /// Kind of a monitoring event.
    MonitoringKind, "monitoring", {
        /// An alert was raised.
        AlertRaised => "alert_raised",
        /// An alert was resolved.
        AlertResolved => "alert_resolved",
        /// A measured value crossed its threshold.
        ThresholdCrossed => "threshold_crossed",
        /// A health check was made.
        HealthChecked => "health_checked",
        /// A utilisation was measured.
        UtilisationMeasured => "utilisation_measured",
    }
}

/// One observation of one subject.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Monitoring {
    /// Kind of the observation.
    pub kind: MonitoringKind,
    /// The observed resource.
    pub subject: Resource,
    /// The alert, check or metric, by name.
    pub name: String,
    /// `info`, `warning`, `error` or `critical`, in the source's words.
    #[serde(default)]
    pub severity: Option<String>,
    /// The status in the source's words, for example `firing` or `healthy`.
    #[serde(default)]
    pub status: Option<String>,
    /// The measured value, a decimal.
    #[serde(default)]
    pub value: Option<String>,
    /// The threshold that the value is compared with, a decimal.
    #[serde(default)]
    pub threshold: Option<String>,
    /// Unit of the value and the threshold.
    #[serde(default)]
    pub unit: Option<String>,
    /// Message for people.
    #[serde(default)]
    pub message: Option<String>,
}

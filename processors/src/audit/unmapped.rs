//! OCSF `unmapped`: fields of the event that no attribute of the record's class holds.

use schemas::Timestamp;
use serde::Serialize;

use super::{
    family::usage::FocusRow,
    object::{Resources, Tags},
};

/// Fields for which OCSF, or the event's class, has no attribute.
#[derive(Serialize, Default, PartialEq)]
pub(super) struct Unmapped<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) actor_ip: Option<&'a str>,
    #[serde(skip_serializing_if = "Tags::is_empty")]
    pub(super) attributes: Tags<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) causation_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) change_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) charge: Option<FocusRow<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) configuration: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) decision: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) duration_ms: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) environment: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) expires_at: Option<&'a Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) operation: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) quantity: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) read_only: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) request_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Resources::is_empty")]
    pub(super) resources: Resources<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) service: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) severity: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) status: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) subject: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) subject_kind: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) threshold: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) traceparent: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tracestate: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) unit: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) user_agent: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) value: Option<&'a str>,
}

impl Unmapped<'_> {
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

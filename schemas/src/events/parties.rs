//! Actors, resources and outcomes: the parts that families share.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Kind of an actor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ActorKind {
    /// A person.
    User,
    /// A non-human identity of a program.
    ServiceAccount,
    /// A role that others assume.
    Role,
    /// A service of the platform itself.
    System,
    /// Unknown: the source does not say.
    #[default]
    Unknown,
}

impl ActorKind {
    /// The kind's name in queries and read models.
    pub const fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::ServiceAccount => "service_account",
            Self::Role => "role",
            Self::System => "system",
            Self::Unknown => "unknown",
        }
    }
}

/// The actor of an event.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Actor {
    /// Kind of the actor.
    #[serde(default)]
    pub kind: ActorKind,
    /// Stable id within the tenant, for example an ARN or a login. Empty when the source names none.
    pub id: String,
    /// Name for people.
    #[serde(default)]
    pub name: Option<String>,
    /// Account or organisation of the identity.
    #[serde(default)]
    pub account: Option<String>,
    /// Network address as the source wrote it; not always a valid one.
    #[serde(default)]
    pub ip: Option<String>,
    /// Client software.
    #[serde(default)]
    pub user_agent: Option<String>,
    /// Whether a second factor was used, if known.
    #[serde(default)]
    pub mfa: Option<bool>,
    /// Roles or groups at that time.
    #[serde(default)]
    pub roles: Vec<String>,
    /// Session or access key, as an identifier, never as a secret.
    #[serde(default)]
    pub session: Option<String>,
}

/// A resource that was acted on.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Resource {
    /// Provider, for example `aws`, `gcp`, `azure`, `kubernetes`, `github`.
    #[serde(default)]
    pub cloud: Option<String>,
    /// Account, subscription, cluster or organisation.
    #[serde(default)]
    pub account: Option<String>,
    /// Region or zone, unchecked.
    #[serde(default)]
    pub region: Option<String>,
    /// Type in the provider's words, for example `AWS::S3::Bucket`.
    #[serde(rename = "type", default)]
    pub kind: Option<String>,
    /// Stable id, for example an ARN.
    pub id: String,
    /// Name for people.
    #[serde(default)]
    pub name: Option<String>,
    /// Project it belongs to.
    #[serde(default)]
    pub project: Option<String>,
    /// Environment, for example `production`.
    #[serde(default)]
    pub environment: Option<String>,
    /// Tags or labels.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
}

/// Status of an outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, PartialOrd, Ord, Serialize, Deserialize)]
pub enum OutcomeStatus {
    /// Succeeded.
    Success,
    /// Refused or failed.
    Failure,
    /// Unknown: the source does not say.
    #[default]
    Unknown,
}

impl OutcomeStatus {
    /// The status in queries and read models.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Unknown => "unknown",
        }
    }
}

/// Outcome of an action.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Outcome {
    /// Success, failure or unknown.
    #[serde(default)]
    pub status: OutcomeStatus,
    /// The source's error code.
    #[serde(default)]
    pub code: Option<String>,
    /// The source's message.
    #[serde(default)]
    pub message: Option<String>,
}

//! Actors, resources and outcomes: the parts that families share.

use std::collections::{BTreeMap, BTreeSet};

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

/// The id of whoever asks or decides, as two of them are told apart: without case and without spaces around
/// it, as logins and addresses are.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Party(String);

impl Party {
    /// The party of that id; `None` if it is blank.
    pub fn new(id: &str) -> Option<Self> {
        let id = id.trim().to_lowercase();
        (!id.is_empty()).then_some(Self(id))
    }

    /// The id, without case and without spaces around it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The parties of a step: the actor and, if there is one, the second party. `None` if no actor is named.
    pub fn all_of(actor: &str, second: Option<&str>) -> Option<BTreeSet<Self>> {
        let actor = Self::new(actor)?;
        Some(std::iter::once(actor).chain(second.and_then(Self::new)).collect())
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parties_are_told_apart_without_case_and_spaces() {
        assert_eq!(Party::new(" Ada@Example.com\n"), Party::new("ada@example.com"));
        assert_ne!(Party::new("ada"), Party::new("bob"));
        assert_eq!(Party::new(" \t"), None);
        assert_eq!(Party::all_of(" ", Some("bot")), None, "nobody asks or decides through somebody");
        assert_eq!(Party::all_of("Ada", Some("ADA ")), Party::all_of("ada", None));
        assert!(Party::all_of("ada", Some("bot")).is_some_and(|parties| parties.len() == 2));
    }
}

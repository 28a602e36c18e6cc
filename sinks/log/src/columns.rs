//! The columns that people search by, out of the record that they were taken from: so that an edited column is found
//! although the record beside it is untouched.

use std::{collections::HashMap, sync::LazyLock};

use chrono::DateTime;
use schemas::{
    Topic,
    changes::audit::other_resources,
    events::{
        ActivityKind, ActorKind, DeliveryKind, GovernanceKind, InfrastructureKind, MonitoringKind,
        OutcomeStatus, UsageKind,
    },
};
use serde::Deserialize;
use uuid::Uuid;

use crate::{json::Malformed, record::beside};

/// The columns of one entry.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Columns {
    /// Microseconds since 1970.
    pub occurred_at: i64,
    /// The event's id.
    pub event_id: Uuid,
    /// OCSF `class_uid`.
    pub class_uid: i32,
    /// OCSF `activity_id`.
    pub activity_id: i32,
    /// OCSF `severity_id`.
    pub severity_id: i32,
    /// The input topic.
    pub topic: String,
    /// Tenant that owns the event.
    pub tenant_id: String,
    /// The event's kind.
    pub kind: String,
    /// Kind of the actor, such as user or service.
    pub actor_kind: String,
    /// Id of the actor.
    pub actor: String,
    /// Name of the actor.
    pub actor_name: Option<String>,
    /// IP address of the actor.
    pub actor_ip: Option<String>,
    /// The action.
    pub action: String,
    /// The first resource's type.
    pub resource_type: Option<String>,
    /// The first resource's id.
    pub resource: Option<String>,
    /// The other resources' ids.
    pub other_resources: Vec<String>,
    /// The project.
    pub project: Option<String>,
    /// Outcome of the action.
    pub outcome: String,
    /// Error code as the source reports it.
    pub outcome_code: Option<String>,
    /// `CloudEvents` `source`.
    pub source: String,
    /// Ties events together.
    pub correlation_id: Option<String>,
}

/// OCSF's word where an attribute is required and nobody knows its value.
const UNKNOWN: &str = "Unknown";

#[derive(Deserialize)]
struct Record {
    activity_id: i32,
    class_uid: i32,
    severity_id: i32,
    status_code: Option<String>,
    status_id: Option<i32>,
    metadata: Metadata,
    actor: Option<Actor>,
    api: Option<Api>,
    app: Option<App>,
    entity: Option<Typed>,
    finding_info: Option<Named>,
    #[serde(default)]
    resources: Vec<Resource>,
    src_endpoint: Option<Endpoint>,
    #[serde(default)]
    unmapped: Unmapped,
}

#[derive(Deserialize)]
struct Metadata {
    correlation_uid: Option<String>,
    event_code: String,
    log_name: String,
    original_time: String,
    source: String,
    tenant_uid: String,
    uid: Uuid,
}

#[derive(Deserialize)]
struct Actor {
    user: Option<User>,
}

#[derive(Deserialize)]
struct User {
    account: Option<serde::de::IgnoredAny>,
    name: Option<String>,
    type_id: i32,
    uid: Option<String>,
}

#[derive(Deserialize)]
struct Api {
    operation: String,
}

#[derive(Deserialize)]
struct App {
    feature: Option<Named>,
    uid: Option<String>,
}

#[derive(Deserialize)]
struct Named {
    uid: Option<String>,
}

#[derive(Deserialize)]
struct Typed {
    #[serde(rename = "type")]
    kind: Option<String>,
    uid: Option<String>,
}

#[derive(Deserialize)]
struct Resource {
    data: Option<ResourceData>,
    #[serde(rename = "type")]
    kind: Option<String>,
    uid: Option<String>,
}

#[derive(Deserialize)]
struct ResourceData {
    project: Option<String>,
}

#[derive(Deserialize)]
struct Endpoint {
    domain: Option<String>,
    ip: Option<String>,
    name: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Unmapped {
    actor_ip: Option<String>,
    attributes: Vec<Attribute>,
    charge: Option<Charge>,
    environment: Option<String>,
    operation: Option<String>,
    resources: Vec<Resource>,
    subject_kind: Option<String>,
}

#[derive(Deserialize)]
struct Attribute {
    name: String,
    value: String,
}

#[derive(Deserialize)]
struct Charge {
    resource_id: Option<String>,
}

/// Names of kinds by `CloudEvents` type.
static KINDS: LazyLock<HashMap<&'static str, &'static str>> = LazyLock::new(|| {
    let mut kinds = HashMap::new();
    kinds.extend(ActivityKind::ALL.iter().map(|kind| (kind.ce_type(), kind.name())));
    kinds.extend(InfrastructureKind::ALL.iter().map(|kind| (kind.ce_type(), kind.name())));
    kinds.extend(DeliveryKind::ALL.iter().map(|kind| (kind.ce_type(), kind.name())));
    kinds.extend(UsageKind::ALL.iter().map(|kind| (kind.ce_type(), kind.name())));
    kinds.extend(MonitoringKind::ALL.iter().map(|kind| (kind.ce_type(), kind.name())));
    kinds.extend(GovernanceKind::ALL.iter().map(|kind| (kind.ce_type(), kind.name())));
    kinds
});

/// Subject of a record: its type, its id and its project, and the ids of what it is about besides.
#[derive(Default)]
struct Subject {
    kind: Option<String>,
    id: Option<String>,
    others: Vec<String>,
    project: Option<String>,
}

impl Columns {
    /// The columns of a record as it is stored.
    pub fn of(stored: &[u8]) -> Result<Self, Malformed> {
        let (text, _) = beside(stored);
        let record: Record = serde_json::from_slice(text).map_err(|_| Malformed)?;
        let occurred_at =
            DateTime::parse_from_rfc3339(&record.metadata.original_time).map_err(|_| Malformed)?;
        let kind = KINDS.get(record.metadata.event_code.as_str()).ok_or(Malformed)?;
        let topic = Topic::from_name(&record.metadata.log_name).ok_or(Malformed)?;
        let user = record.actor.as_ref().and_then(|actor| actor.user.as_ref());
        let subject = subject(&record, topic, kind);
        let operation = record.api.as_ref().map(|api| &api.operation).or(record.unmapped.operation.as_ref());
        Ok(Self {
            occurred_at: occurred_at.timestamp_micros(),
            event_id: record.metadata.uid,
            class_uid: record.class_uid,
            activity_id: record.activity_id,
            severity_id: record.severity_id,
            topic: topic.name().to_owned(),
            kind: (*kind).to_owned(),
            actor_kind: actor_kind(user).name().to_owned(),
            actor: user.and_then(|user| user.uid.clone()).unwrap_or_default(),
            actor_name: user.and_then(name),
            actor_ip: address(&record),
            action: operation.cloned().unwrap_or_else(|| (*kind).to_owned()),
            resource_type: subject.kind,
            resource: subject.id,
            other_resources: subject.others,
            project: subject.project,
            outcome: outcome(&record, topic).name().to_owned(),
            outcome_code: record.status_code,
            source: record.metadata.source,
            tenant_id: record.metadata.tenant_uid,
            correlation_id: record.metadata.correlation_uid,
        })
    }
}

fn actor_kind(user: Option<&User>) -> ActorKind {
    match user.map(|user| user.type_id) {
        Some(1) => ActorKind::User,
        Some(3) => ActorKind::System,
        Some(4) => ActorKind::ServiceAccount,
        Some(99) => ActorKind::Role,
        _ => ActorKind::Unknown,
    }
}

/// The name, unless it is a placeholder that OCSF requires.
fn name(user: &User) -> Option<String> {
    let stands_in = user.uid.is_none() && user.account.is_none() && user.name.as_deref() == Some(UNKNOWN);
    user.name.clone().filter(|_| !stands_in)
}

fn address(record: &Record) -> Option<String> {
    let of_endpoint = record.src_endpoint.as_ref().and_then(|at| {
        let name = at.name.clone().filter(|name| name != UNKNOWN);
        at.ip.clone().or_else(|| at.domain.clone()).or(name)
    });
    of_endpoint.or_else(|| record.unmapped.actor_ip.clone())
}

fn outcome(record: &Record, topic: Topic) -> OutcomeStatus {
    match (topic, record.status_id) {
        (Topic::Usage | Topic::Monitoring, _) => OutcomeStatus::Unknown,
        // What was decided was decided.
        (Topic::Governance, _) | (_, Some(1)) => OutcomeStatus::Success,
        (_, Some(2)) => OutcomeStatus::Failure,
        _ => OutcomeStatus::Unknown,
    }
}

fn subject(record: &Record, topic: Topic, kind: &str) -> Subject {
    let uid = |named: &Option<Named>| named.as_ref().and_then(|named| named.uid.clone());
    match topic {
        Topic::Delivery => delivered(record, kind),
        Topic::Usage => {
            let charge = record.unmapped.charge.as_ref();
            Subject { id: charge.and_then(|charge| charge.resource_id.clone()), ..Subject::default() }
        }
        Topic::Governance => {
            let attributes = &record.unmapped.attributes;
            let project = attributes.iter().find(|attribute| attribute.name == "project");
            let entity = record.entity.as_ref();
            // An empty id is written as it is.
            let id = entity.and_then(|entity| entity.uid.clone()).or_else(|| uid(&record.finding_info));
            Subject {
                kind: entity
                    .and_then(|entity| entity.kind.clone())
                    .or_else(|| record.unmapped.subject_kind.clone()),
                id,
                project: project.map(|attribute| attribute.value.clone()),
                ..Subject::default()
            }
        }
        _ => {
            let listed =
                if record.resources.is_empty() { &record.unmapped.resources } else { &record.resources };
            let first = listed.first();
            let ids = listed.iter().map(|resource| resource.uid.as_deref().unwrap_or_default());
            Subject {
                kind: first.and_then(|resource| resource.kind.clone()),
                id: first.and_then(|resource| resource.uid.clone()),
                others: other_resources(ids).into_iter().map(ToOwned::to_owned).collect(),
                project: first.and_then(|resource| resource.data.as_ref()?.project.clone()),
            }
        }
    }
}

fn delivered(record: &Record, kind: &str) -> Subject {
    let Some(app) = &record.app else { return Subject::default() };
    let project = app.uid.clone();
    let run = app.feature.as_ref().and_then(|feature| feature.uid.clone()).or_else(|| project.clone());
    let (kind, id) = match () {
        () if kind.starts_with("Project") => ("project", project.clone()),
        () if kind.starts_with("Environment") => {
            ("environment", record.unmapped.environment.clone().or_else(|| project.clone()))
        }
        () if kind.starts_with("Pipeline") => ("pipeline", run),
        () if kind.starts_with("Deployment") => ("deployment", run),
        () => ("job", run),
    };
    Subject { kind: Some(kind.to_owned()), id, project, ..Subject::default() }
}

//! Events out of their audit records: for whoever has a record with its proof and wants to decide anew what
//! followed from the event.
//!
//! A restored event is one that has the same record, and for the processors the same meaning. Content hashes
//! of events that lose a part on the way (a status that the kind implies) may differ.

use std::collections::BTreeMap;

use schemas::{
    Envelope, Event, EventId, Native, Source, TenantId,
    events::{
        Activity, ActivityKind, Actor, ActorKind, Governance, GovernanceKind, Infrastructure,
        InfrastructureKind, Outcome, OutcomeStatus, Resource,
    },
};
use serde_json::Value;
use uuid::Uuid;

use super::party::UNKNOWN;

/// Error of restoring an event from its record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotRestorable {
    /// Its personal part was erased, and with it what the event told.
    #[error("the personal part of the record was erased")]
    Erased,
    /// It is of a family that is not restored.
    #[error("records of the type {0:?} are not restored")]
    Family(String),
    /// It is no record of an event.
    #[error("the record has no {0} that can be read")]
    Malformed(&'static str),
}

/// The event of an audit record of the families activity, infrastructure and governance.
///
/// # Errors
/// Where the record is of another family, was erased, or is none.
pub fn restore(record: &Value) -> Result<Envelope, NotRestorable> {
    if record.get("raw_data").is_none() && record.get("raw_data_hash").is_some()
        || record.pointer("/unmapped/record_integrity/personal_digest").is_some()
    {
        return Err(NotRestorable::Erased);
    }
    let text = |pointer: &'static str| {
        record.pointer(pointer).and_then(Value::as_str).ok_or(NotRestorable::Malformed(pointer))
    };
    let id = text("/metadata/uid")?.parse::<Uuid>().ok().and_then(EventId::new);
    let tenant = TenantId::new(text("/metadata/tenant_uid")?).ok();
    let source = Source::new(text("/metadata/source")?.to_owned()).ok();
    let time = text("/metadata/original_time")?.parse().ok();
    let labelled = |label: &str| {
        record
            .pointer("/metadata/labels")
            .and_then(Value::as_array)
            .is_some_and(|labels| labels.iter().any(|one| one == label))
    };
    let native = match record["raw_data"].as_str() {
        Some(native) => Some(Native {
            format: text("/metadata/log_format")?.to_owned(),
            record: native.to_owned().into(),
        }),
        None => None,
    };
    Ok(Envelope {
        id: id.ok_or(NotRestorable::Malformed("/metadata/uid"))?,
        original_id: owned(&record["metadata"]["original_event_uid"]),
        tenant: tenant.ok_or(NotRestorable::Malformed("/metadata/tenant_uid"))?,
        source: source.ok_or(NotRestorable::Malformed("/metadata/source"))?,
        subject: owned(&record["unmapped"]["subject"]),
        occurred_at: time.ok_or(NotRestorable::Malformed("/metadata/original_time"))?,
        skewed: labelled("skewed"),
        time_assumed: labelled("time_assumed"),
        correlation_id: owned(&record["metadata"]["correlation_uid"]),
        causation_id: owned(&record["unmapped"]["causation_id"]),
        trace: None,
        event: event(text("/metadata/event_code")?, record)?,
        native,
    })
}

fn event(ce_type: &str, record: &Value) -> Result<Event, NotRestorable> {
    if let Some(kind) = InfrastructureKind::from_ce_type(ce_type) {
        return Ok(Event::Infrastructure(infrastructure(kind, record)));
    }
    if let Some(kind) = ActivityKind::from_ce_type(ce_type) {
        return Ok(Event::Activity(activity(kind, record)));
    }
    match GovernanceKind::from_ce_type(ce_type) {
        Some(kind) => Ok(Event::Governance(governance(kind, record)?)),
        None => Err(NotRestorable::Family(ce_type.to_owned())),
    }
}

fn infrastructure(kind: InfrastructureKind, record: &Value) -> Infrastructure {
    let unmapped = &record["unmapped"];
    Infrastructure {
        kind,
        resource: resources(record).into_iter().next().unwrap_or_default(),
        actor: record["actor"]["user"].is_object().then(|| actor(record)),
        outcome: outcome(record),
        change_id: owned(&unmapped["change_id"]),
        quantity: owned(&unmapped["quantity"]),
        unit: owned(&unmapped["unit"]),
        configuration: owned(&unmapped["configuration"]),
    }
}

fn activity(kind: ActivityKind, record: &Value) -> Activity {
    let (api, unmapped) = (&record["api"], &record["unmapped"]);
    let either = |of_api: &Value, unmapped: &Value| owned(of_api).or_else(|| owned(unmapped));
    Activity {
        kind,
        action: either(&api["operation"], &unmapped["operation"]).unwrap_or_default(),
        service: either(&api["service"]["name"], &unmapped["service"]),
        actor: actor(record),
        resources: resources(record),
        outcome: outcome(record),
        read_only: unmapped["read_only"].as_bool(),
        request_id: either(&api["request"]["uid"], &unmapped["request_id"]),
    }
}

fn governance(kind: GovernanceKind, record: &Value) -> Result<Governance, NotRestorable> {
    let unmapped = &record["unmapped"];
    let subject = |of_entity: &Value, of_finding: &Value| owned(of_entity).or_else(|| owned(of_finding));
    let expires_at = match unmapped["expires_at"].as_str() {
        Some(text) => Some(text.parse().map_err(|_| NotRestorable::Malformed("/unmapped/expires_at"))?),
        None => None,
    };
    Ok(Governance {
        kind,
        subject_kind: subject(&record["entity"]["type"], &unmapped["subject_kind"]).unwrap_or_default(),
        subject_id: subject(&record["entity"]["uid"], &record["finding_info"]["uid"]).unwrap_or_default(),
        actor: actor(record),
        decision: owned(&unmapped["decision"]),
        reason: owned(&record["comment"]),
        expires_at,
        attributes: pairs(&unmapped["attributes"]),
    })
}

fn outcome(record: &Value) -> Outcome {
    Outcome {
        status: match record["status_id"].as_i64() {
            Some(1) => OutcomeStatus::Success,
            Some(2) => OutcomeStatus::Failure,
            _ => OutcomeStatus::Unknown,
        },
        code: owned(&record["status_code"]),
        message: owned(&record["status_detail"]),
    }
}

fn actor(record: &Value) -> Actor {
    let (user, endpoint) = (&record["actor"]["user"], &record["src_endpoint"]);
    let id = owned(&user["uid"]);
    let account = owned(&user["account"]["uid"]);
    let is_nobody = id.is_none() && account.is_none();
    let name = |name: &Value, stands_for_nothing: bool| {
        owned(name).filter(|name| !(stands_for_nothing && name == UNKNOWN))
    };
    let ip = owned(&endpoint["ip"])
        .or_else(|| owned(&endpoint["domain"]))
        .or_else(|| name(&endpoint["name"], true))
        .or_else(|| owned(&record["unmapped"]["actor_ip"]));
    let groups = user["groups"].as_array().into_iter().flatten();
    Actor {
        kind: match user["type_id"].as_i64() {
            Some(1) => ActorKind::User,
            Some(3) => ActorKind::System,
            Some(4) => ActorKind::ServiceAccount,
            Some(99) => ActorKind::Role,
            _ => ActorKind::Unknown,
        },
        id: id.unwrap_or_default(),
        name: name(&user["name"], is_nobody),
        account,
        ip,
        user_agent: owned(&record["http_request"]["user_agent"])
            .or_else(|| owned(&record["unmapped"]["user_agent"])),
        mfa: record["actor"]["session"]["is_mfa"].as_bool(),
        roles: groups.filter_map(|group| owned(&group["name"])).collect(),
        session: owned(&record["actor"]["session"]["uid"]),
    }
}

fn resources(record: &Value) -> Vec<Resource> {
    let listed = record.get("resources").or_else(|| record.pointer("/unmapped/resources"));
    listed.and_then(Value::as_array).into_iter().flatten().map(resource).collect()
}

fn resource(details: &Value) -> Resource {
    let (id, data) = (owned(&details["uid"]), &details["data"]);
    Resource {
        cloud: owned(&details["provider"]),
        account: owned(&data["account"]),
        region: owned(&details["region"]),
        kind: owned(&details["type"]),
        name: owned(&details["name"]).filter(|name| id.is_some() || name != UNKNOWN),
        id: id.unwrap_or_default(),
        project: owned(&data["project"]),
        environment: owned(&data["environment"]),
        tags: pairs(&details["tags"]),
    }
}

/// A list of OCSF `key_value_object` as a map.
fn pairs(listed: &Value) -> BTreeMap<String, String> {
    let listed = listed.as_array().into_iter().flatten();
    listed.filter_map(|pair| Some((owned(&pair["name"])?, owned(&pair["value"])?))).collect()
}

fn owned(value: &Value) -> Option<String> {
    value.as_str().map(ToOwned::to_owned)
}

//! Kubernetes objects from audit events: the object in the response or, failing that, in the request.

use policies::kubernetes::KINDS;
use schemas::{
    Native,
    changes::compliance::{ObservationSource, Presence},
    events::{Activity, OutcomeStatus, Resource},
};
use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use super::seen::{Seen, Shown, attributes, bounded_id};

/// The request of an audit event, and the parts that contain an object.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Audited<'a> {
    #[serde(borrow, default, rename = "requestURI")]
    request_uri: Option<&'a RawValue>,
    #[serde(borrow, default)]
    request_object: Option<&'a RawValue>,
    #[serde(borrow, default)]
    response_object: Option<&'a RawValue>,
}

/// The object that a request wrote or deleted.
pub(super) fn seen(event: &Activity, native: &Native) -> Vec<Seen> {
    // The stage before the answer shows what was asked for; only the answer says that it was done.
    if event.outcome.status != OutcomeStatus::Success {
        return Vec::new();
    }
    let Some((verb, plural)) = event.action.split_once(' ') else { return Vec::new() };
    let Some((_, kind)) = KINDS.iter().find(|(name, _)| *name == plural) else { return Vec::new() };
    let Some(resource) = event.resources.first() else { return Vec::new() };
    match verb {
        "create" | "update" | "patch" => written(resource, kind, verb, native).into_iter().collect(),
        "delete" if resource.name.is_some() && !is_tried_deletion(native) => {
            vec![Seen::absent(ObservationSource::KubernetesAudit, &resource.id, attributes(resource, kind))]
        }
        _ => Vec::new(),
    }
}

fn written(resource: &Resource, kind: &str, verb: &str, native: &Native) -> Option<Seen> {
    let audited: Audited<'_> = serde_json::from_str(&native.record).ok()?;
    let uri = audited.request_uri.and_then(|raw| serde_json::from_str::<String>(raw.get()).ok());
    if uri.is_some_and(|uri| asks_for_dry_run(&uri)) {
        return None;
    }
    // A patch is a part of an object: only the answer shows it whole.
    let asked = audited.request_object.filter(|_| verb != "patch");
    let mut object = [audited.response_object, asked]
        .into_iter()
        .flatten()
        .filter_map(|raw| serde_json::from_str::<Value>(raw.get()).ok())
        .find(|object| object["spec"].is_object() || object["kind"] == kind)?;
    let controllers = object["metadata"]["ownerReferences"].as_array().into_iter().flatten();
    if controllers.clone().any(|owner| owner["controller"] == true) {
        // Its owner is judged, by the same template.
        return None;
    }
    // Answers of some versions leave these out.
    if !object["kind"].is_string() {
        object["kind"] = Value::from(kind);
    }
    if !object["apiVersion"].is_string() {
        object["apiVersion"] = Value::from("v1");
    }
    let id = id_of(resource, &object)?;
    Some(Seen {
        resource: bounded_id(&id),
        presence: Presence::Present,
        change_id: None,
        source: ObservationSource::KubernetesAudit,
        attributes: attributes(resource, kind),
        shown: Shown::Alone(Box::new(object)),
    })
}

/// Whether a request is a dry run, which stores nothing.
fn asks_for_dry_run(uri: &str) -> bool {
    let query = uri.split_once('?').map_or("", |(_, query)| query);
    let mut parameters = query.split('&').filter_map(|parameter| parameter.split_once('='));
    parameters.any(|(name, value)| name == "dryRun" && !value.is_empty())
}

/// Whether a deletion is a dry run. Its options are in the query or in the body, which events of the level `Metadata`
/// do not contain.
fn is_tried_deletion(native: &Native) -> bool {
    let Ok(record) = serde_json::from_str::<Value>(&native.record) else { return false };
    // AKS wraps the event as text.
    let log = record["properties"]["log"].as_str().and_then(|log| serde_json::from_str::<Value>(log).ok());
    let event = log.as_ref().unwrap_or(&record);
    // The second is that of GKE.
    let bodies = [&event["requestObject"], &event["protoPayload"]["request"]];
    event["requestURI"].as_str().is_some_and(asks_for_dry_run)
        || bodies.iter().any(|body| body["dryRun"].as_array().is_some_and(|values| !values.is_empty()))
}

/// Id of an object: `pods/default/web-0`. A create request may name the object only in its body.
fn id_of(resource: &Resource, object: &Value) -> Option<String> {
    if resource.name.is_some() {
        return Some(resource.id.clone());
    }
    let name = object["metadata"]["name"].as_str().filter(|name| !name.is_empty())?;
    Some(format!("{}/{name}", resource.id))
}

//! Resources that records of Azure's activity log show: in the answer to a write, or in its request.
//!
//! Records carry bodies as texts in `properties.responseBody` and `properties.requestbody`; many services leave them
//! out. An answer shows the whole resource. A request is taken only from `PUT`, and what it does not tell is unknown.

use schemas::{
    Native,
    changes::compliance::ObservationSource,
    events::{Activity, OutcomeStatus, Resource},
};
use serde_json::Value;

use super::{
    cloud::{AZURE, Completeness, ResourceType},
    seen::{Seen, attributes},
};

const SOURCE: ObservationSource = ObservationSource::AzureActivity;

/// The resource that a call wrote or deleted.
pub(super) fn seen(event: &Activity, native: &Native) -> Vec<Seen> {
    // The record that begins a long call says what was asked for; only the one that ends it says that it was done.
    if event.outcome.status != OutcomeStatus::Success {
        return Vec::new();
    }
    let Some((kind, verb)) = event.action.rsplit_once('/') else { return Vec::new() };
    let Some(resource) = event.resources.first().filter(|resource| !resource.id.is_empty()) else {
        return Vec::new();
    };
    let Some(kind) = ResourceType::find(AZURE, kind) else { return Vec::new() };
    let id = resource_id(&resource.id);
    match verb.to_ascii_lowercase().as_str() {
        "delete" => vec![Seen::absent(SOURCE, &id, attributes(resource, kind.terraform))],
        "write" => written(resource, &id, kind, native).into_iter().collect(),
        _ => Vec::new(),
    }
}

/// Ids of Azure are equal whatever the case of their letters.
pub(super) fn resource_id(id: &str) -> String {
    id.to_ascii_lowercase()
}

fn written(resource: &Resource, id: &str, kind: &ResourceType, native: &Native) -> Option<Seen> {
    let record: Value = serde_json::from_str(&native.record).ok()?;
    let properties = document(&record["properties"]);
    let body = |names: [&str; 2]| {
        let body = names.iter().map(|name| document(&properties[*name]));
        body.into_iter().find(|body| body["properties"].is_object())
    };
    let method = &document(&record["httpRequest"])["method"];
    let asked = || {
        let is_whole = method.as_str().is_some_and(|method| method.eq_ignore_ascii_case("put"));
        is_whole.then(|| body(["requestbody", "requestBody"])).flatten()
    };
    let (shown, completeness) = match body(["responseBody", "responsebody"]) {
        Some(answer) => (answer, Completeness::Whole),
        None => (asked()?, Completeness::Request),
    };
    let (config, unknown) = kind.read(&shown, completeness);
    Some(Seen::configured(SOURCE, id, attributes(resource, kind.terraform), config, unknown))
}

/// A value that may be written as a text.
fn document(value: &Value) -> Value {
    match value.as_str() {
        Some(text) => serde_json::from_str(text).unwrap_or(Value::Null),
        None => value.clone(),
    }
}

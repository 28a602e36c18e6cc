//! Resources that Google Cloud audit log entries show in full: firewall rules, whose request is the rule.

use schemas::{
    Native,
    changes::compliance::ObservationSource,
    events::{Activity, Resource},
};
use serde_json::{Value, json};

use super::seen::{Seen, attributes};

const SOURCE: ObservationSource = ObservationSource::GcpAudit;
const KIND: &str = "google_compute_firewall";

/// The rule that a call creates, replaces or deletes. A patch is left out, because it contains only a part of
/// a rule.
pub(super) fn seen(event: &Activity, native: &Native) -> Vec<Seen> {
    let Some((_, verb)) = event.action.rsplit_once("compute.firewalls.") else { return Vec::new() };
    let Some(resource) = event.resources.first().filter(|resource| !resource.id.is_empty()) else {
        return Vec::new();
    };
    let place = Resource { cloud: Some("gcp".into()), ..resource.clone() };
    match verb {
        "delete" => vec![Seen::absent(SOURCE, &resource.id, attributes(&place, KIND))],
        "insert" | "update" => rule(&place, native).into_iter().collect(),
        _ => Vec::new(),
    }
}

fn rule(place: &Resource, native: &Native) -> Option<Seen> {
    let entry: Value = serde_json::from_str(&native.record).ok()?;
    let request = entry["protoPayload"]["request"].as_object()?;
    // The entry that ends a long operation has none of it.
    let name = request.get("name")?.as_str()?;
    let told = |names: [&str; 2]| names.iter().find_map(|name| request.get(*name)).cloned();
    let protocols = |rules: Option<Value>| {
        let rules = rules.as_ref().and_then(Value::as_array).cloned().unwrap_or_default();
        let one = |rule: &Value| {
            let protocol = ["IPProtocol", "ipProtocol"].iter().find_map(|name| rule[*name].as_str());
            json!({ "protocol": protocol.unwrap_or("all"), "ports": rule["ports"] })
        };
        rules.iter().map(one).collect::<Vec<_>>()
    };
    let config = json!({
        "name": name,
        "network": request.get("network"),
        "direction": request.get("direction").and_then(Value::as_str).unwrap_or("INGRESS"),
        "disabled": request.get("disabled") == Some(&Value::Bool(true)),
        "source_ranges": request.get("sourceRanges"),
        "allow": protocols(told(["alloweds", "allowed"])),
        "deny": protocols(told(["denieds", "denied"])),
    });
    let place = Resource { name: Some(name.to_owned()), ..place.clone() };
    Some(Seen::configured(SOURCE, &place.id, attributes(&place, KIND), config, json!({})))
}

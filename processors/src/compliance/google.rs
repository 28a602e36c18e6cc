//! Resources that Google Cloud audit log entries show in full: the request of a call that creates or replaces one.
//!
//! A patch contains a part of a resource and gives no observation; the entry that ends a long operation has no request.

use schemas::{
    Native,
    changes::compliance::ObservationSource,
    events::{Activity, Resource},
};
use serde_json::Value;

use super::{
    cloud::{Completeness, GOOGLE, ResourceType},
    seen::{Seen, attributes},
};

const SOURCE: ObservationSource = ObservationSource::GcpAudit;
/// Calls that create or replace a resource: the end of the method's name, the resource's type, and its place in the
/// request.
const SHOWN: &[(&str, &str, &str)] = &[
    ("compute.firewalls.insert", "compute.googleapis.com/Firewall", ""),
    ("compute.firewalls.update", "compute.googleapis.com/Firewall", ""),
    ("compute.instances.insert", "compute.googleapis.com/Instance", ""),
    ("compute.subnetworks.insert", "compute.googleapis.com/Subnetwork", ""),
    ("cloudsql.instances.create", "sqladmin.googleapis.com/Instance", "/body"),
    ("ClusterManager.CreateCluster", "container.googleapis.com/Cluster", "/cluster"),
    ("CreateCryptoKey", "cloudkms.googleapis.com/CryptoKey", "/cryptoKey"),
    ("Publisher.CreateTopic", "pubsub.googleapis.com/Topic", ""),
];
/// Calls that delete a resource.
const GONE: &[(&str, &str)] = &[
    ("compute.firewalls.delete", "compute.googleapis.com/Firewall"),
    ("compute.instances.delete", "compute.googleapis.com/Instance"),
    ("compute.subnetworks.delete", "compute.googleapis.com/Subnetwork"),
    ("cloudsql.instances.delete", "sqladmin.googleapis.com/Instance"),
    ("ClusterManager.DeleteCluster", "container.googleapis.com/Cluster"),
    ("storage.buckets.delete", "storage.googleapis.com/Bucket"),
    ("Publisher.DeleteTopic", "pubsub.googleapis.com/Topic"),
    ("DatasetService.DeleteDataset", "bigquery.googleapis.com/Dataset"),
];

/// The resource that a call creates, replaces or deletes.
pub(super) fn seen(event: &Activity, native: &Native) -> Vec<Seen> {
    let ends = |name: &str| {
        event.action.strip_suffix(name).is_some_and(|before| before.is_empty() || before.ends_with('.'))
    };
    let Some(resource) = event.resources.first().filter(|resource| !resource.id.is_empty()) else {
        return Vec::new();
    };
    let place = Resource { cloud: Some("gcp".into()), ..resource.clone() };
    if let Some((_, kind)) = GONE.iter().find(|(name, _)| ends(name)) {
        let kind = ResourceType::find(GOOGLE, kind).map_or("", |kind| kind.terraform);
        return vec![Seen::absent(SOURCE, &resource.id, attributes(&place, kind))];
    }
    let Some((_, kind, part)) = SHOWN.iter().find(|(name, ..)| ends(name)) else { return Vec::new() };
    let Some(kind) = ResourceType::find(GOOGLE, kind) else { return Vec::new() };
    shown(&place, kind, part, native).into_iter().collect()
}

fn shown(place: &Resource, kind: &ResourceType, part: &str, native: &Native) -> Option<Seen> {
    let entry: Value = serde_json::from_str(&native.record).ok()?;
    let mut resource = entry["protoPayload"]["request"].pointer(part)?.clone();
    let members = resource.as_object_mut().filter(|members| {
        // An entry without the resource has the type of the request, if anything.
        members.keys().any(|name| name != "@type")
    })?;
    // Audit entries name lists in the plural twice.
    for (written, name) in [("alloweds", "allowed"), ("denieds", "denied")] {
        if let Some(rules) = members.remove(written) {
            members.insert(name.to_owned(), rules);
        }
    }
    let name = members.get("name").and_then(Value::as_str).and_then(|name| name.rsplit('/').next());
    let name = name.map(ToOwned::to_owned).or_else(|| place.name.clone());
    let (config, unknown) = kind.read(&resource, Completeness::Whole);
    let place = Resource { name, ..place.clone() };
    Some(Seen::configured(SOURCE, &place.id, attributes(&place, kind.terraform), config, unknown))
}

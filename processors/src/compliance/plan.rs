//! Resources of Terraform plans. They count once the plan's change is completed.

use std::collections::HashSet;

use policies::Document;
use schemas::{
    Envelope,
    changes::compliance::{ObservationSource, Presence},
    envelope::native_format,
    events::{Infrastructure, Resource},
};
use serde_json::Value;

use super::{
    MAX_RESOURCES,
    seen::{Seen, Shown, attributes, bounded_id},
};

/// Workspace of a plan that names none.
const WORKSPACE: &str = "terraform";
/// Type of the resource that represents the plan itself.
const PLAN: &str = "terraform_plan";

/// The plan of a proposal, and its resources; `None` if there is none or it cannot be read, which change
/// review reports.
pub(super) fn read(envelope: &Envelope, event: &Infrastructure) -> Option<(Document, Vec<Seen>)> {
    let native = envelope.native.as_ref().filter(|native| native.format == native_format::TERRAFORM_PLAN)?;
    let plan: Value = serde_json::from_str(&native.record).ok()?;
    let document = Document::from_value(&plan).ok()?;
    let named = event.change_id.as_deref().filter(|id| !id.is_empty());
    let change_id = named.map_or_else(|| envelope.id.to_string(), bounded_id);
    // Deferred resources stay as they are. One that declares a Kubernetes object is two subjects, and the first is
    // the resource.
    let mut kept: HashSet<&str> = HashSet::new();
    let changed = document.subjects.iter().filter(|subject| !subject.is_deferred);
    let resources = changed.filter(|subject| kept.insert(&subject.address));
    let mut seen: Vec<Seen> = resources
        .take(MAX_RESOURCES)
        .map(|subject| of_plan(event, &subject.address, &subject.kind, &change_id, true))
        .collect();
    for entry in plan["resource_changes"].as_array().into_iter().flatten() {
        let kind = entry["type"].as_str().unwrap_or_default();
        for address in left(entry).filter(|address| !kept.contains(address)) {
            if seen.len() < MAX_RESOURCES {
                seen.push(of_plan(event, address, kind, &change_id, false));
            }
        }
    }
    Some((document, seen))
}

/// Addresses without a resource after a change: its own if the resource is deleted, and the one that it moves from.
/// A resource that Terraform forgets goes on existing.
fn left(entry: &Value) -> impl Iterator<Item = &str> {
    let change = &entry["change"];
    let mut actions = change["actions"].as_array().into_iter().flatten();
    let kept_in_state = !matches!(entry["mode"].as_str(), Some("data" | "ephemeral"));
    let ends = kept_in_state && !actions.any(|action| action == "forget");
    let deleted = Some(&entry["address"]).filter(|_| change["after"].is_null());
    let addresses = deleted.into_iter().chain([&entry["previous_address"]]);
    addresses.filter(move |_| ends).filter_map(Value::as_str)
}

/// A resource by its address within its workspace, because its provider's id is known only after creation.
fn of_plan(event: &Infrastructure, address: &str, kind: &str, change_id: &str, exists: bool) -> Seen {
    let told = &event.resource;
    let is_plan = told.kind.as_deref() == Some(PLAN) || told.id.is_empty();
    let workspace = if is_plan { WORKSPACE } else { &told.id };
    let cloud = kind.split('_').next().filter(|provider| !provider.is_empty());
    let place = Resource {
        cloud: cloud.map(|provider| cloud_of(provider).to_owned()),
        name: Some(address.to_owned()),
        ..told.clone()
    };
    Seen {
        resource: bounded_id(&format!("{workspace}/{address}")),
        presence: if exists { Presence::Present } else { Presence::Absent },
        change_id: Some(change_id.to_owned()),
        source: ObservationSource::TerraformPlan,
        attributes: attributes(&place, kind),
        shown: if exists { Shown::InPlan(address.to_owned()) } else { Shown::Nothing },
    }
}

/// The cloud that a provider's resources belong to.
pub(super) fn cloud_of(provider: &str) -> &str {
    match provider {
        "azurerm" | "azuread" | "azapi" => "azure",
        "google" => "gcp",
        other => other,
    }
}

//! Rows of cloud inventories: resources of Azure Resource Graph and assets of Google's Cloud Asset Inventory.

use schemas::{
    Native,
    changes::compliance::{ObservationSource, Presence},
    envelope::native_format,
    events::{Infrastructure, InfrastructureKind},
};
use serde_json::Value;

use super::{
    cloud::{AZURE, Completeness, GOOGLE, ResourceType},
    seen::{Seen, Shown, attributes},
};

const SOURCE: ObservationSource = ObservationSource::Configuration;

/// The resource of one row. One of a type that is not read is kept with that as its fault.
pub(super) fn seen(event: &Infrastructure, native: &Native) -> Vec<Seen> {
    let place = &event.resource;
    if place.id.is_empty() {
        return Vec::new();
    }
    let named = place.kind.as_deref().unwrap_or_default();
    let table = if native.format == native_format::GCP_ASSET { GOOGLE } else { AZURE };
    let kind = ResourceType::find(table, named);
    let terraform = kind.map_or(named, |kind| kind.terraform);
    let absent = Seen::absent(SOURCE, &place.id, attributes(place, terraform));
    if event.kind == InfrastructureKind::Deleted {
        return vec![absent];
    }
    let Some(kind) = kind else {
        let reason = format!("resources of the type {named} are not read");
        return vec![Seen { presence: Presence::Present, shown: Shown::Unreadable(reason), ..absent }];
    };
    let Ok(row) = serde_json::from_str::<Value>(&native.record) else { return Vec::new() };
    let asset = if row["asset"].is_object() { &row["asset"] } else { &row };
    let resource = if native.format == native_format::GCP_ASSET { &asset["resource"]["data"] } else { asset };
    let (config, unknown) = kind.read(resource, Completeness::Whole);
    vec![Seen::configured(SOURCE, &place.id, attributes(place, kind.terraform), config, unknown)]
}

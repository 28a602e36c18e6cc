//! Configuration items of AWS Config: resources with all of their configuration, in AWS's names.
//!
//! A reader for each type of resource gives Terraform's arguments, by which policies judge. An argument that
//! an item does not show is unknown. Items of other types are kept with that as their fault.

mod identity;
mod network;
mod services;
mod storage;

use schemas::{
    Native,
    changes::compliance::{ObservationSource, Presence},
    events::{Infrastructure, InfrastructureKind, Resource},
};
use serde_json::Value;

use super::{
    configuration::terraform_type,
    seen::{Seen, Shown, attributes, bounded_id},
};

/// Reads the resources that one item shows.
type Read = fn(&Item<'_>) -> Vec<Seen>;

/// Types of resources with their readers.
const READERS: [&[(&str, Read)]; 4] =
    [storage::READERS, network::READERS, identity::READERS, services::READERS];

/// The resources of one item, or those that are gone with it.
pub(super) fn seen(event: &Infrastructure, native: &Native) -> Vec<Seen> {
    if event.resource.id.is_empty() {
        return Vec::new();
    }
    let Ok(record) = serde_json::from_str::<Value>(&native.record) else { return Vec::new() };
    let kind = event.resource.kind.as_deref().unwrap_or_default();
    let item = Item::new(&record, &event.resource);
    let is_gone = event.kind == InfrastructureKind::Deleted;
    let reader = READERS.iter().copied().flatten().find(|(named, _)| *named == kind);
    match reader {
        // The parts of a resource go with it.
        Some((_, read)) if is_gone => item.gone_with(read(&item)),
        None if is_gone => item.gone_with(Vec::new()),
        Some((_, read)) => read(&item),
        None => {
            vec![item.unreadable(terraform_type(kind), format!("AWS Config items of {kind} are not read"))]
        }
    }
}

/// One configuration item.
struct Item<'a> {
    place: &'a Resource,
    /// The configuration; written as a text in some deliveries.
    config: Value,
    /// The supplementary configuration by name, each value as a document.
    supplementary: Value,
}

impl<'a> Item<'a> {
    fn new(record: &Value, place: &'a Resource) -> Self {
        let supplementary = record["supplementaryConfiguration"].as_object().into_iter().flatten();
        let supplementary = supplementary.map(|(name, value)| (name.clone(), document(value)));
        Self { place, config: document(&record["configuration"]), supplementary: supplementary.collect() }
    }

    /// A member of the configuration, which begins with a small letter in some types and with a capital in
    /// others.
    fn told(&self, name: &str) -> &Value {
        member(&self.config, name)
    }

    fn text(&self, name: &str) -> &str {
        self.told(name).as_str().unwrap_or_default()
    }

    /// The ARN, or what else identifies the resource.
    fn id(&self) -> &str {
        &self.place.id
    }

    fn name(&self) -> String {
        self.place.name.clone().unwrap_or_else(|| self.place.id.clone())
    }

    /// The resource itself.
    fn itself(&self, kind: &str, config: Value, unknown: Value) -> Seen {
        self.part(self.id(), kind, (config, unknown))
    }

    /// The resource, or a part of it with an id of its own.
    fn part(&self, id: &str, kind: &str, (config, unknown): (Value, Value)) -> Seen {
        let place = Resource { name: Some(self.name()), ..self.place.clone() };
        Seen::configured(ObservationSource::Configuration, id, attributes(&place, kind), config, unknown)
    }

    fn absent(&self, id: &str, kind: &str) -> Seen {
        Seen::absent(ObservationSource::Configuration, id, attributes(self.place, kind))
    }

    fn gone_with(&self, shown: Vec<Seen>) -> Vec<Seen> {
        let kind = terraform_type(self.place.kind.as_deref().unwrap_or_default());
        let mut gone = vec![self.absent(self.id(), kind)];
        let parts = shown.into_iter().filter(|one| one.resource != bounded_id(self.id()));
        gone.extend(parts.map(|one| Seen { presence: Presence::Absent, shown: Shown::Nothing, ..one }));
        gone
    }

    fn unreadable(&self, kind: &str, reason: String) -> Seen {
        Seen { presence: Presence::Present, shown: Shown::Unreadable(reason), ..self.absent(self.id(), kind) }
    }
}

/// A value that may be written as a text.
fn document(value: &Value) -> Value {
    match value.as_str().filter(|text| text.trim_start().starts_with(['{', '['])) {
        Some(text) => serde_json::from_str(text).unwrap_or_else(|_| value.clone()),
        None => value.clone(),
    }
}

/// A member by its name, with a small letter or a capital at its beginning.
fn member<'a>(value: &'a Value, name: &str) -> &'a Value {
    let (first, rest) = name.split_at(1);
    let other =
        if first.chars().all(char::is_uppercase) { first.to_lowercase() } else { first.to_uppercase() };
    value.get(name).unwrap_or_else(|| &value[format!("{other}{rest}")])
}

fn is_true(value: &Value) -> bool {
    value == &Value::Bool(true) || value.as_str().is_some_and(|text| text.eq_ignore_ascii_case("true"))
}

/// A block, as Terraform lists it.
fn block(value: Value) -> Value {
    Value::Array(vec![value])
}

/// Members of an object that are not null: an argument that is not told has its default.
fn arguments(config: Value) -> Value {
    match config {
        Value::Object(members) => members.into_iter().filter(|(_, value)| !value.is_null()).collect(),
        other => other,
    }
}

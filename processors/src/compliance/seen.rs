//! Resources in events, before policies evaluate them.

use schemas::{
    changes::{
        compliance::{ObservationSource, Presence, ResourceAttributes},
        risk::bounded,
    },
    events::Resource,
};
use serde_json::{Value, json};

/// Maximum length of the id of a resource or a change, in bytes.
const MAX_ID_BYTES: usize = 1_024;
/// Maximum length of other texts, in bytes.
const MAX_TEXT_BYTES: usize = 512;

/// The id in at most 1,024 bytes; a longer one is cut and ends in its hash.
pub(super) fn bounded_id(id: &str) -> String {
    bounded(id, MAX_ID_BYTES)
}

/// One resource in an event.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) resource: String,
    pub(super) presence: Presence,
    pub(super) change_id: Option<String>,
    pub(super) source: ObservationSource,
    pub(super) attributes: ResourceAttributes,
    pub(super) shown: Shown,
}

/// Configuration of a resource in an event.
#[derive(Debug, Clone)]
pub(super) enum Shown {
    /// None: the resource was deleted.
    Nothing,
    /// Address within a plan, whose resources are evaluated together.
    InPlan(String),
    /// The configuration as a separate document, without other resources except those it names.
    Alone(Box<Value>),
    /// A text that cannot be parsed, for this reason.
    Unreadable(String),
}

impl Seen {
    /// A resource that exists, with its configuration under the names of Terraform's arguments; `unknown`
    /// marks arguments that the event does not contain.
    pub(super) fn configured(
        source: ObservationSource,
        resource: &str,
        attributes: ResourceAttributes,
        config: Value,
        unknown: Value,
    ) -> Self {
        let name = attributes.name.clone().unwrap_or_else(|| "this".into());
        let mut document = json!({ "type": attributes.kind, "name": name, "address": resource });
        document["config"] = config;
        document["unknown"] = unknown;
        Self {
            resource: bounded_id(resource),
            presence: Presence::Present,
            change_id: None,
            source,
            attributes,
            shown: Shown::Alone(Box::new(document)),
        }
    }

    /// The same, judged together with these other resources, which are all that concern it.
    pub(super) fn beside(mut self, resources: Vec<Value>) -> Self {
        if let Shown::Alone(document) = &mut self.shown {
            document["resources"] = resources.into();
        }
        self
    }

    /// A resource that was deleted.
    pub(super) fn absent(source: ObservationSource, resource: &str, attributes: ResourceAttributes) -> Self {
        Self {
            resource: bounded_id(resource),
            presence: Presence::Absent,
            change_id: None,
            source,
            attributes,
            shown: Shown::Nothing,
        }
    }
}

/// Attributes of a resource in an event.
pub(super) fn attributes(resource: &Resource, kind: &str) -> ResourceAttributes {
    let text = |text: &Option<String>| {
        text.as_deref().filter(|text| !text.is_empty()).map(|text| bounded(text, MAX_TEXT_BYTES))
    };
    ResourceAttributes {
        kind: bounded(kind, MAX_TEXT_BYTES),
        cloud: text(&resource.cloud),
        account: text(&resource.account),
        region: text(&resource.region),
        name: text(&resource.name),
        project: text(&resource.project).or_else(|| {
            let tagged = resource.tags.get("project").or_else(|| resource.tags.get("Project"));
            tagged.filter(|text| !text.is_empty()).map(|text| bounded(text, MAX_TEXT_BYTES))
        }),
        environment: text(&resource.environment),
    }
}

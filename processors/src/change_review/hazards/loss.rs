//! Data, state or permissions that would be lost or changed: deletions, replacements and updates in place.

use schemas::changes::change_review::FactorKind::{self, Deletion, Replacement, Update};

use super::{Hazards, Place, Rule};
use crate::change_review::{
    holding::{Holding, holding},
    manifests,
    plan::{Action, Change},
};

/// Name of the rule about data that would be lost or changed.
pub(super) const DATA_STORE: &str = "data_store";

const fn rule(kind: FactorKind, name: &'static str, points: u32, reason: &'static str) -> Rule {
    Rule { kind, name, points, reason }
}

static FORGOTTEN: Rule = rule(
    Deletion,
    "forgotten",
    6,
    "would be removed from the state without being deleted: Terraform no longer manages it",
);
static DELETED: [Rule; 7] = [
    rule(Deletion, DATA_STORE, 60, "a data store, or the key to its data, would be deleted"),
    rule(Deletion, "stateful", 45, "a stateful resource would be deleted"),
    rule(Deletion, "network", 30, "a part of the network would be deleted"),
    rule(Deletion, "identity", 20, "an identity or a permission would be deleted"),
    rule(Deletion, "compute", 12, "a compute resource would be deleted"),
    rule(Deletion, "other", 6, "would be deleted"),
    rule(Deletion, "unknown_type", 25, "a resource of a type unknown to Weir would be deleted"),
];
static REPLACED: [Rule; 7] = [
    rule(Replacement, DATA_STORE, 50, "a data store would be replaced and lose its data"),
    rule(Replacement, "stateful", 35, "a stateful resource would be replaced"),
    rule(Replacement, "network", 25, "a part of the network would be replaced"),
    rule(Replacement, "identity", 15, "an identity or a permission would be replaced"),
    rule(Replacement, "compute", 8, "a compute resource would be replaced"),
    rule(Replacement, "other", 4, "would be replaced"),
    rule(Replacement, "unknown_type", 20, "a resource of a type unknown to Weir would be replaced"),
];
static UPDATED: [Rule; 3] = [
    rule(Update, DATA_STORE, 10, "a data store would be changed in place"),
    rule(Update, "stateful", 5, "a stateful resource would be changed in place"),
    rule(Update, "network", 5, "a part of the network would be changed in place"),
];

/// Records the hazard of a change.
pub(super) fn find(change: &Change<'_>, place: Place<'_>, hazards: &mut Hazards) {
    let rules: &'static [Rule] = match change.action {
        Action::Delete => &DELETED,
        Action::Forget | Action::CreateAndForget => return hazards.add(&FORGOTTEN, place, None),
        Action::Replace => &REPLACED,
        Action::Update if !change.is_of_tags_only() => &UPDATED,
        Action::Update | Action::Create => return,
    };
    let held = match holding(manifests::kind_of(change)) {
        Holding::Data => 0,
        Holding::State => 1,
        Holding::Network => 2,
        Holding::Identity => 3,
        Holding::Compute => 4,
        Holding::Other => 5,
        Holding::Unknown => 6,
    };
    if let Some(rule) = rules.get(held) {
        hazards.add(rule, place, None);
    }
}

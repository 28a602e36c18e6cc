//! Hazards of a change: rules with points, and the resources that match them.
//!
//! A rule on the configuration counts only if the change *introduces* a match; matches that existed before
//! are not due to this change.

mod addresses;
mod encryption;
mod identity;
mod loss;
mod network;
mod ports;
mod safeguards;
mod secrets;

use std::collections::BTreeMap;

use schemas::changes::change_review::{Factor, FactorKind, FactorResource};
use serde_json::Value;

use super::{
    manifests,
    plan::{Action, Change, Plan},
    words::printable,
};

/// Points for each resource of a rule after the first, and their maximum sum.
const EACH_FURTHER: u32 = 3;
const MOST_FURTHER: u32 = 9;
/// The same if data would be lost: three data stores that are deleted at once need two people.
const EACH_FURTHER_DATA_STORE: u32 = 5;
const MOST_FURTHER_DATA_STORES: u32 = 25;
/// Maximum number of resources that a factor names.
const MAX_NAMED: usize = 20;

/// A rule.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) kind: FactorKind,
    /// Unique within the kind.
    pub(super) name: &'static str,
    /// Points for the first resource.
    pub(super) points: u32,
    /// Explanation for people; follows "n resources:".
    pub(super) reason: &'static str,
}

/// The rules that a plan matches.
#[derive(Debug, Default)]
pub(super) struct Hazards(BTreeMap<(FactorKind, &'static str), Hazard>);

#[derive(Debug)]
struct Hazard {
    rule: &'static Rule,
    named: Vec<FactorResource>,
    total: u32,
    production: bool,
}

/// Resource that matches a rule.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'p> {
    /// Address of the resource, printable.
    pub(super) address: &'p str,
    /// Whether it belongs to production.
    pub(super) production: bool,
}

impl Hazards {
    /// Examines a whole plan; `in_production` decides whether a change affects production.
    pub(super) fn of(plan: &Plan<'_>, in_production: impl Fn(&Change<'_>) -> bool) -> Self {
        let mut hazards = Self::default();
        let buckets = safeguards::DeletedBuckets::of(plan);
        for change in &plan.changes {
            let place = Place { address: &change.address, production: in_production(change) };
            loss::find(change, place, &mut hazards);
            safeguards::find_removed(change, &buckets, place, &mut hazards);
            secrets::find(change, place, &mut hazards);
            for ((_, attribute), rule) in introduced(change) {
                hazards.add(rule, place, Some(&attribute));
            }
        }
        secrets::find_in_variables(&plan.variables, &mut hazards);
        hazards
    }

    /// Records that a resource matches a rule. All matches of one resource must come in a row.
    fn add(&mut self, rule: &'static Rule, place: Place<'_>, attribute: Option<&str>) {
        let new = || Hazard { rule, named: Vec::new(), total: 0, production: false };
        let hazard = self.0.entry((rule.kind, rule.name)).or_insert_with(new);
        if hazard.named.last().is_none_or(|last| last.address != place.address) {
            hazard.total = hazard.total.saturating_add(1);
        }
        hazard.production |= place.production;
        let resource =
            FactorResource { address: place.address.to_owned(), attribute: attribute.map(printable) };
        // Full: one more is kept, the newest, so that its resource is counted once.
        hazard.named.truncate(MAX_NAMED);
        hazard.named.push(resource);
    }

    /// The points of all rules, or of those that production resources match.
    pub(super) fn points(&self, of: Points) -> u32 {
        let counts = |hazard: &&Hazard| of == Points::OfAll || hazard.production;
        self.0.values().filter(counts).map(Hazard::points).sum()
    }

    /// The rules as factors.
    pub(super) fn into_factors(self) -> impl Iterator<Item = Factor> {
        self.0.into_values().map(Hazard::into_factor)
    }
}

/// Selection of hazards whose points are summed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Points {
    OfAll,
    OfProduction,
}

impl Hazard {
    fn points(&self) -> u32 {
        let loses_data = matches!(self.rule.kind, FactorKind::Deletion | FactorKind::Replacement)
            && self.rule.name == loss::DATA_STORE;
        let (each, most) = if loses_data {
            (EACH_FURTHER_DATA_STORE, MOST_FURTHER_DATA_STORES)
        } else {
            (EACH_FURTHER, MOST_FURTHER)
        };
        self.rule.points + self.total.saturating_sub(1).saturating_mul(each).min(most)
    }

    fn into_factor(mut self) -> Factor {
        self.named.truncate(MAX_NAMED);
        let noun = if self.total == 1 { "resource" } else { "resources" };
        Factor {
            kind: self.rule.kind,
            rule: self.rule.name.to_owned(),
            points: u8::try_from(self.points()).unwrap_or(u8::MAX),
            reason: format!("{} {noun}: {}", self.total, self.rule.reason),
            resources: self.named,
            resources_total: self.total,
        }
    }
}

/// Matches of a configuration, by the rule's name and the attribute.
type Findings = BTreeMap<(&'static str, String), &'static Rule>;

/// Records a match. Paths are cut here already: a hostile plan may contain many below one endless name.
fn note(findings: &mut Findings, rule: &'static Rule, attribute: &str) {
    findings.insert((rule.name, printable(attribute)), rule);
}

/// Matches of the configuration after the change that were not there before.
fn introduced(change: &Change<'_>) -> Findings {
    if matches!(change.action, Action::Delete | Action::Forget) || change.is_of_tags_only() {
        return Findings::new();
    }
    let mut after = findings(change.kind, change.after);
    let before = change.changed_from();
    if !after.is_empty() && !before.is_null() {
        for found in findings(change.kind, before).keys() {
            after.remove(found);
        }
    }
    identity::find_any_change(change, &mut after);
    encryption::find_turned_off(change, &mut after);
    safeguards::find_turned_off(change, &mut after);
    after
}

fn findings(kind: &str, configuration: &Value) -> Findings {
    let mut findings = Findings::new();
    let typed = manifests::typed(kind, configuration);
    let (kind, configuration) = typed.unwrap_or((kind, configuration));
    super::attributes::visit(configuration, &super::plan::NOTHING, &mut |attribute| {
        identity::find(kind, attribute, &mut findings);
        network::find(kind, configuration, attribute, &mut findings);
        encryption::find(kind, attribute, &mut findings);
    });
    if typed.is_none() {
        return findings;
    }
    let in_manifest = |path: &str| printable(&format!("manifest.{path}"));
    findings.into_iter().map(|((name, path), rule)| ((name, in_manifest(&path)), rule)).collect()
}

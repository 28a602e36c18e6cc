//! Scores a plan: every factor has points, and the score is their sum, capped at 100.
//!
//! - *Hazards* ([`super::hazards`]): the first resource of a rule gives the rule's points, each further one 3, at most
//!   9 together; each further data store that would be deleted or replaced 5, at most 25.
//! - *Production*: half of the points of the hazards that touch production, rounded up, and 5 for touching it at all.
//! - *Blast radius* and *drift*: by the number of resources.
//! - *Cost*: by the increase of the monthly cost, in units of the price list's currency.
//! - *Compliance* ([`super::compliance`]): by the severity of the policies that deny changed resources.
//! - *Plan*: 20 each for a plan that is missing, unreadable, failed or incomplete, so it is never `auto`.
//!
//! Deleting a production database gives 60 + 30 + 5 and is blocked, replacing one 50 + 25 + 5 and needs two people;
//! changed tags in production give 5 and pass.

use rust_decimal::Decimal;
use schemas::changes::{
    change_review::{Factor, FactorKind, FactorResource, PlanReading, PlanSummary, Proposal, Route},
    estimate::{Estimate, ResourceEstimate},
};
use serde_json::Value;

use super::{
    attributes,
    compliance::Judged,
    hazards::{Hazards, Points},
    manifests,
    plan::{Action, Change, NOTHING, Plan},
    words::{names_production, printable, words},
};

/// Points for an unreliable plan: the minimum that requires a review.
const UNRELIABLE: u32 = 20;
const TOUCHES_PRODUCTION: u32 = 5;
/// Points for more than this number of resources.
const BLAST: [(usize, u32); 4] = [(200, 25), (50, 15), (15, 8), (5, 4)];
/// Points for more than this number of modules.
const BLAST_MODULES: [(usize, u32); 2] = [(10, 6), (3, 3)];
/// Points for this increase of the monthly cost, in units of the price list's currency.
const COST: [(i64, u32); 3] = [(10_000, 20), (1_000, 10), (100, 4)];
const MAX_DRIFT: u32 = 20;
pub(super) const MAX_NAMED: usize = 20;

/// The plan of a proposal.
#[derive(Debug, Clone, Copy)]
pub(super) enum Given<'a> {
    /// None that Weir can read.
    Absent,
    /// Text that is not a plan.
    Unreadable,
    /// A JSON value.
    Json(&'a Value),
}

/// Scores a proposal; `for_production` states whether it is known, apart from the plan, to affect production.
pub(super) fn assess(given: Given<'_>, for_production: bool) -> Proposal {
    let plan = match given {
        Given::Json(value) => Plan::of(value).ok(),
        Given::Absent | Given::Unreadable => None,
    };
    let Some(plan) = plan else {
        return without_plan(matches!(given, Given::Absent), for_production);
    };
    let variables_say = plan.variables.iter().any(|(name, value)| is_environment(name, value.as_str()));
    let in_production = |change: &Change<'_>| for_production || variables_say || is_productions(change);
    let production: Vec<&Change<'_>> = plan.changes.iter().filter(|change| in_production(change)).collect();
    let hazards = Hazards::of(&plan, in_production);

    let mut summary = summary(&plan);
    let imports_production = plan.kept.imported.iter().any(in_production);
    summary.production = !production.is_empty() || for_production || imports_production;
    let mut factors = about_the_plan(&plan);
    factors.extend(blast_radius(&plan, summary.modules));
    factors.extend(production_factor(&hazards, &production));
    factors.extend(drift(&plan));
    factors.extend(hazards.into_factors());
    proposal(summary, factors)
}

fn proposal(plan: PlanSummary, mut factors: Vec<Factor>) -> Proposal {
    factors.sort_by(|a, b| b.points.cmp(&a.points).then_with(|| (a.kind, &a.rule).cmp(&(b.kind, &b.rule))));
    let sum: u32 = factors.iter().map(|factor| u32::from(factor.points)).sum();
    let score = u8::try_from(sum.min(100)).unwrap_or(100);
    Proposal { score, route: Route::of(score), plan, factors, estimate: None, policies: None }
}

/// Adds the cost estimate and the verdicts of policies, with the points for both.
pub(super) fn completed(proposed: Proposal, estimate: Option<Estimate>, judged: Option<Judged>) -> Proposal {
    let Proposal { plan, mut factors, .. } = proposed;
    factors.extend(estimate.as_ref().and_then(cost));
    let mut policies = None;
    if let Some(Judged { verdicts, factors: of_policies }) = judged {
        factors.extend(of_policies);
        policies = Some(Box::new(verdicts));
    }
    Proposal { estimate: estimate.map(Box::new), policies, ..proposal(plan, factors) }
}

fn cost(estimate: &Estimate) -> Option<Factor> {
    let (_, points) = COST.into_iter().find(|(from, _)| estimate.delta >= Decimal::from(*from))?;
    let dearer = |resource: &&ResourceEstimate| resource.delta.is_some_and(|delta| delta > Decimal::ZERO);
    let resources: Vec<&ResourceEstimate> = estimate.resources.iter().filter(dearer).collect();
    let reason = format!(
        "it would cost {} {} more by the month; {} % of the resources before and {} % after have a price",
        estimate.delta.round_dp(2),
        estimate.currency,
        estimate.coverage_before.percent,
        estimate.coverage_after.percent,
    );
    let named =
        |resource: &&ResourceEstimate| FactorResource { address: resource.address.clone(), attribute: None };
    Some(Factor {
        resources: resources.iter().take(MAX_NAMED).map(named).collect(),
        resources_total: number(resources.len()),
        ..plain_factor(FactorKind::Cost, "monthly_increase", points, reason)
    })
}

fn without_plan(absent: bool, for_production: bool) -> Proposal {
    let (reading, rule, reason) = if absent {
        (PlanReading::Absent, "absent", "the proposal came without a readable plan: its effect is unknown")
    } else {
        (
            PlanReading::Unreadable,
            "unreadable",
            "the document is truncated or not a plan (a state, a schema): its effect is unknown",
        )
    };
    let mut factors = vec![plain_factor(FactorKind::Plan, rule, UNRELIABLE, reason.to_owned())];
    if for_production {
        let reason = "it is for production".to_owned();
        factors.push(plain_factor(FactorKind::Production, "touched", TOUCHES_PRODUCTION, reason));
    }
    let plan = PlanSummary {
        reading,
        format_version: None,
        terraform_version: None,
        creates: 0,
        updates: 0,
        replaces: 0,
        deletes: 0,
        forgets: 0,
        imports: 0,
        moves: 0,
        drifted: 0,
        modules: 0,
        unreadable: 0,
        production: for_production,
    };
    proposal(plan, factors)
}

fn summary(plan: &Plan<'_>) -> PlanSummary {
    let count = |actions: &[Action]| {
        number(plan.changes.iter().filter(|change| actions.contains(&change.action)).count())
    };
    let modules: std::collections::BTreeSet<&str> = plan.changes.iter().map(|change| change.module).collect();
    let whole = plan.unreadable == 0 && !plan.errored && !plan.incomplete && plan.format_is_known();
    PlanSummary {
        reading: if whole { PlanReading::Read } else { PlanReading::Partly },
        format_version: plan.format_version.map(printable),
        terraform_version: plan.terraform_version.map(printable),
        creates: count(&[Action::Create, Action::CreateAndForget]),
        updates: count(&[Action::Update]),
        replaces: count(&[Action::Replace]),
        deletes: count(&[Action::Delete]),
        forgets: count(&[Action::Forget, Action::CreateAndForget]),
        imports: plan.kept.imports,
        moves: plan.kept.moves,
        drifted: number(plan.drift.len()),
        modules: number(modules.len()),
        unreadable: plan.unreadable,
        production: false,
    }
}

/// Factors for a plan that is itself unreliable.
fn about_the_plan(plan: &Plan<'_>) -> Vec<Factor> {
    let mut factors = Vec::new();
    let mut add = |rule: &str, reason: String| {
        factors.push(plain_factor(FactorKind::Plan, rule, UNRELIABLE, reason));
    };
    if plan.errored {
        add("errored", "planning ended with an error: the plan is incomplete".into());
    }
    if plan.incomplete {
        add("incomplete", "the plan says that it is not complete: applying it leaves something to do".into());
    }
    if !plan.format_is_known() {
        add(
            "format_unknown",
            "its format version is missing or none of 0.1 to 1.x: it was read as far as it goes".into(),
        );
    }
    if plan.unreadable > 0 {
        add("partly_unreadable", format!("{} of its changes could not be read", plan.unreadable));
    }
    factors
}

fn blast_radius(plan: &Plan<'_>, modules: u32) -> Option<Factor> {
    let points_of =
        |steps: &[(usize, u32)], n: usize| steps.iter().find(|(more, _)| n > *more).map_or(0, |step| step.1);
    let changed = plan.changes.len();
    let points = points_of(&BLAST, changed) + points_of(&BLAST_MODULES, modules as usize);
    let reason = format!("{changed} resources in {modules} modules would change at once");
    (points > 0).then(|| plain_factor(FactorKind::BlastRadius, "resources", points, reason))
}

fn production_factor(hazards: &Hazards, touched: &[&Change<'_>]) -> Option<Factor> {
    let points = hazards.points(Points::OfProduction).div_ceil(2) + TOUCHES_PRODUCTION;
    let reason = match hazards.points(Points::OfProduction) {
        0 => "production would be touched, without any of the hazards".to_owned(),
        _ => {
            "production would be affected: half of the points of the hazards that affect it, and 5".to_owned()
        }
    };
    let factor = Factor {
        resources: named(touched.iter().copied()),
        resources_total: number(touched.len()),
        ..plain_factor(FactorKind::Production, "touched", points, reason)
    };
    (!touched.is_empty()).then_some(factor)
}

fn drift(plan: &Plan<'_>) -> Option<Factor> {
    let drifted = number(plan.drift.len());
    let points = (6 + drifted.saturating_mul(2)).min(MAX_DRIFT);
    let reason = format!("{drifted} resources were changed by hand: the plan may undo that");
    let factor = Factor {
        resources: named(&plan.drift),
        resources_total: drifted,
        ..plain_factor(FactorKind::Drift, "by_hand", points, reason)
    };
    (drifted > 0).then_some(factor)
}

/// A factor that names no resources.
fn plain_factor(kind: FactorKind, rule: &str, points: u32, reason: String) -> Factor {
    let points = u8::try_from(points).unwrap_or(u8::MAX);
    Factor { kind, rule: rule.to_owned(), points, reason, resources: Vec::new(), resources_total: 0 }
}

fn named<'c, 'p: 'c>(changes: impl IntoIterator<Item = &'c Change<'p>>) -> Vec<FactorResource> {
    let resource = |change: &Change<'_>| FactorResource { address: change.address.clone(), attribute: None };
    changes.into_iter().take(MAX_NAMED).map(resource).collect()
}

/// Whether a resource belongs to production, by its address, its names or its tags.
fn is_productions(change: &Change<'_>) -> bool {
    names_production(&change.address)
        || [change.before, change.after]
            .into_iter()
            .any(|configuration| configured_for_production(manifests::object(change.kind, configuration)))
}

fn configured_for_production(configuration: &Value) -> bool {
    const NAMES: [&str; 10] = [
        "bucket",
        "cluster_identifier",
        "cluster_name",
        "function_name",
        "identifier",
        "name",
        "namespace",
        "project",
        "resource_group_name",
        "workspace",
    ];
    let mut found = false;
    attributes::visit(configuration, &NOTHING, &mut |attribute| {
        let Some(text) = attribute.value.as_str() else { return };
        let outermost = attribute.path == attribute.name || attribute.path.starts_with("metadata.");
        found |= outermost && NAMES.contains(&attribute.name) && names_production(text);
        let tagged = ["tags", "tags_all", "labels", "metadata.labels"]
            .iter()
            .any(|tags| attribute.path.strip_prefix(tags).is_some_and(|rest| rest.starts_with('.')));
        found |= tagged && is_environment(attribute.name, Some(text));
    });
    found
}

/// Whether a tag or variable names an environment, and its value is production.
pub(super) fn is_environment(name: &str, value: Option<&str>) -> bool {
    let names_it = words(name).last().is_some_and(|word| {
        matches!(word.as_str(), "env" | "environment" | "stage" | "tier" | "workspace")
            || word.ends_with("environment")
    });
    names_it
        && value.is_some_and(|value| names_production(value) || value.trim().eq_ignore_ascii_case("live"))
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

//! Verdicts of compliance policies on a plan, and the points for them.
//!
//! Points are given for resources that the plan creates or changes, by the severity of the policies that deny
//! them: the first failure gives the severity's points, each further one its step, up to a maximum. A failed
//! critical policy, or a policy that denies the plan as a whole, is therefore never `auto`. Low severities
//! and warnings give no points.

use std::collections::{BTreeMap, BTreeSet};

use policies::{Decision, Document, Enforcement, Held, Status, Surroundings, Verdict};
use schemas::{
    Timestamp,
    changes::{
        change_review::{Factor, FactorKind, FactorResource},
        policy_verdicts::{PlanVerdict, PlanVerdicts, PolicyDecision, VerdictCounts},
    },
};
use serde_json::Value;

use super::{score::MAX_NAMED, words::printable};

/// Maximum number of evaluations (policy and resource) of one plan.
const MAX_EVALUATIONS: usize = 20_000;
/// Maximum product of evaluations and resources: a policy may read every other resource of the plan.
const MAX_LOOKS: usize = 20_000_000;
/// Maximum number of verdicts in a review.
const MAX_VERDICTS: usize = 100;
/// Maximum number of reasons of a verdict in a review.
const MAX_REASONS: usize = 10;
/// Maximum length of a reason, title and remediation in a review, in bytes.
const MAX_TEXT_BYTES: usize = 500;
/// By severity: points for the first failure, for each further one, and the maximum.
const POINTS: [(&str, u32, u32, u32); 4] =
    [(WHOLE_PLAN, 20, 5, 40), ("critical", 20, 5, 40), ("high", 8, 2, 20), ("medium", 3, 1, 10)];
/// Maximum points of all severities together.
const MOST_POINTS: u32 = 40;
/// Points for policies without a verdict, so that somebody reviews them.
const UNDECIDED: u32 = 5;
/// Name of the rule for policies on the plan as a whole, which have no severity.
const WHOLE_PLAN: &str = "plan";

/// Verdicts on a plan, with the factors of the review.
pub(super) struct Judged {
    pub(super) verdicts: PlanVerdicts,
    pub(super) factors: Vec<Factor>,
}

/// Evaluates the policies in force on a plan, at the time of its proposal; `None` if it is not a plan or no
/// policy applies to it.
pub(super) fn judge(plan: &Value, held: &Held, at: Timestamp) -> Option<Judged> {
    let document = Document::from_plan(plan).ok()?;
    let resources = document.subjects.len();
    let surroundings = Surroundings {
        now_ns: at.timestamp_nanos_opt(),
        max_evaluations: Some(MAX_EVALUATIONS.min(MAX_LOOKS / resources.max(1))),
        ..Surroundings::default()
    };
    let evaluation = held.evaluate(&document, &surroundings);
    if evaluation.verdicts.is_empty() && evaluation.left_out == 0 {
        return None;
    }
    let counts = VerdictCounts { left_out: number(evaluation.left_out), ..count(&evaluation.verdicts) };
    let mut told: Vec<&Verdict> =
        evaluation.verdicts.iter().filter(|verdict| verdict.status != Status::Pass).collect();
    let rank = |verdict: &Verdict| match (verdict.status, verdict.enforcement) {
        (Status::Fail, Enforcement::Deny) => 0,
        (Status::Error, _) => 1,
        (Status::Fail, Enforcement::Warn) => 2,
        (Status::NotEvaluated | Status::Pass, _) => 3,
    };
    // Stable: within a rank and severity, the order of resources and policies.
    told.sort_by_key(|verdict| (rank(verdict), std::cmp::Reverse(verdict.severity)));
    let unchanged: BTreeSet<&str> = unchanged(plan).collect();
    let factors = factors(&evaluation.verdicts, &unchanged, &counts);
    let verdicts = PlanVerdicts {
        decision: match evaluation.decision {
            Decision::Allow => PolicyDecision::Allow,
            Decision::Warn => PolicyDecision::Warn,
            Decision::Deny => PolicyDecision::Deny,
        },
        policy_set: held.set().hash().to_owned(),
        counts,
        verdicts_total: number(told.len()),
        verdicts: told.into_iter().take(MAX_VERDICTS).map(kept).collect(),
    };
    Some(Judged { verdicts, factors })
}

fn count(verdicts: &[Verdict]) -> VerdictCounts {
    let mut counts = VerdictCounts::default();
    for verdict in verdicts {
        let place = match (verdict.status, verdict.enforcement) {
            (Status::Pass, _) => &mut counts.passed,
            (Status::Fail, Enforcement::Deny) => &mut counts.failed,
            (Status::Fail, Enforcement::Warn) => &mut counts.warned,
            (Status::NotEvaluated, _) => &mut counts.not_evaluated,
            (Status::Error, _) => &mut counts.errors,
        };
        *place = place.saturating_add(1);
    }
    counts
}

fn kept(verdict: &Verdict) -> PlanVerdict {
    let word = match (verdict.status, verdict.enforcement) {
        (Status::Fail, Enforcement::Warn) => "warn",
        (status, _) => status.name(),
    };
    PlanVerdict {
        policy_id: printable(&verdict.policy_id),
        policy_hash: verdict.policy_hash.clone(),
        title: text(&verdict.title),
        severity: verdict.severity.name().to_owned(),
        verdict: word.to_owned(),
        resource: printable(&verdict.resource),
        resource_type: printable(&verdict.resource_type),
        reasons: verdict.reasons.iter().take(MAX_REASONS).map(|reason| text(reason)).collect(),
        remediation: text(&verdict.remediation),
    }
}

/// The text without control characters, cut to its maximum length.
fn text(text: &str) -> String {
    let end = text.floor_char_boundary(MAX_TEXT_BYTES);
    let cut = if end < text.len() { "…" } else { "" };
    let symbols = text[..end].chars().map(|symbol| if symbol.is_control() { ' ' } else { symbol });
    symbols.chain(cut.chars()).collect()
}

/// Addresses of resources that the plan does not change.
fn unchanged(plan: &Value) -> impl Iterator<Item = &str> {
    let changes = plan["resource_changes"].as_array().into_iter().flatten();
    let keeps = |change: &&Value| {
        let mut actions = change["change"]["actions"].as_array().into_iter().flatten().peekable();
        actions.peek().is_some() && actions.all(|action| action == "no-op" || action == "read")
    };
    changes.filter(keeps).filter_map(|change| change["address"].as_str())
}

/// Factors with points, by severity.
fn factors(verdicts: &[Verdict], unchanged: &BTreeSet<&str>, counts: &VerdictCounts) -> Vec<Factor> {
    let mut failed: BTreeMap<&str, Vec<&Verdict>> = BTreeMap::new();
    for verdict in verdicts {
        let denies = verdict.status == Status::Fail && verdict.enforcement == Enforcement::Deny;
        if denies && !unchanged.contains(verdict.resource.as_str()) {
            let rule = if verdict.resource.is_empty() { WHOLE_PLAN } else { verdict.severity.name() };
            failed.entry(rule).or_default().push(verdict);
        }
    }
    let mut left = MOST_POINTS;
    let mut factors = Vec::new();
    for (rule, first, further, most) in POINTS {
        let Some(failures) = failed.get(rule) else { continue };
        let points = further.saturating_mul(number(failures.len() - 1)).saturating_add(first).min(most);
        let points = points.min(left);
        left -= points;
        if points > 0 {
            factors.push(factor(rule, points, failures));
        }
    }
    if counts.errors > 0 || counts.left_out > 0 {
        let reason = format!(
            "{} policies could not be evaluated, {} evaluations are beyond the bound of one plan",
            counts.errors, counts.left_out
        );
        let points = u8::try_from(UNDECIDED).unwrap_or(u8::MAX);
        factors.push(Factor {
            kind: FactorKind::Compliance,
            rule: "undecided".to_owned(),
            points,
            reason,
            resources: Vec::new(),
            resources_total: 0,
        });
    }
    factors
}

fn factor(rule: &str, points: u32, failures: &[&Verdict]) -> Factor {
    let policies: BTreeSet<&str> = failures.iter().map(|verdict| verdict.policy_id.as_str()).collect();
    let resources: BTreeSet<&str> = failures.iter().map(|verdict| verdict.resource.as_str()).collect();
    let (named, more) = (policies.iter().take(3).map(|id| printable(id)).collect::<Vec<_>>(), policies.len());
    let others = if more > named.len() { format!(" and {} more", more - named.len()) } else { String::new() };
    let reason = if rule == WHOLE_PLAN {
        format!("denied by {}{others}", named.join(", "))
    } else {
        format!(
            "{} resources fail policies of {rule} severity: {}{others}",
            resources.len(),
            named.join(", ")
        )
    };
    let place = |address: &&str| FactorResource { address: printable(address), attribute: None };
    let in_resources = || resources.iter().filter(|address| !address.is_empty());
    Factor {
        kind: FactorKind::Compliance,
        rule: rule.to_owned(),
        points: u8::try_from(points).unwrap_or(u8::MAX),
        reason,
        resources: in_resources().take(MAX_NAMED).map(place).collect(),
        resources_total: number(in_resources().count()),
    }
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

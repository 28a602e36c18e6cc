//! `weir query changes`: proposed changes, and one of them whole.

use clap::Args;
use serde_json::Value;

use super::{Api, print, printable};
use crate::output::{self, Format, line};

#[derive(Debug, Args)]
pub(super) struct ChangesArgs {
    /// Show one change whole: score and factors, approvals, timeline, what could not be.
    #[arg(long, value_name = "CHANGE_ID")]
    id: Option<String>,
    /// State of the approval: not_requested, requested, risk_assessed, human_review or decided.
    #[arg(long)]
    state: Option<String>,
    /// approved, rejected, auto or blocked.
    #[arg(long)]
    decision: Option<String>,
    /// State of the change, for example planned, applied, completed or failed.
    #[arg(long)]
    provisioning: Option<String>,
    /// auto, review, two_person or block.
    #[arg(long)]
    route: Option<String>,
    /// Extent to which the plan could be read: read, partly, unreadable or absent.
    #[arg(long)]
    plan: Option<String>,
    /// The project.
    #[arg(long)]
    project: Option<String>,
    /// Actor who requested it first: the exact id.
    #[arg(long)]
    requester: Option<String>,
    /// The most changes to print.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..))]
    limit: u64,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

impl ChangesArgs {
    fn filters(&self) -> Vec<(&'static str, &str)> {
        [
            ("state", &self.state),
            ("decision", &self.decision),
            ("provisioning", &self.provisioning),
            ("route", &self.route),
            ("plan", &self.plan),
            ("project", &self.project),
            ("requester", &self.requester),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.as_deref()?)))
        .collect()
    }
}

/// Asks and prints.
pub(super) async fn changes(api: &Api, args: &ChangesArgs) -> anyhow::Result<()> {
    if let Some(id) = &args.id {
        let answer = api.get(&format!("/api/v1/changes/{}", encoded(id)), &[]).await?;
        if args.output != Format::Table {
            return output::json(&answer["item"]);
        }
        print_whole(&answer["item"]);
        return Ok(());
    }
    let found = api.pages("/api/v1/changes", &args.filters(), args.limit).await?;
    print(&found, args.output, print_list)
}

/// An id as one part of an address: everything but letters, digits and `-_.~` is escaped.
pub(crate) fn encoded(id: &str) -> String {
    let mut text = String::with_capacity(id.len());
    for byte in id.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_~".contains(&byte) || byte == b'.' && id.len() > 2 {
            text.push(char::from(byte));
        } else {
            text.push('%');
            text.push_str(&output::hex(&[byte]).to_uppercase());
        }
    }
    text
}

fn print_list(found: &[Value]) {
    let header = [
        "last",
        "change",
        "project",
        "score",
        "route",
        "cost/month",
        "budget",
        "compliance",
        "approval",
        "decision",
        "approvals",
        "provisioning",
        "impossible",
    ];
    let mut table = output::table(&header);
    for change in found {
        table.add_row([
            text(change, "last_at"),
            text(change, "change_id"),
            text(change, "project"),
            text(change, "score"),
            text(change, "route"),
            monthly(&change["cost_delta"]),
            text(change, "budget"),
            text(change, "compliance"),
            text(change, "approval"),
            text(change, "decision"),
            format!("{}/{}", text(change, "approvals"), text(change, "approvals_needed")),
            text(change, "provisioning"),
            text(change, "impossible_total"),
        ]);
    }
    output::print_table(&table, "no changes match");
}

/// The added monthly cost beside the coverage of what comes after.
fn monthly(delta: &Value) -> String {
    if delta.is_null() {
        return String::new();
    }
    let coverage = [text(delta, "coverage_before_percent"), text(delta, "coverage_after_percent")].join("/");
    format!("{} {} ({coverage} %)", signed(&text(delta, "monthly")), text(delta, "currency"))
}

/// One change, part by part.
fn print_whole(change: &Value) {
    let decision = Some(text(change, "decision")).filter(|word| !word.is_empty());
    let decision = decision.map_or_else(String::new, |word| format!(", {word}"));
    line(&format!("change       {}", text(change, "change_id")));
    for (label, name) in
        [("project", "project"), ("environment", "environment"), ("asked by", "requested_by")]
    {
        if !change[name].is_null() {
            line(&format!("{label:<12} {}", text(change, name)));
        }
    }
    line(&format!("approval     {}{decision}", text(change, "approval")));
    for (label, name) in [("proposal", "proposal_event_id"), ("good until", "approved_until")] {
        if !change[name].is_null() {
            line(&format!("{label:<12} {}", text(change, name)));
        }
    }
    line(&format!("approvals    {} of {}", text(change, "approvals"), text(change, "approvals_needed")));
    line(&format!("provisioning {}", text(change, "provisioning")));
    line(&format!("score        {} {}", text(change, "score"), text(change, "route")));
    if let Some(plan) = change["plan"].as_object() {
        let count = |name: &str| plan.get(name).and_then(Value::as_u64).unwrap_or_default();
        let [creates, updates, replaces, deletes] = ["creates", "updates", "replaces", "deletes"].map(count);
        let reading = text(&change["plan"], "reading");
        line(&format!(
            "plan         {creates} to create, {updates} to update, {replaces} to replace, {deletes} to delete ({reading})"
        ));
    }
    print_cost(change);
    for budget in budgets(change) {
        line(&budget);
    }
    print_compliance(change);
    print_factors(change);
    print_timeline(change);
}

/// The monthly cost, and the resources that are not in it.
fn print_cost(change: &Value) {
    let (delta, estimate) = (&change["cost_delta"], &change["estimate"]);
    if delta.is_null() {
        line("cost         not evaluated: the proposal has no plan that can be read");
        return;
    }
    line(&format!(
        "cost         {} {} a month ({} before, {} after), confidence {} of 100; priced: {} % before, {} % after",
        signed(&text(delta, "monthly")),
        text(delta, "currency"),
        text(estimate, "monthly_before"),
        text(estimate, "monthly_after"),
        text(delta, "confidence"),
        text(delta, "coverage_before_percent"),
        text(delta, "coverage_after_percent"),
    ));
    for resource in estimate["unpriced"].as_array().into_iter().flatten() {
        line(&format!("  no price   {}: {}", text(resource, "address"), text(resource, "reason")));
    }
}

/// The verdict of budgets, and the budgets that the change would go beyond.
fn budgets(change: &Value) -> Vec<String> {
    let verdict = match text(change, "budget").as_str() {
        "" => return Vec::new(),
        "deny" => "deny: a hard budget blocks it".to_owned(),
        word => word.to_owned(),
    };
    let beyond = change["budgets"].as_array().into_iter().flatten().map(|budget| {
        let [enforcement, name, reason] =
            ["enforcement", "budget", "reason"].map(|member| text(budget, member));
        format!("  {enforcement:<10} {name}: {reason}")
    });
    std::iter::once(format!("budget       {verdict}")).chain(beyond).collect()
}

/// Compliance by the policies, and with the waivers in force where that differs.
fn compliance(change: &Value) -> String {
    let [word, waived] =
        ["compliance", "compliance_with_waivers"].map(|name| text(change, name).replace('_', " "));
    if waived.is_empty() || waived == word { word } else { format!("{word} ({waived} with waivers)") }
}

/// The verdicts of policies in numbers, and those that are no pass.
fn print_compliance(change: &Value) {
    let word = compliance(change);
    let policies = &change["policies"];
    if policies.is_null() {
        line(&format!("compliance   {word}"));
        return;
    }
    let counts = &policies["counts"];
    line(&format!(
        "compliance   {word}: {} passed, {} failed, {} warned, {} not evaluated, {} errors; policy set {}",
        text(counts, "passed"),
        text(counts, "failed"),
        text(counts, "warned"),
        text(counts, "not_evaluated"),
        text(counts, "errors"),
        text(policies, "policy_set").chars().take(12).collect::<String>(),
    ));
    if counts["left_out"] != 0 {
        line(&format!(
            "  not judged {} policies and resources beyond the bound of one plan",
            counts["left_out"]
        ));
    }
    let verdicts = change["verdicts"].as_array().map(Vec::as_slice).unwrap_or_default();
    let total = change["verdicts_total"].as_u64().unwrap_or_default();
    let mut table = output::table(&["verdict", "severity", "resource", "policy", "reason", "change"]);
    for verdict in verdicts {
        let reasons = verdict["reasons"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let waived = verdict["waiver"].as_str().map(|waiver| format!(" (waived by {})", printable(waiver)));
        table.add_row([
            text(verdict, "verdict") + &waived.unwrap_or_default(),
            text(verdict, "severity"),
            text(verdict, "resource"),
            text(verdict, "policy_id"),
            reasons.map(printable).collect::<Vec<_>>().join("; "),
            text(verdict, "remediation"),
        ]);
    }
    if !verdicts.is_empty() {
        line(&table.trim_fmt());
    }
    let shown = u64::try_from(verdicts.len()).unwrap_or(u64::MAX);
    if total > shown {
        line(&format!("and {} more verdicts", total - shown));
    }
}

/// An amount with its sign.
fn signed(amount: &str) -> String {
    if amount.starts_with('-') { amount.to_owned() } else { format!("+{amount}") }
}

fn print_factors(change: &Value) {
    let factors = change["factors"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut table = output::table(&["points", "factor", "rule", "reason", "resources"]);
    for factor in factors {
        let resources = factor["resources"].as_array().into_iter().flatten().map(|r| text(r, "address"));
        table.add_row([
            text(factor, "points"),
            text(factor, "kind"),
            text(factor, "rule"),
            text(factor, "reason"),
            resources.collect::<Vec<_>>().join(", "),
        ]);
    }
    line("");
    output::print_table(&table, "no factors: nothing about the plan is dangerous");
}

fn print_timeline(change: &Value) {
    let mut table = output::table(&["time", "what", "who", "said", "approval", "provisioning", "impossible"]);
    for step in change["timeline"].as_array().into_iter().flatten() {
        let said = [text(step, "decision"), text(step, "reason")];
        table.add_row([
            text(step, "occurred_at"),
            text(step, "kind"),
            text(step, "actor"),
            said.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(": "),
            text(step, "approval"),
            text(step, "provisioning"),
            text(step, "impossible"),
        ]);
    }
    line("");
    output::print_table(&table, "nothing has happened to it");
}

/// A member as printable text; empty where there is none.
fn text(value: &Value, name: &str) -> String {
    match &value[name] {
        Value::String(text) => printable(text),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_that_blocks_is_told_with_its_reason() {
        let change = serde_json::json!({"budget": "deny", "budgets": [
            {"budget": "all", "enforcement": "hard", "reason": "81.12 USD beyond the hard budget all"},
            {"budget": "core", "enforcement": "soft", "reason": "beyond"},
        ]});
        assert_eq!(
            budgets(&change),
            [
                "budget       deny: a hard budget blocks it",
                "  hard       all: 81.12 USD beyond the hard budget all",
                "  soft       core: beyond",
            ]
        );
        assert_eq!(budgets(&serde_json::json!({"budget": "within", "budgets": []})), ["budget       within"]);
    }

    #[test]
    fn waivers_are_told_where_they_change_the_outcome() {
        let told = |without: &str, with: &str| {
            compliance(&serde_json::json!({"compliance": without, "compliance_with_waivers": with}))
        };
        assert_eq!(told("fail", "pass"), "fail (pass with waivers)");
        assert_eq!(told("not_evaluated", "not_evaluated"), "not evaluated");
    }

    #[test]
    fn ids_are_one_part_of_an_address() {
        assert_eq!(encoded("run-7Qe2_mX.b4~"), "run-7Qe2_mX.b4~");
        assert_eq!(encoded("a/b ä?#%"), "a%2Fb%20%C3%A4%3F%23%25");
        assert_eq!(encoded(".."), "%2E%2E");
    }
}

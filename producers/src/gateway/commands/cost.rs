//! Commands on budgets and on cost allocation rules.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    extract::{Path, State, rejection::PathRejection},
    response::Response,
};
use edge::api_error::ApiError;
use rust_decimal::Decimal;
use schemas::{
    changes::cost::{
        ALLOCATION_SUBJECT, AllocationRule, BudgetCost, BudgetPeriod, Enforcement, RECOMMENDATION_SUBJECT,
        RecommendationDecision, allocation_rules,
    },
    events::{Governance, GovernanceKind},
};
use utoipa::ToSchema;

use super::{
    Command, CommandAnswer, DecimalNumber, MAX_ID_BYTES, Name, Reason, Repeatable, in_path, named_in_path,
};
use crate::gateway::App;

/// Maximum number of thresholds of a budget.
const MAX_THRESHOLDS: usize = 20;

/// Whether the budget, or the rule set, is set or removed.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "describes a word")]
pub(super) enum BudgetAction {
    Set,
    Removed,
}

/// Percentage of the amount, 1 to 1000.
#[derive(Debug, ToSchema)]
#[schema(pattern = "^([1-9][0-9]{0,2}|1000)$")]
#[expect(dead_code, reason = "describes a text")]
pub(super) struct Percent(String);

/// Sets a budget.
#[derive(Debug, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(
    dead_code,
    reason = "describes the body, which is read member by member so that every fault is told"
)]
pub(super) struct SetBudget {
    /// `set`, or `removed`, which takes only a reason.
    action: BudgetAction,
    /// Amount, greater than zero.
    amount: Option<DecimalNumber>,
    /// Currency, ISO 4217. Charges in other currencies do not count.
    #[schema(pattern = "^[A-Z]{3}$")]
    currency: Option<String>,
    /// `monthly` (default), `quarterly` or `yearly`.
    period: Option<BudgetPeriod>,
    /// Counts costs whose tag `project` has this value, or whose sub account has this id.
    project: Option<Name>,
    /// Counts costs whose tag `team` has this value.
    team: Option<Name>,
    /// Counts costs with this tag, `key=value`.
    #[schema(min_length = 3, max_length = 512, pattern = "^[^=]+=")]
    tag: Option<String>,
    /// `billed` (default) or `effective`.
    cost: Option<BudgetCost>,
    /// `soft` (default) or `hard`.
    enforcement: Option<Enforcement>,
    /// Percentages of the amount that are reported when reached, 1 to 1000; default 50, 80, 90 and 100.
    #[schema(max_items = 20, value_type = Option<Vec<Percent>>)]
    thresholds: Option<Vec<String>>,
    /// Reason; at most 1,024 bytes.
    reason: Reason,
    /// The person who decides, if the credential acts for one; recorded beside it.
    on_behalf_of: Option<Name>,
}

/// Set or remove a budget.
#[utoipa::path(
    post,
    path = "/api/v1/cost/budgets/{name}",
    tag = "commands",
    security(("api_key" = ["commands:write"])),
    params(("name" = String, Path, description = "The budget's name; `/` is written `%2F`", min_length = 1, max_length = 512, pattern = r"^[^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f][^\x00-\x1f\x7f]*$"),
        Repeatable),
    request_body = SetBudget,
    responses(CommandAnswer)
)]
pub(super) async fn set_budget(
    State(app): State<Arc<App>>,
    name: Result<Path<String>, PathRejection>,
    mut command: Command,
) -> Result<Response, ApiError> {
    let name = in_path(name)?;
    if name.trim().is_empty() || name.len() > MAX_ID_BYTES {
        command.form.fault("{name}", format!("must be a name of 1 to {MAX_ID_BYTES} bytes"));
    }
    let removed = command.form.one_of("action", &["set", "removed"]) == "removed";
    let (decision, attributes) = if removed {
        ("removed".to_owned(), BTreeMap::new())
    } else {
        (amount(&mut command), terms(&mut command))
    };
    let set = Governance {
        kind: GovernanceKind::BudgetSet,
        subject_kind: "budget".into(),
        subject_id: name,
        actor: command.actor(),
        decision: Some(decision),
        reason: Some(command.required_reason()),
        expires_at: None,
        attributes,
    };
    command.publish(&app, set).await
}

fn amount(command: &mut Command) -> String {
    let amount = command.form.decimal("amount");
    if amount.is_none_or(|amount| amount <= Decimal::ZERO) {
        command.form.fault("/amount", "must be a decimal number above zero");
    }
    amount.unwrap_or_default().to_string()
}

fn terms(command: &mut Command) -> BTreeMap<String, String> {
    let mut terms = BTreeMap::new();
    let currency = command.form.required_text("currency", 3);
    if currency.len() != 3 || !currency.bytes().all(|byte| byte.is_ascii_uppercase()) {
        command.form.fault("/currency", "must be three capital letters (ISO 4217)");
    }
    terms.insert("currency".to_owned(), currency);
    let names = |name: &str| -> Vec<&'static str> {
        match name {
            "period" => BudgetPeriod::ALL.iter().map(|word| word.name()).collect(),
            "cost" => BudgetCost::ALL.iter().map(|word| word.name()).collect(),
            _ => Enforcement::ALL.iter().map(|word| word.name()).collect(),
        }
    };
    for name in ["period", "cost", "enforcement"] {
        let Some(word) = command.form.text(name, MAX_ID_BYTES) else { continue };
        let words = names(name);
        if !words.contains(&word.as_str()) {
            command.form.fault(&format!("/{name}"), format!("must be one of {}", words.join(", ")));
        }
        terms.insert(name.to_owned(), word);
    }
    let mut scopes = 0;
    for name in ["project", "team", "tag"] {
        let Some(value) = command.form.text(name, MAX_ID_BYTES) else { continue };
        scopes += 1;
        if name == "tag" && value.split_once('=').is_none_or(|(key, _)| key.is_empty()) {
            command.form.fault("/tag", "must be key=value");
        }
        terms.insert(name.to_owned(), value);
    }
    if scopes > 1 {
        command.form.fault("/project", "a budget is for a project, a team or a tag, and not for several");
    }
    let thresholds = command.form.texts("thresholds", MAX_THRESHOLDS, 4);
    if thresholds.iter().any(|text| !text.parse().is_ok_and(|percent: u16| (1..=1_000).contains(&percent))) {
        command.form.fault("/thresholds", "must be percents from 1 to 1000, as texts");
    }
    if !thresholds.is_empty() {
        terms.insert("thresholds".to_owned(), thresholds.join(","));
    }
    terms
}

/// Sets the allocation rules.
#[derive(Debug, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(
    dead_code,
    reason = "describes the body, which is read member by member so that every fault is told"
)]
pub(super) struct SetAllocation {
    /// `set`, or `removed`, which takes only a reason.
    action: BudgetAction,
    /// The rules; the first matching rule applies. At most 100, and 16 KiB as JSON.
    #[schema(max_items = 100)]
    rules: Option<Vec<AllocationRule>>,
    /// Reason; at most 1,024 bytes.
    reason: Reason,
    /// The person who decides, if the credential acts for one; recorded beside it.
    on_behalf_of: Option<Name>,
}

/// Set or remove the rules that assign costs to teams. They apply to all of history; the query API previews
/// their effect (`GET /api/v1/cost/allocation?rules=`).
#[utoipa::path(
    post,
    path = "/api/v1/cost/allocation",
    tag = "commands",
    security(("api_key" = ["commands:write"])),
    params(Repeatable),
    request_body = SetAllocation,
    responses(CommandAnswer)
)]
pub(super) async fn set_allocation(
    State(app): State<Arc<App>>,
    mut command: Command,
) -> Result<Response, ApiError> {
    let removed = command.form.one_of("action", &["set", "removed"]) == "removed";
    let mut attributes = BTreeMap::new();
    if !removed {
        match command.form.json("rules") {
            None => command.form.fault("/rules", "is missing"),
            Some(text) => match allocation_rules(&text) {
                Err(fault) => command.form.fault("/rules", fault),
                Ok(rules) => {
                    attributes.insert("rules".to_owned(), serde_json::json!(rules).to_string());
                }
            },
        }
    }
    let set = Governance {
        kind: GovernanceKind::BudgetSet,
        subject_kind: ALLOCATION_SUBJECT.into(),
        subject_id: "allocation".into(),
        actor: command.actor(),
        decision: Some(if removed { "removed" } else { "set" }.to_owned()),
        reason: Some(command.required_reason()),
        expires_at: None,
        attributes,
    };
    command.publish(&app, set).await
}

/// Decides about a recommendation.
#[derive(Debug, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(
    dead_code,
    reason = "describes the body, which is read member by member so that every fault is told"
)]
pub(super) struct DecideRecommendation {
    /// `accepted`, `dismissed` or `reopened`.
    decision: RecommendationDecision,
    /// Reason; at most 1,024 bytes.
    reason: Reason,
    /// The person who decides, where the credential speaks for one; recorded beside it.
    on_behalf_of: Option<Name>,
}

/// Accept a recommendation of `GET /api/v1/cost/recommendations`, dismiss it, or open it again. Of an accepted one the saving is
/// looked for in the charges from then on.
#[utoipa::path(
    post,
    path = "/api/v1/cost/recommendations/{id}/decisions",
    tag = "commands",
    security(("api_key" = ["commands:write"])),
    params(("id" = String, Path, description = "The recommendation's id; `/` is written `%2F`", min_length = 1, max_length = 512, pattern = r"^[^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f][^\x00-\x1f\x7f]*$"),
        Repeatable),
    request_body = DecideRecommendation,
    responses(CommandAnswer)
)]
pub(super) async fn decide_recommendation(
    State(app): State<Arc<App>>,
    id: Result<Path<String>, PathRejection>,
    mut command: Command,
) -> Result<Response, ApiError> {
    let id = named_in_path(id, "{id}", &mut command)?;
    let words: Vec<&'static str> = RecommendationDecision::ALL.iter().map(|word| word.name()).collect();
    let decision = command.form.one_of("decision", &words);
    let decided = Governance {
        kind: GovernanceKind::FindingTriaged,
        subject_kind: RECOMMENDATION_SUBJECT.into(),
        subject_id: id,
        actor: command.actor(),
        decision: Some(decision.to_owned()),
        reason: Some(command.required_reason()),
        expires_at: None,
        attributes: BTreeMap::new(),
    };
    command.publish(&app, decided).await
}

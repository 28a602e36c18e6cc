//! Commands on risk: criticality of entities, watchlists, triage of incidents.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    extract::{Path, State, rejection::PathRejection},
    response::Response,
};
use chrono::{DateTime, Utc};
use edge::api_error::ApiError;
use rust_decimal::Decimal;
use schemas::{
    changes::risk::{Entity, EntityKind, MAX_RULE_ID_BYTES, TriageDecision},
    events::{Governance, GovernanceKind},
};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Command, CommandAnswer, DecimalNumber, MAX_ID_BYTES, Name, Reason, Repeatable, in_path};
use crate::gateway::App;

/// Maximum length of the name of a watchlist, in bytes.
const MAX_NAME_BYTES: usize = 128;
/// Maximum number of rules in one triage.
const MAX_RULES: usize = 300;

/// Criticality of an entity.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "describes a word")]
pub(super) enum Criticality {
    Low,
    Medium,
    High,
    Extreme,
}

/// Whether an entity is added to a watchlist or removed.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "describes a word")]
pub(super) enum WatchlistAction {
    Added,
    Removed,
}

/// Id of a rule.
#[derive(Debug, ToSchema)]
#[schema(
    min_length = 1,
    max_length = 200,
    pattern = r"^[^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f][^\x00-\x1f\x7f]*$"
)]
#[expect(dead_code, reason = "describes a text")]
pub(super) struct RuleId(String);

/// Sets an entity's criticality, which multiplies its hazard.
#[derive(Debug, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(
    dead_code,
    reason = "describes the body, which is read member by member so that every fault is told"
)]
pub(super) struct SetCriticality {
    /// The criticality.
    criticality: Criticality,
    /// Reason; at most 1,024 bytes.
    reason: Reason,
    /// The person who decides, if the credential acts for one; recorded beside it.
    on_behalf_of: Option<Name>,
}

/// Adds an entity to a watchlist or removes it.
#[derive(Debug, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(
    dead_code,
    reason = "describes the body, which is read member by member so that every fault is told"
)]
pub(super) struct ChangeWatchlist {
    /// Name of the watchlist.
    #[schema(min_length = 1, max_length = 128, pattern = r"\S")]
    watchlist: String,
    /// `added` or `removed`.
    action: WatchlistAction,
    /// Factor that multiplies hazard, 0.1 to 10 with at most three digits after the point; required with
    /// `added`, not allowed otherwise.
    multiplier: Option<DecimalNumber>,
    /// Reason; at most 1,024 bytes.
    reason: Reason,
    /// Time at which the entry expires.
    expires_at: Option<DateTime<Utc>>,
    /// The person who decides, if the credential acts for one; recorded beside it.
    on_behalf_of: Option<Name>,
}

/// Triages an incident.
#[derive(Debug, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(
    dead_code,
    reason = "describes the body, which is read member by member so that every fault is told"
)]
pub(super) struct TriageIncident {
    /// Decision on the incident.
    decision: TriageDecision,
    /// Reason; at most 1,024 bytes. Required with `closed` and `false_positive`.
    reason: Option<Reason>,
    /// The entity of the incident, as the incident names it.
    entity: EntityName,
    /// Ids of the rules that were wrong, required with `false_positive`: their hazard no longer counts.
    #[schema(max_items = 300, value_type = Option<Vec<RuleId>>)]
    rules: Option<Vec<String>>,
    /// The person who decides, if the credential acts for one; recorded beside it.
    on_behalf_of: Option<Name>,
}

/// An entity, by kind and id.
#[derive(Debug, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(
    dead_code,
    reason = "describes the body, which is read member by member so that every fault is told"
)]
pub(super) struct EntityName {
    /// Kind of the entity.
    kind: EntityKind,
    /// Id of the entity.
    id: Name,
}

/// Set an entity's criticality.
#[utoipa::path(
    post,
    path = "/api/v1/risk/entities/{kind}/{id}/criticality",
    tag = "commands",
    security(("api_key" = ["risk:decide"]), ("api_key" = ["commands:write"])),
    params(("kind" = EntityKind, Path, description = "The entity's kind"),
        ("id" = String, Path, description = "Its id; `/` is written `%2F`", min_length = 1, max_length = 512, pattern = r"^[^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f][^\x00-\x1f\x7f]*$"),
        Repeatable),
    request_body = SetCriticality,
    responses(CommandAnswer)
)]
pub(super) async fn set_criticality(
    State(app): State<Arc<App>>,
    entity: Result<Path<(String, String)>, PathRejection>,
    mut command: Command,
) -> Result<Response, ApiError> {
    let (subject_kind, subject_id) = subject(entity, &mut command)?;
    let levels = ["low", "medium", "high", "extreme"];
    let set = Governance {
        kind: GovernanceKind::CriticalitySet,
        subject_kind,
        subject_id,
        actor: command.actor(),
        decision: Some(command.form.one_of("criticality", &levels).into()),
        reason: Some(command.required_reason()),
        expires_at: None,
        attributes: BTreeMap::new(),
    };
    command.publish(&app, set).await
}

/// Add an entity to a watchlist, or remove it.
#[utoipa::path(
    post,
    path = "/api/v1/risk/entities/{kind}/{id}/watchlists",
    tag = "commands",
    security(("api_key" = ["risk:decide"]), ("api_key" = ["commands:write"])),
    params(("kind" = EntityKind, Path, description = "The entity's kind"),
        ("id" = String, Path, description = "Its id; `/` is written `%2F`", min_length = 1, max_length = 512, pattern = r"^[^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f][^\x00-\x1f\x7f]*$"),
        Repeatable),
    request_body = ChangeWatchlist,
    responses(CommandAnswer)
)]
pub(super) async fn change_watchlist(
    State(app): State<Arc<App>>,
    entity: Result<Path<(String, String)>, PathRejection>,
    mut command: Command,
) -> Result<Response, ApiError> {
    let (subject_kind, subject_id) = subject(entity, &mut command)?;
    let action = command.form.one_of("action", &["added", "removed"]);
    let name = command.form.required_text("watchlist", MAX_NAME_BYTES);
    let mut attributes = BTreeMap::from([("watchlist".to_owned(), name.trim().to_owned())]);
    attributes.extend(multiplier(&mut command, action).map(|factor| ("multiplier".to_owned(), factor)));
    let changed = Governance {
        kind: GovernanceKind::WatchlistChanged,
        subject_kind,
        subject_id,
        actor: command.actor(),
        decision: Some(action.into()),
        reason: Some(command.required_reason()),
        expires_at: command.expires_at(),
        attributes,
    };
    command.publish(&app, changed).await
}

/// Triage an incident.
///
/// The event carries the entity and the rules, because its consequences are computed without lookups.
#[utoipa::path(
    post,
    path = "/api/v1/risk/incidents/{id}/triage",
    operation_id = "triage_incident",
    tag = "commands",
    security(("api_key" = ["risk:decide"]), ("api_key" = ["commands:write"])),
    params(("id" = Uuid, Path, description = "The incident's id"),
        Repeatable),
    request_body = TriageIncident,
    responses(CommandAnswer)
)]
pub(super) async fn triage(
    State(app): State<Arc<App>>,
    incident: Result<Path<String>, PathRejection>,
    mut command: Command,
) -> Result<Response, ApiError> {
    let incident = in_path(incident)?;
    let incident = Uuid::try_parse(&incident).ok().map(|id| id.to_string());
    if incident.is_none() {
        command.form.fault("{id}", "must be an incident's id, a UUID");
    }
    let decision = command.form.one_of("decision", &TriageDecision::ALL.map(TriageDecision::name));
    let decision = TriageDecision::from_name(decision).unwrap_or(TriageDecision::Open);
    let [kind, id] = command.form.object("entity", ["kind", "id"], MAX_ID_BYTES);
    let (entity_kind, entity) = checked_entity(&mut command, ["/entity/kind", "/entity/id"], (&kind, &id));
    let mut attributes =
        BTreeMap::from([("entity_kind".to_owned(), entity_kind), ("entity".to_owned(), entity)]);
    attributes.extend(rules(&mut command, decision).map(|rules| ("rules".to_owned(), rules)));
    let ends_it = matches!(decision, TriageDecision::Closed | TriageDecision::FalsePositive);
    let triaged = Governance {
        kind: GovernanceKind::FindingTriaged,
        subject_kind: "incident".into(),
        subject_id: incident.unwrap_or_default(),
        actor: command.actor(),
        decision: Some(decision.name().into()),
        reason: if ends_it { Some(command.required_reason()) } else { command.reason() },
        expires_at: None,
        attributes,
    };
    command.publish(&app, triaged).await
}

fn subject(
    path: Result<Path<(String, String)>, PathRejection>,
    command: &mut Command,
) -> Result<(String, String), ApiError> {
    let (kind, id) = in_path(path)?;
    Ok(checked_entity(command, ["{kind}", "{id}"], (&kind, &id)))
}

/// Kind and id as the read models write them. Faults that are already recorded are not repeated.
fn checked_entity(command: &mut Command, at: [&str; 2], (kind, id): (&str, &str)) -> (String, String) {
    let nothing = (String::new(), String::new());
    let Some(known) = EntityKind::from_name(kind) else {
        if !kind.is_empty() {
            command
                .form
                .fault(at[0], format!("must be one of {}", EntityKind::ALL.map(EntityKind::name).join(", ")));
        }
        return nothing;
    };
    let entity = Some(id).filter(|id| id.len() <= MAX_ID_BYTES).and_then(|id| Entity::new(known, id));
    match entity {
        Some(entity) => (known.name().to_owned(), entity.id().to_owned()),
        None if id.is_empty() => nothing,
        None => {
            let rule = format!("must name a {} in at most {MAX_ID_BYTES} bytes", known.name());
            command.form.fault(at[1], rule);
            nothing
        }
    }
}

/// The factor as decimal text; `None` if absent or faulty.
fn multiplier(command: &mut Command, action: &str) -> Option<String> {
    let rule = "must be 0.1 to 10, with at most three digits after the point";
    match (action, command.form.decimal("multiplier")) {
        ("added", Some(factor)) => {
            let factor = factor.normalize();
            let good = (Decimal::new(1, 1)..=Decimal::TEN).contains(&factor) && factor.scale() <= 3;
            if !good {
                command.form.fault("/multiplier", rule);
            }
            Some(factor.to_string())
        }
        ("added", None) => {
            command.form.fault("/multiplier", rule);
            None
        }
        (_, Some(_)) => {
            command.form.fault("/multiplier", "is not known with removed");
            None
        }
        (_, None) => None,
    }
}

/// Ids of the rules: separated by commas, or a JSON list if one could be taken for several or for a list.
fn rules(command: &mut Command, decision: TriageDecision) -> Option<String> {
    let mut rules = command.form.texts("rules", MAX_RULES, MAX_RULE_ID_BYTES);
    for (index, rule) in rules.iter_mut().enumerate() {
        *rule = rule.trim().to_owned();
        if rule.contains(char::is_control) {
            command.form.fault(&format!("/rules/{index}"), "must be the id of a rule, in one line");
        }
    }
    if rules.is_empty() && decision == TriageDecision::FalsePositive {
        command.form.fault("/rules", "must name the rules that were wrong");
    }
    let is_plain = |rule: &String| !rule.contains(',') && !rule.starts_with('[');
    let text =
        if rules.iter().all(is_plain) { rules.join(",") } else { serde_json::json!(rules).to_string() };
    (!rules.is_empty()).then_some(text)
}

//! Commands on saved searches of the audit log.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    extract::{Path, State, rejection::PathRejection},
    response::Response,
};
use chrono::SecondsFormat;
use edge::api_error::ApiError;
use schemas::{
    changes::retention::{MAX_SEARCH_FILTER_BYTES, MAX_SEARCH_NAME_BYTES},
    events::{Governance, GovernanceKind},
};
use utoipa::ToSchema;

use super::{Command, CommandAnswer, Name, Reason, Repeatable, form::Form, in_path};
use crate::gateway::App;

/// `subject_kind` of events about saved searches.
const SUBJECT_KIND: &str = "saved_search";
/// Filters that are a text.
const TEXTS: [&str; 9] =
    ["actor", "action", "resource", "project", "address", "source", "kind", "correlation", "text"];

/// Saves a search of the audit log.
#[derive(Debug, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(
    dead_code,
    reason = "describes the body, which is read member by member so that every fault is told"
)]
pub(super) struct SaveSearch {
    /// The filter, by parameter of `GET /api/v1/audit`; without one, the search finds every entry.
    filter: Option<SearchFilter>,
    /// Reason; at most 1,024 bytes.
    reason: Option<Reason>,
    /// The person who decides, if the credential acts for one; recorded beside it.
    on_behalf_of: Option<Name>,
}

/// A value that is searched for, of at most 1,024 bytes.
#[derive(Debug, ToSchema)]
#[schema(min_length = 1, max_length = 1024, pattern = r"\S")]
#[expect(dead_code, reason = "describes a text")]
pub(in crate::gateway) struct Term(String);

/// A filter on audit entries.
#[derive(Debug, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(
    dead_code,
    reason = "describes the body, which is read member by member so that every fault is told"
)]
pub(in crate::gateway) struct SearchFilter {
    /// Id or name of who acted, whole.
    actor: Option<Term>,
    /// The action in the source's words, whole.
    action: Option<Term>,
    /// Id of one of the resources, whole.
    resource: Option<Term>,
    /// Project of the first resource or of the delivery, whole.
    project: Option<Term>,
    /// The actor's address, as the source wrote it, whole.
    address: Option<Term>,
    /// CloudEvents `source`, whole.
    source: Option<Term>,
    /// The event's kind, for example `SignedIn`.
    kind: Option<Term>,
    /// Correlation id, whole.
    correlation: Option<Term>,
    /// Found anywhere in the columns that are searched.
    text: Option<Term>,
    /// Outcome of the event.
    outcome: Option<SearchOutcome>,
    /// Earliest instant (RFC 3339).
    #[schema(value_type = Option<String>, format = DateTime)]
    from: Option<String>,
    /// First instant that is too late (RFC 3339).
    #[schema(value_type = Option<String>, format = DateTime)]
    to: Option<String>,
}

/// Outcome of an event.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "describes a text")]
pub(in crate::gateway) enum SearchOutcome {
    Success,
    Failure,
    Unknown,
}

/// Save a search of the audit log under a name.
///
/// A search that is saved under the name already is replaced.
#[utoipa::path(
    put,
    path = "/api/v1/audit/searches/{name}",
    operation_id = "save_search",
    tag = "commands",
    security(("api_key" = ["searches:save"]), ("api_key" = ["commands:write"])),
    params(("name" = String, Path, description = "The search's name; `/` is written `%2F`", min_length = 1, max_length = 128, pattern = r"^[^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f][^\x00-\x1f\x7f]*$"),
        Repeatable),
    request_body = Option<SaveSearch>,
    responses(CommandAnswer)
)]
pub(super) async fn save(
    State(app): State<Arc<App>>,
    name: Result<Path<String>, PathRejection>,
    mut command: Command,
) -> Result<Response, ApiError> {
    let saved = Governance {
        kind: GovernanceKind::SearchSaved,
        subject_kind: SUBJECT_KIND.into(),
        subject_id: search_name(name, &mut command)?,
        actor: command.actor(),
        decision: Some("saved".into()),
        reason: command.reason(),
        expires_at: None,
        attributes: command.form.inside("filter", filter),
    };
    command.publish(&app, saved).await
}

/// Remove a saved search.
#[utoipa::path(
    delete,
    path = "/api/v1/audit/searches/{name}",
    operation_id = "remove_search",
    tag = "commands",
    security(("api_key" = ["searches:save"]), ("api_key" = ["commands:write"])),
    params(("name" = String, Path, description = "The search's name; `/` is written `%2F`", min_length = 1, max_length = 128, pattern = r"^[^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f][^\x00-\x1f\x7f]*$"),
        Repeatable),
    responses(CommandAnswer)
)]
pub(super) async fn remove(
    State(app): State<Arc<App>>,
    name: Result<Path<String>, PathRejection>,
    mut command: Command,
) -> Result<Response, ApiError> {
    let removed = Governance {
        kind: GovernanceKind::SearchRemoved,
        subject_kind: SUBJECT_KIND.into(),
        subject_id: search_name(name, &mut command)?,
        actor: command.actor(),
        decision: Some("removed".into()),
        reason: command.reason(),
        expires_at: None,
        attributes: BTreeMap::new(),
    };
    command.publish(&app, removed).await
}

fn search_name(name: Result<Path<String>, PathRejection>, command: &mut Command) -> Result<String, ApiError> {
    let name = in_path(name)?;
    if name.trim().is_empty() || name.len() > MAX_SEARCH_NAME_BYTES || name.contains(char::is_control) {
        let rule =
            format!("must be 1 to {MAX_SEARCH_NAME_BYTES} bytes without control characters, and not blank");
        command.form.fault("{name}", rule);
    }
    Ok(name)
}

/// The filter's values, as the query API takes them.
fn filter(form: &mut Form) -> BTreeMap<String, String> {
    let mut filter = BTreeMap::new();
    for name in TEXTS {
        filter.extend(form.text(name, MAX_SEARCH_FILTER_BYTES).map(|value| (name.to_owned(), value)));
    }
    if form.has("outcome") {
        let outcome = form.one_of("outcome", &["success", "failure", "unknown"]);
        filter.insert("outcome".to_owned(), outcome.to_owned());
    }
    let (from, to) = (form.instant("from"), form.instant("to"));
    if from.zip(to).is_some_and(|(from, to)| from > to) {
        form.fault("/from", "must not lie after to");
    }
    for (name, instant) in [("from", from), ("to", to)] {
        let text = instant.map(|instant| instant.to_rfc3339_opts(SecondsFormat::AutoSi, true));
        filter.extend(text.map(|text| (name.to_owned(), text)));
    }
    filter
}

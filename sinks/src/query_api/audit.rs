//! `GET /api/v1/audit` and `GET /api/v1/audit/{id}`.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{Path, State, rejection::PathRejection},
};
use http::Uri;
use schemas::{access::Principal, events::OutcomeStatus, problem::Problem};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    Api,
    answer::{Refusal, nothing_here},
    cursor::Binding,
    freshness::{await_positions, parse_positions},
    paging::Paging,
    parameters::Parameters,
    uncancelled,
};
use crate::read_models::{
    Positions,
    audit_entry::read::{self, AuditFilter, AuditItem, Detail, PageRequest},
};

const ROUTE: &str = "/api/v1/audit";

/// A page of the audit log.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct AuditPage {
    /// Newest first.
    pub items: Vec<AuditItem>,
    /// Give it as `cursor`, with the same filter, for the next page; absent on the last one.
    pub next_cursor: Option<String>,
    /// Topic, then partition, to the next offset to apply: the page reflects every record before it, none after.
    pub position: Positions,
}

/// One entry of the audit log with its record.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct AuditAnswer {
    /// The entry; `record` is the whole OCSF record.
    pub item: AuditItem,
    /// Topic, then partition, to the next offset to apply: the answer reflects every record before it, none after.
    pub position: Positions,
}

/// The tenant's audit entries, newest first.
#[utoipa::path(
    get,
    path = "/api/v1/audit",
    tag = "audit",
    params(
        ("actor" = Option<String>, Query, description = "Id or name of who acted, whole"),
        ("action" = Option<String>, Query, description = "The action in the source's words, whole"),
        ("resource" = Option<String>, Query, description = "Id of the first resource, whole"),
        ("project" = Option<String>, Query, description = "Project, whole"),
        ("outcome" = Option<String>, Query, description = "success, failure or unknown"),
        ("source" = Option<String>, Query, description = "CloudEvents source, whole"),
        ("kind" = Option<String>, Query, description = "Kind of event, for example SignedIn"),
        ("correlation" = Option<String>, Query, description = "Correlation id, whole"),
        ("from" = Option<String>, Query, description = "Earliest instant (RFC 3339)"),
        ("to" = Option<String>, Query, description = "First instant that is too late (RFC 3339)"),
        ("text" = Option<String>, Query, description = "Found anywhere in actor, action, resource, project, \
            source or outcome code; case is ignored, no character is special"),
        ("include" = Option<String>, Query, description = "record: each entry with its whole OCSF record"),
        ("cursor" = Option<String>, Query, description = "next_cursor of the page before"),
        ("limit" = Option<u16>, Query, description = "1 to 1000, 50 by default; a page of records ends early \
            after 8 MiB"),
        ("min_position" = Option<String>, Query, description = "<topic>/<partition>:<position>, several separated \
            by commas: wait up to 2 s until the answer reflects them. For a record just published it is its \
            offset + 1"),
    ),
    responses(
        (status = 200, body = AuditPage),
        (status = 400, body = Problem, description = "invalid-query, invalid-cursor"),
        (status = 401, body = Problem),
        (status = 403, body = Problem),
        (status = 503, body = Problem, description = "query-too-slow, position-not-reached, overloaded, \
            database-unavailable, keys-unavailable"),
    ),
    security(("api_key" = ["audit:read"]))
)]
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Arc<Principal>>,
    uri: Uri,
) -> Result<Json<AuditPage>, Refusal> {
    let (mut request, paging) = parse(&uri)?;
    let binding = Binding::of(ROUTE, &caller.tenant, &request.filter);
    request.after = paging.begin(&api, read::STAGE, &binding).await?;
    let (pool, tenant) = (api.pool.clone(), caller.tenant.clone());
    let page = uncancelled(async move { read::page(&pool, &tenant, &request).await }).await?;
    let next_cursor = page.next.map(|end| api.cursor_key.seal(&binding, &end));
    Ok(Json(AuditPage { items: page.items, next_cursor, position: page.positions }))
}

/// One of the tenant's audit entries, with its whole OCSF record.
#[utoipa::path(
    get,
    path = "/api/v1/audit/{id}",
    tag = "audit",
    params(
        ("id" = Uuid, Path, description = "The event's id"),
        ("min_position" = Option<String>, Query, description = "As for the list"),
    ),
    responses(
        (status = 200, body = AuditAnswer),
        (status = 400, body = Problem, description = "invalid-query"),
        (status = 401, body = Problem),
        (status = 403, body = Problem),
        (status = 404, body = Problem, description = "Unknown, or another tenant's: the same bytes"),
        (status = 503, body = Problem),
    ),
    security(("api_key" = ["audit:read"]))
)]
pub(super) async fn one(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Arc<Principal>>,
    id: Result<Path<String>, PathRejection>,
    uri: Uri,
) -> Result<Json<AuditAnswer>, Refusal> {
    let mut parameters = Parameters::of(&uri);
    let wanted = parse_positions(&mut parameters);
    parameters.finish()?;
    let event_id = id.ok().and_then(|Path(id)| Uuid::try_parse(&id).ok()).ok_or_else(nothing_here)?;
    await_positions(&api, read::STAGE, &wanted).await?;
    let pool = api.pool.clone();
    let (item, position) =
        uncancelled(async move { read::by_id(&pool, &caller.tenant, event_id).await }).await?;
    let item = item.ok_or_else(nothing_here)?;
    Ok(Json(AuditAnswer { item, position }))
}

/// The question, and which page of its answer.
fn parse(uri: &Uri) -> Result<(PageRequest, Paging), Refusal> {
    let mut given = Parameters::of(uri);
    let (from, to) = given.range();
    let filter = AuditFilter {
        actor: given.text("actor"),
        action: given.text("action"),
        resource: given.text("resource"),
        project: given.text("project"),
        outcome: given.parsed("outcome", "success, failure or unknown", outcome),
        source: given.text("source"),
        kind: given.text("kind"),
        correlation: given.text("correlation"),
        from,
        to,
        text: given.text("text"),
    };
    let detail = given.parsed("include", "record", |text| (text == "record").then_some(Detail::Record));
    let paging = Paging::of(&mut given);
    given.finish()?;
    let request =
        PageRequest { filter, after: None, limit: paging.limit, detail: detail.unwrap_or_default() };
    Ok((request, paging))
}

fn outcome(name: &str) -> Option<OutcomeStatus> {
    [OutcomeStatus::Success, OutcomeStatus::Failure, OutcomeStatus::Unknown]
        .into_iter()
        .find(|outcome| outcome.name() == name)
}

#[cfg(test)]
mod tests {
    use schemas::TenantId;

    use super::*;
    use crate::query_api::paging::{DEFAULT_LIMIT, MAX_LIMIT};

    fn parsed(query: &str) -> Result<PageRequest, Vec<String>> {
        let uri: Uri = format!("/api/v1/audit?{query}").parse().expect("an address");
        parse(&uri)
            .map(|(request, ..)| request)
            .map_err(|Refusal(problem)| problem.errors.into_iter().map(|fault| fault.at).collect())
    }

    fn check_refused(query: &str, faulty: &[&str]) {
        assert_eq!(parsed(query).expect_err(query), faulty, "{query}");
    }

    #[test]
    fn every_filter_arrives() {
        let request = parsed(
            "actor=a&action=b&resource=c&project=d&outcome=failure&source=e&kind=f&correlation=g&text=h\
             &from=2026-01-01T00:00:00%2B01:00&to=2026-02-01T00:00:00Z&limit=7&include=record",
        )
        .expect("valid");
        let text = |text: &str| Some(text.to_owned());
        let at = |text: &str| Some(text.parse().expect("an instant"));
        let expected = AuditFilter {
            actor: text("a"),
            action: text("b"),
            resource: text("c"),
            project: text("d"),
            outcome: Some(OutcomeStatus::Failure),
            source: text("e"),
            kind: text("f"),
            correlation: text("g"),
            from: at("2025-12-31T23:00:00Z"),
            to: at("2026-02-01T00:00:00Z"),
            text: text("h"),
        };
        assert_eq!(request.filter, expected);
        assert_eq!((request.limit, request.detail), (7, Detail::Record));
    }

    #[test]
    fn what_is_out_of_range_is_refused_by_name() {
        for limit in ["-1", "0", "1001", "1000000000", "x", "1.5"] {
            check_refused(&format!("limit={limit}"), &["limit"]);
        }
        check_refused("sort=pg_sleep(5)", &["sort"]);
        check_refused("from=2026-02-01T00:00:00Z&to=2026-01-01T00:00:00Z", &["from"]);
        check_refused("outcome=maybe&include=all", &["outcome", "include"]);
        check_refused("min_position=weir.activity.v1", &["min_position"]);
        assert_eq!(parsed("").expect("valid").limit, DEFAULT_LIMIT);
    }

    proptest::proptest! {
        #[test]
        fn any_query_is_taken_or_refused_by_name(
            pairs in proptest::collection::vec((0_usize..PARAMETERS.len(), ".{0,40}"), 0..6),
        ) {
            let encode = |text: &str| text.bytes().fold(String::new(), |all, byte| all + &format!("%{byte:02X}"));
            let query: Vec<_> = pairs.iter().map(|(n, text)| format!("{}={}", PARAMETERS[*n], encode(text))).collect();
            match parsed(&query.join("&")) {
                Ok(request) => proptest::prop_assert!((1..=MAX_LIMIT).contains(&request.limit)),
                Err(faulty) => proptest::prop_assert!(faulty.iter().all(|name| PARAMETERS.contains(&name.as_str()))),
            }
        }
    }

    const PARAMETERS: [&str; 16] = [
        "actor",
        "action",
        "resource",
        "project",
        "outcome",
        "source",
        "kind",
        "correlation",
        "from",
        "to",
        "text",
        "include",
        "cursor",
        "limit",
        "min_position",
        "sort",
    ];

    #[test]
    fn another_filter_is_another_question() {
        let tenant = TenantId::new("acme").expect("valid");
        let question =
            |query: &str| Binding::of(ROUTE, &tenant, &parsed(query).expect("valid").filter).question;
        assert_eq!(question("actor=a&limit=3"), question("limit=9&actor=a"));
        assert_ne!(question("actor=a"), question("action=a"));
        assert_ne!(question("actor=a"), question("actor=a&outcome=success"));
    }
}

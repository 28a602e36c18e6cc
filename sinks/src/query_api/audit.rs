//! `GET /api/v1/audit` and `GET /api/v1/audit/{id}`.

use std::sync::Arc;

use axum::{
    Extension,
    extract::{Path, State, rejection::PathRejection},
};
use edge::api_error::ApiError;
use http::Uri;
use schemas::access::Principal;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{
    Api,
    body::Answer,
    described::ItemRefusals,
    freshness::Freshness,
    paging::{Asked, Found, List, Listed, Paging, check_range, found, listed},
    parameters::Parameters,
    searches::{Saved, resolved},
};
use crate::read_models::audit_entry::read::{self, AuditFilter, AuditItem, Detail, PageRequest};

const LIST: List = List { route: "/api/v1/audit", stage: Some(read::STAGE) };

/// A page of the audit log.
pub type AuditPage = Listed<AuditItem>;
/// One entry of the audit log with its record.
pub type AuditAnswer = Found<AuditItem>;

/// Amount of each entry to return.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(super) struct Extent {
    /// `record`: each entry with its whole OCSF record.
    #[param(inline)]
    pub(super) include: Option<Include>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Include {
    Record,
}

/// The tenant's audit entries, newest first.
#[utoipa::path(
    get,
    path = "/api/v1/audit",
    operation_id = "audit_entries",
    tag = "audit",
    params(AuditFilter, Saved, Extent, Paging, Freshness),
    responses((status = 200, body = Listed<AuditItem>), ItemRefusals),
    security(("api_key" = ["audit:read"]))
)]
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Arc<Principal>>,
    uri: Uri,
) -> Result<Answer<AuditPage>, ApiError> {
    let (asked, detail) = parse(resolved(&api, caller.tenant(), &uri).await?)?;
    listed(&api, caller.tenant(), LIST, asked, |pool, tenant, filter, at| async move {
        let request = PageRequest { filter, after: at.after, limit: at.limit, detail };
        read::page(&pool, &tenant, &request).await
    })
    .await
}

/// One of the tenant's audit entries, with its whole OCSF record.
#[utoipa::path(
    get,
    path = "/api/v1/audit/{id}",
    operation_id = "audit_entry",
    tag = "audit",
    params(("id" = Uuid, Path, description = "The event's id"), Freshness),
    responses((status = 200, body = Found<AuditItem>), ItemRefusals),
    security(("api_key" = ["audit:read"]))
)]
pub(super) async fn one(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Arc<Principal>>,
    id: Result<Path<Uuid>, PathRejection>,
    uri: Uri,
) -> Result<Answer<AuditAnswer>, ApiError> {
    let freshness = Parameters::only(&uri)?;
    let Path(event_id) = id.map_err(|_| ApiError::not_found())?;
    found(&api, caller.tenant(), read::STAGE, &freshness, |pool, tenant| async move {
        read::by_id(&pool, &tenant, event_id).await
    })
    .await
}

/// The filter, and the amount of each entry to return.
fn parse(mut given: Parameters) -> Result<(Asked<AuditFilter>, Detail), ApiError> {
    let filter = given.take::<AuditFilter>();
    check_range(filter.from, filter.to, &mut given);
    let whole = given.take::<Extent>().include == Some(Include::Record);
    let detail = if whole { Detail::Record } else { Detail::Columns };
    Ok((Asked::with(filter, given)?, detail))
}

#[cfg(test)]
mod tests {
    use schemas::TenantId;

    use super::*;
    use crate::{
        query_api::{
            cursor::Binding,
            paging::{DEFAULT_LIMIT, MAX_LIMIT},
        },
        read_models::audit_entry::read::AuditOutcome,
    };

    fn parsed(query: &str) -> Result<Asked<AuditFilter>, Vec<String>> {
        let uri: Uri = format!("/api/v1/audit?{query}").parse().expect("an address");
        parse(Parameters::of(&uri))
            .map(|(asked, _)| asked)
            .map_err(|refusal| refusal.problem().errors.iter().map(|fault| fault.at.clone()).collect())
    }

    fn check_refused(query: &str, faulty: &[&str]) {
        assert_eq!(parsed(query).expect_err(query), faulty, "{query}");
    }

    #[test]
    fn every_filter_arrives() {
        let asked = parsed(
            "actor=a&action=b&resource=c&project=d&outcome=failure&address=i&source=e&kind=f&correlation=g&text=h\
             &from=2026-01-01T00:00:00%2B01:00&to=2026-02-01T00:00:00Z&limit=7",
        )
        .expect("valid");
        let text = |text: &str| Some(text.to_owned());
        let at = |text: &str| Some(text.parse().expect("an instant"));
        let expected = AuditFilter {
            actor: text("a"),
            action: text("b"),
            resource: text("c"),
            project: text("d"),
            outcome: Some(AuditOutcome::Failure),
            address: text("i"),
            source: text("e"),
            kind: text("f"),
            correlation: text("g"),
            from: at("2025-12-31T23:00:00Z"),
            to: at("2026-02-01T00:00:00Z"),
            text: text("h"),
        };
        assert_eq!((asked.limit(), asked.filter), (7, expected));
        let with_record: Uri = "/api/v1/audit?include=record".parse().expect("an address");
        assert_eq!(parse(Parameters::of(&with_record)).expect("valid").1, Detail::Record);
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
        assert_eq!(parsed("").expect("valid").limit(), DEFAULT_LIMIT);
    }

    proptest::proptest! {
        #[test]
        fn any_query_is_taken_or_refused_by_name(
            pairs in proptest::collection::vec((0_usize..PARAMETERS.len(), ".{0,40}"), 0..6),
        ) {
            let encode = |text: &str| text.bytes().fold(String::new(), |all, byte| all + &format!("%{byte:02X}"));
            let query: Vec<_> = pairs.iter().map(|(n, text)| format!("{}={}", PARAMETERS[*n], encode(text))).collect();
            match parsed(&query.join("&")) {
                Ok(asked) => proptest::prop_assert!((1..=MAX_LIMIT).contains(&asked.limit())),
                Err(faulty) => proptest::prop_assert!(faulty.iter().all(|name| PARAMETERS.contains(&name.as_str()))),
            }
        }
    }

    const PARAMETERS: [&str; 17] = [
        "actor",
        "action",
        "resource",
        "project",
        "outcome",
        "address",
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
            |query: &str| Binding::of(LIST.route, &tenant, &parsed(query).expect("valid").filter).question;
        assert_eq!(question("actor=a&limit=3"), question("limit=9&actor=a"));
        assert_ne!(question("actor=a"), question("action=a"));
        assert_ne!(question("actor=a"), question("actor=a&outcome=success"));
    }

    #[test]
    fn a_filter_of_the_request_takes_the_place_of_the_saved_one() {
        let uri: Uri = "/api/v1/audit?actor=a&limit=7".parse().expect("an address");
        let mut given = Parameters::of(&uri);
        let saved = [("actor", "b"), ("outcome", "failure"), ("text", "x")];
        given.add_missing(saved.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let (asked, _) = parse(given).expect("valid");
        let filter = asked.filter;
        assert_eq!((filter.actor.as_deref(), filter.text.as_deref()), (Some("a"), Some("x")));
        assert_eq!(filter.outcome, Some(AuditOutcome::Failure));
    }
}

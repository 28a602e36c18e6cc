//! Refusals in the description of the API: one list of problem types for each kind of route.

use std::collections::BTreeMap;

use schemas::problem::{PROBLEM_JSON, ProblemKind};
use utoipa::{
    IntoResponses,
    openapi::{ContentBuilder, Ref, RefOr, Response, ResponseBuilder},
};

use ProblemKind::{
    DatabaseUnavailable, Forbidden, Internal, InvalidCursor, InvalidQuery, KeysUnavailable, NotFound,
    Overloaded, PositionNotReached, QueryTooSlow, QuotaExceeded, RateLimited, Unauthenticated,
};

/// Problems with which every query may be refused.
const QUESTION: [ProblemKind; 11] = [
    InvalidQuery,
    Unauthenticated,
    Forbidden,
    RateLimited,
    QuotaExceeded,
    Internal,
    DatabaseUnavailable,
    KeysUnavailable,
    Overloaded,
    PositionNotReached,
    QueryTooSlow,
];

/// Refusals of a list.
pub(super) struct ListRefusals;

/// Refusals of a route that names one thing.
pub(super) struct ItemRefusals;

impl IntoResponses for ListRefusals {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        described(QUESTION.into_iter().chain([InvalidCursor]))
    }
}

impl IntoResponses for ItemRefusals {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        described(QUESTION.into_iter().chain([InvalidCursor, NotFound]))
    }
}

/// The responses of these problems, by status.
fn described(kinds: impl IntoIterator<Item = ProblemKind>) -> BTreeMap<String, RefOr<Response>> {
    let mut by_status: BTreeMap<u16, Vec<&str>> = BTreeMap::new();
    for kind in kinds {
        by_status.entry(kind.status()).or_default().push(kind.slug());
    }
    let response = |(status, slugs): (u16, Vec<&str>)| {
        let problem = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
        let response = ResponseBuilder::new().description(slugs.join(", ")).content(PROBLEM_JSON, problem);
        (status.to_string(), response.build().into())
    };
    by_status.into_iter().map(response).collect()
}

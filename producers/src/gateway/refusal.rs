//! A request that is refused: a problem, on its way to become an answer.

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use schemas::problem::{Problem, ProblemKind};
use serde::Serialize;

use super::settle::{Accepted, Rejected};

/// A problem with the headers and the lists that go with it. Rendered in one place, [`super::observe`],
/// which knows the request's path and ids.
#[derive(Debug, Clone)]
pub(super) struct Refusal {
    pub(super) answer: Box<ProblemAnswer>,
    headers: HeaderMap,
}

/// The body of a refusal.
#[derive(Debug, Clone, Serialize)]
pub(super) struct ProblemAnswer {
    #[serde(flatten)]
    pub(super) problem: Problem,
    /// What was stored all the same.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) accepted: Vec<Accepted>,
    /// What never will be as it is.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) rejected: Vec<Rejected>,
}

impl Refusal {
    pub(super) fn new(kind: ProblemKind, detail: impl AsRef<str>) -> Self {
        let mut headers = HeaderMap::new();
        if let Some(seconds) = kind.retry_after_s() {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if kind == ProblemKind::Unauthenticated {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        let answer =
            ProblemAnswer { problem: Problem::new(kind, detail), accepted: Vec::new(), rejected: Vec::new() };
        Self { answer: Box::new(answer), headers }
    }

    /// With headers of its own.
    pub(super) fn with_headers(mut self, write: impl FnOnce(&mut HeaderMap)) -> Self {
        write(&mut self.headers);
        self
    }

    pub(super) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// The rest of the connection cannot be trusted, or is not wanted: it is closed after the answer.
    pub(super) fn closing(self) -> Self {
        self.header(header::CONNECTION, HeaderValue::from_static("close"))
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::from_u16(self.answer.problem.status)
            .expect("every kind of problem has a status between 400 and 599");
        response.headers_mut().extend(self.headers);
        response.extensions_mut().insert(*self.answer);
        response
    }
}

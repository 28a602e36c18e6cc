//! How answers look: JSON, problems in RFC 9457's form, and the headers that every answer carries.

use std::time::{Duration, Instant};

use axum::{
    body::Body,
    extract::{MatchedPath, Request},
    middleware::Next,
    response::{IntoResponse, Response},
};
use edge::head::{HeadLimits, known_method, may_hide_another, request_id, stamp};
use http::{HeaderValue, StatusCode, header};
use schemas::problem::{PROBLEM_JSON, Problem, ProblemKind};
use tracing::Instrument;

use crate::read_models::ReadError;

/// How long a handler may take; one statement is cut off much earlier.
const HANDLER_TIMEOUT: Duration = Duration::from_secs(15);

/// A request that is refused; [`finish`] writes it out with what it knows of the request.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) problem: Box<Problem>,
    retry_after: Option<Duration>,
}

impl Refusal {
    pub(super) fn new(kind: ProblemKind, detail: &str) -> Self {
        Problem::new(kind, detail).into()
    }

    /// Says when to come back, where it is known better than from the kind.
    pub(super) fn retry_after(self, wait: Duration) -> Self {
        Self { retry_after: Some(wait), ..self }
    }
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self { problem: Box::new(problem), retry_after: None }
    }
}

impl From<ReadError> for Refusal {
    fn from(error: ReadError) -> Self {
        let (kind, detail) = match &error {
            // The pool tells a server that is away and one whose connections are all busy in the same way.
            ReadError::Unavailable(_) => {
                (ProblemKind::DatabaseUnavailable, "it is away, or all its connections are busy; try again")
            }
            ReadError::TooSlow => (ProblemKind::QueryTooSlow, "narrow it, for example with from and to"),
            ReadError::Refused(_) | ReadError::Unreadable(_) => {
                tracing::error!(error = &error as &dyn std::error::Error, "a question could not be answered");
                return internal();
            }
        };
        tracing::warn!(error = &error as &dyn std::error::Error, "a question could not be answered now");
        Self::new(kind, detail)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = status.into_response();
        if let Some(wait) = self.retry_after {
            let seconds = HeaderValue::from(wait.as_secs().max(1));
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
        }
        response.extensions_mut().insert(Held(self.problem));
        response
    }
}

/// A problem on its way out.
#[derive(Clone)]
struct Held(Box<Problem>);

/// The outermost layer: the head's limits, request id, time limit, problem bodies, headers, log line and duration.
pub(super) async fn finish(request: Request, next: Next) -> Response {
    let started = Instant::now();
    let request_id = request_id(request.headers());
    let path = request.uri().path().to_owned();
    let method = known_method(request.method());
    let route =
        request.extensions().get::<MatchedPath>().map_or("unmatched".into(), |m| m.as_str().to_owned());
    let span = tracing::info_span!("request", method, route, request_id);
    let head = HeadLimits::default().check(&request);
    let closing = head.is_err() || may_hide_another(request.headers());

    let mut response = match head {
        Ok(()) => {
            let outcome = tokio::time::timeout(HANDLER_TIMEOUT, next.run(request)).instrument(span.clone());
            outcome.await.unwrap_or_else(|_| {
                Refusal::new(ProblemKind::Overloaded, "the answer took too long; try again").into_response()
            })
        }
        Err((kind, detail)) => Refusal::new(kind, &detail).into_response(),
    };
    if let Some(Held(problem)) = response.extensions_mut().remove::<Held>() {
        write_problem(&mut response, *problem, &path, &request_id);
    }
    let headers = response.headers_mut();
    stamp(headers, &request_id);
    if closing {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    let (status, elapsed) = (response.status().as_u16(), started.elapsed());
    span.in_scope(|| tracing::debug!(status, elapsed_us = elapsed.as_micros(), "answered"));
    metrics::histogram!(
        "http_server_request_duration_seconds",
        "http_request_method" => method,
        "http_route" => route,
        "http_response_status_code" => status.to_string()
    )
    .record(elapsed);
    response
}

/// For paths that lead nowhere.
pub(super) async fn no_route() -> Refusal {
    nothing_here()
}

/// For methods that a path does not take; the router adds `Allow`.
pub(super) async fn wrong_method() -> Refusal {
    Refusal::new(ProblemKind::MethodNotAllowed, "see the Allow header")
}

/// For a handler that panicked.
pub(super) fn panicked(_: Box<dyn std::any::Any + Send>) -> Response {
    internal().into_response()
}

/// Our own fault: what it was stands in the log only.
pub(super) fn internal() -> Refusal {
    Refusal::new(ProblemKind::Internal, "the request id leads to the reason in our log")
}

/// The answer for what is unknown and for what is another tenant's: the same bytes.
pub(super) fn nothing_here() -> Refusal {
    Refusal::new(ProblemKind::NotFound, "nothing is known under this address to this credential")
}

fn write_problem(response: &mut Response, mut problem: Problem, path: &str, request_id: &str) {
    // A 404 says nothing of its request: unknown and foreign are answered with the same bytes.
    if problem.status != 404 {
        problem.instance = Some(schemas::problem::printable(path));
        problem.request_id = Some(request_id.to_owned());
    }
    let headers = response.headers_mut();
    headers.remove(header::CONTENT_LENGTH);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
    if problem.status == 401 {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if let Some(seconds) = ProblemKind::from_slug(problem.slug()).and_then(ProblemKind::retry_after_s) {
        headers.entry(header::RETRY_AFTER).or_insert(HeaderValue::from(seconds));
    }
    let body = serde_json::to_vec(&problem).expect("problems hold only strings and numbers");
    *response.body_mut() = Body::from(body);
}

//! An error response of the API: a problem (RFC 9457) before it is written.

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use schemas::problem::{Fault, PROBLEM_JSON, Problem, ProblemKind};
use serde::Serialize;
use serde_json::value::RawValue;

/// Schemes of credentials (RFC 9110, section 11.6.1), each in a header of its own. Some senders offer a password
/// only after such a challenge (Amazon SNS).
const CHALLENGES: [&str; 2] = ["Bearer", r#"Basic realm="weir", charset="UTF-8""#];

/// A problem with its headers and extension members. [`Service`](crate::service::Service) writes it, because
/// it knows the request's path and ids.
#[derive(Debug, Clone)]
pub struct ApiError {
    body: Box<ErrorBody>,
    headers: HeaderMap,
}

#[derive(Debug, Clone)]
struct ErrorBody {
    problem: Problem,
    /// Extension members, as JSON.
    members: Vec<(&'static str, Box<RawValue>)>,
}

impl ApiError {
    /// A problem of that kind, with the headers that go with the kind.
    pub fn new(kind: ProblemKind, detail: impl AsRef<str>) -> Self {
        let mut headers = HeaderMap::new();
        if let Some(seconds) = kind.retry_after_s() {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if kind == ProblemKind::Unauthenticated {
            for challenge in CHALLENGES {
                headers.append(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
            }
        }
        let body = ErrorBody { problem: Problem::new(kind, detail), members: Vec::new() };
        Self { body: Box::new(body), headers }
    }

    /// A defect of the service; its cause is only logged.
    pub fn internal() -> Self {
        Self::new(ProblemKind::Internal, "the reason is in the service's log, under the request id")
    }

    /// The response for unknown resources and for those of other tenants: the same bytes.
    pub fn not_found() -> Self {
        Self::new(ProblemKind::NotFound, "there is nothing at this path for this credential")
    }

    /// The problem, without the fields that describe the request.
    pub fn problem(&self) -> &Problem {
        &self.body.problem
    }

    /// Adds the individual faults.
    #[must_use]
    pub fn with_errors(mut self, errors: Vec<Fault>) -> Self {
        self.body.problem.errors = errors;
        self
    }

    /// Adds an extension member; its name must not be that of a standard one.
    #[must_use]
    pub fn with_member(mut self, name: &'static str, value: &impl Serialize) -> Self {
        let value = serde_json::value::to_raw_value(value).expect("members hold only strings and numbers");
        self.body.members.push((name, value));
        self
    }

    /// Adds headers.
    #[must_use]
    pub fn with_headers(mut self, write: impl FnOnce(&mut HeaderMap)) -> Self {
        write(&mut self.headers);
        self
    }

    /// Sets one header.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// Closes the connection after the response: the rest of it cannot be trusted, or is not wanted.
    #[must_use]
    pub fn closing(self) -> Self {
        self.header(header::CONNECTION, HeaderValue::from_static("close"))
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() =
            StatusCode::from_u16(self.body.problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        response.headers_mut().extend(self.headers);
        response.extensions_mut().insert(Unwritten(self.body));
        response
    }
}

/// The problem of a response whose body is not yet written.
#[derive(Debug, Clone)]
struct Unwritten(Box<ErrorBody>);

/// Path and ids of a request, as a problem reports them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RequestIds<'a> {
    pub(crate) path: &'a str,
    pub(crate) request_id: &'a str,
    pub(crate) trace_id: Option<&'a str>,
}

/// Writes the problem into the body of a response that holds one; leaves any other response unchanged.
pub(crate) fn write_problem(response: Response, ids: RequestIds<'_>) -> Response {
    let (mut parts, body) = response.into_parts();
    let Some(Unwritten(error)) = parts.extensions.remove::<Unwritten>() else {
        return Response::from_parts(parts, body);
    };
    let ErrorBody { mut problem, members } = *error;
    // A 404 says nothing of its request: unknown and foreign are answered with the same bytes.
    if problem.status != 404 {
        problem.instance = Some(schemas::problem::printable(ids.path));
        problem.request_id = Some(ids.request_id.to_owned());
        problem.trace_id = ids.trace_id.map(str::to_owned);
    }
    let mut json = serde_json::to_string(&problem).expect("problems hold only strings and numbers");
    for (name, value) in &members {
        json.truncate(json.len() - 1);
        json.extend([",\"", name, "\":", value.get(), "}"]);
    }
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
    Response::from_parts(parts, Body::from(json))
}

//! Around every request: its ids, its span, its duration, the checks on its head, and what every answer
//! carries.

use std::{sync::Arc, time::Instant};

use axum::{
    Json,
    body::Body,
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version, header};
use opentelemetry::{propagation::TextMapPropagator, trace::TraceContextExt};
use opentelemetry_http::{HeaderExtractor, HeaderInjector};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use schemas::{
    Envelope, TraceContext,
    problem::{PROBLEM_JSON, ProblemKind, printable},
};
use tracing::{Instrument, Span, debug, field, info_span, warn};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use uuid::Uuid;

use super::{
    App,
    config::Limits,
    refusal::{ProblemAnswer, Refusal},
};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: &str = "traceparent";
const TRACESTATE: &str = "tracestate";
/// Longest `tracestate` that is passed on; W3C asks for at least 512.
const MAX_TRACESTATE: usize = 512;

/// What every answer says to browsers and caches that meet it by accident.
const ALWAYS: [(HeaderName, HeaderValue); 4] = [
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'")),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
];

/// The traces that a request belongs to.
#[derive(Debug, Clone, Default)]
pub(super) struct Traces {
    /// The one its publisher sent; events without their own were created in it.
    pub(super) incoming: Option<TraceContext>,
    /// The request's own span, in which its records travel on.
    pub(super) hop: Option<TraceContext>,
}

impl Traces {
    /// Events created without a trace of their own were created in the request's.
    pub(super) fn around(&self, mut event: Envelope) -> Envelope {
        if event.trace.is_none() {
            event.trace = self.incoming.as_ref().or(self.hop.as_ref()).cloned();
        }
        event
    }
}

/// The outermost layer.
pub(super) async fn observe(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let began = Instant::now();
    let seen = Seen::of(&request);
    let span = info_span!(
        "http_request",
        otel.kind = "server",
        otel.name = %format_args!("{} {}", seen.method, seen.route),
        http.request.method = seen.method,
        http.route = seen.route,
        http.response.status_code = field::Empty,
        request_id = seen.request_id,
    );
    let traces = trace(&span, request.headers());
    let trace_id = traces.hop.as_ref().or(traces.incoming.as_ref()).map(trace_id);
    let mut response = match check_head(&request, &app.config.limits) {
        Ok(()) => {
            request.extensions_mut().insert(traces);
            next.run(request).instrument(span.clone()).await
        }
        Err(refusal) => refusal.into_response(),
    };
    if let Some(answer) = response.extensions_mut().remove::<ProblemAnswer>() {
        response = render(response, answer, &seen, trace_id);
    }
    seen.stamp(response.headers_mut());
    let status = response.status().as_u16();
    span.record("http.response.status_code", status);
    let elapsed = began.elapsed();
    metrics::histogram!(
        "http_server_request_duration_seconds",
        "http_request_method" => seen.method,
        "http_route" => seen.route,
        "http_response_status_code" => status.to_string(),
    )
    .record(elapsed.as_secs_f64());
    span.in_scope(|| {
        let elapsed_ms = elapsed.as_millis();
        if status >= 500 {
            warn!(status, elapsed_ms, "request failed");
        } else {
            debug!(status, elapsed_ms, "request answered");
        }
    });
    response
}

/// What is kept of a request for its answer.
struct Seen {
    method: &'static str,
    route: String,
    path: String,
    request_id: String,
    close: bool,
}

impl Seen {
    fn of(request: &Request) -> Self {
        let route = request.extensions().get::<MatchedPath>().map_or("unmatched", MatchedPath::as_str);
        Self {
            method: known_method(request.method()),
            route: route.to_owned(),
            path: printable(request.uri().path()),
            request_id: request_id(request.headers()),
            // The parser drops a Content-Length beside a Transfer-Encoding without a word. Who frames a body
            // both ways may hide a second request in it, so what follows on the connection is never read
            // (RFC 9112, section 6.1).
            close: request.headers().contains_key(header::TRANSFER_ENCODING),
        }
    }

    fn stamp(&self, headers: &mut HeaderMap) {
        headers.extend(ALWAYS);
        if let Ok(id) = HeaderValue::try_from(&self.request_id) {
            headers.insert(REQUEST_ID, id);
        }
        if self.close {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
    }
}

/// The method as a label: a stranger cannot invent values.
fn known_method(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "DELETE" => "DELETE",
        "PATCH" => "PATCH",
        "OPTIONS" => "OPTIONS",
        "TRACE" => "TRACE",
        "CONNECT" => "CONNECT",
        _ => "_OTHER",
    }
}

/// The caller's id if it is 1 to 64 of `[A-Za-z0-9-]`, else a new one.
fn request_id(headers: &HeaderMap) -> String {
    let plain = |id: &&str| {
        (1..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    let given = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok()).filter(plain);
    given.map_or_else(|| Uuid::now_v7().to_string(), str::to_owned)
}

fn check_head(request: &Request, limits: &Limits) -> Result<(), Refusal> {
    let headers = request.headers();
    if headers.len() > limits.headers {
        let detail = format!("there are {} headers, more than {}", headers.len(), limits.headers);
        return Err(Refusal::new(ProblemKind::HeadersTooLarge, detail).closing());
    }
    // ": " and CR LF around each.
    let lines: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    let uri = request.uri().path_and_query().map_or(0, |path| path.as_str().len());
    if lines + uri > limits.head_bytes {
        let detail = format!("request line and headers are longer than {} bytes", limits.head_bytes);
        return Err(Refusal::new(ProblemKind::HeadersTooLarge, detail).closing());
    }
    let hosts = headers.get_all(header::HOST).iter().count();
    if hosts > 1 || (hosts == 0 && request.version() == Version::HTTP_11) {
        return Err(Refusal::new(ProblemKind::InvalidRequest, "there must be one Host header").closing());
    }
    Ok(())
}

/// Ties the span to the trace in the headers, and says which traces the request belongs to.
fn trace(span: &Span, headers: &HeaderMap) -> Traces {
    let w3c = TraceContextPropagator::new();
    let context = w3c.extract(&HeaderExtractor(headers));
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let incoming =
        context.span().span_context().is_valid().then(|| text(TRACEPARENT)).flatten().map(|traceparent| {
            TraceContext {
                traceparent,
                tracestate: text(TRACESTATE).filter(|state| state.len() <= MAX_TRACESTATE),
            }
        });
    if incoming.is_some() && span.set_parent(context).is_err() {
        debug!("no trace is recorded, or the span has begun");
    }
    let mut injected = HeaderMap::new();
    w3c.inject_context(&span.context(), &mut HeaderInjector(&mut injected));
    let text = |name: &str| injected.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let hop = text(TRACEPARENT).map(|traceparent| TraceContext {
        traceparent,
        tracestate: text(TRACESTATE).filter(|state| !state.is_empty()),
    });
    Traces { incoming, hop }
}

/// `version-traceid-parentid-flags`.
fn trace_id(context: &TraceContext) -> String {
    context.traceparent.split('-').nth(1).unwrap_or_default().to_owned()
}

/// Puts the problem into the answer's body.
fn render(empty: Response, mut answer: ProblemAnswer, seen: &Seen, trace_id: Option<String>) -> Response {
    answer.problem.instance = Some(seen.path.clone());
    answer.problem.request_id = Some(seen.request_id.clone());
    answer.problem.trace_id = trace_id;
    let (mut parts, _) = empty.into_parts();
    let body = Json(answer).into_response().into_body();
    parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
    Response::from_parts(parts, Body::new(body))
}

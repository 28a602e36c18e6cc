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
use edge::head::{self, known_method, may_hide_another, request_id};
use http::{HeaderMap, HeaderValue, header};
use opentelemetry::{propagation::TextMapPropagator, trace::TraceContextExt};
use opentelemetry_http::{HeaderExtractor, HeaderInjector};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use schemas::{
    Envelope, TraceContext,
    problem::{PROBLEM_JSON, printable},
};
use tracing::{Instrument, Span, debug, field, info_span, warn};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use super::{
    App,
    config::Limits,
    refusal::{ProblemAnswer, Refusal},
};

const TRACEPARENT: &str = "traceparent";
const TRACESTATE: &str = "tracestate";
/// Longest `tracestate` that is passed on; W3C asks for at least 512.
const MAX_TRACESTATE: usize = 512;

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
            close: may_hide_another(request.headers()),
        }
    }

    fn stamp(&self, headers: &mut HeaderMap) {
        head::stamp(headers, &self.request_id);
        if self.close {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
    }
}

fn check_head(request: &Request, limits: &Limits) -> Result<(), Refusal> {
    limits.head.check(request).map_err(|(kind, detail)| Refusal::new(kind, detail).closing())
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

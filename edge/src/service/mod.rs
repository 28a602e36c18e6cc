//! The common layer around a service's routes: request ids, spans, limits of heads and time, problems,
//! headers.
//!
//! ```
//! use axum::{Router, routing::get};
//! use edge::service::Service;
//!
//! let routes = Router::new().route("/hello", get(|| async { "hello" }));
//! let service: Router = Service::default().around(routes);
//! ```

mod traces;

use std::time::{Duration, Instant};

use axum::{
    Router,
    extract::{MatchedPath, Request, State},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, header};
use schemas::problem::{ProblemKind, printable};
use tower_http::catch_panic::CatchPanicLayer;
use tracing::{Instrument, debug, field, info_span, warn};

use crate::{
    api_error::{ApiError, RequestIds, write_problem},
    head::{self, HeadLimits, known_method, may_hide_another, request_id},
};
pub use traces::Traces;

/// The common layer around a service's routes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Service {
    /// Limits of a request's head.
    pub head: HeadLimits,
    /// Time limit from the head to the response; then 503. `None` where the handlers have deadlines of their
    /// own.
    pub time_limit: Option<Duration>,
}

impl Service {
    /// Wraps the routes in these limits; other paths and methods answer 404 and 405.
    ///
    /// Every request has a span with OpenTelemetry's names, [`Traces`] as an extension, and a measured
    /// duration; every response has the headers of [`head::stamp`]; every panic becomes a 500.
    pub fn around<S: Clone + Send + Sync + 'static>(self, routes: Router<S>) -> Router<S> {
        routes
            .fallback(|| async { ApiError::not_found() })
            .method_not_allowed_fallback(|| async {
                ApiError::new(
                    ProblemKind::MethodNotAllowed,
                    "see the Allow header for the methods of this path",
                )
            })
            .layer(CatchPanicLayer::custom(|_| -> Response { ApiError::internal().into_response() }))
            .layer(middleware::from_fn_with_state(self, observe))
    }
}

/// The outermost layer.
async fn observe(State(service): State<Service>, mut request: Request, next: Next) -> Response {
    let began = Instant::now();
    let observed = Observed::of(&request);
    let span = info_span!(
        "http_request",
        otel.kind = "server",
        otel.name = %format_args!("{} {}", observed.method, observed.route),
        http.request.method = observed.method,
        http.route = observed.route,
        http.response.status_code = field::Empty,
        request_id = observed.request_id,
    );
    let traces = Traces::of(&span, request.headers());
    let trace_id = traces.id().map(str::to_owned);
    let response = match service.head.check(&request) {
        Ok(()) => {
            request.extensions_mut().insert(traces);
            service.answer(request, next).instrument(span.clone()).await
        }
        Err((kind, detail)) => ApiError::new(kind, detail).closing().into_response(),
    };
    let ids =
        RequestIds { path: &observed.path, request_id: &observed.request_id, trace_id: trace_id.as_deref() };
    let mut response = write_problem(response, ids);
    observed.stamp(response.headers_mut());
    let status = response.status().as_u16();
    span.record("http.response.status_code", status);
    let elapsed = began.elapsed();
    metrics::histogram!(
        "http_server_request_duration_seconds",
        "http_request_method" => observed.method,
        "http_route" => observed.route,
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

impl Service {
    async fn answer(self, request: Request, next: Next) -> Response {
        let Some(limit) = self.time_limit else { return next.run(request).await };
        let answered = tokio::time::timeout(limit, next.run(request)).await;
        answered.unwrap_or_else(|_| {
            ApiError::new(ProblemKind::Overloaded, "the answer took too long; try again").into_response()
        })
    }
}

/// Fields of a request that its response needs.
struct Observed {
    method: &'static str,
    route: String,
    path: String,
    request_id: String,
    close: bool,
}

impl Observed {
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

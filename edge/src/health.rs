//! Health and metrics routes of every service: `/livez`, `/startupz`, `/readyz`, `/metrics`. They need no
//! credential.

use std::{fmt, pin::Pin, sync::Arc};

use axum::{Json, Router, extract::State, response::Response, routing::get};
use schemas::problem::{Problem, ProblemKind};
use serde::{Deserialize, Serialize};
use utoipa::{ToSchema, openapi::OpenApi as Document};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{api_error::ApiError, metrics_text::RenderMetrics};

/// A healthy process; an unhealthy one answers with a problem.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// `alive`, `started` or `ready`.
    pub status: String,
}

/// A probe's pending answer.
pub type Answer<'a> = Pin<Box<dyn Future<Output = Result<(), ApiError>> + Send + 'a>>;

/// State of a service, as its probes report it.
pub trait Probe: Send + Sync + 'static {
    /// Whether the start is complete; otherwise the problem that names what it waits for.
    fn started(&self) -> Result<(), ApiError>;

    /// Whether requests can be answered now; otherwise the problem that says why not.
    fn ready(&self) -> Answer<'_>;
}

/// The state of the health routes.
#[derive(Clone)]
pub struct Probes {
    probe: Arc<dyn Probe>,
    metrics: Option<RenderMetrics>,
}

impl fmt::Debug for Probes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Probes(..)")
    }
}

impl Probes {
    /// Creates the state; without metrics, `/metrics` answers 404.
    pub fn new(probe: Arc<dyn Probe>, metrics: Option<RenderMetrics>) -> Self {
        Self { probe, metrics }
    }

    /// `/livez`, `/startupz`, `/readyz`, `/metrics` and `/healthz`, for a separate listener.
    pub fn routes<S: Clone + Send + Sync + 'static>(self) -> Router<S> {
        // The description is for the main listener's document.
        described_routes(self).split_for_parts().0
    }
}

/// The routes with their OpenAPI description, to be merged with others ([`Router::merge`]).
pub fn described_routes<S: Clone + Send + Sync + 'static>(probes: Probes) -> OpenApiRouter<S> {
    described().route("/healthz", get(livez)).with_state(probes)
}

/// OpenAPI description of the routes.
pub fn openapi() -> Document {
    described().into_openapi()
}

fn described() -> OpenApiRouter<Probes> {
    OpenApiRouter::new()
        .routes(routes!(livez))
        .routes(routes!(startupz))
        .routes(routes!(readyz))
        .routes(routes!(metrics))
}

fn healthy(status: &str) -> Json<Health> {
    Json(Health { status: status.to_owned() })
}

/// The process runs.
#[utoipa::path(get, path = "/livez", tag = "health", responses((status = 200, body = Health)))]
async fn livez() -> Json<Health> {
    healthy("alive")
}

/// The start is over.
#[utoipa::path(
    get,
    path = "/startupz",
    tag = "health",
    responses(
        (status = 200, body = Health),
        (status = 503, description = "not started yet", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn startupz(State(probes): State<Probes>) -> Result<Json<Health>, ApiError> {
    probes.probe.started().map(|()| healthy("started"))
}

/// Requests can be answered now.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "health",
    responses(
        (status = 200, body = Health),
        (status = 503, description = "not ready", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn readyz(State(probes): State<Probes>) -> Result<Json<Health>, ApiError> {
    probes.probe.ready().await.map(|()| healthy("ready"))
}

/// Prometheus metrics of the process, unless they are served by the admin listener only.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "health",
    responses(
        (status = 200, body = String, content_type = "text/plain; version=0.0.4"),
        (status = 404, description = "metrics are served by the admin listener only", body = Problem,
            content_type = "application/problem+json"),
    )
)]
async fn metrics(State(probes): State<Probes>) -> Result<Response, ApiError> {
    let missing = || ApiError::new(ProblemKind::NotFound, "metrics are served by the admin listener");
    probes.metrics.as_ref().map(RenderMetrics::answer).ok_or_else(missing)
}

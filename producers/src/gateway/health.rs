//! Whether the process lives, has started, and can take events; and its metrics.

use std::sync::Arc;

use axum::{Json, extract::State, response::Response};
use schemas::problem::{Problem, ProblemKind};
use serde::Serialize;
use utoipa::ToSchema;

use super::{App, refusal::Refusal};
use crate::kafka::Health;

/// A process that is as it should be.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Well {
    /// `alive`, `started` or `ready`.
    status: &'static str,
}

/// The process answers.
#[utoipa::path(get, path = "/livez", tag = "health", responses((status = 200, body = Well)))]
pub(super) async fn livez() -> Json<Well> {
    Json(Well { status: "alive" })
}

/// The API keys were loaded once.
#[utoipa::path(get, path = "/startupz", tag = "health",
    responses((status = 200, body = Well), (status = 503, body = Problem)))]
pub(super) async fn startupz(State(app): State<Arc<App>>) -> Result<Json<Well>, Refusal> {
    if !app.admission.is_ready() {
        return Err(Refusal::new(ProblemKind::KeysUnavailable, "the API keys are not loaded yet"));
    }
    Ok(Json(Well { status: "started" }))
}

/// Events can be taken now.
#[utoipa::path(get, path = "/readyz", tag = "health",
    responses((status = 200, body = Well), (status = 503, body = Problem)))]
pub(super) async fn readyz(State(app): State<Arc<App>>) -> Result<Json<Well>, Refusal> {
    if app.stopping() {
        return Err(Refusal::new(ProblemKind::NotReady, "the gateway is stopping"));
    }
    if !app.admission.is_ready() {
        return Err(Refusal::new(ProblemKind::KeysUnavailable, "the API keys are not loaded yet"));
    }
    match app.publisher.health() {
        Health::Ready => Ok(Json(Well { status: "ready" })),
        Health::Unreachable => {
            Err(Refusal::new(ProblemKind::BrokerUnavailable, "no Kafka broker can be reached"))
        }
        Health::Fatal(_) => {
            Err(Refusal::new(ProblemKind::NotReady, "the Kafka producer has failed and is being replaced"))
        }
    }
}

/// Metrics in Prometheus' text format, where they are not left to the admin listener.
#[utoipa::path(get, path = "/metrics", tag = "health",
    responses((status = 200, body = String, content_type = "text/plain; version=0.0.4"), (status = 404, body = Problem)))]
pub(super) async fn metrics(State(app): State<Arc<App>>) -> Result<Response, Refusal> {
    let Some(exporter) = &app.config.metrics else {
        return Err(Refusal::new(ProblemKind::NotFound, "metrics are not here; ask the admin listener"));
    };
    Ok(exporter.answer())
}

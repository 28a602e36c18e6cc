//! What orchestrators and scrapers ask: alive, ready, started, metrics. No credential is needed.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use axum::{Json, extract::State, response::Response};
use edge::RenderMetrics;
use schemas::problem::{PROBLEM_JSON, Problem, ProblemKind};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use tokio::sync::Mutex;
use utoipa::ToSchema;

use super::{Api, answer::Refusal, described::ProbeRefusals};

/// How long the database may take to answer.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);
/// How long an answer of the database is good for: strangers cannot make it work harder than this.
const PROBE_AGE: Duration = Duration::from_secs(1);

/// Costs nothing, and fails where a migration or a grant is missing.
const PROBE: &str = "SELECT FROM audit_entry, stage_position LIMIT 0";

/// A healthy answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// Always `ok`; otherwise the answer is a problem.
    pub status: String,
}

impl Health {
    fn ok() -> Json<Self> {
        Json(Self { status: "ok".into() })
    }
}

/// When the database last answered, or failed to.
#[derive(Debug, Default)]
pub(super) struct Probe(Mutex<Option<(Instant, bool)>>);

impl Probe {
    /// Whether the database answers. One question at a time, at most one a second.
    async fn answers(&self, pool: &PgPool) -> bool {
        let mut last = self.0.lock().await;
        if let Some((_, answered)) = last.filter(|(at, _)| at.elapsed() < PROBE_AGE) {
            return answered;
        }
        let answer = tokio::time::timeout(PROBE_TIMEOUT, sqlx::query(PROBE).execute(pool)).await;
        let answered = matches!(answer, Ok(Ok(_)));
        *last = Some((Instant::now(), answered));
        answered
    }
}

/// The process runs.
#[utoipa::path(get, path = "/livez", tag = "health", responses((status = 200, body = Health)))]
pub(super) async fn livez() -> Json<Health> {
    Health::ok()
}

/// Requests can be answered now: credentials can be checked, and the database answers.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "health",
    responses((status = 200, body = Health), ProbeRefusals)
)]
pub(super) async fn readyz(State(api): State<Arc<Api>>) -> Result<Json<Health>, Refusal> {
    if api.stopping.load(Relaxed) {
        return Err(Refusal::new(ProblemKind::NotReady, "the query API is stopping"));
    }
    if !api.admission.is_ready() {
        return Err(Refusal::new(ProblemKind::NotReady, "the API keys have not been read yet"));
    }
    if !api.probe.answers(&api.own_pool).await {
        return Err(Refusal::new(ProblemKind::NotReady, "the database does not answer"));
    }
    Ok(Health::ok())
}

/// The start is over: the API keys have been read once.
#[utoipa::path(
    get,
    path = "/startupz",
    tag = "health",
    responses((status = 200, body = Health), ProbeRefusals)
)]
pub(super) async fn startupz(State(api): State<Arc<Api>>) -> Result<Json<Health>, Refusal> {
    let started = api.admission.is_ready();
    started
        .then(Health::ok)
        .ok_or_else(|| Refusal::new(ProblemKind::NotReady, "the API keys have not been read yet"))
}

/// Prometheus metrics of the process, where they are not left to the admin listener.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "health",
    responses(
        (status = 200, body = String, content_type = "text/plain; version=0.0.4"),
        (status = 404, body = Problem, content_type = PROBLEM_JSON, description = "not-found")
    )
)]
pub(super) async fn metrics(State(api): State<Arc<Api>>) -> Result<Response, Refusal> {
    api.metrics
        .as_ref()
        .map(RenderMetrics::answer)
        .ok_or_else(|| Refusal::new(ProblemKind::NotFound, "metrics are not here; ask the admin listener"))
}

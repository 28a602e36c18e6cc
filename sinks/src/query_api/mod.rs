//! The query API: what readers ask over HTTP. Start at [`routes`]: it is the whole list.
//!
//! Every question is authenticated, its tenant comes from the credential, and its rows from one read-only
//! snapshot under row-level security. Answers carry the `position` that they reflect.

mod access;
mod answer;
mod audit;
mod changes;
mod cursor;
mod freshness;
mod health;
mod paging;
mod parameters;
mod pipeline;
mod risk;
mod serve;
#[cfg(test)]
mod tests;
mod unusable;

use std::{fmt, sync::Arc};

use axum::{Router, middleware, routing::get};
use http::header;
use sqlx::PgPool;
use tokio::sync::{Semaphore, watch};
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::{
    Modify, OpenApi,
    openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::read_models::{
    ReadError,
    pipeline::{DeclaredStage, LogEnds},
};
pub use access::KeyRingWatch;
pub use audit::{AuditAnswer, AuditPage};
pub use changes::{ChangeAnswer, ChangesPage};
pub use cursor::CursorKey;
pub use health::Health;
pub use pipeline::{ParkedPage, PipelineAnswer};
pub use risk::{EntitiesPage, EntityAnswer, IncidentAnswer, IncidentsPage, SignalsPage};
pub use serve::{ServeLimits, serve};
pub use unusable::UnusablePage;

/// Renders the process's metrics in Prometheus' text format.
pub type RenderMetrics = Arc<dyn Fn() -> String + Send + Sync>;

/// What the API must be told.
#[derive(Clone)]
pub struct QueryConfig {
    /// Signs cursors.
    pub cursor_key: CursorKey,
    /// The stages that ought to run: one that never claimed a partition is listed too.
    pub stages: Vec<DeclaredStage>,
    /// Where the topics end; renewed by whoever talks to Kafka. `None` until known: then no lag is told.
    pub log_ends: watch::Receiver<Option<Arc<LogEnds>>>,
    /// For `/metrics`.
    pub metrics: RenderMetrics,
}

impl fmt::Debug for QueryConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueryConfig").field("stages", &self.stages).finish_non_exhaustive()
    }
}

/// What the handlers share.
struct Api {
    pool: PgPool,
    keys: KeyRingWatch,
    cursor_key: CursorKey,
    stages: Vec<DeclaredStage>,
    log_ends: watch::Receiver<Option<Arc<LogEnds>>>,
    metrics: RenderMetrics,
    probe: health::Probe,
    /// Bounds how many requests wait for a `min_position`.
    waiting: Semaphore,
}

/// The API as a router. The pool must come from [`reader_pool`](crate::read_models::reader_pool).
pub fn router(config: QueryConfig, pool: PgPool, keys: KeyRingWatch) -> Router {
    let api = Arc::new(Api {
        pool,
        keys,
        cursor_key: config.cursor_key,
        stages: config.stages,
        log_ends: config.log_ends,
        metrics: config.metrics,
        probe: health::Probe::default(),
        waiting: Semaphore::new(freshness::MAX_WAITING),
    });
    let (router, description) = routes().split_for_parts();
    let description = description.to_json().expect("a description of our own serialises");
    let description: axum::body::Bytes = description.into();
    let openapi = move || async move { ([(header::CONTENT_TYPE, "application/json")], description) };
    router
        .route("/openapi.json", get(openapi))
        .route("/healthz", get(health::livez))
        .fallback(answer::no_route)
        .method_not_allowed_fallback(answer::wrong_method)
        .layer(CatchPanicLayer::custom(answer::panicked))
        .layer(middleware::from_fn(answer::finish))
        .with_state(api)
}

/// The OpenAPI 3.1 description of the API, as `/openapi.json` answers it.
pub fn description() -> utoipa::openapi::OpenApi {
    routes().into_openapi()
}

/// Every route.
fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(audit::list))
        .routes(routes!(audit::one))
        .routes(routes!(changes::list))
        .routes(routes!(changes::one))
        .routes(routes!(risk::entities))
        .routes(routes!(risk::entity))
        .routes(routes!(risk::signals))
        .routes(routes!(risk::incidents))
        .routes(routes!(risk::incident))
        .routes(routes!(unusable::list))
        .routes(routes!(pipeline::stages))
        .routes(routes!(pipeline::parked))
        .routes(routes!(health::livez))
        .routes(routes!(health::readyz))
        .routes(routes!(health::startupz))
        .routes(routes!(health::metrics))
}

#[derive(OpenApi)]
#[openapi(
    info(title = "Weir query API", description = "Reads what the projections hold."),
    modifiers(&BearerKeys)
)]
struct Description;

struct BearerKeys;

impl Modify for BearerKeys {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let bearer =
            HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("weir_<id>_<secret>").build();
        openapi
            .components
            .get_or_insert_default()
            .add_security_scheme("api_key", SecurityScheme::Http(bearer));
    }
}

/// Runs a question to its end even if its reader goes away: a connection is never given back inside a question.
async fn uncancelled<T: Send + 'static>(
    question: impl Future<Output = Result<T, ReadError>> + Send + 'static,
) -> Result<T, answer::Refusal> {
    use tracing::Instrument;
    match tokio::spawn(question.in_current_span()).await {
        Ok(answer) => Ok(answer?),
        Err(error) => {
            tracing::error!(%error, "a question's task did not end");
            Err(answer::internal())
        }
    }
}

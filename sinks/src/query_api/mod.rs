//! The query API: what readers ask over HTTP. Start at [`routes`]: it is the whole list.
//!
//! Every question is authenticated, its tenant comes from the credential, and its rows from one read-only
//! snapshot under row-level security. Answers carry the `position` that they reflect.

mod access;
mod answer;
mod audit;
mod body;
mod changes;
mod cursor;
mod described;
mod freshness;
mod health;
mod paging;
mod parameters;
mod pipeline;
mod risk;
mod shares;
#[cfg(test)]
mod tests;
mod unusable;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use axum::{Router, middleware, routing::get};
use edge::{Listener, RenderMetrics, admission::Admission};
use http::header;
use ipnet::IpNet;
use schemas::{TenantId, access::Scope, problem::Problem};
use sqlx::PgPool;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::{
    Modify, OpenApi,
    openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use self::{access::Door, body::Answer, shares::Shares};
use crate::read_models::{
    ReadError, companion_pool,
    pipeline::{DeclaredStage, LogEnds},
};
pub use audit::{AuditAnswer, AuditPage};
pub use changes::{ChangeAnswer, ChangesPage};
pub use cursor::CursorKey;
pub use edge::{admission::KeyRingWatch, rates::Rates};
pub use health::Health;
pub use paging::{Found, Listed};
pub use pipeline::{ParkedPage, PartitionOperation, PartitionStanding, PipelineAnswer, StageStanding};
pub use risk::{EntitiesPage, EntityAnswer, IncidentAnswer, IncidentsPage, SignalsPage};
pub use shares::ShareLimits;
pub use unusable::UnusablePage;

/// Connections for readiness and for stage positions.
const OWN_CONNECTIONS: u32 = 2;

/// What the API must be told.
#[derive(Clone)]
pub struct QueryConfig {
    /// Signs cursors.
    pub cursor_key: CursorKey,
    /// The stages that ought to run: one that never claimed a partition is listed too.
    pub stages: Vec<DeclaredStage>,
    /// Where the topics end; renewed by whoever talks to Kafka. `None` until known: then no lag is told.
    pub log_ends: watch::Receiver<Option<Arc<LogEnds>>>,
    /// How often anybody may ask.
    pub rates: Rates,
    /// What the tenants share of the database and of memory.
    pub shares: ShareLimits,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// What `GET /metrics` answers beside the questions; without it there is no such route.
    pub metrics: Option<RenderMetrics>,
}

impl fmt::Debug for QueryConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueryConfig").field("stages", &self.stages).finish_non_exhaustive()
    }
}

/// What the handlers share.
struct Api {
    pool: PgPool,
    admission: Admission,
    cursor_key: CursorKey,
    stages: Vec<DeclaredStage>,
    log_ends: watch::Receiver<Option<Arc<LogEnds>>>,
    metrics: Option<RenderMetrics>,
    /// Connections of the process's own, which no tenant's questions can take.
    own_pool: PgPool,
    probe: health::Probe,
    standing: freshness::Standing,
    shares: Shares,
    stopping: AtomicBool,
}

/// The API, not yet served.
#[derive(Clone)]
pub struct QueryApi(Arc<Api>);

impl fmt::Debug for QueryApi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("QueryApi(..)")
    }
}

/// Where the API answers.
#[derive(Debug)]
pub struct Listeners {
    /// Questions.
    pub main: Listener,
    /// Health and metrics.
    pub admin: Listener,
}

impl QueryApi {
    /// The pool must come from [`reader_pool`](crate::read_models::reader_pool).
    pub fn new(config: QueryConfig, pool: PgPool, keys: KeyRingWatch) -> Self {
        Self(Arc::new(Api {
            own_pool: companion_pool(&pool, OWN_CONNECTIONS),
            pool,
            admission: Admission::new(keys, &config.rates, config.trusted_proxies),
            cursor_key: config.cursor_key,
            stages: config.stages,
            log_ends: config.log_ends,
            metrics: config.metrics,
            probe: health::Probe::default(),
            standing: freshness::Standing::default(),
            shares: Shares::new(config.shares),
            stopping: AtomicBool::new(false),
        }))
    }

    /// Answers until told to stop: then not ready, nobody is let in any more, and what is in hand is answered.
    pub async fn serve(self, listeners: Listeners, metrics: RenderMetrics, stop: CancellationToken) {
        // Who asks how the stop goes on is answered until it is over.
        let over = CancellationToken::new();
        let _over = over.clone().drop_guard();
        tokio::spawn(listeners.admin.serve(self.admin(metrics), over));
        let open = listeners.main.accept_until(self.router(), stop).await;
        self.0.stopping.store(true, Relaxed);
        open.finish().await;
    }

    /// Every route.
    pub fn router(&self) -> Router {
        let described = routes().into_iter().fold(OpenApiRouter::new(), |all, (scope, routes)| {
            let Some(scope) = scope else { return all.merge(routes) };
            let door = Door { api: Arc::clone(&self.0), scope };
            all.merge(routes.route_layer(middleware::from_fn_with_state(door, access::admit)))
        });
        let description = description().to_json().expect("a description of our own serialises");
        let description: axum::body::Bytes = description.into();
        let openapi = move || async move { ([(header::CONTENT_TYPE, "application/json")], description) };
        let router = described.split_for_parts().0;
        self.finished(router.route("/openapi.json", get(openapi)).route("/healthz", get(health::livez)))
    }

    /// Health and metrics alone, for a listener of their own.
    pub fn admin(&self, metrics: RenderMetrics) -> Router {
        self.finished(
            Router::new()
                .route("/livez", get(health::livez))
                .route("/startupz", get(health::startupz))
                .route("/readyz", get(health::readyz))
                .route("/metrics", get(move || async move { metrics.answer() })),
        )
    }

    /// What is around every route.
    fn finished(&self, router: Router<Arc<Api>>) -> Router {
        router
            .fallback(answer::no_route)
            .method_not_allowed_fallback(answer::wrong_method)
            .layer(CatchPanicLayer::custom(answer::panicked))
            .layer(middleware::from_fn(answer::finish))
            .with_state(Arc::clone(&self.0))
    }
}

/// The OpenAPI 3.1 description of the API, as `/openapi.json` answers it.
pub fn description() -> utoipa::openapi::OpenApi {
    let all = OpenApiRouter::with_openapi(Description::openapi());
    routes().into_iter().fold(all, |all, (_, routes)| all.merge(routes)).into_openapi()
}

/// Every route, by the scope that it asks of its callers; the last ones are for everybody.
fn routes() -> [(Option<Scope>, OpenApiRouter<Arc<Api>>); 4] {
    let audit = OpenApiRouter::new().routes(routes!(audit::list)).routes(routes!(audit::one));
    let risk = OpenApiRouter::new()
        .routes(routes!(risk::entities))
        .routes(routes!(risk::entity))
        .routes(routes!(risk::signals))
        .routes(routes!(risk::incidents))
        .routes(routes!(risk::incident))
        .routes(routes!(unusable::list));
    let read = OpenApiRouter::new()
        .routes(routes!(changes::list))
        .routes(routes!(changes::one))
        .routes(routes!(pipeline::stages))
        .routes(routes!(pipeline::parked));
    let everybody = OpenApiRouter::new()
        .routes(routes!(health::livez))
        .routes(routes!(health::readyz))
        .routes(routes!(health::startupz))
        .routes(routes!(health::metrics));
    [
        (Some(Scope::AuditRead), audit),
        (Some(Scope::RiskRead), risk),
        (Some(Scope::Read), read),
        (None, everybody),
    ]
}

#[derive(OpenApi)]
#[openapi(
    info(title = "Weir query API", description = "Reads what the projections hold."),
    components(schemas(Problem)),
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

impl Api {
    /// Asks the database a question of a tenant, within the tenant's share. The question runs to its end even if its
    /// reader goes away: a connection is never given back inside a question.
    async fn ask<T: Send + 'static>(
        &self,
        tenant: &TenantId,
        question: impl Future<Output = Result<T, ReadError>> + Send + 'static,
    ) -> Result<Answer<T>, answer::Refusal> {
        use tracing::Instrument;
        let (turn, memory) = self.shares.question(tenant).await?;
        let asked = async move {
            let answer = question.await;
            drop(turn);
            answer
        };
        match tokio::spawn(asked.in_current_span()).await {
            Ok(answer) => Ok(Answer { value: answer?, memory }),
            Err(error) => {
                tracing::error!(%error, "a question's task did not end");
                Err(answer::internal())
            }
        }
    }
}

//! The query API: what readers ask over HTTP. Start at [`routes()`]: it is the whole list.
//!
//! Every request is authenticated, its tenant comes from the credential, and its rows from one read-only
//! snapshot under row-level security. Answers carry the `position` that they reflect.

mod answer;
mod audit;
mod body;
mod changes;
mod completeness;
mod compliance;
mod cost;
mod cursor;
mod described;
mod export;
mod facets;
mod freshness;
mod health;
mod logs;
mod paging;
mod parameters;
mod pipeline;
mod retention;
mod risk;
mod searches;
mod shares;
mod streamed;
#[cfg(test)]
mod tests;
mod unusable;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use axum::{Router, routing::get};
use edge::{
    Listener, RenderMetrics,
    access::RequireScope,
    admission::Admission,
    api_error::ApiError,
    head::HeadLimits,
    health::{Probe, Probes},
    identity::Identities,
    openapi::{BearerScheme, describe_responses},
    service::Service,
    tenants::Tenants,
    trail::Trail,
};
use http::header;
use ipnet::IpNet;
use projections::compliance::ControlCatalogue;
use schemas::{TenantId, access::Scope, problem::Problem};
use sqlx::PgPool;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use utoipa::OpenApi;
use utoipa_axum::{router::OpenApiRouter, routes};

use self::{body::Answer, shares::Shares};
use crate::read_models::{
    ReadError, companion_pool,
    pipeline::{DeclaredStage, LogEnds},
};
pub use audit::{AuditAnswer, AuditPage};
pub use changes::{ChangeAnswer, ChangesPage};
pub use completeness::CompletenessAnswer;
pub use compliance::{
    ControlAnswer, FindingsPage, PostureAnswer, ResourcePostureAnswer, ScorecardsPage, VerdictsPage,
    WaiversPage,
};
pub use cost::{
    AllocationAnswer, BudgetsPage, ChargesPage, CostAnomalies, CostBreakdown, CostForecast,
    CostRecommendations, CostSummary, CostTimeseries, CostWorkloads, ReconciliationPage, ResourceAnswer,
};
pub use cursor::CursorKey;
pub use edge::health::Health;
pub use edge::{
    key_ring::{KeyDemand, KeyRingWatch},
    rates::Rates,
};
pub use facets::{HistogramAnswer, TermsAnswer};
pub use logs::{ConsistencyAnswer, KeysAnswer, LogItem, LogsAnswer, ProofAnswer, ProofsAnswer};
pub use paging::{Found, Listed};
pub use pipeline::{ParkedPage, PartitionOperation, PartitionStanding, PipelineAnswer, StageStanding};
pub use retention::{ErasuresPage, HoldsPage, SubjectAnswer};
pub use risk::{EntitiesPage, EntityAnswer, IncidentAnswer, IncidentsPage, SignalsPage};
pub use searches::{SearchAnswer, SearchesPage};
pub use shares::ShareLimits;
pub use unusable::UnusablePage;

/// Class of the rate limit that all queries share.
const CLASS: &str = "query";
/// Rules that are tried stand in the address, where a byte may take three.
const HEAD: HeadLimits = HeadLimits { bytes: 64 * 1024, ..HeadLimits::DEFAULT };
/// Limits around every route. A single statement has a much shorter limit.
const SERVICE: Service = Service { head: HEAD, time_limit: Some(Duration::from_secs(15)) };
/// Connections for readiness and for stage positions.
const OWN_CONNECTIONS: u32 = 2;

/// The controls of the policies in force, as they are when a question is asked.
#[derive(Clone)]
pub struct Controls(Arc<dyn Fn() -> Arc<ControlCatalogue> + Send + Sync>);

impl Controls {
    /// Those that the function returns; it is called for every question.
    pub fn new(current: impl Fn() -> Arc<ControlCatalogue> + Send + Sync + 'static) -> Self {
        Self(Arc::new(current))
    }

    /// The controls now.
    pub fn current(&self) -> Arc<ControlCatalogue> {
        (self.0)()
    }
}

impl Default for Controls {
    /// None.
    fn default() -> Self {
        Self::new(Arc::default)
    }
}

/// Configuration of the query API.
#[derive(Clone)]
pub struct QueryConfig {
    /// Signs cursors.
    pub cursor_key: CursorKey,
    /// The stages that ought to run: one that never claimed a partition is listed too.
    pub stages: Vec<DeclaredStage>,
    /// End offsets of the topics, refreshed by the process's Kafka client. `None` until known: then no lag is
    /// reported.
    pub log_ends: watch::Receiver<Option<Arc<LogEnds>>>,
    /// The public keys that the audit log's checkpoints are signed with.
    pub log_keys: Vec<String>,
    /// The controls that the policies in force are evidence for, by which coverage is counted.
    pub controls: Controls,
    /// The issuers whose tokens are taken beside API keys.
    pub identities: Arc<Identities>,
    /// Rate limits of requests.
    pub rates: Rates,
    /// Limits on the database connections and memory that tenants share.
    pub shares: ShareLimits,
    /// The limits that single tenants have in place of these, and what each uses.
    pub tenants: Tenants,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Answer of `GET /metrics`; `None` leaves the route out.
    pub metrics: Option<RenderMetrics>,
}

impl fmt::Debug for QueryConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueryConfig").field("stages", &self.stages).finish_non_exhaustive()
    }
}

/// State that the handlers share.
struct Api {
    pool: PgPool,
    admission: Arc<Admission>,
    cursor_key: CursorKey,
    stages: Vec<DeclaredStage>,
    log_ends: watch::Receiver<Option<Arc<LogEnds>>>,
    log_keys: Vec<String>,
    controls: Controls,
    metrics: Option<RenderMetrics>,
    /// Connections of the process's own, which tenants' queries cannot take.
    own_pool: PgPool,
    probe: health::DatabaseProbe,
    standing: freshness::Standing,
    shares: Shares,
    /// Access trail that records exports.
    trail: Arc<Trail>,
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

/// Listeners of the API.
#[derive(Debug)]
pub struct Listeners {
    /// Questions.
    pub main: Listener,
    /// Health and metrics.
    pub admin: Listener,
}

impl QueryApi {
    /// The pool must come from [`reader_pool`](crate::read_models::reader_pool).
    pub fn new(config: QueryConfig, pool: PgPool, keys: impl Into<KeyRingWatch>) -> Self {
        Self(Arc::new(Api {
            own_pool: companion_pool(&pool, OWN_CONNECTIONS),
            pool,
            admission: Arc::new(
                Admission::new(keys.into(), &config.rates, config.trusted_proxies)
                    .with_identities(config.identities)
                    .with_trail(Arc::clone(&config.tenants.trail))
                    .with_replicas(config.tenants.replicas.clone()),
            ),
            trail: Arc::clone(&config.tenants.trail),
            cursor_key: config.cursor_key,
            stages: config.stages,
            log_ends: config.log_ends,
            log_keys: config.log_keys,
            controls: config.controls,
            metrics: config.metrics,
            probe: health::DatabaseProbe::default(),
            standing: freshness::Standing::default(),
            shares: Shares::new(config.shares, config.tenants),
            stopping: AtomicBool::new(false),
        }))
    }

    /// Serves until shutdown: then it is not ready, accepts no new request, and answers the requests in
    /// flight.
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
        let probes = Probes::new(self.probe(), self.0.metrics.clone());
        let open = edge::health::described_routes(probes).merge(public_routes());
        let described = routes().into_iter().fold(open, |all, (scope, routes)| {
            let admission = Arc::clone(&self.0.admission);
            all.merge(RequireScope { admission, scope, class: CLASS }.guard(routes))
        });
        let description = description().to_json().expect("a description of our own serialises");
        let description: axum::body::Bytes = description.into();
        let openapi = move || async move { ([(header::CONTENT_TYPE, "application/json")], description) };
        let router = described.split_for_parts().0;
        SERVICE.around(router.route("/openapi.json", get(openapi))).with_state(Arc::clone(&self.0))
    }

    /// Health and metrics alone, for a listener of their own.
    pub fn admin(&self, metrics: RenderMetrics) -> Router {
        SERVICE.around(Probes::new(self.probe(), Some(metrics)).routes())
    }

    fn probe(&self) -> Arc<dyn Probe> {
        self.0.clone()
    }
}

/// The OpenAPI 3.1 description of the API, as `/openapi.json` answers it.
pub fn description() -> utoipa::openapi::OpenApi {
    let mut document = Description::openapi();
    document.merge(edge::health::openapi());
    let all = OpenApiRouter::with_openapi(document).merge(public_routes());
    let mut document = routes().into_iter().fold(all, |all, (_, routes)| all.merge(routes)).into_openapi();
    describe_responses(&mut document);
    document
}

/// Routes for everybody, besides those of health.
fn public_routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(logs::keys))
}

/// Every route that needs a credential, by its scope.
fn routes() -> [(Scope, OpenApiRouter<Arc<Api>>); 5] {
    let audit = OpenApiRouter::new()
        .routes(routes!(audit::list))
        .routes(routes!(facets::terms))
        .routes(routes!(facets::histogram))
        .routes(routes!(export::export))
        .routes(routes!(searches::list))
        .routes(routes!(searches::one))
        .routes(routes!(audit::one))
        .routes(routes!(logs::list))
        .routes(routes!(logs::checkpoint))
        .route("/api/v1/audit/logs/{topic}/{partition}/tile/{*tile}", get(logs::tile))
        .routes(routes!(logs::consistency))
        .routes(routes!(logs::proof))
        .routes(routes!(logs::proofs))
        .routes(routes!(retention::holds))
        .routes(routes!(retention::erasures))
        .routes(routes!(retention::subject));
    let risk = OpenApiRouter::new()
        .routes(routes!(risk::entities))
        .routes(routes!(risk::entity))
        .routes(routes!(risk::signals))
        .routes(routes!(risk::incidents))
        .routes(routes!(risk::incident))
        .routes(routes!(unusable::list));
    let cost = OpenApiRouter::new()
        .routes(routes!(cost::summary))
        .routes(routes!(cost::timeseries))
        .routes(routes!(cost::breakdown))
        .routes(routes!(cost::resource))
        .routes(routes!(cost::charges))
        .routes(routes!(cost::export))
        .routes(routes!(cost::budgets))
        .routes(routes!(cost::reconciliation))
        .routes(routes!(cost::allocation))
        .routes(routes!(cost::anomalies))
        .routes(routes!(cost::forecast))
        .routes(routes!(cost::recommendations))
        .routes(routes!(cost::workloads));
    let compliance = OpenApiRouter::new()
        .routes(routes!(compliance::posture))
        .routes(routes!(compliance::control))
        .routes(routes!(compliance::verdicts))
        .routes(routes!(compliance::resource))
        .routes(routes!(compliance::findings))
        .routes(routes!(compliance::waivers))
        .routes(routes!(compliance::scorecards));
    let read = OpenApiRouter::new()
        .routes(routes!(changes::list))
        .routes(routes!(changes::one))
        .routes(routes!(pipeline::stages))
        .routes(routes!(completeness::hours))
        .routes(routes!(pipeline::parked));
    [
        (Scope::AuditRead, audit),
        (Scope::RiskRead, risk),
        (Scope::CostRead, cost),
        (Scope::ComplianceRead, compliance),
        (Scope::Read, read),
    ]
}

#[derive(OpenApi)]
#[openapi(
    info(title = "Weir query API", description = "Reads what the projections hold."),
    components(schemas(Problem)),
    modifiers(&BearerScheme)
)]
struct Description;

impl Api {
    /// Runs a tenant's query within the tenant's share. The query runs to its end even if its client
    /// disconnects: a connection is never returned inside a query.
    async fn ask<T: Send + 'static>(
        &self,
        tenant: &TenantId,
        question: impl Future<Output = Result<T, ReadError>> + Send + 'static,
    ) -> Result<Answer<T>, ApiError> {
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
                tracing::error!(%error, "a query's task panicked");
                Err(ApiError::internal())
            }
        }
    }
}

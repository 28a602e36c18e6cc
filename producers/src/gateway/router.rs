//! Every route, in one list.

use std::sync::Arc;

use axum::{Json, Router, middleware, response::IntoResponse, response::Response, routing::get};
use schemas::{access::Scope, problem::ProblemKind};
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::{
    Modify, OpenApi,
    openapi::{
        OpenApi as Document,
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    App,
    admit::{self, Door, RouteClass},
    commands,
    config::Admin,
    events, health, observe,
    refusal::Refusal,
    sources, webhook,
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Weir gateway",
        description = "Takes events, other systems' records and commands over HTTP, and answers once Kafka has them.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    // What stands only in a list of answers is not found by itself.
    components(schemas(commands::Commanded)),
    modifiers(&ApiKey)
)]
struct Described;

struct ApiKey;

impl Modify for ApiKey {
    fn modify(&self, document: &mut Document) {
        let mut scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        scheme.description = Some("An API key, `weir_<id>_<secret>`".into());
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("api_key", SecurityScheme::Http(scheme));
    }
}

fn described() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::with_openapi(Described::openapi())
        .routes(routes!(health::livez))
        .routes(routes!(health::startupz))
        .routes(routes!(health::readyz))
        .routes(routes!(health::metrics))
}

fn publishing() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(events::publish)).routes(routes!(sources::publish))
}

/// Routes whose callers prove themselves by what they send.
fn signed() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(webhook::publish))
}

/// The description of the gateway's routes.
pub fn openapi() -> Document {
    described().merge(publishing()).merge(commands::routes()).merge(signed()).into_openapi()
}

/// The gateway's service. From the outside in: [`observe`], panics, the route, [`admit`], the handler.
pub(super) fn router(app: &Arc<App>) -> Router {
    let behind = |scope, class, routes: OpenApiRouter<Arc<App>>| {
        let door = Door { app: Arc::clone(app), scope, class };
        routes.route_layer(middleware::from_fn_with_state(door, admit::admit))
    };
    let publishing = behind(Scope::EventsWrite, RouteClass::Publish, publishing());
    let commands = behind(Scope::CommandsWrite, RouteClass::Command, commands::routes());
    let (router, document) = described().merge(publishing).merge(commands).merge(signed()).split_for_parts();
    finished(router.route("/openapi.json", get(move || async move { Json(document) })), app)
}

/// Health and metrics alone.
pub(super) fn admin(app: &Arc<App>, admin: &Admin) -> Router {
    let exporter = admin.metrics.clone();
    let router = Router::new()
        .route("/livez", get(health::livez))
        .route("/startupz", get(health::startupz))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(move || async move { exporter.answer() }));
    finished(router, app)
}

/// What is around every route.
fn finished(router: Router<Arc<App>>, app: &Arc<App>) -> Router {
    router
        .fallback(|| async { Refusal::new(ProblemKind::NotFound, "there is no such path") })
        .method_not_allowed_fallback(|| async {
            Refusal::new(ProblemKind::MethodNotAllowed, "see the Allow header for what this path takes")
        })
        .with_state(Arc::clone(app))
        .layer(CatchPanicLayer::custom(|_| -> Response {
            Refusal::new(ProblemKind::Internal, "the request could not be handled; this is a defect")
                .into_response()
        }))
        .layer(middleware::from_fn_with_state(Arc::clone(app), observe::observe))
}

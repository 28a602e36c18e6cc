//! Every route, in one list.

use std::sync::Arc;

use axum::{Json, Router, routing::get};
use edge::{
    access::RequireScope,
    health::{self, Probe, Probes},
    openapi::{BearerScheme, describe_responses},
    service::Service,
};
use schemas::access::Scope;
use utoipa::{
    OpenApi,
    openapi::{OpenApi as Document, RefOr},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{App, commands, config::Admin, events, handshake, policy, sources, webhook};

/// Class of the routes that take events and records.
pub(super) const PUBLISH: &str = "publish";

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Weir gateway",
        description = "Accepts events, records of other systems and commands over HTTP, and responds once Kafka acknowledged them.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    // What stands only in a list of answers is not found by itself.
    components(schemas(commands::Commanded)),
    modifiers(&BearerScheme)
)]
struct Described;

/// Routes that need a credential: scope, class of the rate limit, routes.
fn guarded() -> [(Scope, &'static str, OpenApiRouter<Arc<App>>); 10] {
    let publishing = OpenApiRouter::new().routes(routes!(events::publish)).routes(routes!(sources::publish));
    [
        (Scope::EventsWrite, PUBLISH, publishing),
        (Scope::ChangesRequest, "command", commands::requests()),
        (Scope::ChangesDecide, "command", commands::decisions()),
        (Scope::RiskDecide, "command", commands::risk_decisions()),
        (Scope::CommandsWrite, "command", commands::cost_decisions()),
        (Scope::ComplianceDecide, "command", commands::waiver_decisions()),
        (Scope::HoldsDecide, "command", commands::holds()),
        (Scope::SubjectsErase, "command", commands::erasures()),
        (Scope::SearchesSave, "command", commands::searches()),
        (Scope::PolicyEvaluate, "policy", policy::routes()),
    ]
}

/// Routes without a credential: signed webhooks, and handshakes of senders.
fn signed() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(webhook::publish))
        .routes(routes!(handshake::verify, handshake::permit_records))
        .routes(routes!(handshake::permit_events))
}

/// OpenAPI description of the gateway's routes.
pub fn openapi() -> Document {
    let mut document = Described::openapi();
    document.merge(health::openapi());
    let all = OpenApiRouter::with_openapi(document).merge(signed());
    complete(guarded().into_iter().fold(all, |all, (_, _, routes)| all.merge(routes)).into_openapi())
}

/// Describes responses by their statuses, and lists every source in the descriptions of their paths.
fn complete(mut document: Document) -> Document {
    describe_responses(&mut document);
    let path = document.paths.paths.get_mut("/api/v1/sources/{source}");
    let parameters = path.and_then(|path| path.post.as_mut()?.parameters.as_mut());
    for parameter in parameters.into_iter().flatten() {
        if let RefOr::T(parameter) = parameter
            && parameter.name == "source"
        {
            parameter.description = Some(sources::described());
        }
    }
    document
}

/// The gateway's service. From the outside in: [`Service`], the route, [`RequireScope`], the handler.
pub(super) fn router(app: &Arc<App>) -> Router {
    let probe: Arc<dyn Probe> = app.clone();
    let open = signed().merge(health::described_routes(Probes::new(probe, app.config.metrics.clone())));
    let all = guarded().into_iter().fold(open, |all, (scope, class, routes)| {
        let admission = Arc::clone(&app.admission);
        all.merge(RequireScope { admission, scope, class }.guard(routes))
    });
    let router = all.split_for_parts().0.route("/openapi.json", get(|| async { Json(openapi()) }));
    service(app).around(router).with_state(Arc::clone(app))
}

/// Health and metrics routes only.
pub(super) fn admin(app: &Arc<App>, admin: &Admin) -> Router {
    let probe: Arc<dyn Probe> = app.clone();
    service(app).around(Probes::new(probe, Some(admin.metrics.clone())).routes())
}

fn service(app: &App) -> Service {
    Service { head: app.config.limits.head, ..Service::default() }
}

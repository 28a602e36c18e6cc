//! The scope guard of a group of routes.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use schemas::access::{Principal, Scope};
use utoipa_axum::router::OpenApiRouter;

use crate::{
    admission::{Admission, Admitted},
    peer::Peer,
};

/// What a group of routes asks of its callers.
#[derive(Debug, Clone)]
pub struct RequireScope {
    /// Who is let in at all.
    pub admission: Arc<Admission>,
    /// What the caller must be allowed.
    pub scope: Scope,
    /// The routes that share an allowance of requests.
    pub class: &'static str,
}

impl RequireScope {
    /// The routes behind this guard: a request that passes carries its `Arc<Principal>` as an extension; any other is
    /// answered 401, 403, 429 or 503. The rate's headers go on every answer to a known caller.
    pub fn guard<S: Clone + Send + Sync + 'static>(self, routes: OpenApiRouter<S>) -> OpenApiRouter<S> {
        routes.route_layer(middleware::from_fn_with_state(self, require))
    }
}

async fn require(State(guard): State<RequireScope>, mut request: Request, next: Next) -> Response {
    let peer = Peer::of(&request);
    match guard.admission.admit(request.headers(), peer, guard.scope, guard.class).await {
        Ok(Admitted { principal, allowance }) => {
            let principal: Arc<Principal> = Arc::new(principal);
            request.extensions_mut().insert(principal);
            let mut response = next.run(request).await;
            if let Some(allowance) = &allowance {
                allowance.write(response.headers_mut());
            }
            response
        }
        Err(denied) => denied.into_response(),
    }
}

//! Scope guard for a group of routes.

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

/// Requirements that a group of routes has of its callers.
#[derive(Debug, Clone)]
pub struct RequireScope {
    /// Authentication and rate limits.
    pub admission: Arc<Admission>,
    /// Scope that the caller must hold.
    pub scope: Scope,
    /// Class of routes that share a rate limit.
    pub class: &'static str,
}

impl RequireScope {
    /// Guards the routes: a request that passes carries its `Arc<Principal>` as an extension; any other is
    /// answered 401, 403, 429 or 503. Every response to a known caller has the rate limit headers.
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

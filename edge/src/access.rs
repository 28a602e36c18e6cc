//! Scope guard for a group of routes.

use std::{net::IpAddr, sync::Arc};

use axum::{
    extract::{Request, State},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use http::StatusCode;
use schemas::access::Scope;
use utoipa_axum::router::OpenApiRouter;

use crate::{
    admission::{Admission, Admitted},
    peer::Peer,
    trail::Reason,
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
    /// Guards the routes: a request that passes carries its `Arc<Principal>` and its [`CallerAddress`] as
    /// extensions; any other is answered 401, 403, 429 or 503. Every response to a known caller has the
    /// rate limit headers: those of the caller's limit, unless a route refused for another one and wrote that.
    /// Refusals, by the guard or by a route, are noted for the audit log.
    pub fn guard<S: Clone + Send + Sync + 'static>(self, routes: OpenApiRouter<S>) -> OpenApiRouter<S> {
        routes.route_layer(middleware::from_fn_with_state(self, require))
    }
}

/// Client address of a request, as far as trusted proxies tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallerAddress(pub IpAddr);

async fn require(State(guard): State<RequireScope>, mut request: Request, next: Next) -> Response {
    let peer = Peer::of(&request);
    match guard.admission.admit(request.headers(), peer, guard.scope, guard.class).await {
        Ok(Admitted { principal, address, allowance }) => {
            request.extensions_mut().insert(Arc::clone(&principal));
            request.extensions_mut().insert(CallerAddress(address));
            let mut response = next.run(request).await;
            let reason = match response.status() {
                StatusCode::FORBIDDEN => Some(Reason::Forbidden),
                StatusCode::TOO_MANY_REQUESTS => Some(Reason::QuotaExceeded),
                _ => None,
            };
            if let Some(reason) = reason {
                guard.admission.note(&principal, reason, guard.class, address);
            }
            if let Some(allowance) = &allowance
                && !response.headers().contains_key("ratelimit")
            {
                allowance.write(response.headers_mut());
            }
            response
        }
        Err(denied) => denied.into_response(),
    }
}

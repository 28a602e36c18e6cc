//! Who asks, and whether they may.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use edge::admission::{Admitted, TurnedAway};
use schemas::access::Scope;

use super::{Api, answer::Refusal};

/// Every question shares one allowance.
const CLASS: &str = "query";

/// What a group of routes asks of its callers.
#[derive(Clone)]
pub(super) struct Door {
    pub(super) api: Arc<Api>,
    pub(super) scope: Scope,
}

/// Lets a request through with its [`Principal`](schemas::access::Principal), or answers 401, 403, 429 or 503. The
/// rate's headers go on every answer to a known caller.
pub(super) async fn admit(State(door): State<Door>, mut request: Request, next: Next) -> Response {
    match door.api.admission.admit(&request, door.scope, CLASS) {
        Ok(Admitted { principal, allowance }) => {
            request.extensions_mut().insert(Arc::new(principal));
            Admitted::told(allowance.as_ref(), next.run(request).await)
        }
        Err(away) => turned_away(&away),
    }
}

fn turned_away(away: &TurnedAway) -> Response {
    let mut response = Refusal::new(away.kind, &away.detail).into_response();
    away.write(response.headers_mut());
    response
}

//! Who asks, whether they may, and whether they ask too often.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use edge::admission::{Admitted, TurnedAway};
use schemas::access::Scope;

use super::{App, refusal::Refusal};

/// Routes that share an allowance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RouteClass {
    /// Publishing events.
    Publish,
    /// Commands.
    Command,
}

impl RouteClass {
    const fn name(self) -> &'static str {
        match self {
            Self::Publish => "publish",
            Self::Command => "command",
        }
    }
}

/// What a group of routes asks of its callers.
#[derive(Clone)]
pub(super) struct Door {
    pub(super) app: Arc<App>,
    pub(super) scope: Scope,
    pub(super) class: RouteClass,
}

/// Lets a request through with its [`Principal`](schemas::access::Principal), or answers 401, 403, 429 or 503. The
/// rate's headers go on every answer to a known caller.
pub(super) async fn admit(State(door): State<Door>, mut request: Request, next: Next) -> Response {
    match door.app.admission.admit(&request, door.scope, door.class.name()) {
        Ok(Admitted { principal, allowance }) => {
            request.extensions_mut().insert(Arc::new(principal));
            Admitted::told(allowance.as_ref(), next.run(request).await)
        }
        Err(away) => Refusal::from(away).into_response(),
    }
}

impl From<TurnedAway> for Refusal {
    fn from(away: TurnedAway) -> Self {
        Self::new(away.kind, &away.detail).with_headers(|headers| away.write(headers))
    }
}

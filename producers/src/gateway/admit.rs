//! Who asks, whether they may, and whether they ask too often.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use edge::{
    credential::bearer,
    peer::Peer,
    rates::{Allowance, Caller},
};
use http::HeaderMap;
use schemas::{
    access::{Principal, Scope},
    problem::ProblemKind,
};

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

/// Why a request always has a [`Peer`].
const NAMED: &str = "the accept loop names the peer of every request";

/// What a group of routes asks of its callers.
#[derive(Clone)]
pub(super) struct Door {
    pub(super) app: Arc<App>,
    pub(super) scope: Scope,
    pub(super) class: RouteClass,
}

/// Lets a request through with its [`Principal`], or answers 401, 403, 429 or 503. The rate's headers go on
/// every answer to a known caller.
pub(super) async fn admit(State(door): State<Door>, mut request: Request, next: Next) -> Response {
    let principal = match authenticate(&door.app, &request) {
        Ok(principal) => principal,
        Err(refusal) => return refusal.into_response(),
    };
    let allowance = match door.take(&principal) {
        Ok(allowance) => allowance,
        Err(none_left) => {
            let refusal = Refusal::new(ProblemKind::RateLimited, "this key asks too often")
                .retry_after_s(none_left.retry_after_s());
            return with_allowance(refusal.into_response(), Some(&none_left));
        }
    };
    let response = if principal.may(door.scope) {
        request.extensions_mut().insert(Arc::new(principal));
        next.run(request).await
    } else {
        let detail = format!("the key {} lacks the scope {}", principal.key_id, door.scope.name());
        Refusal::new(ProblemKind::Forbidden, detail).into_response()
    };
    with_allowance(response, allowance.as_ref())
}

impl Door {
    fn take(&self, principal: &Principal) -> Result<Option<Allowance>, Allowance> {
        let (tenant, key_id) = (principal.tenant.clone(), principal.key_id.clone());
        self.app.limiters.take(Caller { tenant, key_id, class: self.class.name() })
    }
}

fn with_allowance(mut response: Response, allowance: Option<&Allowance>) -> Response {
    if let Some(allowance) = allowance {
        allowance.write(response.headers_mut());
    }
    response
}

/// Who the bearer token belongs to. Every failure gets the same answer, and counts against the address; a
/// good key is never refused for its neighbours' failures.
fn authenticate(app: &App, request: &Request) -> Result<Principal, Refusal> {
    let keys = app.keys.borrow().clone();
    let Some(keys) = keys else {
        return Err(Refusal::new(ProblemKind::KeysUnavailable, "the API keys are not loaded yet"));
    };
    if let Some(principal) = bearer(request.headers()).and_then(|token| keys.verify(token)) {
        return Ok(principal);
    }
    let unauthenticated =
        Refusal::new(ProblemKind::Unauthenticated, "send a valid API key as Authorization: Bearer weir_…");
    let peer = *request.extensions().get::<Peer>().expect(NAMED);
    Err(login_failed(app, peer, request.headers(), unauthenticated))
}

/// Counts a failed login against its address: the refusal, or 429 where there were too many.
pub(super) fn login_failed(app: &App, peer: Peer, headers: &HeaderMap, refusal: Refusal) -> Refusal {
    let client = peer.client(headers, &app.config.trusted_proxies);
    match app.limiters.login_failed(client) {
        Ok(()) => refusal,
        Err(none_left) => Refusal::new(ProblemKind::RateLimited, "too many failed logins from this address")
            .retry_after_s(none_left.retry_after_s()),
    }
}

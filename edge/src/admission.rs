//! Who asks, whether they may, and whether they ask too often.

use std::sync::Arc;

use axum::{extract::Request, response::Response};
use http::{HeaderMap, HeaderValue, header};
use ipnet::IpNet;
use schemas::{
    access::{KeyRing, Principal, Scope},
    problem::ProblemKind,
};
use tokio::sync::watch;

use crate::{
    credential::bearer,
    peer::Peer,
    rates::{Allowance, Caller, Limiters, Rates},
};

/// The API keys as they are now, renewed by whoever reads them from the database; `None` until they were read once.
pub type KeyRingWatch = watch::Receiver<Option<Arc<KeyRing>>>;

/// Why a request always has a [`Peer`].
const NAMED: &str = "the listener names the peer of every request";

/// Lets callers of one service in.
#[derive(Debug)]
pub struct Admission {
    keys: KeyRingWatch,
    limiters: Limiters,
    trusted_proxies: Vec<IpNet>,
}

/// A caller who may ask.
#[derive(Debug)]
pub struct Admitted {
    /// Who it is.
    pub principal: Principal,
    /// What is left of the caller's allowance; `None` where there is no limit.
    pub allowance: Option<Allowance>,
}

/// Why a caller may not.
#[derive(Debug)]
pub struct TurnedAway {
    /// The kind of problem: keys-unavailable, unauthenticated, forbidden or rate-limited.
    pub kind: ProblemKind,
    /// For the caller.
    pub detail: String,
    /// What is left of the allowance, if the caller is known and has one.
    pub allowance: Option<Allowance>,
    retry_after_s: Option<u64>,
}

impl TurnedAway {
    fn new(kind: ProblemKind, detail: &str) -> Self {
        Self { kind, detail: detail.to_owned(), allowance: None, retry_after_s: None }
    }

    /// When to come back, where it is known better than from the kind.
    pub fn retry_after_s(&self) -> Option<u64> {
        self.retry_after_s
    }

    /// Writes `Retry-After` and what is left of the allowance, for the answer that tells of it.
    pub fn write(&self, headers: &mut HeaderMap) {
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(allowance) = &self.allowance {
            allowance.write(headers);
        }
    }
}

impl Admission {
    /// Believes `X-Forwarded-For` of these proxies only.
    pub fn new(keys: KeyRingWatch, rates: &Rates, trusted_proxies: Vec<IpNet>) -> Self {
        Self { keys, limiters: Limiters::new(rates), trusted_proxies }
    }

    /// Whether the keys were read once.
    pub fn is_ready(&self) -> bool {
        self.keys.borrow().is_some()
    }

    /// The request's caller, if the credential holds, has the scope, and is within its rate for the class of routes.
    ///
    /// A missing, malformed, unknown, wrong or revoked credential gets one and the same answer, and counts against
    /// the address; a good one is never refused for its neighbours' failures.
    pub fn admit(
        &self,
        request: &Request,
        scope: Scope,
        class: &'static str,
    ) -> Result<Admitted, TurnedAway> {
        let Some(keys) = self.keys.borrow().clone() else {
            return Err(TurnedAway::new(ProblemKind::KeysUnavailable, "the API keys are not loaded yet"));
        };
        let Some(principal) = keys.verify(bearer(request.headers()).unwrap_or_default()) else {
            let peer = *request.extensions().get::<Peer>().expect(NAMED);
            self.login_failed(peer, request.headers())?;
            let detail = "send a valid API key as Authorization: Bearer weir_…";
            return Err(TurnedAway::new(ProblemKind::Unauthenticated, detail));
        };
        let (tenant, key_id) = (principal.tenant.clone(), principal.key_id.clone());
        let allowance =
            self.limiters.take(Caller { tenant, key_id, class }).map_err(|none_left| TurnedAway {
                allowance: Some(none_left),
                retry_after_s: Some(none_left.retry_after_s()),
                ..TurnedAway::new(ProblemKind::RateLimited, "this key asks too often")
            })?;
        if principal.may(scope) {
            return Ok(Admitted { principal, allowance });
        }
        let detail = format!("the key {} lacks the scope {}", principal.key_id, scope.name());
        Err(TurnedAway { allowance, ..TurnedAway::new(ProblemKind::Forbidden, &detail) })
    }

    /// Counts a failed login against its address; an error where there were too many.
    pub fn login_failed(&self, peer: Peer, headers: &HeaderMap) -> Result<(), TurnedAway> {
        self.limiters.login_failed(peer.client(headers, &self.trusted_proxies)).map_err(|none_left| {
            TurnedAway {
                retry_after_s: Some(none_left.retry_after_s()),
                ..TurnedAway::new(ProblemKind::RateLimited, "too many failed logins from this address")
            }
        })
    }
}

impl Admitted {
    /// Writes what is left of the allowance on the answer.
    pub fn told(allowance: Option<&Allowance>, mut response: Response) -> Response {
        if let Some(allowance) = allowance {
            allowance.write(response.headers_mut());
        }
        response
    }
}

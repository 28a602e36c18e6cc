//! Admission of requests: authentication, authorisation and rate limits.

use std::{net::IpAddr, sync::Arc};

use chrono::Utc;
use http::{HeaderMap, HeaderValue, header};
use ipnet::IpNet;
use schemas::{
    access::{KeyRing, Principal, RefusedKey, Role, Scope, VerifiedKey},
    problem::ProblemKind,
};
use tracing::debug;

use crate::{
    api_error::ApiError,
    credential,
    identity::{Denial, Identities},
    key_ring::KeyRingWatch,
    peer::Peer,
    rates::{Allowance, Caller, CallerKind, Limiters, Rates, ReplicasWatch},
    trail::{Reason, Refusal, Trail},
};

/// Admits the callers of one service.
#[derive(Debug)]
pub struct Admission {
    keys: KeyRingWatch,
    identities: Arc<Identities>,
    limiters: Limiters,
    trusted_proxies: Vec<IpNet>,
    trail: Arc<Trail>,
}

/// An admitted caller.
#[derive(Debug)]
pub struct Admitted {
    /// Who it is.
    pub principal: Arc<Principal>,
    /// Client address.
    pub address: IpAddr,
    /// Rest of the caller's rate limit; `None` where there is no limit.
    pub allowance: Option<Allowance>,
}

impl Admission {
    /// Trusts `X-Forwarded-For` from these proxies only.
    pub fn new(keys: KeyRingWatch, rates: &Rates, trusted_proxies: Vec<IpNet>) -> Self {
        let (identities, limiters) = (Arc::default(), Limiters::new(rates));
        Self { keys, identities, limiters, trusted_proxies, trail: Arc::default() }
    }

    /// Accepts tokens of these issuers, too.
    #[must_use]
    pub fn with_identities(self, identities: Arc<Identities>) -> Self {
        Self { identities, ..self }
    }

    /// Notes admitted and refused callers in this trail.
    #[must_use]
    pub fn with_trail(self, trail: Arc<Trail>) -> Self {
        Self { trail, ..self }
    }

    /// Divides the rate limits among the replicas of the service.
    #[must_use]
    pub fn with_replicas(mut self, replicas: ReplicasWatch) -> Self {
        self.limiters = self.limiters.divided_among(replicas);
        self
    }

    /// Whether credentials can be checked; otherwise the problem to answer with.
    pub fn ready(&self) -> Result<(), ApiError> {
        self.keys.current().map(drop).ok_or_else(keys_unavailable)
    }

    /// The caller, if the credential is valid, has the scope, and is within the rate limit for the class of
    /// routes.
    ///
    /// A missing, malformed, unknown, wrong, expired or revoked credential gets one and the same response.
    /// One that is not valid counts against the address as a failed login; a request without any counts
    /// against a larger limit. A valid one is never refused because of failed logins from its address.
    pub async fn admit(
        &self,
        headers: &HeaderMap,
        peer: Peer,
        scope: Scope,
        class: &'static str,
    ) -> Result<Admitted, ApiError> {
        let address = self.client(peer, headers);
        let call = Call { headers, peer, address, class };
        let principal = Arc::new(self.authenticate(&call).await?);
        let allowance = self
            .take(&principal, class)
            .inspect_err(|_| self.note(&principal, Reason::RateLimited, class, address))?;
        if principal.may(scope) {
            self.trail.used(&principal, address, Utc::now());
            return Ok(Admitted { principal, address, allowance });
        }
        self.note(&principal, Reason::Forbidden, class, address);
        let id = principal.id();
        let wider = scope.within().map(|wider| format!(" (or {})", wider.name())).unwrap_or_default();
        let denied =
            ApiError::new(ProblemKind::Forbidden, format!("{id} lacks the scope {}{wider}", scope.name()));
        Err(match &allowance {
            Some(allowance) => denied.with_headers(|headers| allowance.write(headers)),
            None => denied,
        })
    }

    /// Notes the refusal of a principal.
    pub fn note(&self, principal: &Principal, reason: Reason, class: &'static str, address: IpAddr) {
        let (tenant, credential) = (principal.tenant(), principal.id());
        let refusal =
            Refusal { tenant, credential: &credential, actor: principal.actor(), reason, class, address };
        self.trail.refused(refusal, Utc::now());
    }

    /// The holder of the request's credential.
    async fn authenticate(&self, call: &Call<'_>) -> Result<Principal, ApiError> {
        let Call { headers, peer, address, class } = *call;
        let token = credential::token(headers).unwrap_or_default();
        let token = token.as_ref();
        if Identities::is_token(token) && !self.identities.is_empty() {
            return self.identify(token, call).await;
        }
        match self.check_key(token, address).await? {
            Ok(key) if key.may_come_from(address) => Ok(Principal::ApiKey(key.holder)),
            Ok(key) => {
                let detail = format!("the key {} may not be used from {address}", key.holder.id);
                self.note(&Principal::ApiKey(key.holder), Reason::ForeignNetwork, class, address);
                self.login_failed(peer, headers)?;
                Err(ApiError::new(ProblemKind::Forbidden, detail))
            }
            Err(refused) => {
                match &refused {
                    Some(key) => self.trail.refused(Refusal::of_key(key, class, address), Utc::now()),
                    None => Trail::refused_stranger(),
                }
                Err(self.unauthenticated(peer, headers))
            }
        }
    }

    /// Checks an API key. One that does not hold is checked again with the keys as they are now: it may have
    /// been made a moment ago. All that fail take as long, whatever the reason, and each address may have
    /// keys read as often as it may fail to log in.
    async fn check_key(
        &self,
        token: &str,
        address: IpAddr,
    ) -> Result<Result<VerifiedKey, Option<RefusedKey>>, ApiError> {
        let keys = self.keys.current().ok_or_else(keys_unavailable)?;
        let checked = keys.check(token, Utc::now());
        let ask = checked.is_err()
            && self.keys.is_on_demand()
            && KeyRing::is_token(token)
            && self.limiters.may_read_keys(address);
        match ask.then(|| self.keys.newer()) {
            Some(newer) => Ok(newer.await.map_or(checked, |keys| keys.check(token, Utc::now()))),
            None => Ok(checked),
        }
    }

    /// The subject of an issuer's token. The reason for rejecting one is only logged.
    async fn identify(&self, token: &str, call: &Call<'_>) -> Result<Principal, ApiError> {
        let Call { headers, peer, address, class } = *call;
        let refused = match self.identities.admit(token, Utc::now()).await {
            Ok(principal) => return Ok(principal),
            Err(refused) => refused,
        };
        match &refused.subject {
            Some(subject) => self.note(subject, Reason::TokenRefused, class, address),
            None => Trail::refused_stranger(),
        }
        match refused.denial {
            Denial::Invalid(error) => {
                debug!(%error, "a token was refused");
                Err(self.unauthenticated(peer, headers))
            }
            denial @ (Denial::NoRole | Denial::NoSubject { .. }) => {
                self.login_failed(peer, headers)?;
                Err(ApiError::new(ProblemKind::Forbidden, denial.to_string()))
            }
            Denial::KeysUnavailable(_) => {
                let detail = "the keys of the token's issuer cannot be fetched now";
                Err(ApiError::new(ProblemKind::KeysUnavailable, detail))
            }
        }
    }

    fn unauthenticated(&self, peer: Peer, headers: &HeaderMap) -> ApiError {
        let detail = "send a valid API key as Authorization: Bearer weir_…";
        let refused = || ApiError::new(ProblemKind::Unauthenticated, detail);
        if credential::is_offered(headers) {
            return self.login_failed(peer, headers).err().unwrap_or_else(refused);
        }
        // Who sends its credential only when asked for it has not failed to log in.
        match self.limiters.asked_for_challenge(self.client(peer, headers)) {
            Ok(()) => refused(),
            Err(none_left) => retry_later(
                ApiError::new(ProblemKind::RateLimited, "too many requests without a credential"),
                &none_left,
            ),
        }
    }

    /// Takes one request from the principal's rate limit.
    fn take(&self, principal: &Principal, class: &'static str) -> Result<Option<Allowance>, ApiError> {
        let Some(kind) = kind_of(principal) else { return Ok(None) };
        let caller = Caller { tenant: principal.tenant().clone(), id: principal.id().into_owned(), class };
        self.limiters
            .take(kind, caller)
            .map_err(|none_left| too_often(&none_left, "this credential exceeds its rate limit"))
    }

    /// Client address of a request: its peer, or the one that a trusted proxy reports.
    pub fn client(&self, peer: Peer, headers: &HeaderMap) -> IpAddr {
        peer.client(headers, &self.trusted_proxies)
    }

    /// Counts a failed login against its address; an error if there were too many.
    pub fn login_failed(&self, peer: Peer, headers: &HeaderMap) -> Result<(), ApiError> {
        let client = self.client(peer, headers);
        self.limiters.login_failed(client).map_err(|none_left| {
            retry_later(
                ApiError::new(ProblemKind::RateLimited, "too many failed logins from this address"),
                &none_left,
            )
        })
    }
}

/// A request before its caller is known.
#[derive(Debug, Clone, Copy)]
struct Call<'a> {
    headers: &'a HeaderMap,
    peer: Peer,
    address: IpAddr,
    class: &'static str,
}

/// The kind of caller that decides on the rate limit; `None` for administrators, who have no limit.
fn kind_of(principal: &Principal) -> Option<CallerKind> {
    match principal {
        Principal::ApiKey(_) | Principal::Service(_) => Some(CallerKind::Program),
        Principal::Person(person) if person.roles.contains(&Role::Admin) => None,
        Principal::Person(_) => Some(CallerKind::Person),
    }
}

fn keys_unavailable() -> ApiError {
    ApiError::new(ProblemKind::KeysUnavailable, "the API keys cannot be read now")
}

fn too_often(none_left: &Allowance, detail: &str) -> ApiError {
    retry_later(ApiError::new(ProblemKind::RateLimited, detail), none_left)
        .with_headers(|headers| none_left.write(headers))
}

fn retry_later(error: ApiError, none_left: &Allowance) -> ApiError {
    error.header(header::RETRY_AFTER, HeaderValue::from(none_left.retry_after_s()))
}

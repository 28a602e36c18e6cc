//! Who asks, whether they may, and whether they ask too often.

use std::{net::IpAddr, sync::Arc};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, header};
use ipnet::IpNet;
use schemas::{
    access::{MAX_CREDENTIAL_BYTES, Principal, Scope},
    problem::ProblemKind,
};

use super::{
    App,
    rates::{Allowance, Caller, Network, RouteClass},
    refusal::Refusal,
};

/// Why a request always has a [`Peer`].
const NAMED: &str = "the accept loop names the peer of every request";
/// Most proxies that are followed back through `X-Forwarded-For`.
const MAX_PROXIES: usize = 16;

/// The address at the other end of the connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(pub(super) IpAddr);

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
                .retry_after(none_left.wait());
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
        let Some(limiter) = &self.app.limiters.callers else { return Ok(None) };
        let (tenant, key_id) = (principal.tenant.clone(), principal.key_id.clone());
        let taken = limiter.take(Caller { tenant, key_id, class: self.class });
        if taken.is_err() {
            metrics::counter!("weir_rate_limited_total", "tenant_class" => "api_key").increment(1);
        }
        taken.map(Some)
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
    let client = client_address(peer.0, headers, &app.config.trusted_proxies);
    match app.limiters.failed_logins.take(Network::from(client)) {
        Ok(_) => refusal,
        Err(allowance) => {
            metrics::counter!("weir_rate_limited_total", "tenant_class" => "address").increment(1);
            Refusal::new(ProblemKind::RateLimited, "too many failed logins from this address")
                .retry_after(allowance.wait())
        }
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    if value.len() > MAX_CREDENTIAL_BYTES {
        return None;
    }
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// The peer; or, as far as the peers are known proxies, whom the last of them speaks for.
fn client_address(peer: IpAddr, headers: &HeaderMap, proxies: &[IpNet]) -> IpAddr {
    let known = |address: IpAddr| proxies.iter().any(|net| net.contains(&address.to_canonical()));
    let mut client = peer;
    let forwarded = headers.get_all("x-forwarded-for").iter().rev();
    let hops = forwarded.filter_map(|value| value.to_str().ok()).flat_map(|value| value.rsplit(','));
    for hop in hops.take(MAX_PROXIES) {
        if !known(client) {
            break;
        }
        match hop.trim().parse() {
            Ok(address) => client = address,
            Err(_) => break,
        }
    }
    client
}

/// Whether connections from there are a proxy's.
pub(super) fn is_proxy(peer: IpAddr, proxies: &[IpNet]) -> bool {
    proxies.iter().any(|net| net.contains(&peer.to_canonical()))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[track_caller]
    fn check(peer: &str, forwarded: &[&'static str], expected: &str) {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", HeaderValue::from_static(value));
        }
        let proxies = ["10.0.0.0/8".parse().expect("a network")];
        let client = client_address(peer.parse().expect("an address"), &headers, &proxies);
        assert_eq!(client, expected.parse::<IpAddr>().expect("an address"));
    }

    #[test]
    fn only_known_proxies_are_believed() {
        check("192.0.2.9", &["203.0.113.5"], "192.0.2.9");
        check("10.1.1.1", &["203.0.113.5"], "203.0.113.5");
        check("10.1.1.1", &["198.51.100.7, 203.0.113.5"], "203.0.113.5");
        check("10.1.1.1", &["198.51.100.7", "203.0.113.5, 10.2.2.2"], "203.0.113.5");
        check("10.1.1.1", &["garbage"], "10.1.1.1");
        check("10.1.1.1", &[], "10.1.1.1");
        check("::ffff:10.1.1.1", &["203.0.113.5"], "203.0.113.5");
    }

    #[test]
    fn one_bearer_token_or_none() {
        let of = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::AUTHORIZATION, HeaderValue::from_static(value));
            }
            bearer(&headers).map(str::to_owned)
        };
        assert_eq!(of(&["Bearer abc"]), Some("abc".into()));
        assert_eq!(of(&["bearer abc"]), Some("abc".into()));
        for bad in [&[][..], &["abc"], &["Basic abc"], &["Bearer a", "Bearer b"]] {
            assert_eq!(of(bad), None, "{bad:?}");
        }
    }
}

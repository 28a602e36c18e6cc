//! Who asks, and whether they may.

use std::sync::Arc;

use http::{HeaderMap, header};
use schemas::{
    access::{KeyRing, MAX_CREDENTIAL_BYTES, Principal, Scope},
    problem::ProblemKind,
};
use tokio::sync::watch;

use super::answer::Refusal;

/// The valid keys, renewed by whoever reads them from the database; `None` until they were read once.
pub type KeyRingWatch = watch::Receiver<Option<Arc<KeyRing>>>;

/// The principal of the request's bearer token, if it holds the scope.
///
/// A missing, malformed, unknown, wrong or revoked credential gets one and the same answer.
pub(super) fn authorize(
    keys: &KeyRingWatch,
    headers: &HeaderMap,
    scope: Scope,
) -> Result<Principal, Refusal> {
    let ring = keys.borrow().clone();
    let ring = ring.ok_or_else(|| Refusal::new(ProblemKind::KeysUnavailable, "try again"))?;
    let principal = ring
        .verify(bearer_token(headers).unwrap_or_default())
        .ok_or_else(|| Refusal::new(ProblemKind::Unauthenticated, "send Authorization: Bearer weir_…"))?;
    if principal.may(scope) {
        Ok(principal)
    } else {
        Err(Refusal::new(ProblemKind::Forbidden, &format!("the scope {} is needed", scope.name())))
    }
}

/// The token of the one `Authorization` header.
fn bearer_token(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next().filter(|value| value.len() <= MAX_CREDENTIAL_BYTES)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    (values.next().is_none() && scheme.eq_ignore_ascii_case("bearer")).then(|| token.trim_start_matches(' '))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn check(values: &[&str], token: Option<&str>) {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::AUTHORIZATION, HeaderValue::from_str(value).expect("a header"));
        }
        assert_eq!(bearer_token(&headers), token, "{values:?}");
    }

    #[test]
    fn one_bearer_token_is_taken() {
        check(&["Bearer abc"], Some("abc"));
        check(&["bearer  abc"], Some("abc"));
        check(&[], None);
        check(&["abc"], None);
        check(&["Basic abc"], None);
        check(&["Bearer abc", "Bearer abc"], None);
        check(&[&format!("Bearer {}", "x".repeat(MAX_CREDENTIAL_BYTES))], None);
    }
}

//! The credential that a request carries.

use http::{HeaderMap, header};
use schemas::access::MAX_CREDENTIAL_BYTES;

/// The token of the one `Authorization: Bearer` header; `None` where there is none, or more than one, or a long one.
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    if value.len() > MAX_CREDENTIAL_BYTES {
        return None;
    }
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[track_caller]
    fn check(values: &[&str], token: Option<&str>) {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::AUTHORIZATION, HeaderValue::from_str(value).expect("a header"));
        }
        assert_eq!(bearer(&headers), token, "{values:?}");
    }

    #[test]
    fn one_bearer_token_or_none() {
        check(&["Bearer abc"], Some("abc"));
        check(&["bearer  abc"], Some("abc"));
        check(&[], None);
        check(&["abc"], None);
        check(&["Basic abc"], None);
        check(&["Bearer abc", "Bearer abc"], None);
        check(&[&format!("Bearer {}", "x".repeat(MAX_CREDENTIAL_BYTES))], None);
    }
}

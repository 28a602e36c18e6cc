//! Extraction of a request's credential.

use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderName, header};
use schemas::access::MAX_CREDENTIAL_BYTES;

/// Header in which Amazon Data Firehose sends the access key of an HTTP endpoint, instead of `Authorization`.
const FIREHOSE_KEY: HeaderName = HeaderName::from_static("x-amz-firehose-access-key");

/// The token of the single `Authorization` header: `Bearer`, or the password of `Basic` for senders that
/// support nothing else (Amazon SNS, with the address `https://weir:KEY@HOST/…`). Without that header,
/// Firehose's access key. `None` if there is none, or more than one, or it is too long.
pub fn token(headers: &HeaderMap) -> Option<Cow<'_, str>> {
    let Some(value) = one(headers, &header::AUTHORIZATION).ok()? else {
        return one(headers, &FIREHOSE_KEY).ok()?.map(|key| Cow::Borrowed(key.trim()));
    };
    let (scheme, credentials) = value.split_once(' ')?;
    let credentials = credentials.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(Cow::Borrowed(credentials));
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(credentials).ok()?).ok()?;
    decoded.split_once(':').map(|(_, password)| Cow::Owned(password.to_owned()))
}

/// Whether a request carries a credential, a valid one or not.
pub(crate) fn is_offered(headers: &HeaderMap) -> bool {
    headers.contains_key(header::AUTHORIZATION) || headers.contains_key(FIREHOSE_KEY)
}

/// A header that occurs at most once; an error if it occurs more often, is too long or is not text.
fn one<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, ()> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) if value.len() <= MAX_CREDENTIAL_BYTES => value.to_str().map(Some).map_err(drop),
        _ => Err(()),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[track_caller]
    fn check(values: &[&str], expected: Option<&str>) {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::AUTHORIZATION, HeaderValue::from_str(value).expect("a header"));
        }
        assert_eq!(token(&headers).as_deref(), expected, "{values:?}");
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

    #[test]
    fn a_password_is_a_token() {
        let basic = |text: &str| format!("Basic {}", STANDARD.encode(text));
        check(&[&basic("weir:abc")], Some("abc"));
        check(&[&basic(":a:b")], Some("a:b"));
        check(&[&basic("abc")], None);
        check(&["Basic !"], None);
        check(&["Digest abc"], None);
    }

    #[test]
    fn firehose_sends_a_key_of_its_own() {
        let with = |pairs: &[(HeaderName, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.append(name, HeaderValue::from_static(value));
            }
            token(&headers).map(Cow::into_owned)
        };
        assert_eq!(with(&[(FIREHOSE_KEY, "abc")]).as_deref(), Some("abc"));
        assert_eq!(with(&[(FIREHOSE_KEY, "abc"), (FIREHOSE_KEY, "abc")]), None);
        assert_eq!(with(&[(FIREHOSE_KEY, "abc"), (header::AUTHORIZATION, "Bearer d")]).as_deref(), Some("d"));
        assert_eq!(with(&[(FIREHOSE_KEY, "abc"), (header::AUTHORIZATION, "Digest d")]), None);
    }
}

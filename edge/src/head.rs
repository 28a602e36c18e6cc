//! Limits of a request's head, and the headers of every response.

use axum::extract::Request;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version, header};
use schemas::problem::ProblemKind;
use uuid::Uuid;

/// Identifies a request in responses, problems and the log.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Headers of every response, unless set otherwise: no storing, framing, sniffing or referrer.
pub const ALWAYS: [(HeaderName, HeaderValue); 4] = [
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'")),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
];

/// Limits of a request's head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadLimits {
    /// Number of header lines.
    pub headers: usize,
    /// Size of request line and headers together, in bytes.
    pub bytes: usize,
}

impl Default for HeadLimits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl HeadLimits {
    /// 64 headers, 16 KiB.
    pub const DEFAULT: Self = Self { headers: 64, bytes: 16 * 1024 };

    /// Checks that the head is within these limits and names one host; returns the kind of problem and its
    /// detail otherwise. After such a response the connection is closed.
    pub fn check(&self, request: &Request) -> Result<(), (ProblemKind, String)> {
        let headers = request.headers();
        if headers.len() > self.headers {
            let detail = format!("there are {} headers, more than {}", headers.len(), self.headers);
            return Err((ProblemKind::HeadersTooLarge, detail));
        }
        // ": " and CR LF around each.
        let lines: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
        let uri = request.uri().path_and_query().map_or(0, |path| path.as_str().len());
        if lines + uri > self.bytes {
            let detail = format!("request line and headers are longer than {} bytes", self.bytes);
            return Err((ProblemKind::HeadersTooLarge, detail));
        }
        let hosts = headers.get_all(header::HOST).iter().count();
        if hosts > 1 || (hosts == 0 && request.version() == Version::HTTP_11) {
            return Err((ProblemKind::InvalidRequest, "there must be one Host header".into()));
        }
        Ok(())
    }
}

/// Whether the connection must be closed after the response: the HTTP parser silently drops a Content-Length
/// beside a Transfer-Encoding. A request that is framed both ways may smuggle a second one, so nothing more
/// is read from the connection (RFC 9112, section 6.1).
pub fn may_hide_another(headers: &HeaderMap) -> bool {
    headers.contains_key(header::TRANSFER_ENCODING)
}

/// The caller's request id if it is 1 to 64 of `[A-Za-z0-9-]`, otherwise a new one.
pub fn request_id(headers: &HeaderMap) -> String {
    let plain = |id: &&str| {
        (1..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    let given = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok()).filter(plain);
    given.map_or_else(|| Uuid::now_v7().to_string(), str::to_owned)
}

/// Writes the headers that every response carries: those of [`ALWAYS`] that it does not set itself (a page
/// may be cached and load its scripts), and the request's id.
pub fn stamp(answer: &mut HeaderMap, request_id: &str) {
    for (name, value) in ALWAYS {
        answer.entry(name).or_insert(value);
    }
    if let Ok(id) = HeaderValue::try_from(request_id) {
        answer.insert(REQUEST_ID, id);
    }
}

/// The method as a metric label; unknown ones share one label, so that clients cannot invent values.
pub fn known_method(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "DELETE" => "DELETE",
        "PATCH" => "PATCH",
        "OPTIONS" => "OPTIONS",
        "TRACE" => "TRACE",
        "CONNECT" => "CONNECT",
        _ => "_OTHER",
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    #[track_caller]
    fn check(version: Version, headers: &[(&str, &str)], expected: Option<ProblemKind>) {
        let mut request = Request::builder().version(version).uri("/x?y=z");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::empty()).expect("a request");
        assert_eq!(HeadLimits::default().check(&request).err().map(|(kind, _)| kind), expected);
    }

    #[test]
    fn heads_are_bounded_and_name_one_host() {
        let (one, two) = (Version::HTTP_11, Version::HTTP_2);
        check(one, &[("host", "a")], None);
        check(one, &[], Some(ProblemKind::InvalidRequest));
        check(Version::HTTP_10, &[], None);
        // There the host is in the target.
        check(two, &[], None);
        check(one, &[("host", "a"), ("host", "b")], Some(ProblemKind::InvalidRequest));
        check(two, &[("host", "a"), ("host", "b")], Some(ProblemKind::InvalidRequest));
        check(one, &vec![("host", "a"); 65], Some(ProblemKind::HeadersTooLarge));
        let limit = 16 * 1024;
        let fitting = "x".repeat(limit - "hosta".len() - "x".len() - 8 - "/x?y=z".len());
        check(one, &[("host", "a"), ("x", &fitting)], None);
        check(one, &[("host", "a"), ("x", &(fitting + "x"))], Some(ProblemKind::HeadersTooLarge));
    }

    #[test]
    fn an_answer_is_strict_unless_it_says_otherwise() {
        let mut api = HeaderMap::new();
        stamp(&mut api, "id");
        for (name, value) in ALWAYS {
            assert_eq!(api[&name], value);
        }
        let own = HeaderValue::from_static("default-src 'self'");
        let mut page = HeaderMap::from_iter([(header::CONTENT_SECURITY_POLICY, own.clone())]);
        stamp(&mut page, "id");
        assert_eq!(page.get_all(header::CONTENT_SECURITY_POLICY).iter().collect::<Vec<_>>(), [&own]);
        assert_eq!(
            (&page[header::CACHE_CONTROL], &page[REQUEST_ID]),
            (&"no-store".parse().expect("a value"), &HeaderValue::from_static("id"))
        );
    }

    #[test]
    fn only_plain_request_ids_are_kept() {
        let id = |given: &str| {
            request_id(&HeaderMap::from_iter([(REQUEST_ID, HeaderValue::from_str(given).expect("a header"))]))
        };
        assert_eq!(id("Job-42"), "Job-42");
        for bad in ["", "a b", "a\tb", "<script>", "a_b", &"x".repeat(65)] {
            let made = id(bad);
            assert!(made != bad && Uuid::parse_str(&made).is_ok(), "{bad:?} became {made:?}");
        }
    }
}

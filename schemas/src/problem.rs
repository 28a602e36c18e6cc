//! HTTP error responses: RFC 9457 problem details, and the closed list of their types.
//!
//! Shared by the gateway and the query API. Programs switch on `type`; `detail` is for people.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::text::steers;

/// Media type of a serialised [`Problem`].
pub const PROBLEM_JSON: &str = "application/problem+json";

/// Maximum length of `detail`, in characters; longer texts are cut.
const MAX_DETAIL_CHARS: usize = 2_000;

/// An RFC 9457 problem, as serialised.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// `/problems/<slug>`, the value that programs switch on.
    #[serde(rename = "type")]
    pub kind: String,
    /// Title, the same for every problem of this type.
    pub title: String,
    /// HTTP status of the response.
    pub status: u16,
    /// The cause of this problem and what to do about it. Never contains payloads, secrets or SQL.
    pub detail: String,
    /// Path of the request, without its query.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// Individual faults, if there are several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<Fault>,
    /// W3C trace id of the request, 32 hexadecimal digits, as in logs and traces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    /// Id of the request, equal to the response's `X-Request-Id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

/// One of several faults.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Fault {
    /// Location: a JSON pointer, a query parameter or a header.
    pub at: String,
    /// Description of the fault.
    pub detail: String,
}

impl Problem {
    /// A problem of that kind. Control characters and bidi overrides in `detail` are replaced, because it may
    /// quote untrusted input.
    pub fn new(kind: ProblemKind, detail: impl AsRef<str>) -> Self {
        Self {
            kind: kind.uri(),
            title: kind.title().to_owned(),
            status: kind.status(),
            detail: printable(detail.as_ref()),
            instance: None,
            errors: Vec::new(),
            trace_id: None,
            request_id: None,
        }
    }

    /// The slug at the end of `type`.
    pub fn slug(&self) -> &str {
        self.kind.rsplit('/').next().unwrap_or_default()
    }
}

/// The text with every character that [`steers`] replaced by U+FFFD, cut to the maximum length.
pub fn printable(text: &str) -> String {
    text.chars().take(MAX_DETAIL_CHARS).map(|c| if steers(c) { '\u{fffd}' } else { c }).collect()
}

/// Declares the kinds in one list, with slug, status and title of a kind on one line.
macro_rules! problem_kinds {
    ($($(#[doc = $doc:literal])+ $kind:ident $status:literal $slug:literal $title:literal;)+) => {
        /// Type of a problem.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum ProblemKind { $($(#[doc = $doc])+ $kind,)+ }

        impl ProblemKind {
            /// Every kind.
            pub const ALL: &[Self] = &[$(Self::$kind),+];

            /// The slug at the end of `type`.
            pub const fn slug(self) -> &'static str { match self { $(Self::$kind => $slug,)+ } }

            /// HTTP status.
            pub const fn status(self) -> u16 { match self { $(Self::$kind => $status,)+ } }

            /// Title, the same for all problems of this kind.
            pub const fn title(self) -> &'static str { match self { $(Self::$kind => $title,)+ } }
        }
    };
}

problem_kinds! {
    /// The request itself is malformed (a header, a path, no body).
    InvalidRequest 400 "invalid-request" "The request is malformed";
    /// The body is not encoded as `Content-Encoding` declares.
    InvalidEncoding 400 "invalid-encoding" "The body is not encoded as it says";
    /// Not JSON, or JSON that Postgres cannot hold.
    InvalidJson 400 "invalid-json" "The body is not valid JSON";
    /// The JSON exceeds a limit on depth, length or number.
    JsonLimit 400 "json-limit" "The JSON exceeds a limit";
    /// `CloudEvents` attributes are missing or wrong.
    InvalidEnvelope 400 "invalid-envelope" "The CloudEvents attributes are not valid";
    /// A query parameter is unknown or out of range.
    InvalidQuery 400 "invalid-query" "The query is not valid";
    /// A cursor was altered, is too old, or is another tenant's.
    InvalidCursor 400 "invalid-cursor" "The cursor is not valid";
    /// No credential, or an invalid one.
    Unauthenticated 401 "unauthenticated" "A valid credential is needed";
    /// The credential lacks the scope.
    Forbidden 403 "forbidden" "The credential does not allow this";
    /// The event names another tenant than the credential.
    OtherTenant 403 "other-tenant" "The credential speaks for another tenant";
    /// The resource does not exist, or belongs to another tenant.
    NotFound 404 "not-found" "There is nothing here";
    /// The path does not support this method.
    MethodNotAllowed 405 "method-not-allowed" "The method is not allowed here";
    /// The body did not arrive in time.
    RequestTimeout 408 "request-timeout" "The request took too long to arrive";
    /// The body exceeds the size limit, as sent or decoded.
    BodyTooLarge 413 "body-too-large" "The body is too large";
    /// The batch holds more events than are accepted.
    BatchTooLarge 413 "batch-too-large" "The batch holds too many events";
    /// One event is larger than a Kafka record may be.
    EventTooLarge 413 "event-too-large" "The event is too large";
    /// The media type is not supported here.
    UnsupportedMediaType 415 "unsupported-media-type" "The media type is not supported";
    /// The content encoding is not supported, or there are several.
    UnsupportedEncoding 415 "unsupported-encoding" "The content encoding is not supported";
    /// The event does not fit the schema of its type.
    InvalidEvent 422 "invalid-event" "The event does not fit its schema";
    /// `time` is outside the accepted range.
    TimeOutOfRange 422 "time-out-of-range" "The event's time is out of range";
    /// The command is invalid or not permitted.
    InvalidCommand 422 "invalid-command" "The command is not valid";
    /// Too many request headers, or too long ones.
    HeadersTooLarge 431 "headers-too-large" "The request's headers are too large";
    /// Too many requests.
    RateLimited 429 "rate-limited" "Too many requests";
    /// The tenant has used up its share of a shared resource.
    QuotaExceeded 429 "quota-exceeded" "The tenant's share is used up";
    /// A defect of the service.
    Internal 500 "internal" "Something went wrong here";
    /// The producer's queue is full.
    QueueFull 503 "queue-full" "The queue to the broker is full";
    /// Kafka does not accept records at present.
    BrokerUnavailable 503 "broker-unavailable" "The broker cannot be reached";
    /// Too many requests are in flight, or the handler ran out of time before publishing.
    Overloaded 503 "overloaded" "Too many requests are in flight";
    /// The API keys could not be loaded yet.
    KeysUnavailable 503 "keys-unavailable" "Credentials cannot be checked now";
    /// The record was sent and not acknowledged: it may or may not be in Kafka. Resend it with the same id.
    OutcomeUnknown 503 "outcome-unknown" "The outcome is unknown; resend with the same id";
    /// Postgres does not respond.
    DatabaseUnavailable 503 "database-unavailable" "The database cannot be reached";
    /// The statement timed out: narrow the query.
    QueryTooSlow 503 "query-too-slow" "The question takes too long to answer";
    /// The position given in `min_position` was not applied within the maximum wait.
    PositionNotReached 503 "position-not-reached" "The position has not been reached yet";
    /// The process is starting or stopping.
    NotReady 503 "not-ready" "Not ready";
}

impl ProblemKind {
    /// `/problems/<slug>`.
    pub fn uri(self) -> String {
        format!("/problems/{}", self.slug())
    }

    /// The kind with that slug.
    pub fn from_slug(slug: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.slug() == slug)
    }

    /// Seconds for `Retry-After`, for transient kinds.
    pub const fn retry_after_s(self) -> Option<u64> {
        match self.status() {
            429 | 503 => Some(1),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn slugs_are_unique_and_found_again() {
        let slugs: HashSet<_> = ProblemKind::ALL.iter().map(|kind| kind.slug()).collect();
        assert_eq!(slugs.len(), ProblemKind::ALL.len());
        for kind in ProblemKind::ALL {
            assert_eq!(ProblemKind::from_slug(kind.slug()), Some(*kind));
            assert_eq!(Problem::new(*kind, "").slug(), kind.slug());
            assert!((400..600).contains(&kind.status()), "{kind:?}");
        }
        assert_eq!(ProblemKind::from_slug("nothing"), None);
    }

    #[test]
    fn a_detail_cannot_forge_a_log_line_or_turn_the_text_around() {
        let problem = Problem::new(ProblemKind::InvalidJson, "a\r\nb\u{1b}[31m\u{202e}c\u{85}");
        assert_eq!(problem.detail, "a\u{fffd}\u{fffd}b\u{fffd}[31m\u{fffd}c\u{fffd}");
        assert_eq!(Problem::new(ProblemKind::InvalidJson, "x".repeat(9_000)).detail.len(), MAX_DETAIL_CHARS);
    }

    #[test]
    fn a_problem_reads_as_rfc_9457_says() {
        let mut problem = Problem::new(ProblemKind::QueueFull, "try again");
        problem.instance = Some("/api/v1/events".into());
        let json = serde_json::to_value(&problem).expect("serialises");
        assert_eq!(
            json,
            serde_json::json!({
                "type": "/problems/queue-full", "title": "The queue to the broker is full", "status": 503,
                "detail": "try again", "instance": "/api/v1/events",
            })
        );
        assert_eq!(ProblemKind::QueueFull.retry_after_s(), Some(1));
        assert_eq!(ProblemKind::InvalidJson.retry_after_s(), None);
    }
}

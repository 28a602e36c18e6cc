//! Content types of request bodies: the three CloudEvents modes, or plain JSON.

use edge::api_error::ApiError;
use http::{HeaderMap, header};
use mime::Mime;
use schemas::{codec::json::is_utf8, problem::ProblemKind};

/// CloudEvents mode of a request (CloudEvents HTTP binding 1.0.2, section 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ContentMode {
    /// The body is one event in JSON format.
    Structured,
    /// The body is a JSON array of such events.
    Batch,
    /// The attributes are `ce-*` headers; the body is the data.
    Binary,
}

impl ContentMode {
    /// The mode by the headers. Structured events are JSON in UTF-8; in binary mode data may be of any type
    /// or none.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, ApiError> {
        let is_structured = || {
            let values = headers.get_all(header::CONTENT_TYPE);
            values
                .iter()
                .any(|value| value.as_bytes().to_ascii_lowercase().starts_with(b"application/cloudevents"))
        };
        if headers.contains_key("ce-specversion") && !is_structured() {
            return Ok(Self::Binary);
        }
        let media = media_type(headers).map_err(|what| unsupported(&what, EVENTS))?;
        match media.essence_str() {
            "application/cloudevents+json" => Ok(Self::Structured),
            "application/cloudevents-batch+json" => Ok(Self::Batch),
            other if other.starts_with("application/cloudevents") => {
                Err(unsupported(&format!("{other} is not taken"), EVENTS))
            }
            _ if is_json(&media) => Ok(Self::Binary),
            other => Err(unsupported(&format!("{other} is not taken"), EVENTS)),
        }
    }
}

const EVENTS: &str =
    "application/cloudevents+json, application/cloudevents-batch+json, or any type with ce-* headers";

/// Checks that the body is declared as JSON or as one JSON text per line.
pub(super) fn check_json(headers: &HeaderMap) -> Result<(), ApiError> {
    let media = media_type(headers).map_err(|what| unsupported(&what, "application/json"))?;
    match media.essence_str() {
        _ if is_json(&media) => Ok(()),
        "application/x-ndjson" | "application/jsonl" => Ok(()),
        other => Err(unsupported(&format!("{other} is not taken"), "application/json")),
    }
}

/// The same, and accepts messages of Amazon SNS: JSON declared as plain text, recognised by an SNS header.
pub(super) fn check_records(headers: &HeaderMap) -> Result<(), ApiError> {
    let is_text = || media_type(headers).is_ok_and(|media| media.essence_str() == "text/plain");
    if headers.contains_key("x-amz-sns-message-type") && is_text() {
        return Ok(());
    }
    check_json(headers)
}

/// Whether the body is declared as a table; anything but a table or JSON is rejected.
pub(super) fn is_table(headers: &HeaderMap) -> Result<bool, ApiError> {
    let media = media_type(headers).map_err(|what| unsupported(&what, "text/csv or application/json"))?;
    let tables = ["text/csv", "application/csv", "text/tab-separated-values"];
    if tables.contains(&media.essence_str()) { Ok(true) } else { check_json(headers).map(|()| false) }
}

/// JSON or a type with a JSON suffix.
fn is_json(media: &Mime) -> bool {
    media.subtype() == mime::JSON || media.suffix() == Some(mime::JSON)
}

/// The media type of a body in UTF-8, or the fault.
fn media_type(headers: &HeaderMap) -> Result<Mime, String> {
    let mut values = headers.get_all(header::CONTENT_TYPE).iter();
    let text = match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().map_err(|_| "Content-Type is not readable")?,
        (None, _) => return Err("Content-Type is missing".into()),
        (Some(_), Some(_)) => return Err("there may be one Content-Type".into()),
    };
    let media: Mime = text.parse().map_err(|_| format!("{text:?} is no media type"))?;
    match media.get_param(mime::CHARSET) {
        Some(charset) if !is_utf8(charset.as_str()) => {
            Err(format!("charset {charset} is not supported; use utf-8"))
        }
        _ => Ok(media),
    }
}

fn unsupported(what: &str, wanted: &str) -> ApiError {
    ApiError::new(ProblemKind::UnsupportedMediaType, format!("{what}; send {wanted}"))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[track_caller]
    fn check(values: &[&'static str], expected: Option<&ContentMode>) {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::CONTENT_TYPE, HeaderValue::from_static(value));
        }
        assert_eq!(ContentMode::of(&headers).ok().as_ref(), expected, "{values:?}");
    }

    #[test]
    fn the_three_modes_and_nothing_else() {
        check(&["application/cloudevents+json"], Some(&ContentMode::Structured));
        check(&["Application/CloudEvents+JSON; charset=\"UTF-8\""], Some(&ContentMode::Structured));
        check(&["application/cloudevents-batch+json;charset=utf-8"], Some(&ContentMode::Batch));
        check(&["application/cloudevents+json; charset=utf8"], Some(&ContentMode::Structured));
        check(&["application/json; charset=US-ASCII"], Some(&ContentMode::Binary));
        for json in ["application/json", "application/json; charset=utf-8", "application/vnd.acme+json"] {
            check(&[json], Some(&ContentMode::Binary));
        }
        check(&[], None);
        for other in
            ["text/plain", "application/cloudevents+xml", "application/cloudevents", "application/avro"]
        {
            check(&[other], None);
        }
        check(&["application/cloudevents+json; charset=utf-16"], None);
        check(&["application/json", "application/cloudevents+json"], None);
        check(&["nonsense"], None);
    }

    #[test]
    fn with_an_events_headers_data_may_be_of_any_type() {
        let with = |value: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            headers.insert("ce-specversion", HeaderValue::from_static("1.0"));
            if let Some(value) = value {
                headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(value));
            }
            ContentMode::of(&headers).ok()
        };
        for data in ["text/plain", "application/xml; charset=latin1", "application/octet-stream", "nonsense"]
        {
            assert_eq!(with(Some(data)), Some(ContentMode::Binary), "{data}");
        }
        assert_eq!(with(None), Some(ContentMode::Binary));
        assert_eq!(with(Some("application/cloudevents+json")), Some(ContentMode::Structured));
        assert_eq!(with(Some("application/cloudevents+xml")), None);
    }

    #[test]
    fn records_are_json_or_a_line_each() {
        let of = |value: &'static str| {
            check_json(&HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(value))]))
        };
        for json in ["application/json", "application/json; charset=UTF-8", "application/x-ndjson"] {
            assert!(of(json).is_ok(), "{json}");
        }
        for other in
            ["application/x-www-form-urlencoded", "application/json; charset=latin1", "text/plain", ""]
        {
            assert_eq!(of(other).expect_err(other).problem().slug(), "unsupported-media-type");
        }
        assert!(check_json(&HeaderMap::new()).is_err());
    }

    #[test]
    fn only_sns_says_plain_text_of_json() {
        let of = |content_type: &'static str, is_sns: bool| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
            if is_sns {
                headers.insert("x-amz-sns-message-type", HeaderValue::from_static("Notification"));
            }
            check_records(&headers).is_ok()
        };
        assert!(of("text/plain; charset=UTF-8", true));
        assert!(of("application/json", true) && of("application/json", false));
        assert!(!of("text/plain; charset=UTF-8", false));
        assert!(of("text/plain; charset=\"utf8\"", true) && of("application/json; charset=us-ascii", false));
        assert!(!of("text/plain; charset=latin1", true) && !of("text/html", true));
    }
}

//! Which of the three CloudEvents modes a request is in, by its `Content-Type`.

use http::{HeaderMap, header};
use mime::Mime;
use schemas::problem::ProblemKind;

use super::refusal::Refusal;

/// How events lie in a request (CloudEvents HTTP binding 1.0.2, section 3).
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
    /// What the headers say. JSON only, in UTF-8 only.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Refusal> {
        let mut values = headers.get_all(header::CONTENT_TYPE).iter();
        let text = match (values.next(), values.next()) {
            (Some(value), None) => value.to_str().map_err(|_| unsupported("Content-Type is not readable"))?,
            (None, _) => return Err(unsupported("Content-Type is missing")),
            (Some(_), Some(_)) => return Err(unsupported("there may be one Content-Type")),
        };
        let media: Mime = text.parse().map_err(|_| unsupported(&format!("{text:?} is no media type")))?;
        match media.get_param(mime::CHARSET) {
            Some(charset) if charset != mime::UTF_8 => {
                return Err(unsupported(&format!("charset {charset} is not taken, only utf-8")));
            }
            _ => {}
        }
        match media.essence_str() {
            "application/cloudevents+json" => Ok(Self::Structured),
            "application/cloudevents-batch+json" => Ok(Self::Batch),
            other if other.starts_with("application/cloudevents") => {
                Err(unsupported(&format!("{other} is not taken")))
            }
            _ if media.subtype() == mime::JSON || media.suffix() == Some(mime::JSON) => Ok(Self::Binary),
            other => Err(unsupported(&format!("{other} is not taken"))),
        }
    }
}

fn unsupported(what: &str) -> Refusal {
    Refusal::new(
        ProblemKind::UnsupportedMediaType,
        format!(
            "{what}; send application/cloudevents+json, application/cloudevents-batch+json, or \
             application/json with ce-* headers"
        ),
    )
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
}

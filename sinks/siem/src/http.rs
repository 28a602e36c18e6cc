//! Requests and answers of receivers that speak HTTP, and what a status means for all of them.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::verdict::Verdict;

/// The longest wait that a receiver may ask for.
pub const LONGEST_WAIT: Duration = Duration::from_mins(5);
/// The most of an answer's text that is kept for people, in characters.
const MAX_QUOTED: usize = 300;
/// Members of an answer that tell why, in the words of receivers. Others may hold what was sent.
const TELLING: [&str; 11] = [
    "text",
    "title",
    "type",
    "reason",
    "message",
    "Message",
    "detail",
    "error",
    "errors",
    "code",
    "invalid-event-number",
];
/// Texts behind which receivers quote values of a record.
const QUOTING: [&str; 2] = [". Preview of field's value", ". The prefix of the first immense term"];

/// A request to send. Its body may be compressed on the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpRequest {
    /// The whole URL.
    pub url: String,
    /// Names and values, among them the secret; `content-type` is one of them.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// An answer, read whole.
#[derive(Debug, Clone, Copy, Default)]
pub struct HttpAnswer<'a> {
    /// The status.
    pub status: u16,
    /// `Retry-After`.
    pub retry_after: Option<&'a str>,
    /// `X-RateLimit-Reset`, in seconds.
    pub rate_limit_reset: Option<&'a str>,
    /// `Content-Type`.
    pub content_type: Option<&'a str>,
    /// The body.
    pub body: &'a [u8],
    /// Whether the request's body was compressed.
    pub compressed: bool,
    /// Time at which the answer arrived; a date in `Retry-After` counts from it.
    pub at: DateTime<Utc>,
}

impl HttpAnswer<'_> {
    /// The status, and what the answer says about the reason, for people: of JSON the members that tell it, of other bodies the
    /// beginning.
    pub fn quoted(&self) -> String {
        let body = self.body.trim_ascii();
        let text = match self.json() {
            Some(serde_json::Value::Object(members)) => {
                let mut told = Vec::new();
                tell(&members, 0, &mut told);
                told.join(": ")
            }
            // A list may be what was sent, and so may the beginning of what was cut.
            Some(serde_json::Value::Array(_)) => String::new(),
            None if body.starts_with(b"{") || body.starts_with(b"[") => "it is no whole JSON".to_owned(),
            _ => String::from_utf8_lossy(body).into_owned(),
        };
        let text = shown(&text);
        if text.is_empty() {
            format!("status {}", self.status)
        } else {
            format!("status {}: {text}", self.status)
        }
    }

    /// Delay that `Retry-After` (seconds or a date) or else the rate limit's reset asks for, at most
    /// [`LONGEST_WAIT`].
    pub fn wait(&self) -> Option<Duration> {
        let seconds = |text: &str| text.trim().parse::<u64>().ok().map(Duration::from_secs);
        let until = |text: &str| {
            let date = DateTime::parse_from_rfc2822(text.trim()).ok()?;
            (date.with_timezone(&Utc) - self.at).to_std().ok()
        };
        let named = self.retry_after.and_then(|text| seconds(text).or_else(|| until(text)));
        let wait = named.or_else(|| self.rate_limit_reset.and_then(seconds));
        wait.filter(|wait| !wait.is_zero()).map(|wait| wait.min(LONGEST_WAIT))
    }

    /// Whether the status is 2xx.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The meaning of a status that is not 2xx and has no meaning of the receiver's own.
    pub fn by_status(&self) -> Verdict {
        let why = self.quoted();
        match self.status {
            408 | 425 | 429 | 500..=599 => Verdict::Retry { after: self.wait(), why },
            413 => Verdict::TooLarge { why },
            415 if self.compressed => Verdict::NotCompressed { why },
            _ => Verdict::Pause { why },
        }
    }

    /// The body as JSON.
    pub fn json(&self) -> Option<serde_json::Value> {
        serde_json::from_slice(self.body).ok()
    }
}

/// Collects the members that tell why.
fn tell(members: &serde_json::Map<String, serde_json::Value>, depth: usize, told: &mut Vec<String>) {
    for (name, value) in TELLING.iter().filter_map(|name| Some((name, members.get(*name)?))) {
        let values = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
        // A receiver may name a fault for each of a thousand records.
        for value in values.iter().take(3) {
            match value {
                serde_json::Value::String(text) => told.push(without_values(text).to_owned()),
                serde_json::Value::Number(number) => told.push(format!("{name} {number}")),
                serde_json::Value::Object(inner) if depth < 2 => tell(inner, depth + 1, told),
                _ => {}
            }
        }
    }
}

/// A receiver's reason without the values of the record that it quotes.
pub(crate) fn without_values(reason: &str) -> &str {
    QUOTING.iter().fold(reason, |kept, quoting| kept.split(quoting).next().unwrap_or_default())
}

/// The beginning of a text, on one line.
pub(crate) fn shown(text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_QUOTED).collect();
    text.trim().to_owned()
}

/// Base URL and path, with one slash between them.
pub(crate) fn join(base: &str, path: &str) -> String {
    format!("{}/{}", base.trim_end_matches('/'), path.trim_start_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(retry_after: Option<&str>, rate_limit_reset: Option<&str>) -> Option<u64> {
        let at = DateTime::parse_from_rfc3339("2026-01-05T08:00:00Z").expect("a time").with_timezone(&Utc);
        let answer = HttpAnswer { status: 429, retry_after, rate_limit_reset, at, ..HttpAnswer::default() };
        answer.wait().map(|wait| wait.as_secs())
    }

    #[test]
    fn a_receiver_names_seconds_or_a_date_and_nothing_else() {
        assert_eq!(wait(Some("7"), None), Some(7));
        assert_eq!(wait(Some("Mon, 05 Jan 2026 08:01:30 GMT"), None), Some(90));
        assert_eq!(wait(Some("3600"), None), Some(300), "no longer than five minutes");
        assert_eq!(wait(None, Some("3")), Some(3));
        for nothing in ["0", "soon", "", "-5", "Mon, 05 Jan 2026 07:00:00 GMT", "1.5"] {
            assert_eq!(wait(Some(nothing), None), None, "{nothing}");
        }
    }

    #[test]
    fn what_is_quoted_is_short_and_one_line() {
        let body = "a\r\n\u{1b}[31m".repeat(200);
        let quoted = HttpAnswer { status: 400, body: body.as_bytes(), ..HttpAnswer::default() }.quoted();
        assert!(quoted.len() < 400 && !quoted.chars().any(char::is_control), "{quoted}");
        assert_eq!(HttpAnswer { status: 502, ..HttpAnswer::default() }.quoted(), "status 502");
    }

    #[test]
    fn of_json_only_what_tells_the_reason_is_quoted() {
        for (body, quoted) in [
            (r#"{"text":"Invalid token","code":4}"#, "status 400: Invalid token: code 4"),
            (
                r#"{"error":{"root_cause":[{"reason":"s3cret"}],"type":"x_exception","reason":"no"},"status":400}"#,
                "status 400: x_exception: no",
            ),
            (r#"{"errors":[{"status":"400","title":"Bad Request"}]}"#, "status 400: Bad Request"),
            (r#"{"errors":["a","b"]}"#, "status 400: a: b"),
            (
                r#"{"error":{"reason":"failed to parse field [a]. Preview of field's value: 's3cret'"}}"#,
                "status 400: failed to parse field [a]",
            ),
            // A receiver that answers with what it was sent.
            (r#"{"data":{"raw_data":"s3cret"}}"#, "status 400"),
            (r#"[{"message":"s3cret"}]"#, "status 400"),
            (r#"{"data":{"raw_data":"s3c"#, "status 400: it is no whole JSON"),
            ("invalid_payload", "status 400: invalid_payload"),
        ] {
            let answer = HttpAnswer { status: 400, body: body.as_bytes(), ..HttpAnswer::default() };
            assert_eq!(answer.quoted(), quoted, "{body}");
        }
    }
}

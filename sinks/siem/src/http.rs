//! Requests and answers of receivers that speak HTTP, and what a status means for all of them.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::verdict::Verdict;

/// The longest wait that a receiver may ask for.
pub const LONGEST_WAIT: Duration = Duration::from_mins(5);
/// The most of an answer's text that is kept for people, in characters.
const MAX_QUOTED: usize = 300;

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
    /// The status and the beginning of the body, for people.
    pub fn quoted(&self) -> String {
        let text: String = String::from_utf8_lossy(self.body)
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .take(MAX_QUOTED)
            .collect();
        let text = text.trim();
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
}

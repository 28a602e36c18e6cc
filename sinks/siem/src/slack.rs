//! Slack's incoming webhooks: one finding a message. The URL is the secret.

use chrono::{DateTime, SecondsFormat};
use serde_json::{Value, json};

use crate::{
    dispatch::RequestLimits,
    http::{HttpAnswer, HttpRequest},
    message::Message,
    verdict::Verdict,
    webhook::finding_type,
};

/// One request holds one message, and Slack takes 40,000 characters.
pub const LIMITS: RequestLimits = RequestLimits { messages: 1, bytes: 40_000 };
/// The most of a text that Slack's blocks take is 3,000 characters.
const MAX_TEXT: usize = 2_000;

/// A channel of Slack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slack;

impl Slack {
    /// The request that reports a finding.
    pub fn request(self, messages: &[&Message], url: &str) -> HttpRequest {
        let body = messages.first().map(|message| told(message)).unwrap_or_default().to_string().into_bytes();
        let headers = vec![("content-type", "application/json".to_owned())];
        HttpRequest { url: url.trim().to_owned(), headers, body }
    }

    /// The meaning of the answer: `ok`, or a word that says why not.
    pub fn judge(self, answer: &HttpAnswer<'_>) -> Verdict {
        let why = answer.quoted();
        match (answer.status, answer.body.trim_ascii()) {
            (200, b"ok") => Verdict::Delivered,
            (200..=299, _) => Verdict::unreadable(why),
            (400, b"invalid_payload" | b"no_text" | b"too_many_attachments" | b"invalid_blocks") => {
                Verdict::Refused { at: None, why }
            }
            _ => answer.by_status(),
        }
    }
}

fn told(message: &Message) -> Value {
    let value = message.value();
    let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let (sign, word) = match finding_type(message) {
        "finding.resolved" => (":white_check_mark:", "Resolved"),
        "finding.opened" => (":rotating_light:", "New"),
        _ => (":warning:", "Changed"),
    };
    let title =
        [text("/finding_info/title"), text("/message"), "finding"].into_iter().find(|text| !text.is_empty());
    let headline = format!("{sign} *{word}: {}*", escaped(title.unwrap_or_default()));
    let time = DateTime::from_timestamp_millis(message.time_ms).unwrap_or_default();
    let context = format!(
        "{} · {} · {} · {}",
        escaped(text("/severity")),
        escaped(text("/status")),
        escaped(&message.tenant),
        time.to_rfc3339_opts(SecondsFormat::Secs, true)
    );
    let section = |text: &str| json!({ "type": "section", "text": { "type": "mrkdwn", "text": text } });
    let mut blocks = vec![section(&headline)];
    if !text("/message").is_empty() && title != Some(text("/message")) {
        blocks.push(section(&escaped(text("/message"))));
    }
    let context = format!("{context}\n`{}`", escaped(&message.id));
    blocks.push(json!({ "type": "context", "elements": [{ "type": "mrkdwn", "text": context }] }));
    json!({ "text": headline, "blocks": blocks })
}

/// Text that Slack shows as it is, at most [`MAX_TEXT`] characters of it.
fn escaped(text: &str) -> String {
    let shown: String = text.chars().take(MAX_TEXT).collect();
    shown.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use schemas::OcsfEvent;

    fn finding(activity_id: i64, status_id: i64, title: &str) -> Message {
        let json = json!({
            "activity_id": activity_id, "class_uid": 2004, "finding_info": { "title": title }, "message": "why",
            "metadata": { "tenant_uid": "acme", "uid": "0192f0c1-2345-7abc-8def-0123456789ab" },
            "severity": "High", "severity_id": 4, "status": "New", "status_id": status_id, "time": 1_764_288_000_000_i64,
        });
        Message::of(&OcsfEvent::from_json(json.to_string().into_bytes().into()).expect("a finding"))
    }

    #[test]
    fn a_resolved_finding_is_told_as_resolved_and_nothing_is_markup() {
        let text = |message: &Message| {
            let request = Slack.request(&[message], "https://hooks.slack.com/services/x\n");
            assert_eq!(request.url, "https://hooks.slack.com/services/x");
            let body: Value = serde_json::from_slice(&request.body).expect("JSON");
            assert_eq!(body["blocks"].as_array().map(Vec::len), Some(3));
            body["text"].as_str().expect("a text").to_owned()
        };
        assert_eq!(
            text(&finding(1, 1, "<!channel> & co")),
            ":rotating_light: *New: &lt;!channel&gt; &amp; co*"
        );
        assert!(text(&finding(2, 1, "t")).contains("Changed"));
        assert!(text(&finding(2, 4, "t")).contains("Resolved"));
        assert!(text(&finding(3, 3, "t")).contains("Resolved"));
        assert!(text(&finding(1, 1, &"x".repeat(90_000))).len() < 4_000);
    }
}

//! Datadog's log intake, version 2.
//!
//! Limits count before compression: 5 MB a request, 1,000 entries, 1 MB an entry. It cuts longer entries and answers 202,
//! so they must not leave. Times older than 18 hours are replaced by the time of receipt: `event_time` keeps the true one.

use serde_json::json;

use crate::{
    dispatch::RequestLimits,
    http::{HttpAnswer, HttpRequest, join},
    message::Message,
    verdict::Verdict,
};

/// Limits of one request: well below 5 MB.
pub const LIMITS: RequestLimits = RequestLimits { messages: 1_000, bytes: 4_250_000 };
/// Limit of one entry: well below 1 MB, with the envelope around the record.
pub const RECORD_BYTES: usize = 950_000;

/// The intake to send to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Datadog {
    /// `https://http-intake.logs.datadoghq.eu`.
    pub endpoint: String,
}

impl Datadog {
    /// The request that brings entries.
    pub fn request(&self, messages: &[&Message], key: &str) -> HttpRequest {
        let mut body = Vec::with_capacity(messages.iter().map(|message| message.weight()).sum());
        for message in messages {
            body.push(if body.is_empty() { b'[' } else { b',' });
            let time = message.time_ms;
            let tags = format!("tenant:{},class_uid:{}", message.tenant, message.class_uid);
            let head = json!({ "ddsource": "weir", "ddtags": tags, "service": "weir", "id": message.id,
                               "timestamp": time, "event_time": time, "status": status(message.severity_id) });
            let head = head.to_string();
            body.extend_from_slice(&head.as_bytes()[..head.len() - 1]);
            body.extend_from_slice(b",\"record\":");
            body.extend_from_slice(&message.json);
            body.push(b'}');
        }
        body.push(b']');
        let headers = vec![("dd-api-key", key.to_owned()), ("content-type", "application/json".to_owned())];
        HttpRequest { url: join(&self.endpoint, "api/v2/logs"), headers, body }
    }

    /// The meaning of the answer.
    pub fn judge(&self, answer: &HttpAnswer<'_>) -> Verdict {
        match answer.status {
            202 => Verdict::Delivered,
            200..=299 => Verdict::unreadable(answer.quoted()),
            400 => Verdict::Refused { at: None, why: answer.quoted() },
            _ => answer.by_status(),
        }
    }
}

/// Datadog's name of an OCSF severity.
fn status(severity_id: i64) -> &'static str {
    match severity_id {
        2 => "notice",
        3 => "warning",
        4 => "error",
        5 => "critical",
        6 => "emergency",
        _ => "info",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::tests::record;

    #[test]
    fn entries_hold_the_record_its_id_and_its_true_time() {
        let (one, two) = (record("1"), record("2"));
        let datadog = Datadog { endpoint: "https://intake.example.com".into() };
        let request = datadog.request(&[&one, &two], "k");
        assert_eq!(request.url, "https://intake.example.com/api/v2/logs");
        let entries: Vec<serde_json::Value> = serde_json::from_slice(&request.body).expect("an array");
        assert_eq!((entries.len(), &entries[1]["record"]), (2, &two.value()));
        assert_eq!(entries[0]["event_time"], one.time_ms);
        assert_eq!((&entries[0]["id"], &entries[0]["status"]), (&json!(one.id), &json!("error")));
        assert!(request.body.len() <= one.weight() + two.weight());
        const { assert!(RECORD_BYTES + crate::message::ENVELOPE_BYTES < 1_000_000) };
    }
}

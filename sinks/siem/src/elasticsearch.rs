//! Elasticsearch's and OpenSearch's bulk API: `create` with an id, so that a repeat is answered 409 and changes nothing.
//!
//! HTTP 200 says nothing: each item has a status of its own.

use chrono::{DateTime, SecondsFormat};
use serde_json::{Value, json};

use crate::{
    dispatch::RequestLimits,
    http::{HttpAnswer, HttpRequest, join},
    message::Message,
    verdict::{ItemFate, Verdict},
};

/// One request.
pub const LIMITS: RequestLimits = RequestLimits { messages: 5_000, bytes: 5_000_000 };

/// The index or data stream to write to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Elasticsearch {
    /// `https://host:9200`.
    pub endpoint: String,
    /// Its name.
    pub index: String,
}

impl Elasticsearch {
    /// The request that creates documents. The secret is `user:password`, or an API key in its encoded form.
    pub fn request(&self, messages: &[&Message], secret: &str) -> HttpRequest {
        let mut body = Vec::with_capacity(messages.iter().map(|message| message.weight()).sum());
        for message in messages {
            let time = DateTime::from_timestamp_millis(message.time_ms).unwrap_or_default();
            let time = time.to_rfc3339_opts(SecondsFormat::Millis, true);
            let action = json!({ "create": { "_id": message.id } });
            body.extend_from_slice(format!("{action}\n{{\"@timestamp\":\"{time}\",").as_bytes());
            body.extend_from_slice(&message.json[1..]);
            body.push(b'\n');
        }
        let headers = vec![
            ("authorization", authorization(secret)),
            ("content-type", "application/x-ndjson".to_owned()),
        ];
        HttpRequest { url: join(&self.endpoint, &format!("{}/_bulk", self.index)), headers, body }
    }

    /// The meaning of the answer to the request with these messages.
    pub fn judge(&self, answer: &HttpAnswer<'_>, sent: &[&Message]) -> Verdict {
        let body = answer.json();
        if !answer.is_success() {
            let kind = body.as_ref().and_then(|body| body["error"]["type"].as_str());
            return match (answer.status, kind) {
                // One action that cannot be valid refuses the request whole.
                (400, Some("action_request_validation_exception")) => {
                    Verdict::Refused { at: None, why: answer.quoted() }
                }
                _ => answer.by_status(),
            };
        }
        let items = body.as_ref().and_then(|body| body["items"].as_array());
        let Some(items) = items.filter(|items| items.len() == sent.len()) else {
            return Verdict::unreadable(answer.quoted());
        };
        let fates: Option<Vec<ItemFate>> =
            items.iter().zip(sent).map(|(item, message)| fate(item, &message.id)).collect();
        fates.map_or_else(|| Verdict::unreadable(answer.quoted()), Verdict::Items)
    }
}

/// The fate of one item; none where the item is another's, or unreadable.
fn fate(item: &Value, id: &str) -> Option<ItemFate> {
    let done = item.as_object()?.values().next()?;
    if done["_id"].as_str().is_some_and(|stated| stated != id) {
        return None;
    }
    let status = done["status"].as_u64()?;
    let kind = done["error"]["type"].as_str().unwrap_or_default();
    let reason = done["error"]["reason"].as_str().unwrap_or_default();
    let why = format!("item status {status}: {kind}: {reason}");
    let why: String = why.chars().map(|c| if c.is_control() { ' ' } else { c }).take(300).collect();
    Some(match status {
        // Conflict: the document is there already, and that is delivery.
        200 | 201 | 409 => ItemFate::Delivered,
        // Older versions answer 403 where the disk is nearly full.
        403 | 429 if kind == "cluster_block_exception" => ItemFate::Retry(why),
        429 | 500..=599 => ItemFate::Retry(why),
        400 if !reason.contains("op_type") => ItemFate::Refused(why),
        _ => ItemFate::Pause(why),
    })
}

fn authorization(secret: &str) -> String {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    if secret.contains(':') {
        format!("Basic {}", STANDARD.encode(secret))
    } else {
        format!("ApiKey {secret}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::tests::record;

    #[test]
    fn documents_are_created_under_their_ids_with_a_timestamp() {
        let (one, two) = (record("1"), record("2"));
        let elastic =
            Elasticsearch { endpoint: "https://es.example.com:9200".into(), index: "weir-audit".into() };
        let request = elastic.request(&[&one, &two], "u:p");
        assert_eq!(request.url, "https://es.example.com:9200/weir-audit/_bulk");
        assert!(request.headers.contains(&("authorization", "Basic dTpw".to_owned())));
        let text = String::from_utf8(request.body.clone()).expect("text");
        assert!(text.ends_with("}\n"), "a line feed at the end");
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert_eq!((lines.len(), &lines[0]["create"]["_id"]), (4, &json!(one.id)));
        assert_eq!(lines[1]["@timestamp"], "2025-11-28T00:00:00.123Z");
        assert_eq!(lines[1]["api"], one.value()["api"]);
        assert!(request.body.len() <= one.weight() + two.weight());
        assert_eq!(authorization("a2V5"), "ApiKey a2V5");
    }

    #[test]
    fn an_answer_about_other_documents_or_too_few_is_no_answer() {
        let elastic = Elasticsearch { endpoint: String::new(), index: "i".into() };
        let message = record("1");
        let judge = |items: Value| {
            let body = json!({ "items": items }).to_string();
            elastic.judge(
                &HttpAnswer { status: 200, body: body.as_bytes(), ..HttpAnswer::default() },
                &[&message],
            )
        };
        let unreadable = |verdict| matches!(verdict, Verdict::RetryThen { attempts: 3, .. });
        assert!(unreadable(judge(json!([]))));
        assert!(unreadable(judge(json!([{ "create": { "_id": "other", "status": 201 } }]))));
        assert!(unreadable(judge(json!([{ "create": {} }]))));
        assert_eq!(
            judge(json!([{ "create": { "status": 409 } }])),
            Verdict::Items(vec![ItemFate::Delivered])
        );
    }
}

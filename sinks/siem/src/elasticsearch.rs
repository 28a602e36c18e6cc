//! Elasticsearch's and OpenSearch's bulk API: `create` with an id, so that a repeat is answered 409 and changes nothing.
//!
//! HTTP 200 says nothing: each item has a status of its own.

use chrono::{DateTime, SecondsFormat};
use serde_json::{Value, json};

use crate::{
    dispatch::RequestLimits,
    http::{HttpAnswer, HttpRequest, join, shown, without_values},
    message::Message,
    verdict::{ItemFate, Verdict},
};

/// One request.
pub const LIMITS: RequestLimits = RequestLimits { messages: 5_000, bytes: 5_000_000 };

/// Types of error that blame the document, whatever its index is.
const DOCUMENT_ERRORS: [&str; 3] =
    ["mapper_parsing_exception", "document_parsing_exception", "strict_dynamic_mapping_exception"];
/// Beginnings of reasons that blame the document where the type does not say so.
const DOCUMENT_REASONS: [&str; 3] =
    ["Limit of ", "Document contains at least one immense term", "DocValuesField "];

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
            let told = |member: &str| body.as_ref().and_then(|body| body["error"][member].as_str());
            return match (answer.status, told("type"), told("reason")) {
                // One action that cannot be valid refuses the request whole.
                (400, Some("action_request_validation_exception"), Some(reason))
                    if reason.contains("id is too long") =>
                {
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
    let why = shown(&format!("item status {status}: {kind}: {}", without_values(reason)));
    Some(match status {
        // Conflict: the document is there already, and that is delivery.
        200 | 201 | 409 => ItemFate::Delivered,
        // Older versions answer 403 where the disk is nearly full.
        403 | 429 if kind == "cluster_block_exception" => ItemFate::Retry(why),
        429 | 500..=599 => ItemFate::Retry(why),
        400 if blames_document(kind, reason) => ItemFate::Refused(why),
        _ => ItemFate::Pause(why),
    })
}

/// Whether an error is about the document alone. All others are about the index, its settings or the request: whatever was sent
/// next would fail like that too.
fn blames_document(kind: &str, reason: &str) -> bool {
    let begins = || DOCUMENT_REASONS.iter().any(|beginning| reason.starts_with(beginning));
    DOCUMENT_ERRORS.contains(&kind) || kind == "illegal_argument_exception" && begins()
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

    fn of_item(kind: &str, reason: &str) -> ItemFate {
        let elastic = Elasticsearch { endpoint: String::new(), index: "i".into() };
        let message = record("1");
        let error = json!({ "type": kind, "reason": reason });
        let body = json!({ "items": [{ "create": { "status": 400, "error": error } }] }).to_string();
        let answer = HttpAnswer { status: 200, body: body.as_bytes(), ..HttpAnswer::default() };
        let Verdict::Items(mut fates) = elastic.judge(&answer, &[&message]) else {
            panic!("{kind}: {reason}")
        };
        fates.remove(0)
    }

    #[test]
    fn only_what_a_document_is_blamed_for_parks_it() {
        for (kind, reason, parks) in [
            ("document_parsing_exception", "[1:9] failed to parse field [op_type] of type [date]", true),
            ("mapper_parsing_exception", "failed to parse", true),
            ("strict_dynamic_mapping_exception", "mapping set to strict, [x] is not allowed", true),
            ("illegal_argument_exception", "Limit of total fields [1000] has been exceeded", true),
            ("illegal_argument_exception", "Limit of mapping depth [20] has been exceeded", true),
            (
                "illegal_argument_exception",
                "Document contains at least one immense term in field=\"x\"",
                true,
            ),
            ("illegal_argument_exception", "pipeline with id [clean] does not exist", false),
            ("illegal_argument_exception", "only write ops with an op_type of create are allowed", false),
            ("illegal_argument_exception", "no write index is defined for alias [audit]", false),
            ("index_closed_exception", "closed", false),
            ("invalid_index_name_exception", "Invalid index name [Audit], must be lowercase", false),
            ("validation_exception", "this action would add [2] shards", false),
            ("", "", false),
        ] {
            let refused = matches!(of_item(kind, reason), ItemFate::Refused(_));
            let pauses = matches!(of_item(kind, reason), ItemFate::Pause(_));
            assert_eq!((refused, pauses), (parks, !parks), "{kind}: {reason}");
        }
        let whole = |kind: &str, reason: &str| {
            let elastic = Elasticsearch { endpoint: String::new(), index: "i".into() };
            let body = json!({ "error": { "type": kind, "reason": reason }, "status": 400 }).to_string();
            let answer = HttpAnswer { status: 400, body: body.as_bytes(), ..HttpAnswer::default() };
            elastic.judge(&answer, &[&record("1")])
        };
        let kind = "action_request_validation_exception";
        let long = "Validation Failed: 1: id is too long, must be no longer than 512 bytes but was: 600;";
        assert!(matches!(whole(kind, long), Verdict::Refused { at: None, .. }));
        assert!(matches!(whole(kind, "Validation Failed: 1: index is missing;"), Verdict::Pause { .. }));
    }

    #[test]
    fn a_refusal_names_the_field_and_not_its_value() {
        for (reason, told) in [
            (
                "[1:9] failed to parse field [a.b] of type [long] in document with id 'x'. Preview of field's value: 's3cret'",
                "failed to parse field [a.b] of type [long] in document with id 'x'",
            ),
            (
                "Document contains at least one immense term in field=\"a\". The prefix of the first immense term is: \
                 '[115, 51]...', original message: s3cret",
                "at least one immense term in field=\"a\"",
            ),
        ] {
            let ItemFate::Refused(why) = of_item("document_parsing_exception", reason) else {
                panic!("{reason}")
            };
            assert!(why.ends_with(told) && !why.contains("s3cret"), "{why}");
        }
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

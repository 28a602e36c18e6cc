//! Records in the objects of log shippers: the line as text, or parsed, beside the shipper's own members.
//!
//! | shipper | shape |
//! |---|---|
//! | Vector | `{"message": "…", "timestamp", "source_type", …}` |
//! | Fluent Bit, Fluentd | `{"date", "log": "…"}`, `{"log": {…}}` |
//! | Logstash, Filebeat | `{"@timestamp", "message": "…"}`, `{"event": {"original": "…"}}` |
//! | Docker's JSON files | `{"log": "…\n", "stream", "time"}` |
//! | journald | `{"MESSAGE": "…"}` |
//! | Splunk HEC | `{"event": {…} or "…", "sourcetype", "time"}` |
//! | Splunk's exported searches | `{"preview", "result": {"_raw": "…"}}` |
//! | Elasticsearch's answers | `{"hits": {"hits": […]}}`, `{"_index", "_source": {…}}` |
//! | Google Cloud Logging | `{"jsonPayload": {…}}`, `{"textPayload": "…"}` |
//! | CloudWatch Logs Insights | `{"@message": "…", "@timestamp"}` |
//! | Datadog's archives | `{"attributes": {…}, "date"}` |
//! | CloudEvents, queues, webhooks | `{"data": {…}}`, `{"payload": {…}}`, `{"content": "…"}` |

use super::{
    super::{SourceFormat, fields::Fields},
    Around, Carried, is_object,
};

/// Members with a line as text.
const LINES: [&str; 7] = ["message", "log", "_raw", "event", "line", "body", "msg"];
/// Further members with a line as text, if the object itself is not a record.
const FURTHER_LINES: [&str; 5] = ["@message", "data", "payload", "textPayload", "content"];
/// Members with a parsed line, if the object itself is not a record.
const PARSED: [&str; 13] = [
    "message",
    "log",
    "event",
    "record",
    "json",
    "body",
    "data",
    "payload",
    "jsonPayload",
    "result",
    "attributes",
    "content",
    "_raw",
];
/// Members with the time at which a shipper read the line.
const TIMES: [&str; 6] = ["@timestamp", "timestamp", "time", "date", "_time", "__REALTIME_TIMESTAMP"];

/// The record of that source in a shipper's object. Other texts are not unpacked, since a record may contain
/// JSON in texts.
pub(super) fn shipped(record: &Fields<'_>, format: SourceFormat) -> Option<Carried> {
    let around = || Around { time: TIMES.iter().find_map(|name| record.instant(name)), ..Around::default() };
    if let Some(source) = record.raw("_source").filter(|raw| raw.get().starts_with('{')) {
        return Some(Carried::Records(source.get().to_owned(), around()));
    }
    let original = || record.inner("event")?.plain_text_of_any_size("original");
    let texts = |names: &[&str]| -> Vec<String> {
        names.iter().filter_map(|name| record.plain_text_of_any_size(name)).collect()
    };
    let of_source = |line: &String| is_object(line) && holds(line, format);
    if let Some(line) = texts(&LINES).into_iter().chain(original()).find(of_source) {
        return Some(Carried::Records(line, around()));
    }
    let is_record = format.row().marks.iter().any(|mark| record.has_path(mark));
    if is_record {
        return None;
    }
    let exported = || record.inner("result")?.plain_text_of_any_size("_raw");
    if let Some(line) = texts(&FURTHER_LINES).into_iter().chain(exported()).find(of_source) {
        return Some(Carried::Records(line, around()));
    }
    let parsed = PARSED.iter().filter_map(|name| record.raw(name)).map(serde_json::value::RawValue::get);
    let parsed = parsed.filter(|text| text.starts_with('{')).find(|text| holds(text, format))?;
    Some(Carried::Records(parsed.to_owned(), around()))
}

/// Whether a text is a record of the source, a list of records, or a bus's message.
fn holds(text: &str, format: SourceFormat) -> bool {
    let Ok(inner) = Fields::parse(text) else { return false };
    let row = format.row();
    let is_list = |name: &&str| inner.raw(name).is_some_and(|raw| raw.get().starts_with('['));
    row.marks.iter().any(|mark| inner.has_path(mark))
        || row.lists.iter().any(is_list)
        || inner.has("detail-type")
        || inner.has("awslogs")
}

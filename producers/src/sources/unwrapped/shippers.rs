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
//! | Elasticsearch's answers | `{"_index", "_source": {…}}` |

use super::{
    super::{SourceFormat, fields::Fields},
    Around, Carried, is_object,
};

/// Members with a line as text.
const LINES: [&str; 7] = ["message", "log", "_raw", "event", "line", "body", "msg"];
/// Members with a parsed line, if the object itself is not a record.
const PARSED: [&str; 6] = ["message", "log", "event", "record", "json", "body"];
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
    let lines = LINES.iter().filter_map(|name| record.plain_text_of_any_size(name)).chain(original());
    if let Some(line) = lines.into_iter().find(|line| is_object(line) && holds(line, format)) {
        return Some(Carried::Records(line, around()));
    }
    let is_record = format.row().marks.iter().any(|mark| record.has_path(mark));
    if is_record {
        return None;
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

//! Parked records on a terminal. They are what strangers sent: nothing of them may steer it.

use std::fmt::Write as _;

use schemas::text::steers;
use serde_json::{Value, json};
use sinks::parking::{ParkedRecord, ParkedSummary};

use crate::output::{self, Format};

/// Bytes of a key, value or header that are shown to people; `--output json` has all.
const MAX_SHOWN_BYTES: usize = 8 * 1024;

/// Prints a list.
pub(super) fn list(parked: &[ParkedSummary], format: Format) -> anyhow::Result<()> {
    match format {
        Format::Json => document(&parked.iter().map(summary).collect::<Vec<_>>().into())?,
        Format::Ndjson => parked.iter().try_for_each(|parked| document(&summary(parked)))?,
        Format::Table => {
            let columns =
                ["parked", "stage", "topic", "partition", "offset", "status", "replays", "reason", "detail"];
            let mut table = output::table(&columns);
            for parked in parked {
                table.add_row([
                    parked.parked_at.format("%F %T").to_string(),
                    parked.stage.clone(),
                    parked.topic.clone(),
                    parked.partition.to_string(),
                    parked.record_offset.to_string(),
                    parked.status.clone(),
                    parked.replays.to_string(),
                    parked.reason.clone(),
                    escaped(&parked.detail),
                ]);
            }
            output::print_table(&table, "nothing is parked");
        }
    }
    Ok(())
}

/// Prints one record with its bytes.
pub(super) fn record(record: &ParkedRecord, format: Format) -> anyhow::Result<()> {
    if format != Format::Table {
        return document(&with_bytes(record));
    }
    let parked = &record.summary;
    let line = |name: &str, text: &str| output::line(&format!("{name:<10} {text}"));
    line("record", &format!("{}/{} offset {}", parked.topic, parked.partition, parked.record_offset));
    line("stage", &parked.stage);
    line("reason", &parked.reason);
    line("detail", &escaped(&parked.detail));
    line("parked", &parked.parked_at.to_rfc3339());
    line("status", &standing(parked));
    if let Some(tenant) = &parked.tenant_id {
        line("tenant", &escaped(tenant));
    }
    if let Some(id) = &parked.event_id {
        line("event", &id.to_string());
    }
    if let Some(at) = &parked.recorded_at {
        line("recorded", &at.to_rfc3339());
    }
    line("key", &record.key.as_deref().map_or_else(|| "none".to_owned(), for_people));
    for (name, value) in &record.headers {
        let value = value.as_deref().map_or_else(|| "null".to_owned(), for_people);
        line("header", &format!("{}: {value}", escaped(name)));
    }
    line("value", &format!("{} bytes, SHA-256 {}", parked.value_size, output::hex(&record.value_sha256)));
    match &record.value {
        Some(value) => output::line(&for_people(value)),
        None if record.value_was_left_out() => {
            output::line("(not kept; replay reads it from the topic)");
        }
        None if record.may_lack_bytes() => {
            output::line("(none, and no headers kept; replay reads the record from the topic)");
        }
        None => output::line("(none)"),
    }
    Ok(())
}

/// Prints how a command ended: a sentence, or a document.
pub(super) fn outcome(document_of: &Value, sentence: &str, format: Format) -> anyhow::Result<()> {
    if format == Format::Table {
        output::line(sentence);
        return Ok(());
    }
    document(document_of)
}

fn standing(parked: &ParkedSummary) -> String {
    let by = parked.settled_by.as_ref().map(|by| format!(", by {}", escaped(by)));
    let at = parked.settled_at.map(|at| format!(" at {}", at.to_rfc3339()));
    let why = parked.settled_reason.as_ref().map(|why| format!(": {}", escaped(why)));
    let decision = [by, at, why].map(Option::unwrap_or_default).concat();
    format!("{}, replayed {} times{decision}", parked.status, parked.replays)
}

fn summary(parked: &ParkedSummary) -> Value {
    json!({
        "stage": parked.stage, "topic": parked.topic, "partition": parked.partition, "offset": parked.record_offset,
        "recorded_at": parked.recorded_at, "tenant": parked.tenant_id, "event_id": parked.event_id,
        "value_size": parked.value_size, "reason": parked.reason, "detail": parked.detail,
        "parked_at": parked.parked_at, "status": parked.status, "replays": parked.replays,
        "settled_by": parked.settled_by, "settled_at": parked.settled_at, "settled_reason": parked.settled_reason,
    })
}

/// Text as text, other bytes in hexadecimal.
fn with_bytes(record: &ParkedRecord) -> Value {
    let bytes = |bytes: Option<&Vec<u8>>| match bytes.map(|bytes| (bytes, std::str::from_utf8(bytes))) {
        None => Value::Null,
        Some((_, Ok(text))) => json!(text),
        Some((bytes, Err(_))) => json!({ "hex": output::hex(bytes) }),
    };
    let header = |(name, value): &(String, Option<Vec<u8>>)| json!([name, bytes(value.as_ref())]);
    let mut shown = summary(&record.summary);
    shown["key"] = bytes(record.key.as_ref());
    shown["value"] = bytes(record.value.as_ref());
    shown["value_sha256"] = output::hex(&record.value_sha256).into();
    shown["headers"] = record.headers.iter().map(header).collect::<Vec<_>>().into();
    shown
}

/// One line of JSON without control characters: they are escaped inside its strings.
fn document(value: &Value) -> anyhow::Result<()> {
    output::line(&inert_json(&serde_json::to_string(value)?));
    Ok(())
}

fn inert_json(json: &str) -> String {
    let mut inert = String::with_capacity(json.len());
    for c in json.chars() {
        if steers(c) {
            // Outside its strings JSON has none of these, and all of them lie within the first plane.
            write!(inert, "\\u{:04x}", u32::from(c)).expect("a String takes everything");
        } else {
            inert.push(c);
        }
    }
    inert
}

/// The bytes as text if they are some, else in hexadecimal; a long one is cut, and says so.
fn for_people(bytes: &[u8]) -> String {
    let shown = &bytes[..bytes.len().min(MAX_SHOWN_BYTES)];
    let text = match std::str::from_utf8(shown) {
        Ok(text) => escaped(text),
        // Only the cut is to blame.
        Err(error) if error.error_len().is_none() && shown.len() < bytes.len() => {
            escaped(&String::from_utf8_lossy(&shown[..error.valid_up_to()]))
        }
        Err(_) => format!("0x{}", output::hex(shown)),
    };
    match bytes.len() - shown.len() {
        0 => text,
        more => format!("{text} .. and {more} bytes more (--output json shows all)"),
    }
}

/// The text with everything escaped that might steer a terminal.
fn escaped(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if steers(c) { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "a\u{1b}[2J\u{9b}31m\r\n\u{7f}\u{202e}gpj.exe\u{2066}\u{2028}ü\0";

    #[test]
    fn nothing_that_is_shown_steers_the_terminal() {
        let bytes = [HOSTILE.as_bytes(), &[0xff, 0x1b]].concat();
        for shown in [escaped(HOSTILE), for_people(HOSTILE.as_bytes()), for_people(&bytes)] {
            assert!(!shown.chars().any(steers), "{shown:?}");
        }
        assert!(escaped(HOSTILE).contains("gpj.exe") && escaped(HOSTILE).contains('ü'));
        assert!(for_people(&bytes).starts_with("0x61"));
    }

    #[test]
    fn json_without_anything_that_steers_means_the_same() {
        let value = json!({ HOSTILE: [HOSTILE, { "hex": "00" }] });
        let inert = inert_json(&serde_json::to_string(&value).expect("JSON"));
        assert!(!inert.chars().any(steers), "{inert:?}");
        assert_eq!(serde_json::from_str::<Value>(&inert).expect("still JSON"), value);
    }

    #[test]
    fn long_values_are_cut_between_characters_and_say_so() {
        let shown = for_people("ü".repeat(10_000).as_bytes());
        assert!(shown.starts_with("üü") && shown.contains("11808 bytes more"), "{}", &shown[..40]);
        let odd = for_people(format!("x{}", "ü".repeat(10_000)).as_bytes());
        assert!(odd.starts_with("xü"), "{}", &odd[..40]);
    }
}

//! Lines of copies: what SIEMs and exports put around a record.

use std::borrow::Cow;

use chrono::DateTime;
use serde_json::Value;

/// Members in which SIEMs wrap what they were given, and exports the record.
const WRAPPINGS: [&str; 4] = ["event", "_source", "record", "data"];
/// The time that Elasticsearch is given beside a record's own.
const TIMESTAMP: &str = "@timestamp";

/// The record of a line, out of what was wrapped around it, and without the time that Elasticsearch is given. Where that is
/// another time than the record's own it stays, as any member does that somebody has added: the record has another leaf then.
pub(super) fn record_of(line: &Value) -> Cow<'_, Value> {
    let is_record = |value: &Value| value.get("class_uid").is_some();
    let is_wrapped = line.get("unmapped").is_none();
    let wrapped = WRAPPINGS.iter().filter(|_| is_wrapped).filter_map(|name| line.get(name));
    let record = wrapped.into_iter().find(|inner| is_record(inner)).unwrap_or(line);
    if !record.get(TIMESTAMP).is_some_and(|beside| is_time_of(beside, record)) {
        return Cow::Borrowed(record);
    }
    let mut record = record.clone();
    record.as_object_mut().map(|members| members.remove(TIMESTAMP));
    Cow::Owned(record)
}

/// Whether it is the record's own `time`, in milliseconds since 1970.
fn is_time_of(beside: &Value, record: &Value) -> bool {
    let time = record.get("time").and_then(Value::as_i64).and_then(DateTime::from_timestamp_millis);
    let beside = match beside {
        Value::String(text) => DateTime::parse_from_rfc3339(text).ok().map(|at| at.to_utc()),
        other => other.as_i64().and_then(DateTime::from_timestamp_millis),
    };
    time.is_some() && time == beside
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_record_comes_out_of_what_is_around_it() {
        let record = json!({ "class_uid": 6003, "time": 1_764_288_000_123_i64, "unmapped": {} });
        for name in WRAPPINGS {
            assert_eq!(*record_of(&json!({ name: record, "x": 1 })), record);
        }
        assert_eq!(*record_of(&record), record);
        // A record does not hide behind another that it holds.
        let mut around = record.clone();
        around["event"] = json!({ "class_uid": 6003, "time": 0 });
        assert_eq!(*record_of(&around), around);
    }

    #[test]
    fn the_time_beside_a_record_must_be_its_own() {
        let record = json!({ "class_uid": 6003, "time": 1_764_288_000_123_i64, "unmapped": {} });
        let with = |time: Value| {
            let mut record = record.clone();
            record[TIMESTAMP] = time;
            record
        };
        for time in [
            json!("2025-11-28T00:00:00.123Z"),
            json!("2025-11-28T01:00:00.123+01:00"),
            json!(1_764_288_000_123_i64),
        ] {
            assert_eq!(*record_of(&with(time)), record);
        }
        for time in [
            json!("2025-11-28T00:00:00.124Z"),
            json!("2025-11-28T00:00:00.1231Z"),
            json!("2025-11-28"),
            json!(1_764_288_000_124_i64),
            Value::Null,
        ] {
            let edited = with(time);
            assert_eq!(*record_of(&edited), edited);
        }
    }
}

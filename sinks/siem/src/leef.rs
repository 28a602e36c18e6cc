//! Log Event Extended Format 2.0 (QRadar): a header, then attributes parted by a tab.
//!
//! LEEF has no escapes: what would break a header or an attribute becomes a space.

use std::fmt::Write as _;

use serde_json::Value;

use crate::{cef, message::Message};

/// A record as one line.
pub fn line(message: &Message) -> String {
    let value = message.value();
    let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let type_uid = value["type_uid"].as_i64().unwrap_or_default();
    let mut line = format!("LEEF:2.0|Weir|Weir|{}|{type_uid}|x09|", header_field(env!("CARGO_PKG_VERSION")));
    let place = message.place.as_ref();
    let fields = [
        ("devTime", Some(cef::rfc3339(message.time_ms))),
        ("devTimeFormat", Some("yyyy-MM-dd'T'HH:mm:ss.SSSX".to_owned())),
        ("sev", Some(severity(message.severity_id).to_string())),
        ("cat", Some(cef::name(&value))),
        ("externalId", Some(message.id.clone())),
        (
            "usrName",
            text("/actor/user/name").or_else(|| text("/actor/user/uid")).or_else(|| text("/user/name")),
        ),
        ("src", cef::source_ip(&value).map(|ip| ip.to_string())),
        ("identHostName", text("/src_endpoint/domain")),
        ("action", text("/api/operation").or_else(|| text("/activity_name"))),
        ("outcome", text("/status")),
        ("reason", text("/status_code").or_else(|| text("/status_detail"))),
        ("msg", text("/message")),
        ("resource", cef::about(&value).map(str::to_owned)),
        ("eventCode", text("/metadata/event_code")),
        ("tenant", Some(message.tenant.clone())),
        ("log", place.map(|place| place.log.clone())),
        ("logIndex", place.map(|place| place.index.to_string())),
        ("leaf", place.map(|place| place.leaf.clone())),
        ("previousLeaf", place.and_then(|place| place.previous.clone())),
    ];
    let mut separator = "";
    for (key, value) in fields {
        if let Some(value) = value {
            write!(line, "{separator}{key}={}", attribute_value(&value)).expect("a String takes everything");
            separator = "\t";
        }
    }
    line
}

/// LEEF's severity of an OCSF severity, 1 to 10.
fn severity(ocsf: i64) -> u8 {
    cef::severity(ocsf).max(1)
}

/// A field of the header.
pub fn header_field(text: &str) -> String {
    text.replace(|c: char| c == '|' || c.is_control(), " ")
}

/// A value of an attribute.
pub fn attribute_value(text: &str) -> String {
    text.replace(|c: char| c.is_control(), " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::tests::record;

    #[test]
    fn a_record_is_one_line_of_attributes() {
        let mut message = record("{}");
        let mut value = message.value();
        value["message"] = "a\tb\r\nc".into();
        message.json = value.to_string().into_bytes().into();
        let line = line(&message);
        let head = format!("LEEF:2.0|Weir|Weir|{}|600301|x09|", env!("CARGO_PKG_VERSION"));
        let attributes = line.strip_prefix(&head).expect("the header");
        let attributes: Vec<(&str, &str)> =
            attributes.split('\t').map(|pair| pair.split_once('=').expect("key and value")).collect();
        let of = |key: &str| attributes.iter().find(|(name, _)| *name == key).map(|(_, value)| *value);
        assert_eq!((of("msg"), of("sev"), of("src")), (Some("a b  c"), Some("7"), Some("192.0.2.7")));
        assert_eq!((of("log"), of("logIndex")), (Some("weir.activity.v1/3"), Some("42")));
        assert_eq!(of("devTime"), Some("2025-11-28T00:00:00.123Z"));
        assert_eq!(of("previousLeaf").map(str::len), Some(64));
    }
}

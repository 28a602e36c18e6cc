//! Common Event Format, version 0 (ArcSight): seven header fields, then an extension of keys and values.
//!
//! In the header `\` and `|` are escaped and line breaks become spaces. In values `\` and `=` are escaped and line breaks become
//! `\n`. Keys are letters and digits. Severity is a whole number from 0 to 10.

use std::{fmt::Write as _, net::IpAddr};

use chrono::DateTime;
use serde_json::Value;

use crate::message::Message;

/// Places of what an event is about, by class.
const ABOUT: [&str; 19] = [
    "/resources/0/uid",
    "/resources/0/name",
    "/entity/uid",
    "/entity/name",
    "/device/uid",
    "/device/name",
    "/app/feature/uid",
    "/app/uid",
    "/app/name",
    "/database/uid",
    "/database/name",
    "/databucket/uid",
    "/databucket/name",
    "/table/uid",
    "/table/name",
    "/unmapped/resources/0/uid",
    "/unmapped/resources/0/name",
    "/unmapped/charge/resource_id",
    "/finding_info/uid",
];

/// A record as one line.
pub fn line(message: &Message) -> String {
    let value = message.value();
    let type_uid = value["type_uid"].as_i64().unwrap_or_default();
    let mut line = format!(
        "CEF:0|Weir|Weir|{}|{}|{}|{}|",
        header_field(env!("CARGO_PKG_VERSION")),
        header_field(&type_uid.to_string()),
        header_field(&name(&value)),
        severity(message.severity_id)
    );
    let pairs = fields(message, &value);
    for (place, (key, value)) in pairs.iter().enumerate() {
        let separator = if place == 0 { "" } else { " " };
        write!(line, "{separator}{}={}", extension_key(key), extension_value(value))
            .expect("a String takes everything");
    }
    line
}

/// The event's name for people.
pub(crate) fn name(value: &Value) -> String {
    let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str);
    let class = text("/class_name").unwrap_or("Event");
    match text("/api/operation").or_else(|| text("/finding_info/title")).or_else(|| text("/activity_name")) {
        Some(what) => format!("{class}: {what}"),
        None => class.to_owned(),
    }
}

/// Keys and values in CEF's dictionary; values without a key go into custom strings with their labels.
fn fields(message: &Message, value: &Value) -> Vec<(&'static str, String)> {
    let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    // The dictionary's `externalId` has 40 characters: the leaf is longer, and stands in `cs4`.
    let id = text("/metadata/uid").unwrap_or_else(|| message.id.clone());
    let mut fields = vec![("externalId", id), ("rt", message.time_ms.to_string())];
    let (v4, v6) = match source_ip(value) {
        Some(IpAddr::V4(v4)) => (Some(v4.to_string()), None),
        Some(IpAddr::V6(v6)) => (None, Some(v6.to_string())),
        None => (None, None),
    };
    let known = [
        ("act", text("/api/operation").or_else(|| text("/activity_name"))),
        ("outcome", text("/status")),
        ("reason", text("/status_code").or_else(|| text("/status_detail"))),
        ("msg", text("/message")),
        ("suser", text("/actor/user/name").or_else(|| text("/user/name"))),
        ("suid", text("/actor/user/uid").or_else(|| text("/user/uid"))),
        ("src", v4),
        ("shost", text("/src_endpoint/domain").or_else(|| text("/src_endpoint/hostname"))),
        ("requestClientApplication", text("/http_request/user_agent")),
        ("deviceExternalId", text("/metadata/source")),
        ("cat", text("/class_name")),
    ];
    fields.extend(known.into_iter().filter_map(|(key, value)| Some((key, value?))));
    let place = message.place.as_ref();
    let custom = [
        ("cs1", "cs1Label", "tenant", Some(message.tenant.clone())),
        ("c6a2", "c6a2Label", "Source IPv6 Address", v6),
        ("cs2", "cs2Label", "resource", about(value).map(str::to_owned)),
        ("cs3", "cs3Label", "log", place.map(|place| place.log.clone())),
        ("cs4", "cs4Label", "leaf", place.map(|place| place.leaf.clone())),
        ("cs5", "cs5Label", "previousLeaf", place.and_then(|place| place.previous.clone())),
        ("cs6", "cs6Label", "eventCode", text("/metadata/event_code")),
        ("cn1", "cn1Label", "logIndex", place.map(|place| place.index.to_string())),
    ];
    for (key, label, name, value) in custom {
        if let Some(value) = value {
            fields.extend([(label, name.to_owned()), (key, value)]);
        }
    }
    fields
}

/// The object of the event: the first of its resources, or what stands in their place in a record of its class.
pub(crate) fn about(value: &Value) -> Option<&str> {
    ABOUT.iter().find_map(|pointer| value.pointer(pointer).and_then(Value::as_str))
}

/// Address from which the event came, if it is one.
pub(crate) fn source_ip(value: &Value) -> Option<IpAddr> {
    let told = ["/src_endpoint/ip", "/unmapped/actor_ip"];
    let mut told = told.iter().filter_map(|pointer| value.pointer(pointer).and_then(Value::as_str));
    told.find_map(|text| text.parse::<IpAddr>().ok()).map(|address| address.to_canonical())
}

/// CEF's severity of an OCSF severity: unknown and other are 0.
pub fn severity(ocsf: i64) -> u8 {
    match ocsf {
        1 => 1,
        2 => 3,
        3 => 5,
        4 => 7,
        5 => 9,
        6 => 10,
        _ => 0,
    }
}

/// A field of the header.
pub fn header_field(text: &str) -> String {
    let text = text.replace("\r\n", " ").replace(['\r', '\n'], " ");
    text.replace('\\', "\\\\").replace('|', "\\|").replace(|c: char| c.is_control(), " ")
}

/// A key of the extension; what is neither letter nor digit is left out.
pub fn extension_key(text: &str) -> String {
    text.chars().filter(char::is_ascii_alphanumeric).collect()
}

/// A value of the extension.
pub fn extension_value(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('=', "\\=");
    text.replace("\r\n", "\\n").replace(['\r', '\n'], "\\n").replace(|c: char| c.is_control(), " ")
}

/// A time as LEEF and people read it.
pub(crate) fn rfc3339(time_ms: i64) -> String {
    let time = DateTime::from_timestamp_millis(time_ms).unwrap_or_default();
    time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::tests::record;

    #[test]
    fn a_record_is_one_line_with_its_place_in_the_log() {
        let line = line(&record("{}"));
        let head = format!(
            "CEF:0|Weir|Weir|{}|600301|API Activity: CreateUser|7|externalId=",
            env!("CARGO_PKG_VERSION")
        );
        assert!(line.starts_with(&head), "{line}");
        for part in [
            " rt=1764288000123 ",
            " act=CreateUser ",
            " outcome=Success ",
            " suser=ada ",
            " src=192.0.2.7 ",
            " cs3Label=log cs3=weir.activity.v1/3 ",
            " cn1Label=logIndex cn1=42",
        ] {
            assert!(line.contains(part), "{part} in {line}");
        }
    }

    #[test]
    fn values_are_those_of_the_dictionary() {
        let of = |ip: &str, member: &str| {
            let mut message = record("{}");
            let mut value = message.value();
            value["src_endpoint"] = Value::Null;
            let (object, name) = member.split_once('/').expect("two names");
            value[object][name] = ip.into();
            message.json = value.to_string().into_bytes().into();
            line(&message)
        };
        assert!(of("192.0.2.9", "unmapped/actor_ip").contains(" src=192.0.2.9 "));
        assert!(of("::ffff:192.0.2.9", "src_endpoint/ip").contains(" src=192.0.2.9 "));
        let v6 = of("2001:db8::7", "src_endpoint/ip");
        assert!(
            v6.contains(" c6a2Label=Source IPv6 Address c6a2=2001:db8::7 ") && !v6.contains(" src="),
            "{v6}"
        );
        let service = of("ecs-tasks.amazonaws.com", "unmapped/actor_ip");
        assert!(!service.contains(" src=") && !service.contains(" c6a2="), "{service}");
        assert!(service.contains("|externalId=0192f0c1-2345-7abc-8def-0123456789ab "), "{service}");
        assert!(service.contains(&format!(" cs4Label=leaf cs4={}", "ab".repeat(32))), "{service}");
    }

    #[test]
    fn nothing_in_a_record_breaks_the_line() {
        let mut message = record("{}");
        let mut value = message.value();
        value["message"] = "a|b=c\\d\r\ne\u{1b}[31m".into();
        value["api"]["operation"] = "x|y\\z\n=".into();
        message.json = value.to_string().into_bytes().into();
        let line = line(&message);
        assert!(!line.chars().any(char::is_control), "{line}");
        assert!(line.contains("|API Activity: x\\|y\\\\z =|7|"), "{line}");
        assert!(line.contains("msg=a|b\\=c\\\\d\\ne [31m "), "{line}");
    }
}

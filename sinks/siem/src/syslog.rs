//! Syslog: RFC 5424 messages, framed by counting octets (RFC 6587, RFC 5425).

use std::{borrow::Cow, fmt::Write as _};

use serde::{Deserialize, Serialize};

use crate::{
    cef, leef,
    message::{Message, Oversize},
};

/// Log audit.
const FACILITY: u8 = 13;
/// The enterprise number that RFC 5612 sets aside for examples: Weir has none of its own.
const ENTERPRISE: u32 = 32_473;
/// Most bytes by which the head of a part is longer than that of its record: a part has a number.
const PART_BYTES: usize = 24;
/// The longest host name that RFC 5424 allows.
const MAX_HOST: usize = 255;

/// The body of a message.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// The OCSF record.
    #[default]
    Json,
    /// Common Event Format.
    Cef,
    /// Log Event Extended Format 2.0.
    Leef,
}

/// Receiver of the messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Syslog {
    /// The host's name or address.
    pub host: String,
    /// The port.
    pub port: u16,
    /// Whether the connection is TLS.
    pub tls: bool,
    /// The body.
    pub format: Format,
    /// Origin that messages name.
    pub origin: String,
}

impl Syslog {
    /// A message with its frame: the count of its octets, a space, the message.
    pub fn frame(&self, message: &Message) -> Vec<u8> {
        let text = self.text(message);
        let mut frame = format!("{} ", text.len()).into_bytes();
        frame.extend_from_slice(&text);
        frame
    }

    /// The message, or where it has more than `limit` bytes its record in parts, each of them a message that has no more.
    pub fn parted(&self, message: Message, limit: usize) -> Result<Vec<Message>, Oversize> {
        let head = self.head(&message).len();
        if head + message.json.len() <= limit {
            return Ok(vec![message]);
        }
        let parts = message.parted(limit.saturating_sub(head + PART_BYTES));
        parts.map_err(|oversize| Oversize { bytes: oversize.bytes + head, limit })
    }

    /// A message without its frame.
    pub fn text(&self, message: &Message) -> Vec<u8> {
        let mut text = self.head(message).into_bytes();
        match self.format {
            Format::Json => text.extend_from_slice(&message.json),
            Format::Cef => text.extend_from_slice(cef::line(message).as_bytes()),
            Format::Leef => text.extend_from_slice(leef::line(message).as_bytes()),
        }
        text
    }

    /// What stands before the body.
    fn head(&self, message: &Message) -> String {
        let priority = u32::from(FACILITY) * 8 + severity(message.severity_id);
        let time = cef::rfc3339(message.time_ms);
        let mut data =
            format!("[weir@{ENTERPRISE} id=\"{}\" tenant=\"{}\"", param(&message.id), param(&message.tenant));
        if let Some(place) = &message.place {
            let before = place.previous.as_deref().unwrap_or_default();
            write!(
                data,
                " log=\"{}\" index=\"{}\" leaf=\"{}\" previous=\"{}\"",
                param(&place.log),
                place.index,
                param(&place.leaf),
                param(before)
            )
            .expect("a String takes everything");
        }
        format!("<{priority}>1 {time} {} weir - {} {data}] ", name(&self.origin), message.class_uid)
    }
}

/// Syslog's severity of an OCSF severity.
fn severity(ocsf: i64) -> u32 {
    match ocsf {
        2 => 5,
        3 => 4,
        4 => 3,
        5 => 2,
        6 => 1,
        _ => 6,
    }
}

/// A host's name: printable ASCII without spaces, or the nil value.
fn name(text: &str) -> String {
    let kept: String = text.chars().filter(char::is_ascii_graphic).take(MAX_HOST).collect();
    if kept.is_empty() { "-".to_owned() } else { kept }
}

/// A parameter's value in structured data: `"`, `\` and `]` are escaped.
fn param(text: &str) -> Cow<'_, str> {
    if !text.contains(['"', '\\', ']']) && !text.contains(char::is_control) {
        return Cow::Borrowed(text);
    }
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace(']', "\\]");
    Cow::Owned(escaped.replace(|c: char| c.is_control(), " "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        message::{ENVELOPE_BYTES, tests::record},
        settings::Destination,
    };

    fn to(format: Format) -> Syslog {
        Syslog { host: "siem.example.com".into(), port: 6514, tls: true, format, origin: "weir-1 é".into() }
    }

    #[test]
    fn a_message_names_its_place_and_is_counted_in_octets() {
        let message = record("{\"é\": 1}");
        let text = String::from_utf8(to(Format::Json).text(&message)).expect("UTF-8");
        let head = "<107>1 2025-11-28T00:00:00.123Z weir-1 weir - 6003 [weir@32473 id=\"abab";
        assert!(text.starts_with(head), "{text}");
        assert!(text.contains(" log=\"weir.activity.v1/3\" index=\"42\" leaf=\"abab"), "{text}");
        assert!(text.ends_with('}') && text.contains("\"] {\""), "{text}");
        assert!(text.len() - message.json.len() <= ENVELOPE_BYTES);
        let frame = to(Format::Json).frame(&message);
        assert!(frame.starts_with(format!("{} <107>1 ", text.len()).as_bytes()));
        assert_eq!(frame.len(), text.len() + text.len().to_string().len() + 1);
    }

    #[test]
    fn no_message_is_longer_than_the_limit_and_a_native_record_counts_where_it_is_sent() {
        let sink = |format| Destination::Syslog(to(format));
        for native in [1_000, 7_000, 7_500, 20_000] {
            let parts =
                sink(Format::Json).parted(record(&"x".repeat(native)), 8_192).expect("it can be parted");
            assert_eq!(parts.len() > 1, native >= 7_000, "{native}");
            assert!(parts.iter().all(|part| to(Format::Json).text(part).len() <= 8_192), "{native}");
        }
        for format in [Format::Cef, Format::Leef] {
            let whole = record(&"x".repeat(20_000));
            assert_eq!(sink(format).parted(whole.clone(), 8_192), Ok(vec![whole]), "one line");
            // Neither format holds what a resource is configured to.
            let mut configured = record("{}");
            let mut value = configured.value();
            value["unmapped"]["configuration"] = "y".repeat(10_000).into();
            configured.json = value.to_string().into_bytes().into();
            assert_eq!(sink(format).parted(configured.clone(), 8_192), Ok(vec![configured.clone()]));
            value["message"] = "z".repeat(9_000).into();
            configured.json = value.to_string().into_bytes().into();
            let refused = sink(format).parted(configured, 8_192).expect_err("its line is too long");
            assert!(refused.bytes > 9_000 && refused.limit == 8_192, "{refused}");
        }
        let slack = Destination::Slack(crate::slack::Slack);
        let whole = record(&"x".repeat(90_000));
        assert_eq!(slack.parted(whole.clone(), 38_976), Ok(vec![whole]), "a native record is never shown");
    }

    #[test]
    fn bodies_are_cef_and_leef_too() {
        let message = record("{}");
        let text = |format| String::from_utf8(to(format).text(&message)).expect("UTF-8");
        assert!(text(Format::Cef).contains("\"] CEF:0|Weir|"));
        assert!(text(Format::Leef).contains("\"] LEEF:2.0|Weir|"));
        assert_eq!(param("a\"b]c\\\n"), "a\\\"b\\]c\\\\ ");
    }
}

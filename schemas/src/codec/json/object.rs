//! The JSON object of a structured event: its attributes as text, its data untouched.

use std::{borrow::Cow, fmt};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::codec::{Refusal, Why, attributes::Attributes};

/// A structured event, split into attributes and data.
pub(super) struct Structured<'a> {
    pub(super) attributes: Attributes<'a>,
    pub(super) data: Data<'a>,
}

/// Maximum number of members of an event; the JSON limits allow no more.
const MAX_MEMBERS: usize = 256;

/// The data of an event.
pub(super) enum Data<'a> {
    /// No data.
    Absent,
    /// JSON.
    Json(&'a RawValue),
    /// Text of another media type.
    Text(&'a str),
    /// Other data, in Base64.
    Base64(Cow<'a, str>),
}

/// Splits a JSON object. Members may come in any order; duplicates are refused.
pub(super) fn read(text: &str) -> Result<Structured<'_>, Refusal> {
    let Members(members) = serde_json::from_str(text).map_err(|error| invalid_json(&error))?;
    let mut names: Vec<&str> = members.iter().map(|(name, _)| name.as_ref()).collect();
    names.sort_unstable();
    if names.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(Refusal::new(Why::InvalidJson, "the event has the same member twice"));
    }
    let mut event = Structured { attributes: Attributes::default(), data: Data::Absent };
    for (name, value) in &members {
        match name.as_ref() {
            // An attribute that is null is an attribute that is not set.
            _ if value.get() == "null" && name != "data" => {}
            "data" if matches!(event.data, Data::Absent) => event.data = Data::Json(value),
            "data_base64" if matches!(event.data, Data::Absent) => {
                let text = text_of(name, value, Why::InvalidEnvelope)?;
                if STANDARD.decode(text.as_bytes()).is_err() {
                    return Err(Refusal::new(
                        Why::InvalidEnvelope,
                        "data_base64 is not base64 (RFC 4648, section 4)",
                    ));
                }
                event.data = Data::Base64(text);
            }
            "data" | "data_base64" => {
                return Err(Refusal::new(Why::InvalidEnvelope, "the event has both data and data_base64"));
            }
            // The type says that a time is text; so a number there is a fault of the event, not of its envelope.
            "time" => event.attributes.set(name, text_of(name, value, Why::InvalidEvent)?)?,
            _ if Attributes::knows(name) => {
                event.attributes.set(name, text_of(name, value, Why::InvalidEnvelope)?)?;
            }
            _ => {}
        }
    }
    Ok(event)
}

fn text_of<'a>(name: &str, value: &'a RawValue, why: Why) -> Result<Cow<'a, str>, Refusal> {
    let text: Result<Text<'a>, _> = serde_json::from_str(value.get());
    text.map(|Text(text)| text).map_err(|_| Refusal::new(why, format!("{name} is not a text")))
}

/// The kind of a JSON parser's error, without the text that it quotes.
pub(super) fn invalid_json(error: &serde_json::Error) -> Refusal {
    let what = match error.classify() {
        serde_json::error::Category::Eof => "the JSON ends early",
        serde_json::error::Category::Data => "the JSON is not an object",
        serde_json::error::Category::Syntax | serde_json::error::Category::Io => "the JSON is malformed",
    };
    Refusal::new(Why::InvalidJson, format!("{what}, line {} column {}", error.line(), error.column()))
}

/// Text, borrowed where it holds no escapes.
#[derive(Deserialize)]
pub(super) struct Text<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a CloudEvents object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::with_capacity(16);
                while let Some(Text(name)) = map.next_key()? {
                    if members.len() == MAX_MEMBERS {
                        return Err(A::Error::custom("too many members"));
                    }
                    members.push((name, map.next_value()?));
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Object)
    }
}

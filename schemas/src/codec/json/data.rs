//! Parses an event's data into its family's struct and the native record.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{
        DeserializeOwned, DeserializeSeed, Error, MapAccess, Visitor,
        value::{CowStrDeserializer, StrDeserializer},
    },
    forward_to_deserialize_any,
};
use serde_json::value::RawValue;

use super::object::{Data, Text};
use crate::{
    Event, Native,
    codec::{Refusal, Why, attributes::Head, family},
    envelope::native_format,
    events::{Activity, ActivityKind, Actor, Outcome, Resource},
};

/// Maximum length of a native format's name, in bytes.
const MAX_FORMAT_BYTES: usize = 128;

/// The event and native record, by the event's type.
pub(super) fn event(head: &Head<'_>, data: &Data<'_>) -> Result<(Event, Option<Native>), Refusal> {
    let Some((topic, kind)) = family::of_type(&head.ce_type) else {
        return Ok((foreign(head), foreign_native(data)?));
    };
    match data {
        Data::Json(json) => {
            let read = family::read(topic, TypedData { json, kind }).expect("our types belong to families");
            read.map_err(|detail| Refusal::new(Why::InvalidEvent, detail))
        }
        Data::Absent => Err(Refusal::new(Why::InvalidEvent, "data is missing")),
        Data::Base64(_) | Data::Text(_) => Err(Refusal::new(
            Why::InvalidEvent,
            "data of this type must be JSON, not other bytes or data_base64",
        )),
    }
}

/// An event of a type that is not Weir's: an API call whose action is the type.
fn foreign(head: &Head<'_>) -> Event {
    let resource = |id: &String| Resource { id: id.clone(), ..Resource::default() };
    Event::Activity(Activity {
        kind: ActivityKind::ApiCalled,
        action: head.ce_type.clone().into_owned(),
        service: None,
        actor: Actor { id: head.auth_id.clone().unwrap_or_default(), ..Actor::default() },
        resources: head.subject.iter().map(resource).collect(),
        outcome: Outcome::default(),
        read_only: None,
        request_id: None,
    })
}

fn foreign_native(data: &Data<'_>) -> Result<Option<Native>, Refusal> {
    let (format, record) = match data {
        Data::Absent => return Ok(None),
        Data::Json(json) => (native_format::CLOUDEVENTS, verbatim(json)?),
        Data::Text(text) => (native_format::CLOUDEVENTS, (*text).to_owned()),
        Data::Base64(text) => (native_format::CLOUDEVENTS_BASE64, text.clone().into_owned()),
    };
    Ok(Some(Native { format: format.to_owned(), record: record.into() }))
}

/// A record's text: the content of a JSON string, or any other JSON verbatim.
fn verbatim(json: &RawValue) -> Result<String, Refusal> {
    if json.get().starts_with('"') {
        serde_json::from_str(json.get()).map_err(|error| super::object::invalid_json(&error))
    } else {
        Ok(json.get().to_owned())
    }
}

/// The JSON data of one of Weir's types.
struct TypedData<'a> {
    json: &'a RawValue,
    /// Kind that the type denotes.
    kind: &'static str,
}

#[derive(Deserialize)]
struct NativeObject<'a> {
    #[serde(borrow)]
    format: Cow<'a, str>,
    #[serde(borrow)]
    record: &'a RawValue,
}

impl family::Read for TypedData<'_> {
    type Error = String;

    fn read<E: DeserializeOwned>(self) -> Result<(E, Option<Native>), String> {
        let mut native = None;
        let mut json = serde_json::Deserializer::from_str(self.json.get());
        let family = FamilyObject { json: &mut json, kind: self.kind, native: &mut native };
        let event = E::deserialize(family).map_err(|error| without_payload("data", &error))?;
        let native: Option<NativeObject<'_>> = match native {
            Some(json) => {
                serde_json::from_str(json.get()).map_err(|error| without_payload("data.native", &error))?
            }
            None => None,
        };
        let native = native.map(|native| {
            if !(1..=MAX_FORMAT_BYTES).contains(&native.format.len()) {
                return Err(format!("native.format has not 1 to {MAX_FORMAT_BYTES} bytes"));
            }
            let record = verbatim(native.record).map_err(|refusal| refusal.detail)?;
            Ok(Native { format: native.format.into_owned(), record: record.into() })
        });
        Ok((event, native.transpose()?))
    }
}

/// A family's struct within its JSON object: `kind` is supplied by the event's type, `native` is taken out.
struct FamilyObject<'a, 'de, D> {
    json: D,
    kind: &'static str,
    native: &'a mut Option<&'de RawValue>,
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for FamilyObject<'_, 'de, D> {
    type Error = D::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.json.deserialize_map(FamilyMembers { visitor, kind: self.kind, native: self.native })
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

struct FamilyMembers<'a, 'de, V> {
    visitor: V,
    kind: &'static str,
    native: &'a mut Option<&'de RawValue>,
}

impl<'de, V: Visitor<'de>> Visitor<'de> for FamilyMembers<'_, 'de, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with the fields of its type")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<V::Value, A::Error> {
        self.visitor.visit_map(KindFirst { map, kind: self.kind, given: Given::Nothing, native: self.native })
    }
}

/// A map that begins with the member `kind` and continues with everything except `kind` and `native`.
struct KindFirst<'a, 'de, A> {
    map: A,
    kind: &'static str,
    given: Given,
    native: &'a mut Option<&'de RawValue>,
}

#[derive(PartialEq)]
enum Given {
    Nothing,
    KindsName,
    Kind,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for KindFirst<'_, 'de, A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        if self.given == Given::Nothing {
            self.given = Given::KindsName;
            return seed.deserialize(StrDeserializer::new("kind")).map(Some);
        }
        while let Some(Text(name)) = self.map.next_key()? {
            match name.as_ref() {
                "kind" => {
                    let Text(kind) = self.map.next_value()?;
                    if kind != self.kind {
                        let told = format_args!("kind is not {}, which the event's type says", self.kind);
                        return Err(A::Error::custom(told));
                    }
                }
                "native" if self.native.is_some() => return Err(A::Error::duplicate_field("native")),
                "native" => *self.native = Some(self.map.next_value()?),
                _ => return seed.deserialize(CowStrDeserializer::new(name)).map(Some),
            }
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        if self.given == Given::KindsName {
            self.given = Given::Kind;
            return seed.deserialize(StrDeserializer::new(self.kind));
        }
        self.map.next_value_seed(seed)
    }
}

/// The parser's message without the values that it quotes, since a detail may be stored and logged.
fn without_payload(within: &str, error: &serde_json::Error) -> String {
    let text = error.to_string();
    let text = text.rsplit_once(" at line ").map_or(text.as_str(), |(what, _)| what);
    let ours = ["missing field", "duplicate field", "kind is not", "the time ", "the amount "];
    let what = if ours.iter().any(|start| text.starts_with(start)) {
        text.to_owned()
    } else {
        let fault = text.split(['"', '`']).next().unwrap_or_default().trim_end();
        let expected = text.rfind(", expected").filter(|at| *at >= fault.len());
        [fault, expected.map_or("", |at| &text[at..])].concat()
    };
    format!("{within}, line {} column {}: {what}", error.line(), error.column())
}

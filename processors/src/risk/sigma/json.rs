//! JSON of a native record, read where it lies: a text is borrowed from the record unless an escape is in it, and the
//! members of an object are no map, unless there are many.
//!
//! Against `serde_json::Value`, which copies every text and sorts every object, reading a record costs a third.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use serde::{
    Deserialize,
    de::{Deserializer, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Number, Value};

use super::engine::UnreadableRecord;

/// A value of a record.
#[derive(Debug, Clone)]
pub enum Json<'r> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number.
    Number(Number),
    /// A text.
    Text(Cow<'r, str>),
    /// A list.
    List(Vec<Self>),
    /// An object.
    Object(Members<'r>),
}

/// Members of an object: as they are written, or sorted where there are many. Of several with one name the last counts.
#[derive(Debug, Clone, Default)]
pub struct Members<'r>(Vec<(Cow<'r, str>, Json<'r>)>);

/// Most members that are looked through one by one: every rule looks for some, whatever a publisher sends.
const MAX_UNSORTED: usize = 32;

impl<'r> Json<'r> {
    /// Parses a record. Fails where it is not JSON, or is nested deeper than 128 levels.
    pub fn read(record: &'r str) -> Result<Self, UnreadableRecord> {
        Ok(serde_json::from_str(record)?)
    }

    /// The member of that name, if this is an object that has one.
    pub fn get(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Object(members) => members.get(name),
            _ => None,
        }
    }

    /// The text, if this is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The same as a value that borrows nothing.
    pub fn to_value(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(flag) => Value::Bool(*flag),
            Self::Number(number) => Value::Number(number.clone()),
            Self::Text(text) => Value::String(text.clone().into_owned()),
            Self::List(items) => items.iter().map(Self::to_value).collect(),
            Self::Object(members) => Value::Object(
                members.0.iter().map(|(name, value)| (name.to_string(), value.to_value())).collect(),
            ),
        }
    }
}

impl<'r> Members<'r> {
    fn new(mut members: Vec<(Cow<'r, str>, Json<'r>)>) -> Self {
        if members.len() > MAX_UNSORTED {
            // Stable: those of one name stay in the order in which they are written.
            members.sort_by(|(one, _), (other, _)| one.cmp(other));
        }
        Self(members)
    }

    /// The member of that name.
    pub(super) fn get(&self, name: &str) -> Option<&Json<'r>> {
        let upto = if self.0.len() > MAX_UNSORTED {
            self.0.partition_point(|(known, _)| known.as_ref() <= name)
        } else {
            self.0.iter().rposition(|(known, _)| known == name)? + 1
        };
        let (known, value) = self.0.get(upto.checked_sub(1)?)?;
        (known == name).then_some(value)
    }

    /// Values of the members that count, by name.
    pub(super) fn sorted(&self) -> impl Iterator<Item = &Json<'r>> {
        let counting: BTreeMap<&str, &Json<'r>> =
            self.0.iter().map(|(name, value)| (&**name, value)).collect();
        counting.into_values()
    }
}

impl<'r> From<&'r Value> for Json<'r> {
    fn from(value: &'r Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(flag) => Self::Bool(*flag),
            Value::Number(number) => Self::Number(number.clone()),
            Value::String(text) => Self::Text(Cow::Borrowed(text)),
            Value::Array(items) => Self::List(items.iter().map(Self::from).collect()),
            Value::Object(members) => {
                let members =
                    members.iter().map(|(name, value)| (Cow::Borrowed(name.as_str()), value.into()));
                Self::Object(Members::new(members.collect()))
            }
        }
    }
}

/// As JSON, members sorted by name.
impl fmt::Display for Json<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            other => other.to_value().fmt(f),
        }
    }
}

impl<'de> Deserialize<'de> for Json<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

/// Takes whatever value comes.
struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Json<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Json<'de>, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Json<'de>, E> {
        Ok(Json::Bool(flag))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Json<'de>, E> {
        Ok(Json::Number(number.into()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Json<'de>, E> {
        Ok(Json::Number(number.into()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Json<'de>, E> {
        Ok(Number::from_f64(number).map_or(Json::Null, Json::Number))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Json<'de>, E> {
        Ok(Json::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Json<'de>, E> {
        Ok(Json::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json<'de>, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Json::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Json<'de>, A::Error> {
        let mut object = Vec::new();
        while let Some((Name(name), value)) = members.next_entry()? {
            object.push((name, value));
        }
        Ok(Json::Object(Members::new(object)))
    }
}

/// Name of a member, borrowed where it holds no escapes.
#[derive(Deserialize)]
struct Name<'r>(#[serde(borrow)] Cow<'r, str>);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A JSON text means the same as to `serde_json`.
    #[track_caller]
    fn check(text: &str) {
        let expected: Result<Value, _> = serde_json::from_str(text);
        let read = Json::read(text).map(|read| (read.to_value(), read.to_string()));
        match (expected, read) {
            (Ok(expected), Ok((value, written))) => {
                assert_eq!((&value, written), (&expected, expected.to_string()), "{text}");
                assert_eq!(Json::from(&expected).to_value(), expected, "{text}");
            }
            (Err(_), Err(_)) => {}
            (expected, read) => panic!("{text}: {expected:?}, {read:?}"),
        }
    }

    #[test]
    fn a_record_means_what_it_means_to_the_library() {
        for text in [
            r#"{"b":1,"a":{"z":[],"y":null},"b":2,"c":"A\n","d\u0065":true}"#,
            "[1, -1, 1.5, 1e400, 18446744073709551615, 18446744073709551616, -9223372036854775809, 0.10]",
            r#""\ud800""#,
            r#"{"a":}"#,
            "",
            "nul",
            r#"{"a":1} {"b":2}"#,
            r#"{"a":{},"":{"":""}}"#,
        ] {
            check(text);
        }
        for depth in [126, 127, 128, 129] {
            check(&format!("{}1{}", "[".repeat(depth), "]".repeat(depth)));
        }
    }

    #[test]
    fn of_members_with_one_name_the_last_counts() {
        let record = Json::read(r#"{"b":1,"a":2,"b":3}"#).expect("JSON");
        assert_eq!(record.get("b").map(ToString::to_string).as_deref(), Some("3"));
        let Json::Object(members) = &record else { panic!("{record:?}") };
        assert_eq!(members.sorted().map(ToString::to_string).collect::<Vec<_>>(), ["2", "3"]);
        assert!(record.get("c").is_none() && Json::Null.get("a").is_none());
    }

    #[test]
    fn of_many_members_each_is_found() {
        for count in [MAX_UNSORTED, MAX_UNSORTED + 1, 1_000] {
            let member = |at: usize| format!("\"{}\":{at}", at * 7919 % count);
            let twice: Vec<_> = (0..2 * count).map(member).collect();
            let record = format!("{{{}}}", twice.join(","));
            check(&record);
            let read = Json::read(&record).expect("JSON");
            let expected: Value = serde_json::from_str(&record).expect("JSON");
            for name in (0..count).map(|name| name.to_string()) {
                assert_eq!(
                    read.get(&name).map(Json::to_value),
                    expected.get(&name).cloned(),
                    "{name} of {count}"
                );
            }
            assert!(["", "0x", "99999", "~"].iter().all(|name| read.get(name).is_none()));
        }
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            "\\PC{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-c\n\"]{0,2}", inner, 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_value_is_read_as_it_was_written(value in value()) {
            check(&value.to_string());
        }

        #[test]
        fn any_text_is_read_or_refused_as_by_the_library(text in "[\\[\\]{}:,\"a1.eE+\\-\\\\ tfn]{0,24}") {
            check(&text);
        }
    }
}

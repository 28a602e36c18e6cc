//! Checks whether an event can be stored: Postgres cannot store U+0000, and a list that a short value expands
//! to must not exceed the limits of JSON events.

use std::fmt;

use serde::{
    Serialize, Serializer,
    ser::{
        self, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
        SerializeTupleStruct, SerializeTupleVariant,
    },
};

/// Maximum number of items in a list.
const MAX_ITEMS: usize = 10_000;
/// Maximum number of entries in a map.
const MAX_KEYS: usize = 256;

/// Checks all texts, lists and maps of a value.
pub(super) fn check<T: Serialize>(value: &T) -> Result<(), Unstorable> {
    value.serialize(Walk)
}

/// Serializer that visits every text of a value and produces nothing.
struct Walk;

/// Reason for not storing a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unstorable {
    /// A text contains U+0000.
    Nul,
    /// A list or map has too many entries.
    TooMany,
}

impl fmt::Display for Unstorable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nul => f.write_str("text contains U+0000"),
            Self::TooMany => {
                write!(f, "a list has more than {MAX_ITEMS} or a map more than {MAX_KEYS} entries")
            }
        }
    }
}

impl std::error::Error for Unstorable {}

impl ser::Error for Unstorable {
    fn custom<T: fmt::Display>(_: T) -> Self {
        unreachable!("the families serialise without errors of their own")
    }
}

type Checked = Result<(), Unstorable>;

macro_rules! nothing_to_check {
    ($($method:ident: $type:ty),+ $(,)?) => { $(fn $method(self, _: $type) -> Checked { Ok(()) })+ };
}

impl Serializer for Walk {
    type Ok = ();
    type Error = Unstorable;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Self;
    type SerializeMap = Self;
    type SerializeStruct = Self;
    type SerializeStructVariant = Self;

    nothing_to_check! {
        serialize_bool: bool, serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64,
        serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64, serialize_f32: f32,
        serialize_f64: f64, serialize_bytes: &[u8], serialize_unit_struct: &'static str,
    }

    fn serialize_char(self, v: char) -> Checked {
        if v == '\0' { Err(Unstorable::Nul) } else { Ok(()) }
    }

    fn serialize_str(self, v: &str) -> Checked {
        if v.as_bytes().contains(&0) { Err(Unstorable::Nul) } else { Ok(()) }
    }

    fn serialize_none(self) -> Checked {
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Checked {
        value.serialize(Walk)
    }

    fn serialize_unit(self) -> Checked {
        Ok(())
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, _: &'static str) -> Checked {
        Ok(())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Checked {
        value.serialize(Walk)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        value: &T,
    ) -> Checked {
        value.serialize(Walk)
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<Self, Unstorable> {
        if len.is_some_and(|len| len > MAX_ITEMS) { Err(Unstorable::TooMany) } else { Ok(self) }
    }

    fn serialize_tuple(self, _: usize) -> Result<Self, Unstorable> {
        Ok(self)
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self, Unstorable> {
        Ok(self)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self, Unstorable> {
        Ok(self)
    }

    fn serialize_map(self, len: Option<usize>) -> Result<Self, Unstorable> {
        if len.is_some_and(|len| len > MAX_KEYS) { Err(Unstorable::TooMany) } else { Ok(self) }
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self, Unstorable> {
        Ok(self)
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self, Unstorable> {
        Ok(self)
    }

    // Numbers and instants that are written as text hold no U+0000.
    fn collect_str<T: fmt::Display + ?Sized>(self, _: &T) -> Checked {
        Ok(())
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}

macro_rules! walk_parts {
    ($($trait:ident { $($method:ident($($key:ident: $type:ty)?)),+ })+) => { $(
        impl $trait for Walk {
            type Ok = ();
            type Error = Unstorable;

            $(fn $method<T: Serialize + ?Sized>(&mut self, $($key: $type,)? value: &T) -> Checked {
                $(let _: $type = $key;)?
                value.serialize(Walk)
            })+

            fn end(self) -> Checked {
                Ok(())
            }
        }
    )+ };
}

walk_parts! {
    SerializeSeq { serialize_element() }
    SerializeTuple { serialize_element() }
    SerializeTupleStruct { serialize_field() }
    SerializeTupleVariant { serialize_field() }
    SerializeMap { serialize_key(), serialize_value() }
    SerializeStruct { serialize_field(key: &'static str) }
    SerializeStructVariant { serialize_field(key: &'static str) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::events::{Actor, Resource};

    #[test]
    fn a_nul_is_found_wherever_it_stands() {
        let resource = |id: &str, tag: &str| Resource {
            id: id.into(),
            name: Some("name".into()),
            tags: BTreeMap::from([("key".into(), tag.into())]),
            ..Resource::default()
        };
        assert_eq!(check(&vec![resource("a", "b")]), Ok(()));
        assert_eq!(check(&vec![resource("a", "b"), resource("a\0", "b")]), Err(Unstorable::Nul));
        assert_eq!(check(&resource("a", "\0")), Err(Unstorable::Nul));
        assert_eq!(check(&Actor { session: Some("\0".into()), ..Actor::default() }), Err(Unstorable::Nul));
        let roles = vec![String::new(), "x\0y".into()];
        assert_eq!(check(&Actor { roles, ..Actor::default() }), Err(Unstorable::Nul));
    }

    #[test]
    fn lists_and_maps_have_a_length() {
        let with = |roles: usize| Actor { roles: vec!["r".into(); roles], ..Actor::default() };
        assert_eq!(check(&with(MAX_ITEMS)), Ok(()));
        assert_eq!(check(&with(MAX_ITEMS + 1)), Err(Unstorable::TooMany));
        let tags = |keys: usize| (0..keys).map(|key| (key, "v")).collect::<BTreeMap<_, _>>();
        assert_eq!(check(&tags(MAX_KEYS)), Ok(()));
        assert_eq!(check(&tags(MAX_KEYS + 1)), Err(Unstorable::TooMany));
    }
}

//! Whether Postgres can hold every text of an event: it holds any character but U+0000.

use std::fmt;

use serde::{
    Serialize, Serializer,
    ser::{
        self, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
        SerializeTupleStruct, SerializeTupleVariant,
    },
};

/// Whether no text in the value contains U+0000.
pub(super) fn is_storable<T: Serialize>(value: &T) -> bool {
    value.serialize(Walk).is_ok()
}

/// Visits every text of a value and keeps nothing.
struct Walk;

#[derive(Debug)]
struct Unstorable;

impl fmt::Display for Unstorable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text contains U+0000")
    }
}

impl std::error::Error for Unstorable {}

impl ser::Error for Unstorable {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
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
        if v == '\0' { Err(Unstorable) } else { Ok(()) }
    }

    fn serialize_str(self, v: &str) -> Checked {
        if v.as_bytes().contains(&0) { Err(Unstorable) } else { Ok(()) }
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

    fn serialize_seq(self, _: Option<usize>) -> Result<Self, Unstorable> {
        Ok(self)
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

    fn serialize_map(self, _: Option<usize>) -> Result<Self, Unstorable> {
        Ok(self)
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
        assert!(is_storable(&vec![resource("a", "b")]));
        assert!(!is_storable(&vec![resource("a", "b"), resource("a\0", "b")]));
        assert!(!is_storable(&resource("a", "\0")));
        assert!(!is_storable(&Actor { session: Some("\0".into()), ..Actor::default() }));
        assert!(!is_storable(&Actor { roles: vec![String::new(), "x\0y".into()], ..Actor::default() }));
    }
}

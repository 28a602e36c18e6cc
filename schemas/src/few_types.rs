//! Serialisers of the few types that families are made of: texts, integers, booleans, lists, maps and structs.

use std::fmt::Display;

use serde::ser;

/// A value that a form has no place for.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the form has no place for the value")]
pub(crate) struct NoPlace;

impl ser::Error for NoPlace {
    fn custom<T: Display>(_: T) -> Self {
        Self
    }
}

/// The part of a [`serde::Serializer`] with that `Ok` that refuses all other types.
macro_rules! refuse_other_types {
    ($ok:ty) => {
        type SerializeTuple = serde::ser::Impossible<$ok, Self::Error>;
        type SerializeTupleStruct = serde::ser::Impossible<$ok, Self::Error>;
        type SerializeTupleVariant = serde::ser::Impossible<$ok, Self::Error>;
        type SerializeStructVariant = serde::ser::Impossible<$ok, Self::Error>;

        fn serialize_newtype_variant<T: serde::Serialize + ?Sized>(
            self,
            _: &'static str,
            _: u32,
            _: &'static str,
            _: &T,
        ) -> Result<$ok, Self::Error> {
            Err($crate::few_types::NoPlace)
        }

        $crate::few_types::refuse! {
            serialize_i8(i8) -> $ok;
            serialize_i16(i16) -> $ok;
            serialize_i32(i32) -> $ok;
            serialize_u8(u8) -> $ok;
            serialize_u16(u16) -> $ok;
            serialize_u32(u32) -> $ok;
            serialize_u64(u64) -> $ok;
            serialize_f32(f32) -> $ok;
            serialize_f64(f64) -> $ok;
            serialize_char(char) -> $ok;
            serialize_bytes(&[u8]) -> $ok;
            serialize_unit() -> $ok;
            serialize_unit_struct(&'static str) -> $ok;
            serialize_tuple(usize) -> Self::SerializeTuple;
            serialize_tuple_struct(&'static str, usize) -> Self::SerializeTupleStruct;
            serialize_tuple_variant(&'static str, u32, &'static str, usize) -> Self::SerializeTupleVariant;
            serialize_struct_variant(&'static str, u32, &'static str, usize) -> Self::SerializeStructVariant;
        }
    };
}

macro_rules! refuse {
    ($($method:ident($($type:ty),*) -> $answer:ty;)+) => {
        $(fn $method(self, $(_: $type),*) -> Result<$answer, Self::Error> { Err($crate::few_types::NoPlace) })+
    };
}

pub(crate) use {refuse, refuse_other_types};

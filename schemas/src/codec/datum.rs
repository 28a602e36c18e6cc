//! Deserialises an Avro value straight into a struct, by the schema it was written with.
//!
//! Texts are borrowed from the record, and lengths are checked against the remaining bytes, so that no length
//! in the record causes an allocation. Only for schemas that [`super::WriterSchema`] has checked: they are
//! not recursive, and no array item has zero width.

mod write;

use std::{borrow::Cow, fmt};

use apache_avro::schema::{DecimalSchema, InnerDecimalSchema, RecordField, Schema, UnionSchema, UuidSchema};
use serde::{
    Deserializer,
    de::{
        self, Deserialize, DeserializeSeed, Expected, IntoDeserializer, MapAccess, SeqAccess, Unexpected,
        Visitor,
    },
    forward_to_deserialize_any,
};

pub(super) use self::write::write;
use super::writer_schema::as_fixed;

/// Maximum length of a struct's own error message, in bytes.
const MAX_MESSAGE_BYTES: usize = 200;

/// Error of reading a value by its schema; never contains the value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Misfit(Cow<'static, str>);

impl Misfit {
    const fn new(what: &'static str) -> Self {
        Self(Cow::Borrowed(what))
    }
}

impl de::Error for Misfit {
    fn custom<T: fmt::Display>(message: T) -> Self {
        let mut message = message.to_string();
        message.truncate(message.floor_char_boundary(MAX_MESSAGE_BYTES));
        Self(message.into())
    }

    fn invalid_type(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self(format!("it has another type where {expected} belongs").into())
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self(format!("it has another value where {expected} belongs").into())
    }

    fn unknown_variant(_: &str, _: &'static [&'static str]) -> Self {
        Self::new("it has an enum symbol that is not known")
    }
}

/// Reads one value, which must take up all of the bytes.
pub(super) fn read<'de, T: Deserialize<'de>>(schema: &Schema, bytes: &'de [u8]) -> Result<T, Misfit> {
    let mut rest = Rest { bytes };
    let value = T::deserialize(Value { rest: &mut rest, schema })?;
    match rest.bytes.len() {
        0 => Ok(value),
        left => Err(Misfit(format!("{left} bytes follow the value").into())),
    }
}

/// The bytes that remain to be read.
struct Rest<'de> {
    bytes: &'de [u8],
}

impl<'de> Rest<'de> {
    fn take(&mut self, length: usize) -> Result<&'de [u8], Misfit> {
        let (taken, rest) = self.bytes.split_at_checked(length).ok_or(Misfit::new("it ends too early"))?;
        self.bytes = rest;
        Ok(taken)
    }

    /// A variable-length zig-zag number of at most 64 bits.
    fn long(&mut self) -> Result<i64, Misfit> {
        let mut bits = 0_u64;
        for (at, byte) in self.bytes.iter().enumerate().take(10) {
            if at == 9 && *byte > 1 {
                break;
            }
            bits |= u64::from(byte & 0x7F) << (7 * at);
            if byte & 0x80 == 0 {
                self.bytes = &self.bytes[at + 1..];
                return Ok((bits >> 1).cast_signed() ^ -(bits & 1).cast_signed());
            }
        }
        Err(Misfit::new("it has a number that is cut short or longer than 64 bits"))
    }

    /// A length, or an index.
    fn size(&mut self) -> Result<usize, Misfit> {
        usize::try_from(self.long()?).map_err(|_| Misfit::new("it has a length or an index below 0"))
    }

    fn text(&mut self) -> Result<&'de str, Misfit> {
        let length = self.size()?;
        str::from_utf8(self.take(length)?).map_err(|_| Misfit::new("it has a text that is not UTF-8"))
    }

    fn boolean(&mut self) -> Result<bool, Misfit> {
        match self.take(1)? {
            [0] => Ok(false),
            [1] => Ok(true),
            _ => Err(Misfit::new("it has a boolean that is neither 0 nor 1")),
        }
    }

    fn symbol<'s>(&mut self, symbols: &'s [String]) -> Result<&'s str, Misfit> {
        let symbol = symbols.get(self.size()?);
        symbol.map(String::as_str).ok_or(Misfit::new("it has an enum index beyond the symbols"))
    }

    fn variant<'s>(&mut self, union: &'s UnionSchema) -> Result<&'s Schema, Misfit> {
        union.variants().get(self.size()?).ok_or(Misfit::new("it has a union index beyond the variants"))
    }

    /// The number of items in the next block of an array or a map, 0 at its end; and its length in bytes, if
    /// present.
    fn block(&mut self) -> Result<(u64, Option<usize>), Misfit> {
        let count = self.long()?;
        let bytes = if count < 0 { Some(self.size()?) } else { None };
        Ok((count.unsigned_abs(), bytes))
    }

    fn skip(&mut self, schema: &Schema) -> Result<(), Misfit> {
        match schema {
            Schema::Null => Ok(()),
            Schema::Boolean => self.boolean().map(drop),
            Schema::Float => self.take(4).map(drop),
            Schema::Double => self.take(8).map(drop),
            Schema::Record(record) => record.fields.iter().try_for_each(|field| self.skip(&field.schema)),
            Schema::Union(union) => self.variant(union).and_then(|variant| self.skip(variant)),
            Schema::Array(array) => self.skip_blocks(None, &array.items),
            Schema::Map(map) => self.skip_blocks(Some(&Schema::String), &map.types),
            Schema::Bytes
            | Schema::String
            | Schema::BigDecimal
            | Schema::Uuid(UuidSchema::String | UuidSchema::Bytes)
            | Schema::Decimal(DecimalSchema { inner: InnerDecimalSchema::Bytes, .. }) => {
                let length = self.size()?;
                self.take(length).map(drop)
            }
            // Every other type without a fixed size is a number.
            other => match as_fixed(other) {
                Some(fixed) => self.take(fixed.size).map(drop),
                None => self.long().map(drop),
            },
        }
    }

    fn skip_blocks(&mut self, key: Option<&Schema>, item: &Schema) -> Result<(), Misfit> {
        loop {
            match self.block()? {
                (0, _) => return Ok(()),
                (_, Some(bytes)) => self.take(bytes).map(drop)?,
                (count, None) => {
                    for _ in 0..count {
                        key.map_or(Ok(()), |key| self.skip(key))?;
                        self.skip(item)?;
                    }
                }
            }
        }
    }
}

/// The next value, which is of that schema.
struct Value<'r, 'de, 's> {
    rest: &'r mut Rest<'de>,
    schema: &'s Schema,
}

impl<'de> Deserializer<'de> for Value<'_, 'de, '_> {
    type Error = Misfit;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        let Self { rest, schema } = self;
        match schema {
            Schema::Null => visitor.visit_unit(),
            Schema::Boolean => visitor.visit_bool(rest.boolean()?),
            Schema::Long | Schema::TimestampMicros => visitor.visit_i64(rest.long()?),
            Schema::String => visitor.visit_borrowed_str(rest.text()?),
            Schema::Enum(symbols) => visitor.visit_enum(rest.symbol(&symbols.symbols)?.into_deserializer()),
            Schema::Union(union) => Value { schema: rest.variant(union)?, rest }.deserialize_any(visitor),
            Schema::Record(record) => {
                visitor.visit_map(Fields { rest, names: record.fields.iter(), value: None })
            }
            Schema::Array(array) => visitor.visit_seq(Blocks { rest, item: &array.items, left: 0 }),
            Schema::Map(map) => visitor.visit_map(Blocks { rest, item: &map.types, left: 0 }),
            _ => Err(Misfit::new("its schema has a type that no event has")),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        let Self { rest, schema } = self;
        let schema = if let Schema::Union(union) = schema { rest.variant(union)? } else { schema };
        match schema {
            Schema::Null => visitor.visit_none(),
            _ => visitor.visit_some(Value { rest, schema }),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        self.rest.skip(self.schema)?;
        visitor.visit_unit()
    }

    fn is_human_readable(&self) -> bool {
        false
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq
        tuple tuple_struct map struct enum identifier
    }
}

/// The fields of a record, by their names.
struct Fields<'r, 'de, 's> {
    rest: &'r mut Rest<'de>,
    names: std::slice::Iter<'s, RecordField>,
    /// The field whose name was returned last.
    value: Option<&'s Schema>,
}

impl<'de> MapAccess<'de> for Fields<'_, 'de, '_> {
    type Error = Misfit;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Misfit> {
        let Some(field) = self.names.next() else { return Ok(None) };
        self.value = Some(&field.schema);
        seed.deserialize(field.name.as_str().into_deserializer()).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Misfit> {
        let schema = self.value.take().expect("a value follows its key");
        seed.deserialize(Value { rest: self.rest, schema })
    }
}

/// The items of an array, or the keys and values of a map.
struct Blocks<'r, 'de, 's> {
    rest: &'r mut Rest<'de>,
    item: &'s Schema,
    /// Items of the present block that are still to come.
    left: u64,
}

impl Blocks<'_, '_, '_> {
    fn has_next(&mut self) -> Result<bool, Misfit> {
        if self.left == 0 {
            self.left = self.rest.block()?.0;
        }
        let more = self.left > 0;
        self.left = self.left.saturating_sub(1);
        Ok(more)
    }
}

impl<'de> SeqAccess<'de> for Blocks<'_, 'de, '_> {
    type Error = Misfit;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Misfit> {
        if !self.has_next()? {
            return Ok(None);
        }
        seed.deserialize(Value { rest: self.rest, schema: self.item }).map(Some)
    }
}

impl<'de> MapAccess<'de> for Blocks<'_, 'de, '_> {
    type Error = Misfit;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Misfit> {
        if !self.has_next()? {
            return Ok(None);
        }
        seed.deserialize(Value { rest: self.rest, schema: &Schema::String }).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Misfit> {
        seed.deserialize(Value { rest: self.rest, schema: self.item })
    }
}

#[cfg(test)]
mod tests;

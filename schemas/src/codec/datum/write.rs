//! Serialises a struct straight to Avro, by one of Weir's own schemas.
//!
//! The library's writer looks every field up by its name and can put fields in order and fill in defaults. Weir's structs
//! have the fields of their schemas, in the same order, so that each is compared with the next one only.

use apache_avro::{
    Schema,
    schema::{RecordField, UnionSchema},
};
use serde::{
    Serialize, Serializer,
    ser::{SerializeMap, SerializeSeq, SerializeStruct},
};

use crate::few_types::{NoPlace, refuse_other_types};

type Written = Result<(), NoPlace>;

/// Appends one value.
pub(in crate::codec) fn write<T: Serialize>(schema: &Schema, value: &T, to: &mut Vec<u8>) -> Written {
    value.serialize(Value { schema, to })
}

/// A place for one value, of that schema.
struct Value<'s, 'w> {
    schema: &'s Schema,
    to: &'w mut Vec<u8>,
}

/// A variable-length zig-zag number.
fn long(number: i64, to: &mut Vec<u8>) {
    let mut rest = (number.cast_unsigned() << 1) ^ (number >> 63).cast_unsigned();
    while rest >= 0x80 {
        to.push(rest.to_le_bytes()[0] | 0x80);
        rest >>= 7;
    }
    to.push(rest.to_le_bytes()[0]);
}

fn size(number: usize, to: &mut Vec<u8>) -> Written {
    long(i64::try_from(number).map_err(|_| NoPlace)?, to);
    Ok(())
}

/// The index of null in a union of null and one other type.
fn place_of_null(union: &UnionSchema) -> Result<usize, NoPlace> {
    match union.variants() {
        [Schema::Null, _] => Ok(0),
        [_, Schema::Null] => Ok(1),
        _ => Err(NoPlace),
    }
}

impl<'s, 'w> Serializer for Value<'s, 'w> {
    type Ok = ();
    type Error = NoPlace;
    type SerializeSeq = Items<'s, 'w>;
    type SerializeMap = Items<'s, 'w>;
    type SerializeStruct = Fields<'s, 'w>;

    fn serialize_bool(self, v: bool) -> Written {
        match self.schema {
            Schema::Boolean => self.to.push(v.into()),
            _ => return Err(NoPlace),
        }
        Ok(())
    }

    fn serialize_i64(self, v: i64) -> Written {
        match self.schema {
            Schema::Long | Schema::TimestampMicros => long(v, self.to),
            _ => return Err(NoPlace),
        }
        Ok(())
    }

    fn serialize_str(self, v: &str) -> Written {
        match self.schema {
            Schema::String => size(v.len(), self.to)?,
            _ => return Err(NoPlace),
        }
        self.to.extend_from_slice(v.as_bytes());
        Ok(())
    }

    fn serialize_none(self) -> Written {
        match self.schema {
            Schema::Union(union) => size(place_of_null(union)?, self.to),
            _ => Err(NoPlace),
        }
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Written {
        let Schema::Union(union) = self.schema else { return Err(NoPlace) };
        let place = 1 - place_of_null(union)?;
        size(place, self.to)?;
        value.serialize(Value { schema: &union.variants()[place], to: self.to })
    }

    fn serialize_unit_variant(self, _: &'static str, index: u32, variant: &'static str) -> Written {
        let Schema::Enum(symbols) = self.schema else { return Err(NoPlace) };
        let is_it = |place: &usize| symbols.symbols.get(*place).is_some_and(|symbol| symbol == variant);
        // The enum and the schema have the same order, or one has more.
        let first = usize::try_from(index).ok().filter(is_it);
        size(first.or_else(|| (0..symbols.symbols.len()).find(is_it)).ok_or(NoPlace)?, self.to)
    }

    fn serialize_seq(self, length: Option<usize>) -> Result<Items<'s, 'w>, NoPlace> {
        match self.schema {
            Schema::Array(array) => Items::begin(&array.items, length, self.to),
            _ => Err(NoPlace),
        }
    }

    fn serialize_map(self, length: Option<usize>) -> Result<Items<'s, 'w>, NoPlace> {
        match self.schema {
            Schema::Map(map) => Items::begin(&map.types, length, self.to),
            _ => Err(NoPlace),
        }
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Fields<'s, 'w>, NoPlace> {
        match self.schema {
            Schema::Record(record) => Ok(Fields { left: record.fields.iter(), to: self.to }),
            _ => Err(NoPlace),
        }
    }

    fn is_human_readable(&self) -> bool {
        false
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, _: &T) -> Written {
        Err(NoPlace)
    }

    refuse_other_types!(());
}

/// The fields of a record that are still to come.
struct Fields<'s, 'w> {
    left: std::slice::Iter<'s, RecordField>,
    to: &'w mut Vec<u8>,
}

impl SerializeStruct for Fields<'_, '_> {
    type Ok = ();
    type Error = NoPlace;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Written {
        let field = self.left.next().filter(|field| field.name == key).ok_or(NoPlace)?;
        value.serialize(Value { schema: &field.schema, to: self.to })
    }

    fn end(self) -> Written {
        if self.left.len() == 0 { Ok(()) } else { Err(NoPlace) }
    }
}

/// The items of an array, or the keys and values of a map, in one block.
struct Items<'s, 'w> {
    item: &'s Schema,
    to: &'w mut Vec<u8>,
}

impl<'s, 'w> Items<'s, 'w> {
    fn begin(item: &'s Schema, length: Option<usize>, to: &'w mut Vec<u8>) -> Result<Self, NoPlace> {
        let length = length.ok_or(NoPlace)?;
        if length > 0 {
            size(length, to)?;
        }
        Ok(Self { item, to })
    }

    fn item<T: Serialize + ?Sized>(&mut self, item: &T) -> Written {
        item.serialize(Value { schema: self.item, to: self.to })
    }

    fn finish(self) {
        self.to.push(0);
    }
}

impl SerializeSeq for Items<'_, '_> {
    type Ok = ();
    type Error = NoPlace;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, item: &T) -> Written {
        self.item(item)
    }

    fn end(self) -> Written {
        self.finish();
        Ok(())
    }
}

impl SerializeMap for Items<'_, '_> {
    type Ok = ();
    type Error = NoPlace;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Written {
        key.serialize(Value { schema: &Schema::String, to: self.to })
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Written {
        self.item(value)
    }

    fn end(self) -> Written {
        self.finish();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use apache_avro::writer::datum::GenericDatumWriter;
    use proptest::prelude::*;
    use serde::Serialize;

    use super::*;
    use crate::codec::{
        avro::{newest, writing},
        tests::arbitrary::envelope,
        writer_schema::RecordRef,
    };

    /// The value as the library writes it.
    fn by_library<T: Serialize>(schema: &Schema, value: &T) -> Vec<u8> {
        let writer = GenericDatumWriter::builder(schema).human_readable(false).build();
        writer.and_then(|writer| writer.write_ser_to_vec(value)).expect("every struct fits its schema")
    }

    proptest! {
        #[test]
        fn values_are_written_as_the_library_writes_them(envelope in envelope()) {
            let (event, native) = (&envelope.event, envelope.native.as_ref());
            for own in [newest(event.topic()), writing(event.topic(), event.kind_name())] {
                let mut ours = Vec::new();
                own.schema.write(event, native, &mut ours);
                let schema = Schema::parse_str(own.json).expect("our own schema");
                prop_assert_eq!(&ours, &by_library(&schema, &RecordRef { event, native }));
            }
        }

        #[test]
        fn numbers_are_written_as_the_library_writes_them(number: i64) {
            let mut ours = Vec::new();
            long(number, &mut ours);
            prop_assert_eq!(ours, by_library(&Schema::Long, &number));
        }
    }

    #[test]
    fn what_the_schema_has_no_place_for_is_refused() {
        #[derive(Serialize)]
        struct Other {
            name: &'static str,
        }
        let schema = Schema::parse_str(
            r#"{"type":"record","name":"R","fields":[{"name":"name","type":"string"},{"name":"more","type":"long"}]}"#,
        )
        .expect("a schema");
        let mut to = Vec::new();
        assert_eq!(write(&schema, &Other { name: "a" }, &mut to), Err(NoPlace), "a field is missing");
        assert_eq!(write(&Schema::Long, &"text", &mut to), Err(NoPlace));
        assert_eq!(write(&Schema::String, &Some("text"), &mut to), Err(NoPlace));
    }
}

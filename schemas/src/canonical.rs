//! The canonical form of an event: equal bytes for equal events, and only for those.
//!
//! | value | bytes |
//! |---|---|
//! | struct | for each field that has a value: 1, the name as text, the value; then 0 |
//! | list | for each item: 1, the item; then 0 |
//! | map | for each entry: 1, the key, the value; then 0 |
//! | text, word of an enum, decimal | length as u32, then UTF-8 |
//! | integer, instant in microseconds | i64 |
//! | boolean | 1 or 0 |
//!
//! Numbers are big-endian. A field has no value when it is null, an empty list, an empty map, or a struct
//! none of whose fields has one: so a new field, which is null in every older event, does not change their
//! forms.

use std::fmt::Display;

use serde::{
    Serialize, Serializer,
    ser::{SerializeMap, SerializeSeq, SerializeStruct},
};

use crate::few_types::{NoPlace, refuse_other_types};

const ENTRY: u8 = 1;
const END: u8 = 0;

/// Appends the canonical form of a family's struct.
pub(crate) fn write<T: Serialize>(event: &T, to: &mut Vec<u8>) {
    event.serialize(Value { to }).expect("families hold texts, integers, booleans, lists, maps and structs");
}

/// Writes one value; returns whether there was one.
struct Value<'a> {
    to: &'a mut Vec<u8>,
}

impl Value<'_> {
    fn text(self, text: &str) -> Result<bool, NoPlace> {
        let length = u32::try_from(text.len()).map_err(|_| NoPlace)?;
        self.to.extend_from_slice(&length.to_be_bytes());
        self.to.extend_from_slice(text.as_bytes());
        Ok(true)
    }
}

impl<'a> Serializer for Value<'a> {
    type Ok = bool;
    type Error = NoPlace;
    type SerializeSeq = Parts<'a>;
    type SerializeMap = Parts<'a>;
    type SerializeStruct = Parts<'a>;

    fn serialize_str(self, v: &str) -> Result<bool, NoPlace> {
        self.text(v)
    }

    fn serialize_bool(self, v: bool) -> Result<bool, NoPlace> {
        self.to.push(v.into());
        Ok(true)
    }

    fn serialize_i64(self, v: i64) -> Result<bool, NoPlace> {
        self.to.extend_from_slice(&v.to_be_bytes());
        Ok(true)
    }

    fn serialize_none(self) -> Result<bool, NoPlace> {
        Ok(false)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<bool, NoPlace> {
        value.serialize(self)
    }

    fn serialize_unit_variant(self, _: &str, _: u32, variant: &'static str) -> Result<bool, NoPlace> {
        self.text(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &str, value: &T) -> Result<bool, NoPlace> {
        value.serialize(self)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Parts<'a>, NoPlace> {
        Ok(Parts { to: self.to, any: false })
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Parts<'a>, NoPlace> {
        Ok(Parts { to: self.to, any: false })
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Parts<'a>, NoPlace> {
        Ok(Parts { to: self.to, any: false })
    }

    fn collect_str<T: Display + ?Sized>(self, value: &T) -> Result<bool, NoPlace> {
        self.text(&value.to_string())
    }

    fn is_human_readable(&self) -> bool {
        false
    }

    refuse_other_types!(bool);
}

/// Fields, items or entries of a value.
struct Parts<'a> {
    to: &'a mut Vec<u8>,
    any: bool,
}

impl Parts<'_> {
    fn value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<bool, NoPlace> {
        value.serialize(Value { to: self.to })
    }

    fn begin(&mut self) {
        self.to.push(ENTRY);
        self.any = true;
    }

    /// Whether anything was written; a value without parts writes nothing.
    fn finish(self) -> bool {
        if self.any {
            self.to.push(END);
        }
        self.any
    }
}

impl SerializeStruct for Parts<'_> {
    type Ok = bool;
    type Error = NoPlace;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        key: &'static str,
        value: &T,
    ) -> Result<(), NoPlace> {
        let (before, any) = (self.to.len(), self.any);
        self.begin();
        Value { to: self.to }.text(key)?;
        if !self.value(value)? {
            self.to.truncate(before);
            self.any = any;
        }
        Ok(())
    }

    fn end(self) -> Result<bool, NoPlace> {
        Ok(self.finish())
    }
}

impl SerializeSeq for Parts<'_> {
    type Ok = bool;
    type Error = NoPlace;

    /// Writes an item, which counts even if it has no value.
    fn serialize_element<T: Serialize + ?Sized>(&mut self, item: &T) -> Result<(), NoPlace> {
        self.begin();
        if !self.value(item)? {
            self.to.push(END);
        }
        Ok(())
    }

    fn end(self) -> Result<bool, NoPlace> {
        Ok(self.finish())
    }
}

impl SerializeMap for Parts<'_> {
    type Ok = bool;
    type Error = NoPlace;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), NoPlace> {
        self.begin();
        self.value(key).map(drop)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), NoPlace> {
        self.value(value).map(drop)
    }

    fn end(self) -> Result<bool, NoPlace> {
        Ok(self.finish())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[derive(Serialize, Clone, Default)]
    struct Older {
        name: Option<&'static str>,
        tags: BTreeMap<&'static str, &'static str>,
        of: Vec<&'static str>,
    }

    #[derive(Serialize)]
    struct Newer {
        name: Option<&'static str>,
        tags: BTreeMap<&'static str, &'static str>,
        note: Option<i64>,
        of: Vec<&'static str>,
        parts: Vec<Older>,
        whole: Older,
    }

    fn bytes<T: Serialize>(value: &T) -> Vec<u8> {
        let mut bytes = Vec::new();
        write(value, &mut bytes);
        bytes
    }

    #[test]
    fn a_field_that_is_added_and_empty_changes_nothing() {
        let older = Older { name: Some("n"), tags: BTreeMap::from([("k", "v")]), of: vec!["a", ""] };
        let newer = Newer {
            name: older.name,
            tags: older.tags.clone(),
            note: None,
            of: older.of.clone(),
            parts: Vec::new(),
            whole: Older::default(),
        };
        assert_eq!(bytes(&older), bytes(&newer));
        assert_ne!(bytes(&older), bytes(&Newer { note: Some(0), ..newer }));
    }

    #[test]
    fn what_differs_has_another_form() {
        let of = |of: &[&'static str]| Older { of: of.to_vec(), ..Older::default() };
        let tag = |key, value| Older { tags: BTreeMap::from([(key, value)]), ..Older::default() };
        let forms = [
            bytes(&of(&[])),
            bytes(&of(&[""])),
            bytes(&of(&["", ""])),
            bytes(&of(&["ab"])),
            bytes(&of(&["a", "b"])),
            bytes(&tag("a", "b")),
            bytes(&tag("ab", "")),
            bytes(&Older { name: Some(""), ..Older::default() }),
            bytes(&Older { name: Some("ab"), ..Older::default() }),
            bytes(&vec![Older::default()]),
            bytes(&vec![Older::default(), Older::default()]),
        ];
        let distinct: std::collections::BTreeSet<_> = forms.iter().collect();
        assert_eq!(distinct.len(), forms.len(), "{forms:?}");
    }
}

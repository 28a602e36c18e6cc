//! Framing of an Avro value: the reference to its writer's schema.
//!
//! | form | where | what |
//! |---|---|---|
//! | single-object encoding | before the datum | `C3 01`, 8 bytes CRC-64-AVRO fingerprint, little-endian |
//! | Confluent, prefix | before the datum | `00`, 4 bytes id, big-endian |
//! | Confluent, header | header `__value_schema_id` | `01`, 16 bytes GUID, big-endian; or `00`, 4 bytes id |
//!
//! Sources: the Avro specification, "Single-object encoding"; Confluent's documentation, "Wire format" and
//! "Schema IDs in headers". With the header, the value is the datum alone.

use std::fmt;

use uuid::Uuid;

use super::{Refusal, Why};

pub(super) const CONFLUENT_MAGIC: u8 = 0;
pub(super) const SINGLE_OBJECT_MAGIC: [u8; 2] = [0xC3, 0x01];
const GUID_MAGIC: u8 = 1;
/// Header that references the value's schema; the key's schema has a header of its own, which is ignored.
const SCHEMA_HEADER: &str = "__value_schema_id";

/// Reference to a schema in a registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SchemaRef {
    /// By id, which belongs to one registry.
    Id(u32),
    /// By GUID, which is the same in every registry.
    Guid(Uuid),
}

impl fmt::Display for SchemaRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => write!(f, "id {id}"),
            Self::Guid(guid) => write!(f, "GUID {guid}"),
        }
    }
}

/// A value split into schema reference and datum.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame<'a> {
    /// One of Weir's own schemas; needs no registry.
    SingleObject { fingerprint: &'a [u8], datum: &'a [u8] },
    /// A schema in a registry.
    Registered { schema: SchemaRef, datum: &'a [u8] },
}

/// Splits a value. A schema header takes precedence over a prefix of the value.
pub(super) fn frame<'a>(value: &'a [u8], headers: &[(&str, Option<&[u8]>)]) -> Result<Frame<'a>, Refusal> {
    if let Some(schema) = in_headers(headers)? {
        return Ok(Frame::Registered { schema, datum: value });
    }
    if let [CONFLUENT_MAGIC, a, b, c, d, datum @ ..] = value {
        return Ok(Frame::Registered { schema: id(&[*a, *b, *c, *d]), datum });
    }
    let single_object = value.strip_prefix(&SINGLE_OBJECT_MAGIC).and_then(|rest| rest.split_at_checked(8));
    single_object.map(|(fingerprint, datum)| Frame::SingleObject { fingerprint, datum }).ok_or_else(|| {
        refused("the value has neither Confluent framing nor a single-object marker, and no header names its schema")
    })
}

fn in_headers(headers: &[(&str, Option<&[u8]>)]) -> Result<Option<SchemaRef>, Refusal> {
    let mut named = headers.iter().filter(|(name, _)| *name == SCHEMA_HEADER);
    let Some((_, value)) = named.next() else { return Ok(None) };
    if named.next().is_some() {
        return Err(refused("header __value_schema_id is given twice"));
    }
    match value {
        // As other clients: a header without a value is none.
        None => Ok(None),
        Some([CONFLUENT_MAGIC, rest @ ..]) if rest.len() == 4 => Ok(Some(id(rest))),
        Some([GUID_MAGIC, rest @ ..]) => match Uuid::from_slice(rest) {
            Ok(guid) => Ok(Some(SchemaRef::Guid(guid))),
            Err(_) => Err(refused("header __value_schema_id does not hold the 16 bytes of a GUID")),
        },
        Some(_) => Err(refused("header __value_schema_id holds neither a GUID nor an id")),
    }
}

fn id(bytes: &[u8]) -> SchemaRef {
    SchemaRef::Id(bytes.iter().fold(0, |id, byte| id << 8 | u32::from(*byte)))
}

fn refused(why: &str) -> Refusal {
    Refusal::new(Why::Undecodable, why)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GUID: Uuid = Uuid::from_u128(0x0011_2233_4455_6677_8899_aabb_ccdd_eeff);

    fn check(value: &[u8], headers: &[&[u8]], expected: Option<&Frame<'_>>) {
        let headers: Vec<_> = headers.iter().map(|header| (SCHEMA_HEADER, Some(*header))).collect();
        assert_eq!(frame(value, &headers).ok().as_ref(), expected, "{value:?} {headers:?}");
    }

    #[test]
    fn a_guid_in_the_header_names_the_schema_and_leaves_the_value_bare() {
        let header = [&[1][..], GUID.as_bytes()].concat();
        for datum in [&b""[..], b"\0\0\0\0\x07", b"\xC3\x01\0\0\0\0\0\0\0\0", b"abc"] {
            check(datum, &[&header], Some(&Frame::Registered { schema: SchemaRef::Guid(GUID), datum }));
        }
        let by_id = Frame::Registered { schema: SchemaRef::Id(0x0102_0304), datum: b"abc" };
        check(b"abc", &[&[0, 1, 2, 3, 4]], Some(&by_id));
    }

    #[test]
    fn the_prefix_names_it_where_no_header_does() {
        let by_id = Frame::Registered { schema: SchemaRef::Id(7), datum: b"a" };
        assert_eq!(frame(b"\0\0\0\0\x07a", &[]), Ok(by_id));
        let others = [("__key_schema_id", Some(&b"\x01"[..])), (SCHEMA_HEADER, None)];
        assert!(matches!(frame(b"\0\0\0\0\x07a", &others), Ok(Frame::Registered { .. })));
        let single = Frame::SingleObject { fingerprint: b"12345678", datum: b"a" };
        check(b"\xC3\x0112345678a", &[], Some(&single));
    }

    #[test]
    fn a_header_that_is_short_long_doubled_or_of_another_kind_is_refused() {
        let good = [&[1][..], GUID.as_bytes()].concat();
        let long = [&good[..], b"x"].concat();
        for bad in [&b""[..], b"\x01", &good[..16], &long, b"\x02", b"\0", b"\0\0\0\0", b"\0\0\0\0\0\0", b"7"]
        {
            check(b"\0\0\0\0\x07a", &[bad], None);
        }
        check(b"a", &[&good, &good], None);
    }

    proptest! {
        #[test]
        fn any_header_and_value_are_answered(value: Vec<u8>, header: Vec<u8>) {
            let framed = frame(&value, &[(SCHEMA_HEADER, Some(&header))]);
            let is_one = matches!((header.first(), header.len()), (Some(0), 5) | (Some(1), 17));
            prop_assert_eq!(framed.is_ok(), is_one);
        }
    }
}

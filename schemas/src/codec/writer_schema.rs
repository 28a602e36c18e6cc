//! The schema that a record was written with: checked once, then used for every record.

use std::collections::{BTreeMap, HashMap};

use apache_avro::{
    Schema, from_value,
    reader::datum::GenericDatumReader,
    schema::{
        ArraySchema, DecimalSchema, FixedSchema, InnerDecimalSchema, MapSchema, Name, NamespaceRef,
        RecordSchema, ResolvedSchema, UnionSchema, UuidSchema,
    },
};
use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{
    avro::newest,
    datum,
    family::{self, EventAndNative},
};
use crate::{Event, Native, Topic};

/// Maximum length of a schema, in bytes.
const MAX_SCHEMA_BYTES: usize = 256 * 1024;
/// Maximum number of nested schemas after every name is replaced by its definition.
const MAX_SCHEMA_NODES: usize = 10_000;
/// Largest `fixed`, in bytes.
const MAX_FIXED_BYTES: usize = 64 * 1024;

/// A schema that records may have been written with: one of Weir's, or a registry's that was checked.
#[derive(Debug)]
pub struct WriterSchema {
    topic: Topic,
    /// Without references: every name is replaced by its definition.
    schema: Schema,
    reading: Reading,
}

/// Way of deserialising records of a writer's schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// Directly from the bytes: every field is known, or unknown and skipped.
    Direct,
    /// Through Avro's schema resolution, about five times slower: fields need promotion or defaults.
    Resolved,
}

/// The value of every record.
#[derive(Deserialize)]
#[serde(rename = "Record", bound = "E: DeserializeOwned")]
struct Record<E> {
    event: E,
    #[serde(default)]
    native: Option<Native>,
}

/// [`Record`], borrowed.
#[derive(Serialize)]
#[serde(rename = "Record")]
pub(super) struct RecordRef<'a> {
    pub(super) event: &'a Event,
    pub(super) native: Option<&'a Native>,
}

impl WriterSchema {
    /// Checks a registry's schema: it must be one of the families' `Record`, not recursive, and unable to
    /// expand a few bytes into much memory. The error names the violation.
    pub fn parse(json: &str) -> Result<Self, String> {
        if json.len() > MAX_SCHEMA_BYTES {
            return Err(format!("the schema is longer than {MAX_SCHEMA_BYTES} bytes"));
        }
        let schema = Schema::parse_str(json).map_err(|error| short(&error))?;
        let Schema::Record(RecordSchema { name, .. }) = &schema else {
            return Err("the schema is not a record".to_owned());
        };
        let full_name = name.fullname(None);
        let topic = Topic::FAMILIES.into_iter().find(|topic| record_name(*topic) == full_name);
        let topic = topic.ok_or_else(|| format!("record {full_name} belongs to none of our topics"))?;
        let schema = Lint::default().inline(&schema, None)?;
        let ours = &newest(topic).schema.schema;
        let reading = if reads_directly(&schema, ours) { Reading::Direct } else { Reading::Resolved };
        Ok(Self { topic, schema, reading })
    }

    /// One of Weir's own schemas.
    pub(super) fn own(topic: Topic, schema: &Schema) -> Self {
        let schema = Lint::default().inline(schema, None).expect("our schemas pass our own checks");
        Self { topic, schema, reading: Reading::Direct }
    }

    /// The topic whose values the schema describes.
    pub fn topic(&self) -> Topic {
        self.topic
    }

    /// Whether records are read without Avro's schema resolution.
    #[cfg(test)]
    pub(super) fn is_direct(&self) -> bool {
        self.reading == Reading::Direct
    }

    /// The same schema, read through Avro's schema resolution.
    #[cfg(test)]
    pub(super) fn resolved(self) -> Self {
        Self { reading: Reading::Resolved, ..self }
    }

    /// Reads one value; bytes left over are an error. The native record shares the memory of `shared`, if
    /// given, which must contain the value.
    pub(super) fn read(&self, bytes: &[u8], shared: Option<&Bytes>) -> Result<EventAndNative, String> {
        family::read(self.topic, Datum { schema: self, bytes, shared }).expect("only families have schemas")
    }

    /// Appends one value.
    pub(super) fn write(&self, event: &Event, native: Option<&Native>, to: &mut Vec<u8>) {
        datum::write(&self.schema, &RecordRef { event, native }, to).expect("every struct fits its schema");
    }
}

/// The full name of the record that a topic's values are.
fn record_name(topic: Topic) -> &'static str {
    match topic {
        Topic::Activity => "io.weir.activity.Record",
        Topic::Infrastructure => "io.weir.infrastructure.Record",
        Topic::Delivery => "io.weir.delivery.Record",
        Topic::Usage => "io.weir.usage.Record",
        Topic::Monitoring => "io.weir.monitoring.Record",
        Topic::Governance => "io.weir.governance.Record",
        Topic::Audit | Topic::AuditBackfill | Topic::Findings | Topic::DeadLetter => "",
    }
}

/// [`Record`], its native record still in the bytes that it was read from.
#[derive(Deserialize)]
#[serde(bound = "E: DeserializeOwned")]
struct Borrowed<'a, E> {
    event: E,
    #[serde(default, borrow)]
    native: Option<BorrowedNative<'a>>,
}

#[derive(Deserialize)]
struct BorrowedNative<'a> {
    format: String,
    record: &'a str,
}

struct Datum<'a> {
    schema: &'a WriterSchema,
    bytes: &'a [u8],
    shared: Option<&'a Bytes>,
}

impl family::Read for Datum<'_> {
    type Error = String;

    fn read<E: DeserializeOwned>(self) -> Result<(E, Option<Native>), String> {
        let WriterSchema { schema, reading, topic } = self.schema;
        if *reading == Reading::Resolved {
            let record: Record<E> = resolve(schema, *topic, self.bytes)?;
            return Ok((record.event, record.native));
        }
        let record: Borrowed<'_, E> = datum::read(schema, self.bytes).map_err(|misfit| misfit.to_string())?;
        let native = record.native.map(|BorrowedNative { format, record }| {
            let shared = self.shared.and_then(|memory| memory.slice_ref(record.as_bytes()).try_into().ok());
            Native { format, record: shared.unwrap_or_else(|| record.into()) }
        });
        Ok((record.event, native))
    }
}

/// Reads one value through Avro's schema resolution.
fn resolve<T: DeserializeOwned>(schema: &Schema, topic: Topic, bytes: &[u8]) -> Result<T, String> {
    let mut rest = bytes;
    let value = GenericDatumReader::builder(schema)
        .resolved_writer_schemata(no_names())
        .reader_schema(&newest(topic).schema.schema)
        .resolved_reader_schemata(no_names())
        .human_readable(false)
        .build()
        .and_then(|reader| reader.read_value(&mut rest))
        .and_then(|value| from_value(&value))
        .map_err(|error| short(&error))?;
    if rest.is_empty() { Ok(value) } else { Err(format!("{} bytes follow the value", rest.len())) }
}

/// Weir's schemas contain no names once they are inlined.
fn no_names<'s>() -> ResolvedSchema<'s> {
    ResolvedSchema::new_with_schemata(Vec::new()).expect("nothing to resolve")
}

/// Kind of an Avro error, without the schemas and values that its text would repeat.
fn short(error: &apache_avro::Error) -> String {
    struct Head(String);
    impl std::fmt::Write for Head {
        fn write_str(&mut self, text: &str) -> std::fmt::Result {
            let end = text.find(|c: char| !c.is_ascii_alphanumeric());
            self.0.push_str(&text[..end.unwrap_or(text.len())]);
            // An error ends the formatting: the rest may be long and may hold a payload.
            if end.is_some() { Err(std::fmt::Error) } else { Ok(()) }
        }
    }
    let mut head = Head(String::new());
    let cut = std::fmt::write(&mut head, format_args!("{:?}", error.details())).is_err();
    debug_assert!(cut || !head.0.is_empty(), "an error has a name");
    head.0
}

/// Replaces names by definitions, and rejects schemas that could exhaust a reader.
#[derive(Default)]
struct Lint<'s> {
    defined: HashMap<Name, &'s Schema>,
    /// Records that are being inlined, outermost first.
    open: Vec<Name>,
    nodes: usize,
}

impl<'s> Lint<'s> {
    fn inline(&mut self, schema: &'s Schema, namespace: NamespaceRef<'_>) -> Result<Schema, String> {
        self.nodes += 1;
        if self.nodes > MAX_SCHEMA_NODES {
            return Err(format!("the schema unfolds to more than {MAX_SCHEMA_NODES} parts"));
        }
        if let Some(fixed) = as_fixed(schema)
            && fixed.size > MAX_FIXED_BYTES
        {
            return Err(format!(
                "fixed {} is larger than {MAX_FIXED_BYTES} bytes",
                fixed.name.fullname(namespace)
            ));
        }
        if let Some(name) = schema.name()
            && !matches!(schema, Schema::Ref { .. })
        {
            self.defined.insert(name.fully_qualified_name(namespace).into_owned(), schema);
        }
        match schema {
            Schema::Ref { name } => {
                let name = name.fully_qualified_name(namespace).into_owned();
                if self.open.contains(&name) {
                    return Err(format!("{} contains itself", name.fullname(None)));
                }
                let defined = self.defined.get(&name).copied();
                let defined = defined.ok_or_else(|| format!("{} is not defined", name.fullname(None)))?;
                self.inline(defined, name.namespace())
            }
            Schema::Array(array) => {
                let items = self.inline(&array.items, namespace)?;
                if min_width(&items) == 0 {
                    return Err("an array has items of no width".to_owned());
                }
                Ok(Schema::Array(ArraySchema { items: Box::new(items), attributes: BTreeMap::new() }))
            }
            Schema::Map(map) => {
                let types = Box::new(self.inline(&map.types, namespace)?);
                Ok(Schema::Map(MapSchema { types, attributes: BTreeMap::new() }))
            }
            Schema::Union(union) => {
                let variants: Result<_, _> =
                    union.variants().iter().map(|v| self.inline(v, namespace)).collect();
                UnionSchema::new(variants?).map(Schema::Union).map_err(|error| short(&error))
            }
            Schema::Record(record) => self.inline_record(record, namespace),
            other => Ok(other.clone()),
        }
    }

    fn inline_record(
        &mut self,
        record: &'s RecordSchema,
        namespace: NamespaceRef<'_>,
    ) -> Result<Schema, String> {
        let name = record.name.fully_qualified_name(namespace).into_owned();
        if self.open.contains(&name) {
            return Err(format!("{} contains itself", name.fullname(None)));
        }
        self.open.push(name.clone());
        let mut inlined = record.clone();
        // Attributes steer the library's own reading of Rust enums and tuples; ours needs none.
        inlined.attributes = BTreeMap::new();
        for (field, original) in inlined.fields.iter_mut().zip(&record.fields) {
            field.schema = self.inline(&original.schema, name.namespace())?;
        }
        self.open.pop();
        Ok(Schema::Record(inlined))
    }
}

/// The schema as `fixed`, if it is one.
pub(super) fn as_fixed(schema: &Schema) -> Option<&FixedSchema> {
    match schema {
        Schema::Fixed(fixed)
        | Schema::Duration(fixed)
        | Schema::Uuid(UuidSchema::Fixed(fixed))
        | Schema::Decimal(DecimalSchema { inner: InnerDecimalSchema::Fixed(fixed), .. }) => Some(fixed),
        _ => None,
    }
}

/// Minimum size of a value, in bytes.
fn min_width(schema: &Schema) -> usize {
    match schema {
        Schema::Null => 0,
        Schema::Record(record) => record.fields.iter().map(|field| min_width(&field.schema)).sum(),
        other => as_fixed(other).map_or(1, |fixed| fixed.size),
    }
}

/// Whether values written with `writer` can be read as if written with `ours`, field by field.
fn reads_directly(writer: &Schema, ours: &Schema) -> bool {
    match (writer, ours) {
        (Schema::Record(writer), Schema::Record(ours)) => {
            let of = |fields: &RecordSchema, name: &str| fields.fields.iter().position(|f| f.name == name);
            let known = ours.fields.iter().all(|field| match of(writer, &field.name) {
                Some(at) => reads_directly(&writer.fields[at].schema, &field.schema),
                None => field.default.is_some(),
            });
            known && writer.name.name() == ours.name.name()
        }
        (Schema::Union(writer), Schema::Union(ours)) => {
            let (Some(writer), Some(ours)) = (optional(writer), optional(ours)) else { return false };
            reads_directly(writer, ours)
        }
        (Schema::Array(writer), Schema::Array(ours)) => reads_directly(&writer.items, &ours.items),
        (Schema::Map(writer), Schema::Map(ours)) => reads_directly(&writer.types, &ours.types),
        (Schema::Enum(writer), Schema::Enum(ours)) => writer.symbols.iter().all(|s| ours.symbols.contains(s)),
        (Schema::Boolean, Schema::Boolean)
        | (Schema::Long, Schema::Long)
        | (Schema::String, Schema::String)
        | (Schema::TimestampMicros, Schema::TimestampMicros) => true,
        _ => false,
    }
}

/// The type that is not null, of a union of null and one other.
fn optional(union: &UnionSchema) -> Option<&Schema> {
    match union.variants() {
        [Schema::Null, other] | [other, Schema::Null] => Some(other),
        _ => None,
    }
}

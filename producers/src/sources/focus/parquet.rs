//! Rows of Parquet files, as texts, with one page of each column in memory.

use std::{
    fs::File,
    panic::{AssertUnwindSafe, catch_unwind},
};

use parquet::{
    basic::{ConvertedType, Repetition},
    errors::ParquetError,
    file::{reader::FileReader as _, serialized_reader::SerializedFileReader},
    record::{Field, reader::RowIter},
    schema::types::Type,
};

use super::{
    NESTED,
    columns::{Cells, OwnCells},
    values,
};

/// Reads rows; the columns are those of the file's schema.
pub(super) struct ParquetRows {
    columns: OwnCells,
    /// Number of members of each of the schema's fields whose members are columns.
    members: Vec<Option<usize>>,
    rows: RowIter<'static>,
    cells: OwnCells,
}

impl ParquetRows {
    pub(super) fn new(file: File) -> Result<Self, ParquetError> {
        let reader = SerializedFileReader::new(file)?;
        let schema = reader.metadata().file_metadata().schema();
        let (mut columns, mut members) = (OwnCells::default(), Vec::new());
        for field in schema.get_fields() {
            if has_columns(field) {
                let names =
                    field.get_fields().iter().map(|member| format!("{}.{}", field.name(), member.name()));
                names.for_each(|name| columns.push(&name));
                members.push(Some(field.get_fields().len()));
            } else {
                columns.push(field.name());
                members.push(None);
            }
        }
        let rows = RowIter::from_file_into(Box::new(reader));
        Ok(Self { columns, members, rows, cells: OwnCells::default() })
    }

    pub(super) fn columns(&self) -> Cells<'_> {
        self.columns.cells()
    }

    /// The cells of the next row, as texts.
    pub(super) fn next_row(&mut self) -> Result<Option<Cells<'_>>, ParquetError> {
        // The library ends in a panic at types that it cannot turn into values.
        let next = catch_unwind(AssertUnwindSafe(|| self.rows.next()));
        let next =
            next.map_err(|_| ParquetError::General("a column has a type that cannot be read".into()))?;
        let Some(row) = next.transpose()? else { return Ok(None) };
        self.cells.clear();
        for ((_, field), members) in row.into_columns().iter().zip(&self.members) {
            match (members, field) {
                (None, field) => self.cells.push(&text_of(field)),
                (Some(_), Field::Group(group)) => {
                    group.get_column_iter().for_each(|(_, member)| self.cells.push(&text_of(member)));
                }
                (Some(count), _) => (0..*count).for_each(|_| self.cells.push("")),
            }
        }
        Ok(Some(self.cells.cells()))
    }
}

/// Whether the members of a field are columns, as those of an object in JSON.
fn has_columns(field: &Type) -> bool {
    let info = field.get_basic_info();
    let is_list = info.has_repetition() && info.repetition() == Repetition::REPEATED;
    let is_plain = field.is_group() && !is_list && info.converted_type() == ConvertedType::NONE;
    is_plain && NESTED.contains(&field.name())
}

/// A value as in CSV; null is the empty text.
fn text_of(field: &Field) -> String {
    match field {
        Field::Null => String::new(),
        Field::Str(text) => text.clone(),
        Field::Bytes(bytes) => bytes.as_utf8().map_or_else(|_| "\u{fffd}".to_owned(), str::to_owned),
        Field::Double(number) => values::of_double(*number),
        Field::Float(number) => format!("{number:?}"),
        Field::Byte(number) => number.to_string(),
        Field::Short(number) => number.to_string(),
        Field::Int(number) => number.to_string(),
        Field::Long(number) => number.to_string(),
        Field::UByte(number) => number.to_string(),
        Field::UShort(number) => number.to_string(),
        Field::UInt(number) => number.to_string(),
        Field::ULong(number) => number.to_string(),
        Field::TimestampMillis(millis) => instant(chrono::DateTime::from_timestamp_millis(*millis), *millis),
        Field::TimestampMicros(micros) => instant(chrono::DateTime::from_timestamp_micros(*micros), *micros),
        Field::Group(_) | Field::ListInternal(_) | Field::MapInternal(_) => json_of(field).to_string(),
        // Decimals, dates, booleans: the digits, ISO 8601, true and false.
        other => other.to_string(),
    }
}

fn instant(instant: Option<schemas::Timestamp>, number: i64) -> String {
    instant.map_or_else(|| number.to_string(), schemas::rfc3339)
}

fn json_of(field: &Field) -> serde_json::Value {
    match field {
        Field::Null => serde_json::Value::Null,
        Field::Group(row) => {
            row.get_column_iter().map(|(name, field)| (name.clone(), json_of(field))).collect()
        }
        Field::ListInternal(list) => list.elements().iter().map(json_of).collect(),
        Field::MapInternal(map) => {
            map.entries().iter().map(|(key, value)| (text_of(key), json_of(value))).collect()
        }
        Field::Bool(truth) => (*truth).into(),
        other => text_of(other).into(),
    }
}

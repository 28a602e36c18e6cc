//! Iterates over the charges of a file, and the errors of invalid rows.

use std::{error::Error, fmt, fs::File, io::Read};

use super::{
    Charges,
    columns::{Cells, Header, NoHeader, Row},
    csv::{Broken, TextRows},
    parquet::ParquetRows,
};
use crate::sources::Mapped;

/// One row, or the reason why it is invalid.
#[derive(Debug)]
pub struct ChargeRow {
    /// Index among the file's rows, from 0.
    pub index: u64,
    /// The charge; or line, column and reason.
    pub charge: Result<Mapped, String>,
}

/// Reason for reading no rows, or no further rows, of a file.
#[derive(Debug)]
pub enum FileBroken {
    /// The file contains no charges.
    Foreign(String),
    /// The file is truncated or damaged.
    Broken(String),
}

/// Iterator over charges.
pub struct ChargeRows {
    table: Table,
    header: Header,
    charges: Charges,
    index: u64,
}

enum Table {
    Text(Box<TextRows<Box<dyn Read + Send>>>),
    Parquet(Box<ParquetRows>),
}

/// A row: its location, and its cells or their fault.
struct TableRow<'a> {
    place: Place,
    cells: Result<Cells<'a>, String>,
}

/// Location of a row.
enum Place {
    Line(u64),
    Row(u64),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => write!(f, "line {line}"),
            Self::Row(row) => write!(f, "row {row}"),
        }
    }
}

impl Table {
    /// The next row, of which `index` come before.
    fn next_row(&mut self, header: &Header, index: u64) -> Result<Option<TableRow<'_>>, FileBroken> {
        match self {
            Self::Parquet(rows) => {
                let cells = rows.next_row().map_err(|error| unreadable(&error))?;
                Ok(cells.map(|cells| TableRow { place: Place::Row(index + 1), cells: Ok(cells) }))
            }
            Self::Text(rows) => {
                let Some(row) = rows.next_row().map_err(|error| broken(&error))? else { return Ok(None) };
                let cells = row.cells.map_err(|place| {
                    let named = if place < header.len() { header.name(place) } else { "beyond the last" };
                    format!("column {named} is not UTF-8")
                });
                Ok(Some(TableRow { place: Place::Line(row.line), cells }))
            }
        }
    }
}

impl fmt::Debug for ChargeRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChargeRows").field("header", &self.header).finish_non_exhaustive()
    }
}

impl ChargeRows {
    /// Reads (decompressed) delimited text. `None` if there is no row at all.
    pub fn of_text(reader: Box<dyn Read + Send>, charges: Charges) -> Result<Option<Self>, FileBroken> {
        let mut rows = TextRows::new(reader).map_err(|error| unreadable(&error))?;
        let Some(first) = rows.next_row().map_err(|error| broken(&error))? else { return Ok(None) };
        let cells = first.cells.map_err(|_| FileBroken::Foreign("its first row is not UTF-8".into()))?;
        let header = Header::new(cells.iter()).map_err(|error| foreign(&error))?;
        Ok(Some(Self { table: Table::Text(Box::new(rows)), header, charges, index: 0 }))
    }

    /// Reads a Parquet file.
    pub fn of_parquet(file: File, charges: Charges) -> Result<Self, FileBroken> {
        let rows = ParquetRows::new(file).map_err(|error| unreadable(&error))?;
        let header = Header::new(rows.columns().iter()).map_err(|error| foreign(&error))?;
        Ok(Self { table: Table::Parquet(Box::new(rows)), header, charges, index: 0 })
    }
}

/// The charge of a row; `None` for an empty row.
fn charge(charges: &mut Charges, header: &Header, mut cells: Cells<'_>) -> Option<Result<Mapped, String>> {
    let width = header.len();
    let is_blank = |cell: &str| cell.trim().is_empty();
    while cells.len() > width && cells.get(cells.len() - 1).is_some_and(is_blank) {
        cells = cells.first(cells.len() - 1);
    }
    let row = Row { header, cells };
    let is_header = |(place, cell): (usize, &str)| header.is_named(place, cell);
    let repeats_header = cells.len() == width && cells.iter().enumerate().all(is_header);
    if row.is_empty() || repeats_header {
        return None;
    }
    if cells.len() != width {
        let last = header.name(cells.len().min(width) - 1);
        return Some(Err(format!(
            "the row has {} of {width} columns and ends at {last}: the file is cut here, or a delimiter is wrong",
            cells.len()
        )));
    }
    Some(charges.map(row))
}

impl Iterator for ChargeRows {
    type Item = Result<ChargeRow, FileBroken>;

    fn next(&mut self) -> Option<Self::Item> {
        let Self { table, header, charges, index: next } = self;
        loop {
            let TableRow { place, cells } = match table.next_row(header, *next) {
                Ok(row) => row?,
                Err(error) => return Some(Err(error)),
            };
            let charge = match cells {
                Ok(cells) => charge(charges, header, cells),
                Err(reason) => Some(Err(reason)),
            };
            let index = *next;
            *next += 1;
            if let Some(charge) = charge {
                let charge = charge.map_err(|reason| format!("{place}: {reason}"));
                return Some(Ok(ChargeRow { index, charge }));
            }
        }
    }
}

fn foreign(error: &NoHeader) -> FileBroken {
    FileBroken::Foreign(error.to_string())
}

fn broken(error: &Broken) -> FileBroken {
    FileBroken::Broken(told(error))
}

fn unreadable(error: &dyn Error) -> FileBroken {
    FileBroken::Broken(format!("it cannot be read: {}", told(error)))
}

fn told(error: &dyn Error) -> String {
    let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
    format!("{error}{cause}")
}

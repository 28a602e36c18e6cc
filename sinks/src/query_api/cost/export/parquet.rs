//! Charges as a Parquet file that is made while it is taken: a group of rows in memory at a time.

use std::{
    io::{self, Write},
    mem,
    sync::{Arc, Mutex, PoisonError},
};

use chrono::DateTime;
use parquet::{
    basic::{Compression, ZstdLevel},
    data_type::{ByteArray, ByteArrayType, FixedLenByteArray, FixedLenByteArrayType, Int64Type},
    errors::ParquetError,
    file::{
        properties::WriterProperties,
        writer::{SerializedColumnWriter, SerializedFileWriter},
    },
    schema::parser::parse_message_type,
};
use rust_decimal::Decimal;

/// Rows of a group: bounds the memory of an export to a few megabytes.
const GROUP_ROWS: usize = 4_000;
/// Digits after the point of money and quantities, of 38 in all: as many as other readers take.
const SCALE: u32 = 18;
/// Bytes of a decimal of 38 digits.
const DECIMAL_BYTES: usize = 16;

const AMOUNTS: [&str; 8] = [
    "BilledCost",
    "ConsumedQuantity",
    "ContractedCost",
    "ContractedUnitPrice",
    "EffectiveCost",
    "ListCost",
    "ListUnitPrice",
    "PricingQuantity",
];
const INSTANTS: [&str; 5] =
    ["BillingPeriodEnd", "BillingPeriodStart", "ChargePeriodEnd", "ChargePeriodStart", "x_ExportDateTime"];

/// Type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Amount,
    Instant,
    Text,
}

fn kind(column: &str) -> Kind {
    if AMOUNTS.contains(&column) {
        Kind::Amount
    } else if INSTANTS.contains(&column) {
        Kind::Instant
    } else {
        Kind::Text
    }
}

/// Bytes that were written and not yet taken.
#[derive(Debug, Clone, Default)]
struct Taken(Arc<Mutex<Vec<u8>>>);

impl Taken {
    fn take(&self) -> Vec<u8> {
        mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Write for Taken {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A file on its way.
pub(super) struct ParquetFile {
    columns: &'static [&'static str],
    writer: SerializedFileWriter<Taken>,
    taken: Taken,
    rows: Vec<Vec<String>>,
}

impl ParquetFile {
    /// A file with these columns, all of which may be null.
    pub(super) fn new(columns: &'static [&'static str]) -> Result<Self, ParquetError> {
        let field = |column: &&str| match kind(column) {
            Kind::Amount => {
                format!("OPTIONAL FIXED_LEN_BYTE_ARRAY ({DECIMAL_BYTES}) {column} (DECIMAL (38, {SCALE}));")
            }
            Kind::Instant => format!("OPTIONAL INT64 {column} (TIMESTAMP (MICROS, true));"),
            Kind::Text => format!("OPTIONAL BYTE_ARRAY {column} (UTF8);"),
        };
        let fields = columns.iter().map(field).collect::<Vec<_>>().join("\n");
        let schema = Arc::new(parse_message_type(&format!("message focus {{ {fields} }}"))?);
        let compression = Compression::ZSTD(ZstdLevel::try_new(3)?);
        let properties = WriterProperties::builder().set_compression(compression).build();
        let taken = Taken::default();
        let writer = SerializedFileWriter::new(taken.clone(), schema, Arc::new(properties))?;
        Ok(Self { columns, writer, taken, rows: Vec::new() })
    }

    /// Takes rows of cells in the order of the columns, an empty cell for null, and answers what of the file is ready.
    pub(super) fn push(
        &mut self,
        rows: impl IntoIterator<Item = Vec<String>>,
    ) -> Result<Vec<u8>, ParquetError> {
        self.rows.extend(rows);
        if self.rows.len() >= GROUP_ROWS {
            self.write_group()?;
        }
        Ok(self.taken.take())
    }

    /// The end of the file.
    pub(super) fn finish(mut self) -> Result<Vec<u8>, ParquetError> {
        if !self.rows.is_empty() {
            self.write_group()?;
        }
        self.writer.close()?;
        Ok(self.taken.take())
    }

    fn write_group(&mut self) -> Result<(), ParquetError> {
        let rows = mem::take(&mut self.rows);
        let mut group = self.writer.next_row_group()?;
        for (place, column) in self.columns.iter().enumerate() {
            let Some(mut writer) = group.next_column()? else { break };
            let cells = rows.iter().map(|row| row.get(place).map(String::as_str).unwrap_or_default());
            write_column(&mut writer, kind(column), cells)?;
            writer.close()?;
        }
        group.close()?;
        Ok(())
    }
}

fn write_column<'a>(
    writer: &mut SerializedColumnWriter<'_>,
    kind: Kind,
    cells: impl Iterator<Item = &'a str>,
) -> Result<(), ParquetError> {
    match kind {
        Kind::Text => {
            let of = |cell: &str| (!cell.is_empty()).then(|| ByteArray::from(cell));
            let (values, levels) = split(cells.map(of));
            writer.typed::<ByteArrayType>().write_batch(&values, Some(&levels), None)?;
        }
        Kind::Instant => {
            let of = |cell: &str| DateTime::parse_from_rfc3339(cell).ok().map(|at| at.timestamp_micros());
            let (values, levels) = split(cells.map(of));
            writer.typed::<Int64Type>().write_batch(&values, Some(&levels), None)?;
        }
        Kind::Amount => {
            let of = |cell: &str| amount(cell).map(|bytes| FixedLenByteArray::from(bytes.to_vec()));
            let (values, levels) = split(cells.map(of));
            writer.typed::<FixedLenByteArrayType>().write_batch(&values, Some(&levels), None)?;
        }
    }
    Ok(())
}

/// The values that are there, and for every cell whether it has one.
fn split<T>(cells: impl Iterator<Item = Option<T>>) -> (Vec<T>, Vec<i16>) {
    let (mut values, mut levels) = (Vec::new(), Vec::new());
    for cell in cells {
        levels.push(i16::from(cell.is_some()));
        values.extend(cell);
    }
    (values, levels)
}

/// A decimal as Parquet has it: the integer of so many digits after the point, big end first. `None` where it has more digits,
/// before the point or behind it, than fit.
pub(super) fn amount(cell: &str) -> Option<[u8; DECIMAL_BYTES]> {
    let amount = cell.parse::<Decimal>().ok()?.normalize();
    let missing = SCALE.checked_sub(amount.scale())?;
    let scaled = amount.mantissa().checked_mul(10_i128.checked_pow(missing)?)?;
    (scaled.unsigned_abs() < 10_u128.pow(38)).then(|| scaled.to_be_bytes())
}

/// Whether a column's cell cannot be held by the file.
pub(super) fn is_lost(column: &str, cell: &str) -> bool {
    match kind(column) {
        Kind::Amount => !cell.is_empty() && amount(cell).is_none(),
        Kind::Instant => !cell.is_empty() && DateTime::parse_from_rfc3339(cell).is_err(),
        Kind::Text => false,
    }
}

/// A column's part of a cell that it cannot hold whole: an amount with fewer digits after the point; otherwise nothing.
pub(super) fn held(column: &str, cell: &str) -> String {
    if kind(column) != Kind::Amount {
        return String::new();
    }
    let rounded = cell.parse::<Decimal>().map(|amount| amount.round_dp(SCALE).normalize().to_string());
    rounded.ok().filter(|rounded| amount(rounded).is_some()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use parquet::{
        file::{reader::FileReader as _, serialized_reader::SerializedFileReader},
        record::Field,
    };

    use super::*;

    const COLUMNS: [&str; 3] = ["BilledCost", "ChargePeriodStart", "ServiceName"];

    fn rows(count: usize) -> impl Iterator<Item = Vec<String>> {
        (0..count)
            .map(|n| vec![format!("-0.{n:018}"), "2026-01-31T10:00:00Z".to_owned(), format!("s{}", n % 7)])
    }

    #[test]
    fn a_file_in_pieces_is_read_back_whole() {
        for count in [0, 1, GROUP_ROWS, 2 * GROUP_ROWS + 3] {
            let mut file = ParquetFile::new(&COLUMNS).expect("a file");
            let mut bytes = Vec::new();
            let all: Vec<Vec<String>> = rows(count).collect();
            for page in all.chunks(1_000) {
                bytes.extend(file.push(page.to_vec()).expect("written"));
            }
            bytes.extend(file.finish().expect("written"));
            let reader = SerializedFileReader::new(bytes::Bytes::from(bytes)).expect("a file");
            let mut read = 0;
            for (row, expected) in reader.get_row_iter(None).expect("rows").zip(&all) {
                let row = row.expect("a row");
                let fields: Vec<&Field> = row.get_column_iter().map(|(_, field)| field).collect();
                let Field::Decimal(cost) = fields[0] else { panic!("{:?}", fields[0]) };
                let mantissa = cost.data().iter().fold(0_i128, |sum, byte| (sum << 8) | i128::from(*byte));
                let negative = i128::from_be_bytes(cost.data().try_into().expect("16 bytes"));
                assert!(mantissa == negative && negative <= 0);
                assert_eq!(
                    Decimal::from_i128_with_scale(negative, SCALE),
                    expected[0].parse().expect("a decimal")
                );
                assert_eq!(fields[2], &Field::Str(expected[2].clone()));
                read += 1;
            }
            assert_eq!(read, count);
        }
    }

    #[test]
    fn what_does_not_fit_is_told_apart() {
        assert!(!is_lost("BilledCost", "12345678901234567890.123456789012345678"));
        assert!(is_lost("BilledCost", "0.1234567890123456789"));
        assert!(!is_lost("BilledCost", "1.50000000000000000000"));
        assert!(is_lost("BilledCost", "many") && !is_lost("BilledCost", "") && !is_lost("SkuId", "many"));
        assert!(is_lost("ChargePeriodStart", "yesterday"));
        assert_eq!(held("BilledCost", "0.0000000000000017763568394003"), "0.000000000000001776");
        assert_eq!(held("BilledCost", "-1.4567890123456789016"), "-1.456789012345678902");
        assert_eq!(held("BilledCost", "79228162514264337593543950335"), "");
        assert_eq!(held("BilledCost", "many"), "");
        assert_eq!(held("ChargePeriodStart", "yesterday"), "");
        assert_eq!(amount("-1").map(i128::from_be_bytes), Some(-1_000_000_000_000_000_000));
        assert_eq!(amount("79228162514264337593543950335"), None);
    }
}

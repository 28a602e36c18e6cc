//! COPY in binary format, written by hand into one buffer that is reused.
//!
//! Format: <https://www.postgresql.org/docs/current/sql-copy.html>, "Binary Format": a header, rows of a column count and
//! length-prefixed big-endian values, and −1 for the end.

pub(crate) mod read;

use rust_decimal::Decimal;
use schemas::Timestamp;
use sqlx::{PgConnection, postgres::PgCopyIn};
use uuid::Uuid;

/// Bytes sent at once. One send of several hundred KiB stalls.
const PIECE_BYTES: usize = 64 * 1024;
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// 2000-01-01, from which Postgres counts, in microseconds since 1970-01-01.
const POSTGRES_EPOCH_MICROS: i64 = 946_684_800_000_000;
/// Number of the type `text`.
const TEXT: i32 = 25;

/// Rows in binary format, not yet sent.
#[derive(Debug, Default)]
pub(crate) struct CopyRows {
    buffer: Vec<u8>,
}

impl CopyRows {
    /// Begins a row of that many columns.
    pub(crate) fn row(&mut self, columns: i16) {
        self.buffer.extend_from_slice(&columns.to_be_bytes());
    }

    /// A `smallint`.
    pub(crate) fn smallint(&mut self, value: i16) {
        self.bytea(&value.to_be_bytes());
    }

    /// An `integer`.
    pub(crate) fn integer(&mut self, value: i32) {
        self.bytea(&value.to_be_bytes());
    }

    /// A `bigint`.
    pub(crate) fn bigint(&mut self, value: i64) {
        self.bytea(&value.to_be_bytes());
    }

    /// A `uuid`.
    pub(crate) fn uuid(&mut self, value: &Uuid) {
        self.bytea(value.as_bytes());
    }

    /// A `timestamptz`.
    pub(crate) fn timestamptz(&mut self, value: Timestamp) {
        self.bigint(value.timestamp_micros().saturating_sub(POSTGRES_EPOCH_MICROS));
    }

    /// A `text`.
    pub(crate) fn text(&mut self, value: &str) {
        self.bytea(value.as_bytes());
    }

    /// A `text` or NULL.
    pub(crate) fn optional_text(&mut self, value: Option<&str>) {
        match value {
            Some(value) => self.text(value),
            None => self.buffer.extend_from_slice(&(-1_i32).to_be_bytes()),
        }
    }

    /// A `bytea`.
    pub(crate) fn bytea(&mut self, value: &[u8]) {
        let length = i32::try_from(value.len()).expect("a value is far smaller than 2 GiB");
        self.buffer.extend_from_slice(&length.to_be_bytes());
        self.buffer.extend_from_slice(value);
    }

    /// A `bytea` or NULL.
    pub(crate) fn optional_bytea(&mut self, value: Option<&[u8]>) {
        match value {
            Some(value) => self.bytea(value),
            None => self.buffer.extend_from_slice(&(-1_i32).to_be_bytes()),
        }
    }

    /// A `text[]`, or NULL where there is none.
    ///
    /// Format: `array_recv` of PostgreSQL's `src/backend/utils/adt/arrayfuncs.c`: number of dimensions, whether there are NULLs,
    /// the elements' type, the length and the first index, then the elements.
    pub(crate) fn texts_or_null(&mut self, values: &[String]) {
        if values.is_empty() {
            return self.optional_bytea(None);
        }
        let number = |number: usize| i32::try_from(number).expect("a value is far smaller than 2 GiB");
        let bytes: usize = values.iter().map(|value| 4 + value.len()).sum();
        for field in [number(20 + bytes), 1, 0, TEXT, number(values.len()), 1] {
            self.buffer.extend_from_slice(&field.to_be_bytes());
        }
        for value in values {
            self.text(value);
        }
    }

    /// A `numeric` or NULL. A zero has no decimal places, as the client library sends it.
    ///
    /// Format: `numeric_recv` of PostgreSQL's `src/backend/utils/adt/numeric.c`: number of digits, weight of the first, sign,
    /// decimal places, digits to the base of 10,000 without zeros at either end.
    pub(crate) fn optional_numeric(&mut self, value: Option<Decimal>) {
        let Some(value) = value else {
            self.buffer.extend_from_slice(&(-1_i32).to_be_bytes());
            return;
        };
        if value.is_zero() {
            return self.bytea(&[0; 8]);
        }
        let scale = value.scale();
        let places = scale.div_ceil(4);
        // At most 96 bits and three decimal digits more: below 128 bits.
        let mut rest = value.mantissa().unsigned_abs() * 10_u128.pow(places * 4 - scale);
        // The last digit first.
        let (mut digits, mut all) = ([0_u16; 10], 0);
        let mut put = |digit: Option<u16>| {
            digits[all] = digit.expect("below 10,000");
            all += 1;
        };
        // Dividing 128 bits is slow, and most amounts have no more than 64.
        let mut small_rest = loop {
            if let Ok(small) = u64::try_from(rest) {
                break small;
            }
            put(u16::try_from(rest % 10_000).ok());
            rest /= 10_000;
        };
        while small_rest > 0 {
            put(u16::try_from(small_rest % 10_000).ok());
            small_rest /= 10_000;
        }
        let zeros = digits[..all].iter().take_while(|digit| **digit == 0).count();
        let count = all - zeros;
        let small = |number: usize| i16::try_from(number).expect("a decimal has few digits");
        let weight = i64::from(small(all)) - i64::from(places) - 1;
        let sign: u16 = if value.is_sign_negative() { 0x4000 } else { 0 };
        let length = i32::from(small(8 + 2 * count));
        self.buffer.extend_from_slice(&length.to_be_bytes());
        self.buffer.extend_from_slice(&small(count).to_be_bytes());
        self.buffer.extend_from_slice(&i16::try_from(weight).expect("as few").to_be_bytes());
        self.buffer.extend_from_slice(&sign.to_be_bytes());
        self.buffer.extend_from_slice(&i16::try_from(scale).expect("at most 28").to_be_bytes());
        for digit in digits[zeros..all].iter().rev() {
            self.buffer.extend_from_slice(&digit.to_be_bytes());
        }
    }

    /// Bytes encoded and not sent yet.
    pub(crate) fn len(&self) -> usize {
        self.buffer.len()
    }

    /// Forgets everything and begins with the header.
    pub(crate) fn begin(&mut self) {
        self.buffer.clear();
        self.buffer.extend_from_slice(HEADER);
    }

    fn end(&mut self) {
        self.buffer.extend_from_slice(&(-1_i16).to_be_bytes());
    }
}

/// One COPY under way: rows are encoded while Postgres works on the piece before.
pub(crate) struct CopyIn<'a> {
    copy: PgCopyIn<&'a mut PgConnection>,
    rows: &'a mut CopyRows,
}

impl<'a> CopyIn<'a> {
    /// Begins; `statement` is `COPY .. FROM STDIN (FORMAT binary)`.
    pub(crate) async fn begin(
        connection: &'a mut PgConnection,
        statement: &str,
        rows: &'a mut CopyRows,
    ) -> sqlx::Result<Self> {
        rows.begin();
        Self::resume(connection, statement, rows).await
    }

    /// Begins with rows that are encoded already, behind the header.
    pub(crate) async fn resume(
        connection: &'a mut PgConnection,
        statement: &str,
        rows: &'a mut CopyRows,
    ) -> sqlx::Result<Self> {
        Ok(Self { copy: connection.copy_in_raw(statement).await?, rows })
    }

    /// The buffer to encode the next row into.
    pub(crate) fn rows(&mut self) -> &mut CopyRows {
        self.rows
    }

    /// Sends what has been encoded, once it is a piece.
    pub(crate) async fn send_pieces(&mut self) -> sqlx::Result<()> {
        let (pieces, rest) = self.rows.buffer.as_chunks::<PIECE_BYTES>();
        if pieces.is_empty() {
            return Ok(());
        }
        let sent = self.rows.buffer.len() - rest.len();
        for piece in pieces {
            self.copy.send(piece.as_slice()).await?;
        }
        self.rows.buffer.drain(..sent);
        Ok(())
    }

    /// Sends the rest and waits for Postgres to accept all of it.
    pub(crate) async fn finish(mut self) -> sqlx::Result<u64> {
        self.rows.end();
        self.send_pieces().await?;
        self.copy.send(self.rows.buffer.as_slice()).await?;
        self.copy.finish().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_reads_as_the_manual_says() {
        let mut rows = CopyRows::default();
        rows.begin();
        rows.row(4);
        rows.integer(258);
        rows.optional_text(None);
        rows.text("ä");
        rows.timestamptz(Timestamp::from_timestamp(946_684_801, 0).expect("valid"));
        rows.end();
        let expected = [
            HEADER,
            &[0, 4],
            &[0, 0, 0, 4, 0, 0, 1, 2],
            &[255, 255, 255, 255],
            &[0, 0, 0, 2, 0xc3, 0xa4],
            &[0, 0, 0, 8, 0, 0, 0, 0, 0, 0x0f, 0x42, 0x40],
            &[255, 255],
        ]
        .concat();
        assert_eq!(rows.buffer, expected);
    }

    #[test]
    fn lists_are_as_the_client_library_sends_them() {
        use sqlx::{Encode, Postgres, encode::IsNull, postgres::PgArgumentBuffer};
        for texts in [vec!["a".to_owned()], vec!["ä\n".to_owned(), String::new(), "c".to_owned()]] {
            let mut sent = PgArgumentBuffer::default();
            assert!(matches!(Encode::<Postgres>::encode_by_ref(&texts, &mut sent), Ok(IsNull::No)));
            let mut rows = CopyRows::default();
            rows.texts_or_null(&texts);
            assert_eq!(rows.buffer[4..], sent[..], "{texts:?}");
            assert_eq!(rows.buffer[..4], i32::try_from(sent.len()).expect("short").to_be_bytes());
        }
        let mut rows = CopyRows::default();
        rows.texts_or_null(&[]);
        assert_eq!(rows.buffer, [255_u8; 4]);
    }

    #[test]
    fn decimals_have_the_digits_that_the_client_library_sends() {
        use sqlx::{Encode as _, encode::IsNull, postgres::PgArgumentBuffer};
        let check = |text: &str| {
            let decimal = Decimal::from_str_exact(text).expect("a decimal");
            let mut sent = PgArgumentBuffer::default();
            assert!(matches!(decimal.encode_by_ref(&mut sent), Ok(IsNull::No)));
            let mut rows = CopyRows::default();
            rows.optional_numeric(Some(decimal));
            assert_eq!(rows.buffer[4..], sent[..], "{text}");
        };
        for text in [
            "0",
            "0.00",
            "-0.0",
            "1",
            "-1",
            "10000",
            "0.0001",
            "0.00012",
            "-123456.789",
            "100000000.5",
            "1.50",
            "79228162514264337593543950335",
            "-7.9228162514264337593543950335",
            "0.0000000000000000000000000001",
        ] {
            check(text);
        }
    }
}

//! COPY TO in binary format, read row by row from chunks of any size.

use super::{HEADER, POSTGRES_EPOCH_MICROS};

/// Bytes that are not in the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;

/// Chunks in, rows out.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    buffer: Vec<u8>,
    read: usize,
    begun: bool,
}

impl Reader {
    /// Takes a chunk in.
    pub(crate) fn push(&mut self, chunk: &[u8]) {
        self.buffer.drain(..self.read);
        self.read = 0;
        self.buffer.extend_from_slice(chunk);
    }

    /// The next row, if it is there whole.
    pub(crate) fn next(&mut self) -> Result<Option<RowReader<'_>>, Malformed> {
        if !self.begun {
            let Some(header) = self.buffer.get(..HEADER.len()) else { return Ok(None) };
            if header != HEADER {
                return Err(Malformed);
            }
            (self.begun, self.read) = (true, HEADER.len());
        }
        let bytes = &self.buffer[self.read..];
        let Some(columns) = bytes.first_chunk::<2>() else { return Ok(None) };
        let Ok(columns) = usize::try_from(i16::from_be_bytes(*columns)) else {
            // −1: the end.
            return Ok(None);
        };
        let mut end = 2;
        for _ in 0..columns {
            let Some(length) = bytes.get(end..).and_then(<[u8]>::first_chunk::<4>) else { return Ok(None) };
            let length = i32::from_be_bytes(*length);
            end += 4 + usize::try_from(length.max(0)).map_err(|_| Malformed)?;
        }
        if bytes.len() < end {
            return Ok(None);
        }
        let row = &self.buffer[self.read + 2..self.read + end];
        self.read += end;
        Ok(Some(RowReader { rest: row }))
    }
}

/// The elements of a `text[]`. One with a NULL, of several dimensions or with another first index than 1 is malformed.
pub(crate) fn texts(array: &[u8]) -> Result<Vec<&str>, Malformed> {
    const ONE: [u8; 4] = 1_i32.to_be_bytes();
    // Number of dimensions, flags, type of the elements; of one that is not empty its length and first index as well.
    let (words, _) = array.as_chunks::<4>();
    match words {
        [[0, 0, 0, 0], _, _] => Ok(Vec::new()),
        [ONE, _, _, _, ONE, ..] => {
            let mut elements = RowReader { rest: &array[20..] };
            let mut texts = Vec::new();
            while !elements.rest.is_empty() {
                texts.push(elements.text()?);
            }
            Ok(texts)
        }
        _ => Err(Malformed),
    }
}

/// The fields of one row, in their order. A field that is NULL or of another length than asked for is malformed.
#[derive(Debug)]
pub(crate) struct RowReader<'a> {
    rest: &'a [u8],
}

impl<'a> RowReader<'a> {
    /// Any field; `None` is NULL.
    pub(crate) fn optional(&mut self) -> Result<Option<&'a [u8]>, Malformed> {
        let (length, rest) = self.rest.split_first_chunk::<4>().ok_or(Malformed)?;
        let Ok(length) = usize::try_from(i32::from_be_bytes(*length)) else {
            self.rest = rest;
            return Ok(None);
        };
        let (field, rest) = rest.split_at_checked(length).ok_or(Malformed)?;
        self.rest = rest;
        Ok(Some(field))
    }

    /// A `bytea` or `uuid`.
    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        self.optional()?.ok_or(Malformed)
    }

    fn number<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        self.bytes()?.try_into().map_err(|_| Malformed)
    }

    /// A `smallint`.
    pub(crate) fn smallint(&mut self) -> Result<i16, Malformed> {
        self.number().map(i16::from_be_bytes)
    }

    /// An `integer`.
    pub(crate) fn integer(&mut self) -> Result<i32, Malformed> {
        self.number().map(i32::from_be_bytes)
    }

    /// A `bigint`.
    pub(crate) fn bigint(&mut self) -> Result<i64, Malformed> {
        self.number().map(i64::from_be_bytes)
    }

    /// A `bigint` or NULL.
    pub(crate) fn optional_bigint(&mut self) -> Result<Option<i64>, Malformed> {
        let number = |bytes: &[u8]| bytes.try_into().map(i64::from_be_bytes).map_err(|_| Malformed);
        self.optional()?.map(number).transpose()
    }

    /// A `timestamptz`, in microseconds since 1970.
    pub(crate) fn timestamptz(&mut self) -> Result<i64, Malformed> {
        self.bigint().map(|micros| micros.saturating_add(POSTGRES_EPOCH_MICROS))
    }

    /// A `text`.
    pub(crate) fn text(&mut self) -> Result<&'a str, Malformed> {
        self.optional_text()?.ok_or(Malformed)
    }

    /// A `text` or NULL.
    pub(crate) fn optional_text(&mut self) -> Result<Option<&'a str>, Malformed> {
        self.optional()?.map(|bytes| str::from_utf8(bytes).map_err(|_| Malformed)).transpose()
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::{
        super::{CopyRows, Timestamp},
        *,
    };

    #[test]
    fn rows_come_back_whatever_the_chunks() {
        let mut rows = CopyRows::default();
        rows.begin();
        for n in 0..5_i32 {
            rows.row(6);
            rows.integer(n);
            rows.optional_text((n % 2 == 0).then_some("text"));
            rows.smallint(-1);
            rows.uuid(&Uuid::nil());
            rows.timestamptz(Timestamp::UNIX_EPOCH);
            rows.text("ä");
        }
        rows.end();
        for size in [1, 2, 3, 7, 1000] {
            let mut reader = Reader::default();
            let mut read = 0;
            for chunk in rows.buffer.chunks(size) {
                reader.push(chunk);
                while let Some(mut row) = reader.next().expect("in the format") {
                    assert_eq!(row.integer(), Ok(read));
                    assert_eq!(row.optional_text(), Ok((read % 2 == 0).then_some("text")));
                    assert_eq!(row.smallint(), Ok(-1));
                    assert_eq!(row.bytes(), Ok([0; 16].as_slice()));
                    assert_eq!(row.timestamptz(), Ok(0));
                    assert_eq!(row.text(), Ok("ä"));
                    assert_eq!(row.optional(), Err(Malformed));
                    read += 1;
                }
            }
            assert_eq!(read, 5);
        }
        let mut reader = Reader::default();
        reader.push(&[b'x'; 40]);
        assert_eq!(reader.next().expect_err("no header"), Malformed);
    }

    #[test]
    fn lists_come_back_and_odd_ones_are_malformed() {
        let mut rows = CopyRows::default();
        rows.texts_or_null(&["ä".to_owned(), String::new()]);
        let list = rows.buffer.split_off(4);
        assert_eq!(texts(&list), Ok(vec!["ä", ""]));
        assert_eq!(texts(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 25]), Ok(vec![]));
        let with = |at: usize, byte: u8| {
            let mut odd = list.clone();
            odd[at] = byte;
            odd
        };
        for odd in [with(3, 2), with(19, 0), with(20, 255), with(23, 9), Vec::new()] {
            assert_eq!(texts(&odd), Err(Malformed), "{odd:?}");
        }
    }
}

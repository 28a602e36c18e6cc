//! Reads rows of delimited text: four delimiters, quoting of RFC 4180, bounded row size.

use std::io::{self, BufRead, BufReader, Chain, Cursor, Read};

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};

use super::columns::{Cells, MAX_COLUMNS};
use crate::sources::decoded::Decoded;

/// Maximum size of a row, in bytes; a larger one has an unclosed quote.
const MAX_ROW_BYTES: usize = 1_000_000;
/// Number of bytes of the first line that are searched for the delimiter.
const SNIFFED_BYTES: usize = 64 * 1024;
const DELIMITERS: [u8; 4] = *b",;\t|";

/// A row: the line it begins on, and its cells, or the index of one that is not UTF-8.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TextRow<'a> {
    pub(super) line: u64,
    pub(super) cells: Result<Cells<'a>, usize>,
}

/// Reason for reading no further rows.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    /// The file system or the decompressor failed.
    #[error("it cannot be read to its end")]
    Unreadable(#[source] io::Error),
    /// A row exceeds the limits.
    #[error(
        "line {line} begins a row of more than {MAX_ROW_BYTES} bytes or {MAX_COLUMNS} columns; is a quote not closed?"
    )]
    TooLong {
        /// First line of the row.
        line: u64,
    },
}

/// Reads rows.
pub(super) struct TextRows<R> {
    input: Chain<Cursor<Vec<u8>>, BufReader<Decoded<R>>>,
    reader: Reader,
    output: Vec<u8>,
    ends: Vec<usize>,
    /// Number of line ends that the reader did not see.
    skipped: u64,
}

/// UTF-8's byte order mark.
const MARK: &[u8] = b"\xef\xbb\xbf";

impl<R: Read> TextRows<R> {
    /// Detects the delimiter in the first line.
    pub(super) fn new(reader: R) -> io::Result<Self> {
        let mut input = BufReader::with_capacity(SNIFFED_BYTES, Decoded::new(reader));
        let mut first = Vec::new();
        input.by_ref().take(SNIFFED_BYTES as u64).read_until(b'\n', &mut first)?;
        // Excel's own first line names the delimiter.
        let unmarked = first.strip_prefix(MARK).unwrap_or(&first);
        let told = unmarked.strip_prefix(b"sep=").and_then(|rest| rest.first().copied());
        let delimiter = told.unwrap_or_else(|| delimiter_of(&first));
        if told.is_some() {
            first.clear();
        }
        Ok(Self {
            input: Cursor::new(first).chain(input),
            reader: ReaderBuilder::new().delimiter(delimiter).build(),
            output: vec![0; 16 * 1024],
            ends: vec![0; 256],
            skipped: u64::from(told.is_some()),
        })
    }

    /// The next row; empty lines are skipped.
    pub(super) fn next_row(&mut self) -> Result<Option<TextRow<'_>>, Broken> {
        self.skip_line_ends()?;
        let line = self.skipped + self.reader.line();
        let (mut bytes, mut cells) = (0, 0);
        loop {
            let (output, ends) = (&mut self.output[bytes..], &mut self.ends[cells..]);
            let input = loop {
                match self.input.fill_buf() {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    filled => break filled.map_err(Broken::Unreadable)?,
                }
            };
            let (result, read, written, ended) = self.reader.read_record(input, output, ends);
            self.input.consume(read);
            bytes += written;
            cells += ended;
            match result {
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull if self.output.len() < MAX_ROW_BYTES => {
                    self.output.resize(self.output.len() * 2, 0);
                }
                ReadRecordResult::OutputEndsFull if self.ends.len() <= MAX_COLUMNS => {
                    self.ends.resize(self.ends.len() * 2, 0);
                }
                ReadRecordResult::OutputFull | ReadRecordResult::OutputEndsFull => {
                    return Err(Broken::TooLong { line });
                }
                ReadRecordResult::Record => return Ok(Some(TextRow { line, cells: self.cells(cells) })),
                ReadRecordResult::End => return Ok(None),
            }
        }
    }

    /// Skips empty lines, and the rest of the last row's CRLF, which the reader would count with the next row.
    fn skip_line_ends(&mut self) -> Result<(), Broken> {
        loop {
            let input = loop {
                match self.input.fill_buf() {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    filled => break filled.map_err(Broken::Unreadable)?,
                }
            };
            let ends = input.iter().take_while(|byte| matches!(**byte, b'\r' | b'\n')).count();
            let is_all = ends > 0 && ends == input.len();
            self.skipped += memchr::memchr_iter(b'\n', &input[..ends]).count() as u64;
            self.input.consume(ends);
            if !is_all {
                return Ok(());
            }
        }
    }

    fn cells(&self, count: usize) -> Result<Cells<'_>, usize> {
        let ends = &self.ends[..count];
        let bytes = &self.output[..ends.last().copied().unwrap_or_default()];
        match std::str::from_utf8(bytes) {
            Ok(text) => Cells::new(text, ends),
            // The first cell that holds or ends within the fault.
            Err(error) => Err(ends.iter().position(|end| *end > error.valid_up_to()).unwrap_or_default()),
        }
    }
}

/// The most frequent delimiter outside quotes.
fn delimiter_of(first_line: &[u8]) -> u8 {
    let mut counts = [0_usize; DELIMITERS.len()];
    let mut quoted = false;
    for byte in first_line {
        match byte {
            b'"' => quoted = !quoted,
            _ if quoted => {}
            byte => {
                if let Some(place) = DELIMITERS.iter().position(|delimiter| delimiter == byte) {
                    counts[place] += 1;
                }
            }
        }
    }
    // Of equally many the first of the list.
    let most = (0..DELIMITERS.len()).rev().max_by_key(|place| counts[*place]);
    most.map_or(b',', |place| DELIMITERS[place])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &[u8]) -> Result<Vec<(u64, Vec<String>)>, Broken> {
        let mut rows = TextRows::new(text).map_err(Broken::Unreadable)?;
        let mut found = Vec::new();
        while let Some(row) = rows.next_row()? {
            let cells = row.cells.expect("UTF-8");
            found.push((row.line, cells.iter().map(str::to_owned).collect()));
        }
        Ok(found)
    }

    #[test]
    fn delimiters_quotes_marks_and_line_ends_are_understood() {
        for text in [
            "a,b\n\"1,\"\"2\n\",3\n",
            "\u{feff}a;b\r\n\"1,\"\"2\n\";3",
            "a\tb\n\n\"1,\"\"2\n\"\t3\n",
            "sep=|\na|b\n\"1,\"\"2\n\"|3\n",
            "\u{feff}sep=;\r\na;b\r\n\"1,\"\"2\n\";3\r\n",
        ] {
            let cells: Vec<_> = rows(text.as_bytes()).expect("read").into_iter().map(|row| row.1).collect();
            assert_eq!(cells, [["a", "b"], ["1,\"2\n", "3"]], "{text:?}");
        }
    }

    #[test]
    fn rows_are_told_by_the_line_that_they_begin_on() {
        for (text, lines) in [
            ("a,b\n1,2\n3,4\n", [1, 2, 3]),
            ("a,b\r\n1,2\r\n3,4", [1, 2, 3]),
            ("sep=,\r\na,b\r\n1,2\r\n3,4", [2, 3, 4]),
            ("\u{feff}sep=,\na,b\n\n1,2\n\n\n3,4", [2, 4, 7]),
            ("\r\na,b\r\n\"1\r\n\",2\r\n\r\n3,4", [2, 3, 6]),
        ] {
            let found: Vec<_> = rows(text.as_bytes()).expect("read").into_iter().map(|row| row.0).collect();
            assert_eq!(found, lines, "{text:?}");
        }
    }

    #[test]
    fn a_quote_that_is_not_closed_takes_no_more_than_a_row_may() {
        let mut text = b"a,b\n1,2\n\"3,".to_vec();
        text.resize(3_000_000, b'x');
        let error = rows(&text).expect_err("too long").to_string();
        assert!(error.starts_with("line 3 begins a row"), "{error}");
    }

    #[test]
    fn a_cell_that_is_not_utf_8_is_told_by_its_place() {
        // The second is UTF-8 as a whole, and its cells are not.
        for (text, place) in [
            (&b"a,b\nx,\xff\n"[..], 1),
            (b"a,b\nx\xc3,\xa4\n", 0),
            (b"a,b\n\xff,x\n", 0),
            (b"a,b\n,x\xc3\n", 1),
        ] {
            let mut rows = TextRows::new(text).expect("read");
            rows.next_row().expect("read");
            let row = rows.next_row().expect("read").expect("a row");
            assert_eq!(row, TextRow { line: 2, cells: Err(place) }, "{text:?}");
        }
    }
}

//! A byte reader with one byte of lookahead, and a bounded capture of text.

use std::io::{self, Read};

use super::{ElementDefect, MAX_ELEMENT_BYTES};

const BUFFER_BYTES: usize = 64 * 1024;

/// Text of one element, captured up to its maximum size.
pub(super) struct Capture {
    pub(super) text: Vec<u8>,
    bytes: usize,
    kept: bool,
    pub(super) has_line_end: bool,
}

impl Capture {
    pub(super) fn new() -> Self {
        Self { text: Vec::new(), bytes: 0, kept: true, has_line_end: false }
    }

    pub(super) fn nothing() -> Self {
        Self { kept: false, ..Self::new() }
    }

    pub(super) fn push(&mut self, byte: u8) {
        self.extend(&[byte]);
        self.has_line_end |= byte == b'\n';
    }

    pub(super) fn extend(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len();
        if self.bytes > MAX_ELEMENT_BYTES {
            self.kept = false;
            self.text = Vec::new();
        }
        if self.kept {
            self.text.extend_from_slice(bytes);
        }
    }

    pub(super) fn append(&mut self, other: &Self) {
        self.extend(&other.text);
        self.bytes += other.bytes - other.text.len();
    }

    pub(super) fn into_text(self) -> Result<String, ElementDefect> {
        if self.bytes > MAX_ELEMENT_BYTES {
            return Err(ElementDefect::TooLarge { bytes: self.bytes });
        }
        String::from_utf8(self.text).map_err(|_| ElementDefect::NotUtf8)
    }
}

/// A reader with one byte of lookahead.
#[derive(Debug)]
pub(super) struct Bytes<R> {
    reader: R,
    buffer: Box<[u8]>,
    at: usize,
    filled: usize,
    before_buffer: u64,
}

impl<R: Read> Bytes<R> {
    pub(super) fn new(reader: R) -> Self {
        let buffer = vec![0; BUFFER_BYTES].into_boxed_slice();
        Self { reader, buffer, at: 0, filled: 0, before_buffer: 0 }
    }

    pub(super) fn offset(&self) -> u64 {
        self.before_buffer + self.at as u64
    }

    pub(super) fn peek(&mut self) -> io::Result<Option<u8>> {
        if self.at == self.filled && !self.fill()? {
            return Ok(None);
        }
        Ok(Some(self.buffer[self.at]))
    }

    fn fill(&mut self) -> io::Result<bool> {
        self.before_buffer += self.filled as u64;
        (self.at, self.filled) = (0, 0);
        loop {
            match self.reader.read(&mut self.buffer) {
                Ok(filled) => {
                    self.filled = filled;
                    return Ok(filled > 0);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Takes the peeked byte.
    pub(super) fn take(&mut self) -> u8 {
        assert!(self.at < self.filled, "a byte is looked at before it is taken");
        let byte = self.buffer[self.at];
        self.at += 1;
        byte
    }

    /// Skips the peeked byte.
    pub(super) fn skip(&mut self) {
        self.take();
    }

    /// Takes the buffered plain text of a string, up to a quote, an escape or a line end.
    pub(super) fn take_plain(&mut self) -> &[u8] {
        let rest = &self.buffer[self.at..self.filled];
        let plain = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | b'\n')).unwrap_or(rest.len());
        self.at += plain;
        &rest[..plain]
    }

    pub(super) fn skip_space(&mut self) -> io::Result<Option<u8>> {
        loop {
            match self.peek()? {
                Some(b' ' | b'\t' | b'\r' | b'\n') => self.at += 1,
                other => return Ok(other),
            }
        }
    }

    pub(super) fn skip_line(&mut self) -> io::Result<()> {
        while let Some(byte) = self.peek()? {
            if byte == b'\n' {
                return Ok(());
            }
            self.at += 1;
        }
        Ok(())
    }

    pub(super) fn skip_byte_order_mark(&mut self) -> io::Result<()> {
        // Half a mark is no beginning of JSON either: what follows it is refused as such.
        for byte in [0xEF, 0xBB, 0xBF] {
            if self.peek()? != Some(byte) {
                return Ok(());
            }
            self.at += 1;
        }
        Ok(())
    }
}

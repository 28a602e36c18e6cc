//! Decodes UTF-16 to UTF-8 while reading. PowerShell 5 on Windows writes its files in UTF-16.

use std::io::{self, Read};

/// A reader that gives UTF-8 for input in UTF-8, UTF-16LE or UTF-16BE.
///
/// UTF-16 is recognised by its byte order mark or, without one, by the zero beside the first byte: a JSON
/// text begins with an ASCII character (RFC 4627, section 3). Half a character at the end becomes U+FFFD.
#[derive(Debug)]
pub(super) struct Decoded<R> {
    reader: R,
    encoding: Option<Encoding>,
    /// Bytes that were read and not yet decoded.
    raw: Vec<u8>,
    /// UTF-8 that was not read yet.
    text: Vec<u8>,
    taken: usize,
    is_at_end: bool,
}

/// The text of a whole file in UTF-8, UTF-16LE or UTF-16BE; `None` if it is none.
pub fn decoded_text(bytes: &[u8]) -> Option<String> {
    let mut text = Vec::with_capacity(bytes.len());
    Decoded::new(bytes).read_to_end(&mut text).ok()?;
    String::from_utf8(text).ok()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Utf8,
    LittleEndian,
    BigEndian,
}

const CHUNK_BYTES: usize = 16 * 1024;

impl<R: Read> Decoded<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader, encoding: None, raw: Vec::new(), text: Vec::new(), taken: 0, is_at_end: false }
    }

    fn fill_raw(&mut self) -> io::Result<()> {
        let before = self.raw.len();
        self.raw.resize(before + CHUNK_BYTES, 0);
        let read = loop {
            match self.reader.read(&mut self.raw[before..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        self.raw.truncate(before + *read.as_ref().unwrap_or(&0));
        self.is_at_end = read? == 0;
        Ok(())
    }

    fn encoding(&mut self) -> io::Result<Encoding> {
        if let Some(encoding) = self.encoding {
            return Ok(encoding);
        }
        while self.raw.len() < 2 && !self.is_at_end {
            self.fill_raw()?;
        }
        let (encoding, mark) = match self.raw.as_slice() {
            [0xFF, 0xFE, ..] => (Encoding::LittleEndian, 2),
            [0xFE, 0xFF, ..] => (Encoding::BigEndian, 2),
            [first, 0, ..] if first.is_ascii() && *first != 0 => (Encoding::LittleEndian, 0),
            [0, first, ..] if first.is_ascii() && *first != 0 => (Encoding::BigEndian, 0),
            _ => (Encoding::Utf8, 0),
        };
        self.raw.drain(..mark);
        Ok(*self.encoding.insert(encoding))
    }

    /// Decodes the bytes read so far, except for an incomplete surrogate pair.
    fn decode(&mut self, big_endian: bool) {
        let units: Vec<u16> = self
            .raw
            .chunks_exact(2)
            .map(|pair| {
                let pair = [pair[0], pair[1]];
                if big_endian { u16::from_be_bytes(pair) } else { u16::from_le_bytes(pair) }
            })
            .collect();
        let waits = !self.is_at_end && units.last().is_some_and(|unit| (0xD800..0xDC00).contains(unit));
        let used = units.len() - usize::from(waits);
        self.text.clear();
        self.taken = 0;
        for decoded in char::decode_utf16(units[..used].iter().copied()) {
            let character = decoded.unwrap_or(char::REPLACEMENT_CHARACTER);
            self.text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        }
        self.raw.drain(..used * 2);
        if self.is_at_end && !self.raw.is_empty() {
            self.raw.clear();
            self.text.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
}

impl<R: Read> Read for Decoded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let encoding = self.encoding()?;
        if encoding == Encoding::Utf8 {
            if self.raw.is_empty() {
                return self.reader.read(buffer);
            }
            let length = self.raw.len().min(buffer.len());
            buffer[..length].copy_from_slice(&self.raw[..length]);
            self.raw.drain(..length);
            return Ok(length);
        }
        while self.taken == self.text.len() {
            if self.is_at_end && self.raw.is_empty() {
                return Ok(0);
            }
            if !self.is_at_end {
                self.fill_raw()?;
            }
            self.decode(encoding == Encoding::BigEndian);
        }
        let length = (self.text.len() - self.taken).min(buffer.len());
        buffer[..length].copy_from_slice(&self.text[self.taken..self.taken + length]);
        self.taken += length;
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], at_once: usize) -> String {
        let mut text = String::new();
        let chunks = bytes.chunks(at_once).fold(Box::new(io::empty()) as Box<dyn Read>, |before, chunk| {
            Box::new(before.chain(io::Cursor::new(chunk.to_vec())))
        });
        Decoded::new(chunks).read_to_string(&mut text).expect("UTF-8");
        text
    }

    #[test]
    fn either_order_with_a_mark_and_without_is_read() {
        let text = "{\"name\":\"ä😀\"}";
        let little: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        for at_once in [1, 3, 1000] {
            for (mark, body) in
                [(&[0xFF, 0xFE][..], &little), (&[], &little), (&[0xFE, 0xFF], &big), (&[], &big)]
            {
                assert_eq!(read(&[mark, body].concat(), at_once), text);
            }
            assert_eq!(read(text.as_bytes(), at_once), text);
            assert_eq!(read(b"", at_once), "");
        }
        assert_eq!(decoded_text(&little).as_deref(), Some(text));
        assert_eq!(decoded_text(b"PK\x03\x04\xFF"), None);
    }

    #[test]
    fn half_a_character_is_replaced() {
        assert_eq!(read(&[0xFF, 0xFE, b'a', 0, 0x3D, 0xD8], 100), "a\u{fffd}");
        assert_eq!(read(&[0xFF, 0xFE, b'a', 0, b'b'], 100), "a\u{fffd}");
    }
}

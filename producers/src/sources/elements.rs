//! Finds the records of a JSON file in a stream: in the array that an object names (`Records`), in a bare
//! array, or one after another (usually one per line).
//!
//! Finds only their boundaries; the reader of a record checks whether it is valid JSON.

mod bytes;

use std::io::{self, Read};

use thiserror::Error;

use self::bytes::{Bytes, Capture};

/// Maximum size of a record, in bytes; larger ones are skipped and reported.
pub const MAX_ELEMENT_BYTES: usize = 1_000_000;

/// The list whose elements are rows, that is arrays of columns.
const ROWS: &str = "QueryResultRows";
/// The lists in which queues, log groups and searches hand out records of any source.
const CARRIERS: [&str; 5] = ["Records", "logEvents", "Messages", "receivedMessages", HITS];
/// Elasticsearch's answers have their list of hits in an object of that name.
const HITS: &str = "hits";

/// One element of a file.
#[derive(Debug, PartialEq, Eq)]
pub struct Element {
    /// Index among the file's elements, from 0.
    pub index: u64,
    /// Whether it is an element of an array.
    pub listed: bool,
    /// Text of the element, byte for byte, or its defect. For a list of rows the text is an array.
    pub text: Result<String, ElementDefect>,
}

/// Reason why one element is not a record. Reading continues after it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ElementDefect {
    /// It is a number, a text or an array.
    #[error("not an object")]
    NotAnObject,
    /// It is larger than [`MAX_ELEMENT_BYTES`].
    #[error("{bytes} bytes long, more than the {MAX_ELEMENT_BYTES} that are taken")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// It is neither UTF-8 nor UTF-16.
    #[error("not UTF-8")]
    NotUtf8,
    /// Its brackets, quotes or line ends are not valid JSON.
    #[error("not valid JSON")]
    Malformed,
    /// It is a carrier of records that contains none that can be read.
    #[error("{0}")]
    Carrier(&'static str),
    /// It contains no records by design, for example a notification of where they lie.
    #[error("{0}")]
    NoRecords(&'static str),
}

/// Reason for reading no further in a file.
#[derive(Debug, Error)]
pub enum FileDefect {
    /// Reading or decompressing failed; earlier records are kept.
    #[error("it cannot be read to its end")]
    Unreadable(#[from] io::Error),
    /// The file begins with neither an object nor an array.
    #[error("it holds neither a list of records, nor an array, nor a record a line")]
    NotRecords,
    /// The file ends inside an element or a list; earlier records are kept.
    #[error("it ends in the middle of a record or list; it was cut")]
    Cut,
    /// The list's structure is broken; earlier records are kept.
    #[error("it is not valid JSON from byte {at} on")]
    Malformed {
        /// Offset in the (decompressed) file.
        at: u64,
    },
    /// The content of its carriers is larger than the room for it.
    #[error("its compressed data unpack to more bytes than are taken at once")]
    TooManyBytes,
    /// Its carriers hold more records than there is room for.
    #[error("it holds more records than are taken at once")]
    TooManyRecords,
}

/// Reads a file's elements one at a time. Memory: one element and one buffer.
#[derive(Debug)]
pub struct Elements<R> {
    bytes: Bytes<R>,
    state: State,
    next_index: u64,
    /// Members whose array holds the records, if the file is one object around them.
    lists: &'static [&'static str],
    /// Whether the list is one of rows, each an array of columns.
    in_rows: bool,
    /// Number of objects that are open around the one that lists the records.
    around: u32,
    /// Set after a first record without line ends: then a line end closes everything that is open.
    line_by_line: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Start,
    Between,
    InArray,
    InContainersArray,
    AfterContainersArray,
    Ended,
}

/// Reason for stopping a scan.
enum Stop {
    Malformed,
    File(FileDefect),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::File(error.into())
    }
}

enum Object {
    Whole,
    RecordsBegin,
}

impl<R: Read> Elements<R> {
    /// Reads a file's (decompressed) bytes from the beginning.
    pub fn new(reader: R) -> Self {
        Self::listed_in(reader, &["Records"])
    }

    /// The same, for an object whose list of records has another name, or for records without an object
    /// around them.
    pub fn listed_in(reader: R, lists: &'static [&'static str]) -> Self {
        let bytes = Bytes::new(reader);
        Self {
            bytes,
            lists,
            state: State::Start,
            next_index: 0,
            in_rows: false,
            around: 0,
            line_by_line: false,
        }
    }

    fn found(&mut self, listed: bool, text: Result<String, ElementDefect>) -> Element {
        let index = self.next_index;
        self.next_index += 1;
        Element { index, listed, text }
    }

    fn step(&mut self) -> Result<Option<Element>, FileDefect> {
        loop {
            match self.state {
                State::Start => {
                    self.bytes.skip_byte_order_mark()?;
                    match self.bytes.skip_space()? {
                        None => self.state = State::Ended,
                        Some(b'{' | b'[') => self.state = State::Between,
                        Some(_) => return Err(FileDefect::NotRecords),
                    }
                }
                State::Between => match self.bytes.skip_space()? {
                    None => self.state = State::Ended,
                    Some(b'[') if !self.line_by_line => {
                        self.bytes.take();
                        self.state = State::InArray;
                    }
                    // Some exports are the elements of an array without its brackets.
                    Some(b',') if self.next_index > 0 => self.bytes.skip(),
                    Some(b'{') => {
                        if let Some(element) = self.top_level_object()? {
                            return Ok(Some(element));
                        }
                    }
                    Some(_) => {
                        self.bytes.skip_line()?;
                        return Ok(Some(self.found(false, Err(ElementDefect::NotAnObject))));
                    }
                },
                State::InArray | State::InContainersArray => {
                    if let Some(element) = self.array_element()? {
                        return Ok(Some(element));
                    }
                }
                State::AfterContainersArray => match self.members(&mut Capture::nothing()) {
                    Ok(Object::Whole) => self.state = State::Between,
                    Ok(Object::RecordsBegin) => self.state = State::InContainersArray,
                    Err(Stop::Malformed) => return Err(FileDefect::Malformed { at: self.bytes.offset() }),
                    Err(Stop::File(defect)) => return Err(defect),
                },
                State::Ended => return Ok(None),
            }
        }
    }

    /// A record, or `None` at the beginning of a container.
    fn top_level_object(&mut self) -> Result<Option<Element>, FileDefect> {
        let mut capture = Capture::new();
        capture.push(self.bytes.take());
        self.around = 0;
        let first = self.next_index == 0;
        match self.members(&mut capture) {
            Ok(Object::Whole) => {
                self.line_by_line |= first && !capture.has_line_end;
                Ok(Some(self.found(false, capture.into_text())))
            }
            Ok(Object::RecordsBegin) => {
                self.state = State::InContainersArray;
                Ok(None)
            }
            Err(Stop::Malformed) => {
                // A record's line may be broken; the lines after it need not be.
                if self.bytes.peek()? != Some(b'{') {
                    self.bytes.skip_line()?;
                }
                self.line_by_line = true;
                Ok(Some(self.found(false, Err(ElementDefect::Malformed))))
            }
            Err(Stop::File(defect)) => Err(defect),
        }
    }

    /// Reads the members of an open object, up to its end or the first element of `Records`.
    fn members(&mut self, capture: &mut Capture) -> Result<Object, Stop> {
        loop {
            match self.space_within(capture)? {
                b'}' => {
                    capture.push(self.bytes.take());
                    if self.around == 0 {
                        return Ok(Object::Whole);
                    }
                    self.around -= 1;
                }
                b',' => capture.push(self.bytes.take()),
                b'"' => {
                    let mut name = Capture::new();
                    self.string(&mut name)?;
                    let is_list = self.is_list(&name.text);
                    let is_hits = is_list && is_name(&name.text, HITS);
                    capture.append(&name);
                    if self.space_within(capture)? != b':' {
                        return Err(Stop::Malformed);
                    }
                    capture.push(self.bytes.take());
                    if self.space_within(capture)? == b'[' && is_list {
                        self.bytes.take();
                        self.in_rows = is_name(&name.text, ROWS);
                        return Ok(Object::RecordsBegin);
                    }
                    if is_hits && self.bytes.peek()? == Some(b'{') {
                        capture.push(self.bytes.take());
                        self.around += 1;
                        continue;
                    }
                    self.value(capture)?;
                }
                _ => return Err(Stop::Malformed),
            }
        }
    }

    /// Whether a member of that (quoted) name lists records: of the source, or of what carries them.
    fn is_list(&self, quoted: &[u8]) -> bool {
        let mut names = self.lists.iter().chain(&CARRIERS);
        !self.lists.is_empty() && names.any(|name| is_name(quoted, name))
    }

    /// The next element of an array, or `None` at its end.
    fn array_element(&mut self) -> Result<Option<Element>, FileDefect> {
        let first = loop {
            match self.bytes.skip_space()? {
                None => return Err(FileDefect::Cut),
                Some(b',') => self.bytes.skip(),
                Some(b']') => {
                    self.bytes.take();
                    let in_container = self.state == State::InContainersArray;
                    self.state = if in_container { State::AfterContainersArray } else { State::Between };
                    return Ok(None);
                }
                Some(first) => break first,
            }
        };
        let mut capture = Capture::new();
        match self.value(&mut capture) {
            Ok(()) if first == b'{' || (first == b'[' && self.in_rows) => {
                Ok(Some(self.found(true, capture.into_text())))
            }
            Ok(()) => Ok(Some(self.found(true, Err(ElementDefect::NotAnObject)))),
            Err(Stop::Malformed) => Err(FileDefect::Malformed { at: self.bytes.offset() }),
            Err(Stop::File(defect)) => Err(defect),
        }
    }

    fn space_within(&mut self, capture: &mut Capture) -> Result<u8, Stop> {
        loop {
            match self.bytes.peek()? {
                None => return Err(Stop::File(FileDefect::Cut)),
                Some(b'\n') if self.line_by_line => return Err(Stop::Malformed),
                Some(b' ' | b'\t' | b'\r' | b'\n') => {
                    capture.push(self.bytes.take());
                }
                Some(byte) => return Ok(byte),
            }
        }
    }

    fn value(&mut self, capture: &mut Capture) -> Result<(), Stop> {
        match self.bytes.peek()? {
            None => Err(Stop::File(FileDefect::Cut)),
            Some(b'"') => self.string(capture),
            Some(b'{' | b'[') => self.nested(capture),
            Some(b'}' | b']' | b',' | b':') => Err(Stop::Malformed),
            Some(_) => self.scalar(capture),
        }
    }

    fn scalar(&mut self, capture: &mut Capture) -> Result<(), Stop> {
        while let Some(byte) = self.bytes.peek()? {
            if matches!(byte, b',' | b'}' | b']' | b'{' | b'[' | b':' | b'"') || byte.is_ascii_whitespace() {
                break;
            }
            capture.push(self.bytes.take());
        }
        Ok(())
    }

    fn string(&mut self, capture: &mut Capture) -> Result<(), Stop> {
        capture.push(self.bytes.take());
        loop {
            match self.bytes.peek()? {
                None => return Err(Stop::File(FileDefect::Cut)),
                Some(b'\n') => return Err(Stop::Malformed),
                Some(b'"') => {
                    capture.push(self.bytes.take());
                    return Ok(());
                }
                Some(b'\\') => {
                    capture.push(self.bytes.take());
                    if self.bytes.peek()?.is_some_and(|escaped| escaped != b'\n') {
                        capture.push(self.bytes.take());
                    }
                }
                Some(_) => capture.extend(self.bytes.take_plain()),
            }
        }
    }

    /// Skips an object or array within a record, without recursion, so that depth costs nothing.
    fn nested(&mut self, capture: &mut Capture) -> Result<(), Stop> {
        let (mut depth, mut before) = (0_u64, b',');
        loop {
            let Some(byte) = self.bytes.peek()? else { return Err(Stop::File(FileDefect::Cut)) };
            match byte {
                b'"' => {
                    self.string(capture)?;
                    before = byte;
                    continue;
                }
                // Where a record was never closed, the next one begins in a place where none may.
                b'{' | b'[' if !matches!(before, b',' | b':' | b'[') => return Err(Stop::Malformed),
                b'\n' if self.line_by_line => return Err(Stop::Malformed),
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                _ => {}
            }
            capture.push(self.bytes.take());
            if depth == 0 {
                return Ok(());
            }
            if !byte.is_ascii_whitespace() {
                before = byte;
            }
        }
    }
}

/// Whether a quoted name equals `name`, ignoring case.
fn is_name(quoted: &[u8], name: &str) -> bool {
    quoted.len() == name.len() + 2 && quoted[1..=name.len()].eq_ignore_ascii_case(name.as_bytes())
}

impl<R: Read> Iterator for Elements<R> {
    type Item = Result<Element, FileDefect>;

    fn next(&mut self) -> Option<Self::Item> {
        let step = self.step();
        if step.is_err() {
            self.state = State::Ended;
        }
        step.transpose()
    }
}

#[cfg(test)]
mod tests;

//! Checks limits of a JSON text in one pass, before anything is built from it: depth, counts, lengths,
//! numbers.
//!
//! It also finds lone surrogates and U+0000, which a lenient parser accepts. Whether the text is valid JSON
//! is left to the parser.

use crate::codec::{Refusal, Why};

/// Location of the native record in a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Document {
    /// Structured event: at `data.native`.
    Structured,
    /// Structured event of a type that is not Weir's: all of `data`.
    Foreign,
    /// Data alone: at `native`.
    Data,
    /// The whole text.
    Native,
}

/// Limits of a text.
#[derive(Debug, Clone, Copy)]
struct Limits {
    depth: usize,
    keys: usize,
    items: usize,
    string_bytes: usize,
}

const EVENT: Limits = Limits { depth: 32, keys: 256, items: 10_000, string_bytes: 64 * 1024 };
/// Limits of a native record, whose texts are bounded only by the event's size.
const NATIVE: Limits = Limits { depth: 64, keys: 10_000, items: 10_000, string_bytes: usize::MAX };

const MAX_DIGITS: usize = 40;
const MAX_EXPONENT: u32 = 308;

/// Checks a whole document.
pub(super) fn check(text: &str, document: Document) -> Result<(), Refusal> {
    Walk::new(text, document).run()
}

/// Splits a JSON array into the texts of its items without looking into them.
pub(super) fn split_array(text: &str, max_items: usize) -> Result<Vec<&str>, Refusal> {
    let malformed = || Refusal::new(Why::InvalidJson, "the batch is not a JSON array");
    let inner =
        trimmed(text).strip_prefix('[').and_then(|text| text.strip_suffix(']')).ok_or_else(malformed)?;
    if trimmed(inner).is_empty() {
        return Ok(Vec::new());
    }
    let (mut items, mut start, mut depth) = (Vec::new(), 0, 0_usize);
    let mut bytes = inner.bytes().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'"' => loop {
                match bytes.next() {
                    Some((_, b'\\')) => drop(bytes.next()),
                    Some((_, b'"')) => break,
                    Some(_) => {}
                    None => return Err(malformed()),
                }
            },
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.checked_sub(1).ok_or_else(malformed)?,
            b',' if depth == 0 => {
                items.push(&inner[start..at]);
                start = at + 1;
                if items.len() >= max_items {
                    let detail = format!("the batch holds more than {max_items} events");
                    return Err(Refusal::new(Why::BatchTooLarge, detail));
                }
            }
            _ => {}
        }
    }
    if depth > 0 {
        return Err(malformed());
    }
    items.push(&inner[start..]);
    if items.iter().any(|item| trimmed(item).is_empty()) {
        return Err(malformed());
    }
    Ok(items)
}

fn trimmed(text: &str) -> &str {
    text.trim_matches([' ', '\t', '\r', '\n'])
}

struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
    open: Vec<Container>,
    limits: Limits,
    /// Number of open containers where the native record began.
    native_above: Option<usize>,
    /// The value that comes next is the native record.
    native_next: bool,
    document: Document,
}

struct Container {
    kind: Kind,
    next: Next,
    count: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Array,
    Object,
    /// The event's data: its member `native` is the native record.
    Data,
}

/// Expected token within a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Key,
    Value,
    /// The value that is the event's data.
    Data,
}

impl<'a> Walk<'a> {
    fn new(text: &'a str, document: Document) -> Self {
        let open = Vec::with_capacity(EVENT.depth);
        let (bytes, limits) = (text.as_bytes(), EVENT);
        let native_next = document == Document::Native;
        Self { bytes, at: 0, open, limits, native_above: None, native_next, document }
    }

    fn run(mut self) -> Result<(), Refusal> {
        while let Some(&byte) = self.bytes.get(self.at) {
            match byte {
                b'{' | b'[' => self.enter(byte == b'{')?,
                b'}' | b']' => self.leave(),
                b'"' => self.string()?,
                b',' => self.separator()?,
                b'-' | b'0'..=b'9' => self.number()?,
                b' ' | b'\t' | b'\r' | b'\n' | b':' => self.at += 1,
                _ => {
                    self.native_next = false;
                    self.at += 1;
                }
            }
        }
        Ok(())
    }

    fn enter(&mut self, is_object: bool) -> Result<(), Refusal> {
        if std::mem::take(&mut self.native_next) {
            self.native_above = Some(self.open.len());
            self.limits = NATIVE;
        }
        let base = self.native_above.unwrap_or(0);
        if self.open.len() - base >= self.limits.depth {
            return Err(over(format_args!("is nested deeper than {}", self.limits.depth)));
        }
        let is_data = match self.open.last_mut() {
            Some(parent) => std::mem::replace(&mut parent.next, Next::Value) == Next::Data,
            None => self.document == Document::Data,
        };
        let (kind, next) = match (is_object, is_data) {
            (false, _) => (Kind::Array, Next::Value),
            (true, false) => (Kind::Object, Next::Key),
            (true, true) => (Kind::Data, Next::Key),
        };
        self.open.push(Container { kind, next, count: 0 });
        self.at += 1;
        Ok(())
    }

    fn leave(&mut self) {
        self.open.pop();
        if self.native_above == Some(self.open.len()) {
            self.native_above = None;
            self.limits = EVENT;
        }
        self.at += 1;
    }

    fn separator(&mut self) -> Result<(), Refusal> {
        self.at += 1;
        let Some(container) = self.open.last_mut() else { return Ok(()) };
        if container.kind == Kind::Array {
            container.count += 1;
            if container.count >= self.limits.items {
                return Err(over(format_args!("has an array of more than {} items", self.limits.items)));
            }
        } else {
            container.next = Next::Key;
        }
        Ok(())
    }

    fn string(&mut self) -> Result<(), Refusal> {
        let start = self.at + 1;
        let length = self.string_bytes()?;
        let raw = &self.bytes[start..self.at - 1];
        let depth = self.open.len();
        let is_native = std::mem::take(&mut self.native_next);
        if length > self.limits.string_bytes && !is_native {
            return Err(over(format_args!("has a text of more than {} bytes", self.limits.string_bytes)));
        }
        if let Some(object) = self.open.last_mut()
            && object.next == Next::Key
        {
            object.count += 1;
            if object.count > self.limits.keys {
                return Err(over(format_args!("has an object of more than {} keys", self.limits.keys)));
            }
            let is_data = self.document == Document::Structured && depth == 1 && raw == b"data";
            let is_foreign = self.document == Document::Foreign && depth == 1;
            object.next = if is_data { Next::Data } else { Next::Value };
            self.native_next = (object.kind == Kind::Data && raw == b"native")
                || (is_foreign && matches!(raw, b"data" | b"data_base64"));
        }
        Ok(())
    }

    /// Skips a string and returns the length of its value, in bytes of UTF-8.
    fn string_bytes(&mut self) -> Result<usize, Refusal> {
        self.at += 1;
        let mut length = 0;
        loop {
            let rest = &self.bytes[self.at..];
            let plain = rest.iter().position(|b| matches!(b, b'"' | b'\\')).ok_or_else(unterminated)?;
            length += plain;
            self.at += plain + 1;
            if rest[plain] == b'"' {
                return Ok(length);
            }
            length += self.escape()?;
        }
    }

    /// Skips an escape sequence after its backslash and returns the length of its value, in bytes of UTF-8.
    fn escape(&mut self) -> Result<usize, Refusal> {
        let kind = *self.bytes.get(self.at).ok_or_else(unterminated)?;
        self.at += 1;
        if kind != b'u' {
            return Ok(1);
        }
        let code =
            self.hex4().ok_or_else(|| Refusal::new(Why::InvalidJson, "a \\u escape lacks its digits"))?;
        match code {
            0 => Err(Refusal::new(Why::Unstorable, "text contains U+0000")),
            0x01..=0x7f => Ok(1),
            0x80..=0x7ff => Ok(2),
            0xd800..=0xdbff => {
                let paired = self.bytes[self.at..].starts_with(b"\\u");
                self.at += 2;
                match self.hex4().filter(|_| paired) {
                    Some(0xdc00..=0xdfff) => Ok(4),
                    _ => Err(Refusal::new(Why::InvalidJson, "text has a lone surrogate")),
                }
            }
            0xdc00..=0xdfff => Err(Refusal::new(Why::InvalidJson, "text has a lone surrogate")),
            _ => Ok(3),
        }
    }

    fn hex4(&mut self) -> Option<u32> {
        let digits = self.bytes.get(self.at..self.at + 4)?;
        self.at += 4;
        digits.iter().try_fold(0, |code, digit| Some(code << 4 | char::from(*digit).to_digit(16)?))
    }

    fn number(&mut self) -> Result<(), Refusal> {
        self.native_next = false;
        let rest = &self.bytes[self.at..];
        let part = |b: &u8| b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.' | b'e' | b'E');
        let text = &rest[..rest.iter().position(|b| !part(b)).unwrap_or(rest.len())];
        self.at += text.len();
        let mut halves = text.splitn(2, |b| matches!(b, b'e' | b'E'));
        let digits = halves.next().unwrap_or_default().iter().filter(|b| b.is_ascii_digit()).count();
        if digits > MAX_DIGITS {
            return Err(over(format_args!("has a number of more than {MAX_DIGITS} digits")));
        }
        let exponent = halves.next().unwrap_or_default().iter().filter(|b| b.is_ascii_digit());
        let exponent =
            exponent.fold(0_u32, |sum, b| sum.saturating_mul(10).saturating_add(u32::from(b - b'0')));
        if exponent > MAX_EXPONENT {
            return Err(over(format_args!("has an exponent beyond {MAX_EXPONENT}")));
        }
        Ok(())
    }
}

fn over(what: std::fmt::Arguments<'_>) -> Refusal {
    Refusal::new(Why::OverLimit, format!("the JSON {what}"))
}

fn unterminated() -> Refusal {
    Refusal::new(Why::InvalidJson, "a text has no end")
}

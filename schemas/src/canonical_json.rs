//! JSON texts by value: equal bytes for texts with the same values, regardless of their spelling.
//!
//! | value | bytes |
//! |---|---|
//! | object | `{`, for each member in the order of their encoded names: the name as text, the value; then `}` |
//! | array | `[`, the elements, `]` |
//! | text | `"`, length as u32 big-endian, UTF-8 |
//! | number | `#`, `-` if negative, the significant digits, `e`, the exponent in decimal, `;` |
//! | true, false, null | `t`, `f`, `n` |
//!
//! White space, the order of members, escapes and the spelling of numbers (`1`, `1.0`, `10e-1`) make no
//! difference. A member that is null counts as absent, because many forwarders omit such members. Of members
//! with one name the last counts, as in most parsers. A text that is not JSON, or is nested deeper than
//! [`MAX_DEPTH`], is taken verbatim after a `!`.

use std::cell::RefCell;

use memchr::memchr2;

/// Maximum nesting; deeper texts are compared byte for byte.
const MAX_DEPTH: usize = 128;

/// Room for a form that is kept from one text to the next, in bytes.
const MAX_KEPT_BYTES: usize = 64 * 1024;

/// The canonical form of a JSON text.
pub fn canonical_json(text: &str) -> Vec<u8> {
    with_canonical_json(text, <[u8]>::to_vec)
}

/// Calls `read` with the canonical form of a JSON text, without memory of its own for it.
pub(crate) fn with_canonical_json<T>(text: &str, read: impl FnOnce(&[u8]) -> T) -> T {
    let Room { mut out, mut members, sorted } = ROOM.take();
    out.clear();
    members.clear();
    let mut reader = Reader { bytes: text.as_bytes(), at: 0, out, members, sorted };
    if reader.document().is_none() {
        reader.out.clear();
        reader.out.push(b'!');
        reader.out.extend_from_slice(text.as_bytes());
    }
    let answer = read(&reader.out);
    let Reader { out, members, sorted, .. } = reader;
    if out.capacity() <= MAX_KEPT_BYTES && sorted.capacity() <= MAX_KEPT_BYTES {
        ROOM.set(Room { out, members, sorted });
    }
    answer
}

/// Output buffers of a [`Reader`].
#[derive(Default)]
struct Room {
    out: Vec<u8>,
    members: Vec<Member>,
    sorted: Vec<u8>,
}

thread_local! {
    static ROOM: RefCell<Room> = RefCell::default();
}

/// A member of an object that is being read: start and end of its name, and end of its value, in the output.
#[derive(Clone, Copy)]
struct Member {
    name: usize,
    value: usize,
    end: usize,
}

impl Member {
    fn is_null(self) -> bool {
        self.value == self.end
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    out: Vec<u8>,
    /// Members of all open objects, the innermost last.
    members: Vec<Member>,
    /// Buffer for sorting members.
    sorted: Vec<u8>,
}

/// Kind of the value that was read; `None` stands for a text that is not JSON.
#[derive(PartialEq, Eq)]
enum Found {
    Null,
    Value,
}

impl Reader<'_> {
    fn document(&mut self) -> Option<()> {
        self.skip_space();
        self.value(0)?;
        self.skip_space();
        (self.at == self.bytes.len()).then_some(())
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    fn value(&mut self, depth: usize) -> Option<Found> {
        match self.peek()? {
            b'{' => self.object(depth)?,
            b'[' => self.array(depth)?,
            b'"' => self.text()?,
            b't' => self.word(b"true")?,
            b'f' => self.word(b"false")?,
            b'n' => {
                self.word(b"null")?;
                return Some(Found::Null);
            }
            _ => self.number()?,
        }
        Some(Found::Value)
    }

    fn word(&mut self, word: &[u8]) -> Option<()> {
        self.bytes[self.at..].starts_with(word).then(|| {
            self.at += word.len();
            self.out.push(word[0]);
        })
    }

    fn array(&mut self, depth: usize) -> Option<()> {
        let depth = deeper(depth)?;
        self.take(b'[')?;
        self.out.push(b'[');
        self.skip_space();
        if self.take(b']').is_none() {
            loop {
                self.skip_space();
                self.value(depth)?;
                self.skip_space();
                if self.take(b',').is_none() {
                    self.take(b']')?;
                    break;
                }
            }
        }
        self.out.push(b']');
        Some(())
    }

    fn object(&mut self, depth: usize) -> Option<()> {
        let depth = deeper(depth)?;
        self.take(b'{')?;
        self.out.push(b'{');
        let (begin, first) = (self.out.len(), self.members.len());
        self.skip_space();
        if self.take(b'}').is_none() {
            loop {
                self.skip_space();
                self.member(depth)?;
                self.skip_space();
                if self.take(b',').is_none() {
                    self.take(b'}')?;
                    break;
                }
            }
        }
        self.sort_members(begin, first);
        self.members.truncate(first);
        self.out.push(b'}');
        Some(())
    }

    fn member(&mut self, depth: usize) -> Option<()> {
        let name = self.out.len();
        self.text()?;
        let value = self.out.len();
        self.skip_space();
        self.take(b':')?;
        self.skip_space();
        if self.value(depth)? == Found::Null {
            // Kept without its value until the object ends: it hides an earlier member of its name.
            self.out.truncate(value);
        }
        self.members.push(Member { name, value, end: self.out.len() });
        Some(())
    }

    /// Sorts the members from `first` on, written from `begin` on, and removes those that do not count.
    fn sort_members(&mut self, begin: usize, first: usize) {
        let Self { out, members, sorted, .. } = self;
        let members = &mut members[first..];
        let name = |member: &Member| &out[member.name..member.value];
        let in_order = members.windows(2).all(|pair| name(&pair[0]) < name(&pair[1]));
        if in_order && !members.iter().any(|member| member.is_null()) {
            return;
        }
        // Stable: of members with one name the last stays last.
        members.sort_by(|a, b| name(a).cmp(name(b)));
        sorted.clear();
        for (at, member) in members.iter().enumerate() {
            let is_last = members.get(at + 1).is_none_or(|next| name(next) != name(member));
            if is_last && !member.is_null() {
                sorted.extend_from_slice(&out[member.name..member.end]);
            }
        }
        out.truncate(begin);
        out.extend_from_slice(sorted);
    }

    fn text(&mut self) -> Option<()> {
        self.take(b'"')?;
        self.out.push(b'"');
        let length_at = self.out.len();
        self.out.extend_from_slice(&[0; 4]);
        loop {
            let rest = &self.bytes[self.at..];
            let plain = memchr2(b'"', b'\\', rest)?;
            self.out.extend_from_slice(&rest[..plain]);
            self.at += plain + 1;
            if rest[plain] == b'"' {
                break;
            }
            self.escape()?;
        }
        let length = u32::try_from(self.out.len() - length_at - 4).ok()?;
        self.out[length_at..length_at + 4].copy_from_slice(&length.to_be_bytes());
        Some(())
    }

    fn escape(&mut self) -> Option<()> {
        let escaped = self.peek()?;
        self.at += 1;
        let plain = match escaped {
            b'"' | b'\\' | b'/' => escaped,
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let unit = self.hex_unit()?;
                let character = match char::from_u32(unit) {
                    Some(character) => character,
                    None => self.surrogate_pair(unit)?,
                };
                self.out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                return Some(());
            }
            _ => return None,
        };
        self.out.push(plain);
        Some(())
    }

    fn hex_unit(&mut self) -> Option<u32> {
        let digits = self.bytes.get(self.at..self.at + 4)?;
        self.at += 4;
        digits.iter().try_fold(0, |unit, digit| Some(unit << 4 | char::from(*digit).to_digit(16)?))
    }

    fn surrogate_pair(&mut self, high: u32) -> Option<char> {
        self.take(b'\\')?;
        self.take(b'u')?;
        let low = self.hex_unit()?;
        let halves = (0xD800..0xDC00).contains(&high) && (0xDC00..0xE000).contains(&low);
        halves.then(|| char::from_u32(0x1_0000 + ((high - 0xD800) << 10) + (low - 0xDC00))).flatten()
    }

    /// Exact: no number is rounded, however long.
    fn number(&mut self) -> Option<()> {
        self.out.push(b'#');
        if self.take(b'-').is_some() {
            self.out.push(b'-');
        }
        let digits_at = self.out.len();
        let whole = self.digits()?;
        let mut exponent: i64 = 0;
        if self.take(b'.').is_some() {
            exponent -= i64::try_from(self.digits()?).ok()?;
        }
        if self.take(b'e').or_else(|| self.take(b'E')).is_some() {
            exponent = exponent.checked_add(self.exponent()?)?;
        }
        let significant = self.out[digits_at..].iter().position(|digit| *digit != b'0');
        let leading = significant.unwrap_or(self.out.len() - digits_at);
        // `00` is no number; `0.5` is one.
        if whole > 1 && self.out[digits_at] == b'0' {
            return None;
        }
        self.out.drain(digits_at..digits_at + leading);
        let end = self.out[digits_at..].iter().rposition(|digit| *digit != b'0').map_or(0, |last| last + 1);
        if end == 0 {
            // Zero has neither sign nor exponent.
            self.out.truncate(digits_at);
            if self.out.last() == Some(&b'-') {
                self.out.pop();
            }
            exponent = 0;
        } else {
            exponent = exponent.checked_add(i64::try_from(self.out.len() - digits_at - end).ok()?)?;
            self.out.truncate(digits_at + end);
        }
        self.out.push(b'e');
        if exponent == 0 {
            self.out.push(b'0');
        } else {
            self.out.extend_from_slice(exponent.to_string().as_bytes());
        }
        self.out.push(b';');
        Some(())
    }

    /// Writes digits out; at least one.
    fn digits(&mut self) -> Option<usize> {
        let rest = &self.bytes[self.at..];
        let digits = rest.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len());
        self.out.extend_from_slice(&rest[..digits]);
        self.at += digits;
        (digits > 0).then_some(digits)
    }

    fn exponent(&mut self) -> Option<i64> {
        let is_negative = match self.peek()? {
            sign @ (b'+' | b'-') => {
                self.at += 1;
                sign == b'-'
            }
            _ => false,
        };
        let rest = &self.bytes[self.at..];
        let digits = rest.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len());
        self.at += digits;
        let magnitude: i64 = std::str::from_utf8(&rest[..digits]).ok()?.parse().ok()?;
        Some(if is_negative { -magnitude } else { magnitude })
    }
}

fn deeper(depth: usize) -> Option<usize> {
    (depth < MAX_DEPTH).then_some(depth + 1)
}

#[cfg(test)]
mod tests;

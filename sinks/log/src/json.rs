//! Walking over JSON text as it stands, without building anything of it.

use std::ops::Range;

use memchr::memchr2;

/// Deepest nesting that is walked into.
const MAX_DEPTH: usize = 128;

/// Text that is no JSON object, or not written in canonical form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the record is no JSON object in canonical form")]
pub struct Malformed;

/// One member of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member<'a> {
    /// Between its quotes, as written.
    pub(crate) key: &'a [u8],
    /// As written.
    pub(crate) value: &'a [u8],
    /// Key, colon and value.
    pub(crate) whole: &'a [u8],
}

/// The members of an object in canonical form, in their order.
pub(crate) struct Members<'a> {
    cursor: Cursor<'a>,
    /// Whether another one follows.
    more: bool,
}

impl<'a> Members<'a> {
    /// The members of the object that the text is.
    pub(crate) fn of(text: &'a [u8]) -> Result<Self, Malformed> {
        let mut cursor = Cursor::of(text);
        let more = cursor.open()?;
        if !more {
            cursor.end()?;
        }
        Ok(Self { cursor, more })
    }

    fn member(&mut self) -> Result<Member<'a>, Malformed> {
        let head = self.cursor.head()?;
        let value = self.cursor.value()?;
        let whole = self.cursor.since(&head);
        self.more = self.cursor.another()?;
        if !self.more {
            self.cursor.end()?;
        }
        Ok(Member { key: head.key, value, whole })
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = Result<Member<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        // Behind a member that is malformed comes nothing.
        std::mem::take(&mut self.more).then(|| self.member())
    }
}

/// A place in a JSON text in canonical form.
pub(crate) struct Cursor<'a> {
    text: &'a [u8],
    at: usize,
}

/// The beginning of a member.
pub(crate) struct Head<'a> {
    /// Between its quotes, as written.
    pub(crate) key: &'a [u8],
    /// Where the key begins, with its quote.
    pub(crate) start: usize,
}

impl<'a> Cursor<'a> {
    /// The beginning of a text.
    pub(crate) fn of(text: &'a [u8]) -> Self {
        Self { text, at: 0 }
    }

    /// Whether an object begins here.
    pub(crate) fn is_object(&self) -> bool {
        self.text.get(self.at) == Some(&b'{')
    }

    /// Goes into the object that begins here; answers whether it has a member.
    pub(crate) fn open(&mut self) -> Result<bool, Malformed> {
        self.take(b'{')?;
        let empty = self.text.get(self.at) == Some(&b'}');
        self.at += usize::from(empty);
        Ok(!empty)
    }

    /// The key of the member that begins here, up to its value.
    pub(crate) fn head(&mut self) -> Result<Head<'a>, Malformed> {
        let start = self.at;
        let key = string(self.text, start)?;
        self.at = key.end + 1;
        self.take(b':')?;
        Ok(Head { key: &self.text[key], start })
    }

    /// The value that begins here.
    pub(crate) fn value(&mut self) -> Result<&'a [u8], Malformed> {
        let value = start_of_value(self.text, self.at)?;
        self.at = value.end;
        Ok(&self.text[value])
    }

    /// Behind a member: whether another one begins, or else the object ends.
    pub(crate) fn another(&mut self) -> Result<bool, Malformed> {
        let byte = self.text.get(self.at).ok_or(Malformed)?;
        self.at += 1;
        match byte {
            b',' => Ok(true),
            b'}' => Ok(false),
            _ => Err(Malformed),
        }
    }

    /// Refuses whatever follows.
    pub(crate) fn end(&self) -> Result<(), Malformed> {
        if self.at == self.text.len() { Ok(()) } else { Err(Malformed) }
    }

    /// The offset reached in the text.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// A part of the text.
    pub(crate) fn part(&self, range: Range<usize>) -> &'a [u8] {
        &self.text[range]
    }

    /// Everything from the member's key up to here.
    pub(crate) fn since(&self, head: &Head<'_>) -> &'a [u8] {
        &self.text[head.start..self.at]
    }

    fn take(&mut self, byte: u8) -> Result<(), Malformed> {
        if self.text.get(self.at) != Some(&byte) {
            return Err(Malformed);
        }
        self.at += 1;
        Ok(())
    }
}

/// Range between the quotes of the string that begins at `start`.
fn string(text: &[u8], start: usize) -> Result<Range<usize>, Malformed> {
    if text.get(start) != Some(&b'"') {
        return Err(Malformed);
    }
    let mut at = start + 1;
    loop {
        let found = quote_or_escape(text, at).ok_or(Malformed)?;
        match text[found] {
            b'"' => return Ok(start + 1..found),
            _ => at = found + 2,
        }
    }
}

/// Place of the first quote or backslash from `start` on. Most strings are short: setting a vector search up would cost more
/// than looking at eight bytes at a time.
fn quote_or_escape(text: &[u8], start: usize) -> Option<usize> {
    const WORDS: usize = 4;
    let mut at = start;
    for _ in 0..WORDS {
        let Some((word, _)) = text.get(at..)?.split_first_chunk::<8>() else { break };
        let word = u64::from_le_bytes(*word);
        let found = zero_bytes(word ^ repeated(b'"')) | zero_bytes(word ^ repeated(b'\\'));
        if found != 0 {
            return Some(at + found.trailing_zeros() as usize / 8);
        }
        at += 8;
    }
    memchr2(b'"', b'\\', text.get(at..)?).map(|found| at + found)
}

const fn repeated(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; 8])
}

/// The highest bit of each byte that is zero; bytes above the lowest of them may be marked in error.
const fn zero_bytes(word: u64) -> u64 {
    word.wrapping_sub(repeated(1)) & !word & repeated(0x80)
}

/// The value that begins at `start`.
fn start_of_value(text: &[u8], start: usize) -> Result<Range<usize>, Malformed> {
    let end = match text.get(start) {
        Some(b'"') => string(text, start)?.end + 1,
        Some(b'{' | b'[') => end_of_nested(text, start)?,
        Some(b',' | b'}' | b']' | b' ' | b'\n' | b'\t' | b'\r') | None => return Err(Malformed),
        Some(_) => {
            let rest = &text[start..];
            let length = rest.iter().position(|byte| matches!(byte, b',' | b'}' | b']')).ok_or(Malformed)?;
            if rest[..length].iter().any(|byte| !is_of_scalar(*byte)) {
                return Err(Malformed);
            }
            start + length
        }
    };
    Ok(start..end)
}

/// Whether a number, `true`, `false` or `null` may hold the byte.
fn is_of_scalar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.')
}

fn end_of_nested(text: &[u8], start: usize) -> Result<usize, Malformed> {
    let (mut at, mut depth) = (start, 0_usize);
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => at = string(text, at)?.end,
            b'{' | b'[' if depth == MAX_DEPTH => return Err(Malformed),
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return Ok(at + 1);
                }
            }
            _ => {}
        }
        at += 1;
    }
    Err(Malformed)
}

/// The text that a JSON string stands for.
pub(crate) fn unescape(value: &[u8]) -> Result<String, Malformed> {
    serde_json::from_slice(value).map_err(|_| Malformed)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn members(text: &str) -> Result<Vec<(String, String)>, Malformed> {
        let own = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
        Members::of(text.as_bytes())?
            .map(|member| {
                let member = member?;
                assert_eq!(own(member.whole), format!("\"{}\":{}", own(member.key), own(member.value)));
                Ok((own(member.key), own(member.value)))
            })
            .collect()
    }

    #[test]
    fn members_come_as_they_stand() {
        let text = r#"{"a":{"b":[1,"}]"]},"c\"":"\\","d":-1.5e+300,"e":null,"f":[],"g":{}}"#;
        let expected = [
            ("a", r#"{"b":[1,"}]"]}"#),
            (r#"c\""#, r#""\\""#),
            ("d", "-1.5e+300"),
            ("e", "null"),
            ("f", "[]"),
            ("g", "{}"),
        ];
        let expected = expected.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec();
        assert_eq!(members(text), Ok(expected));
        assert_eq!(members("{}"), Ok(Vec::new()));
    }

    #[test]
    fn whatever_is_no_object_is_refused() {
        for odd in [
            "",
            "{",
            "}",
            "[]",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1",
            "{\"a\":1}}",
            "{\"a\":1,}",
            "{\"a\": 1}",
            "{a:1}",
            "{\"a\":\"b}",
            "{\"a\":[1}",
            "{\"a\":1}{",
            "{\"a\":1 }",
            "{\"a\\",
            "{,}",
        ] {
            assert_eq!(members(odd), Err(Malformed), "{odd}");
        }
        assert!(members(&format!("{{\"a\":{}{}}}", "[".repeat(200), "]".repeat(200))).is_err());
    }

    proptest! {
        #[test]
        fn the_first_quote_or_escape_is_found(bytes in prop::collection::vec(prop::sample::select(b"ab\"\\\x01\xa2\xdd\x80\x00\xff".to_vec()), 0..60), rare in any::<bool>(), start in 0_usize..60) {
            let bytes: Vec<u8> = if rare { bytes.iter().map(|byte| byte | 1).collect() } else { bytes };
            let start = start.min(bytes.len());
            let naive = (start..bytes.len()).find(|at| matches!(bytes[*at], b'"' | b'\\'));
            assert_eq!(quote_or_escape(&bytes, start), naive);
        }

        #[test]
        fn no_bytes_make_it_fail_otherwise(bytes in prop::collection::vec(prop::sample::select(br#"{}[]",:\a1"#.to_vec()), 0..60)) {
            if let Ok(members) = Members::of(&bytes) {
                assert!(members.count() <= bytes.len());
            }
        }
    }
}

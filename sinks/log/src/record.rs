//! A record in two parts, and the leaf that they make.
//!
//! The public part is the record in canonical form (RFC 8785) without its personal members, and with the hash of the
//! native record; an empty `unmapped` is left out. The personal part is an object of path and value, in canonical form, with the native record behind it.

use std::{borrow::Cow, ops::Range};

use crate::{
    hash::{Hash, Salt},
    json::{Cursor, Malformed, Members, unescape},
    personal::{RULES, Rule, Rules},
};

/// Splits records, reusing its memory.
#[derive(Debug, Default)]
pub struct Splitter {
    public: Vec<u8>,
    personal: Vec<u8>,
    path: Vec<u8>,
}

/// A record in its two parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parts<'a> {
    /// The members that are not personal, in canonical form.
    pub public: &'a [u8],
    /// The personal members by path, in canonical form.
    pub personal: &'a [u8],
    /// The native record, which follows the personal members.
    pub native: Option<Cow<'a, [u8]>>,
}

impl Parts<'_> {
    /// The salted digest of the personal part; with it, the leaf can be made without the personal part.
    pub fn personal_digest(&self, salt: &Salt) -> Hash {
        Hash::of_parts(&[&salt.0, self.personal, self.native.as_deref().unwrap_or_default()])
    }

    /// The leaf, where the personal part is at hand.
    pub fn leaf(&self, salt: &Salt) -> Hash {
        leaf(self.public, &self.personal_digest(salt))
    }
}

/// The leaf of an entry out of its public part and the digest of its personal part.
pub fn leaf(public: &[u8], personal_digest: &Hash) -> Hash {
    Hash::leaf(&Hash::of_parts(&[public, &personal_digest.0]))
}

impl Splitter {
    /// Splits a record as it is stored: its text in canonical form, and its native record in it or beside it
    /// ([`schemas::changes::OcsfRecord`]).
    pub fn split<'a>(&'a mut self, stored: &'a [u8]) -> Result<Parts<'a>, Malformed> {
        let (text, beside) = beside(stored);
        self.public.clear();
        self.personal.clear();
        self.path.clear();
        self.personal.push(b'{');
        let mut cursor = Cursor::of(text);
        let native = self.object(&mut cursor, &RULES, beside.map(Cow::Borrowed))?;
        cursor.end()?;
        self.personal.push(b'}');
        Ok(Parts { public: &self.public, personal: &self.personal, native })
    }

    /// Walks once over the object that begins at the cursor; answers the native record if it was found there, or else the
    /// one given.
    fn object<'a>(
        &mut self,
        cursor: &mut Cursor<'a>,
        rules: &Rules,
        beside: Option<Cow<'a, [u8]>>,
    ) -> Result<Option<Cow<'a, [u8]>>, Malformed> {
        let mut native = beside;
        let mut is_hashed = false;
        // Members that stay and follow one another are copied at once.
        let mut staying: Option<Range<usize>> = None;
        self.public.push(b'{');
        let mut more = cursor.open()?;
        while more {
            let head = cursor.head()?;
            let rule = rules.of(head.key);
            let stays = match rule {
                None | Some(Rule::NativeHash) => !(is_hashed && rule.is_some()),
                Some(Rule::Inside(_)) => !cursor.is_object(),
                Some(_) => false,
            };
            if stays {
                cursor.value()?;
                staying = Some(staying.map_or(head.start, |run| run.start)..cursor.at());
                more = cursor.another()?;
                continue;
            }
            if let Some(run) = staying.take() {
                self.keep(cursor.part(run));
            }
            match rule {
                Some(Rule::Personal) => self.set_aside(head.key, cursor.value()?),
                Some(Rule::Native) => {
                    let value = cursor.value()?;
                    if native.is_none() {
                        native = Some(Cow::Owned(unescape(value)?.into_bytes()));
                    }
                    self.keep(&native_hash(&Hash::of(native.as_deref().unwrap_or_default())));
                    is_hashed = true;
                }
                Some(Rule::Inside(inside)) => {
                    let start = self.public.len();
                    self.keep(cursor.since(&head));
                    let before = self.path.len();
                    self.path.extend_from_slice(head.key);
                    self.path.push(b'.');
                    self.object(cursor, inside, None)?;
                    self.path.truncate(before);
                    // The log itself may have added the object, so an empty one counts for nothing.
                    if self.public.ends_with(b"{}") && inside.has_integrity() {
                        self.public.truncate(start);
                    }
                }
                // The hash stands right behind the native record, if the record has it still.
                None | Some(Rule::Integrity | Rule::NativeHash) => drop(cursor.value()?),
            }
            more = cursor.another()?;
        }
        if let Some(run) = staying {
            self.keep(cursor.part(run));
        }
        self.public.push(b'}');
        Ok(native)
    }

    fn separate(&mut self) {
        if self.public.last() != Some(&b'{') {
            self.public.push(b',');
        }
    }

    fn keep(&mut self, members: &[u8]) {
        self.separate();
        self.public.extend_from_slice(members);
    }

    fn set_aside(&mut self, key: &[u8], value: &[u8]) {
        if self.personal.len() > 1 {
            self.personal.push(b',');
        }
        self.personal.push(b'"');
        self.personal.extend_from_slice(&self.path);
        self.personal.extend_from_slice(key);
        self.personal.extend_from_slice(b"\":");
        self.personal.extend_from_slice(value);
    }
}

/// The text of a stored record and the native record beside it.
pub(crate) fn beside(stored: &[u8]) -> (&[u8], Option<&[u8]>) {
    match memchr::memchr(0, stored) {
        Some(end) => (&stored[..end], Some(&stored[end + 1..])),
        None => (stored, None),
    }
}

/// OCSF's `raw_data_hash`, as a member in canonical form.
pub(crate) fn native_hash(hash: &Hash) -> Vec<u8> {
    const BEFORE: &[u8] = br#""raw_data_hash":{"algorithm":"SHA-256","algorithm_id":3,"value":""#;
    [BEFORE, &hash.hexadecimal(), b"\"}"].concat()
}

/// A record that was not stored by Weir, as it would be: in canonical form. Numbers are those of ECMAScript.
pub fn canonical(record: &serde_json::Value) -> Result<Vec<u8>, Malformed> {
    serde_json_canonicalizer::to_vec(record).map_err(|_| Malformed)
}

/// The whole record in canonical form, its native record inside and hashed, and the log's own member added to it.
pub fn attested(stored: &[u8], integrity: &str) -> Result<Vec<u8>, Malformed> {
    let (text, native) = beside(stored);
    let mut whole = Whole { to: Vec::with_capacity(stored.len() * 2), native, integrity };
    whole.to.push(b'{');
    let mut done = false;
    for member in Members::of(text)? {
        let member = member?;
        match member.key {
            b"unmapped" if !done => {
                whole.unmapped(Some(member.value))?;
                done = true;
            }
            key => {
                if !done && key > b"unmapped".as_slice() {
                    whole.unmapped(None)?;
                    done = true;
                }
                whole.member(member.key, member.whole, member.value)?;
            }
        }
    }
    if !done {
        whole.unmapped(None)?;
    }
    whole.to.push(b'}');
    Ok(whole.to)
}

struct Whole<'a> {
    to: Vec<u8>,
    native: Option<&'a [u8]>,
    integrity: &'a str,
}

impl Whole<'_> {
    fn separate(&mut self) {
        if self.to.last() != Some(&b'{') {
            self.to.push(b',');
        }
    }

    fn member(&mut self, key: &[u8], member: &[u8], value: &[u8]) -> Result<(), Malformed> {
        self.separate();
        if key != b"raw_data" {
            self.to.extend_from_slice(member);
            return Ok(());
        }
        let native = match self.native {
            Some(native) => Cow::Borrowed(str::from_utf8(native).map_err(|_| Malformed)?),
            None => Cow::Owned(unescape(value)?),
        };
        self.to.extend_from_slice(b"\"raw_data\":");
        serde_json::to_writer(&mut self.to, native.as_ref()).map_err(|_| Malformed)?;
        self.to.push(b',');
        self.to.extend_from_slice(&native_hash(&Hash::of(native.as_bytes())));
        Ok(())
    }

    fn unmapped(&mut self, value: Option<&[u8]>) -> Result<(), Malformed> {
        const KEY: &[u8] = b"record_integrity";
        self.separate();
        self.to.extend_from_slice(b"\"unmapped\":{");
        let mut added = false;
        let members = value.map(Members::of).transpose()?;
        for member in members.into_iter().flatten() {
            let member = member?;
            if !added && member.key > KEY {
                self.add_integrity();
                added = true;
            }
            self.separate();
            self.to.extend_from_slice(member.whole);
        }
        if !added {
            self.add_integrity();
        }
        self.to.push(b'}');
        Ok(())
    }

    fn add_integrity(&mut self) {
        self.separate();
        self.to.extend_from_slice(b"\"record_integrity\":");
        self.to.extend_from_slice(self.integrity.as_bytes());
    }
}

#[cfg(test)]
mod tests;

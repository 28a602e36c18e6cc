//! A record's fields, read one by one as far as they are what they should be.

use std::{borrow::Cow, cell::Cell, collections::HashMap, rc::Rc};

use serde_json::value::RawValue;

use super::is_present;

/// Longest text that becomes a field of an event; a longer one stays in the native record only.
pub(super) const MAX_TEXT_BYTES: usize = 8 * 1024;

/// An object's members, still as text: nothing is parsed that nobody asks for, so depth and digits do no harm.
pub(super) struct Fields<'a> {
    members: HashMap<Cow<'a, str>, &'a RawValue>,
    left_empty: Rc<Cell<bool>>,
}

impl<'a> Fields<'a> {
    pub(super) fn parse(text: &'a str) -> serde_json::Result<Self> {
        Self::parse_within(text, Rc::default())
    }

    /// Of another object: what is left empty in the one is so in both.
    fn parse_within(text: &'a str, left_empty: Rc<Cell<bool>>) -> serde_json::Result<Self> {
        Ok(Self { members: serde_json::from_str(text)?, left_empty })
    }

    /// Names are CloudTrail's; where exactly that name is missing, its spelling in other case is taken.
    pub(super) fn raw(&self, name: &str) -> Option<&'a RawValue> {
        let exact = self.members.get(name);
        let folded =
            || self.members.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value);
        exact.or_else(folded).copied().filter(|value| is_present(value))
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.raw(name).is_some()
    }

    /// A text that is not empty.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        let text: Option<String> = self.read(name);
        text.filter(|text| !text.is_empty()).filter(|text| {
            let fits = text.len() <= MAX_TEXT_BYTES;
            self.note_unless(fits);
            fits
        })
    }

    /// A truth value, also as the text that some versions write.
    pub(super) fn flag(&self, name: &str) -> Option<bool> {
        match self.raw(name)?.get().trim_matches('"') {
            "true" => Some(true),
            "false" => Some(false),
            _ => {
                self.note_unless(false);
                None
            }
        }
    }

    pub(super) fn object(&self, name: &str) -> Option<Fields<'a>> {
        let raw = self.raw(name)?;
        let parsed = self.within(raw.get());
        self.note_unless(parsed.is_some());
        parsed
    }

    /// The first `most` objects of an array.
    pub(super) fn objects(&self, name: &str, most: usize) -> Vec<Fields<'a>> {
        let elements: Vec<&'a RawValue> = self.read(name).unwrap_or_default();
        elements.into_iter().take(most).filter_map(|element| self.within(element.get())).collect()
    }

    /// Whether a field of this object or its parts was asked for and had a wrong type or length.
    pub(super) fn left_empty(&self) -> bool {
        self.left_empty.get()
    }

    fn within(&self, text: &'a str) -> Option<Self> {
        Self::parse_within(text, Rc::clone(&self.left_empty)).ok()
    }

    fn read<T: serde::Deserialize<'a>>(&self, name: &str) -> Option<T> {
        let raw = self.raw(name)?;
        let read = serde_json::from_str(raw.get()).ok();
        self.note_unless(read.is_some());
        read
    }

    fn note_unless(&self, good: bool) {
        if !good {
            self.left_empty.set(true);
        }
    }
}

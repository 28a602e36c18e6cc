//! Reads a record's fields one by one; fields of a wrong type are left empty.

use std::{borrow::Cow, cell::Cell, collections::BTreeMap, fmt, rc::Rc};

use schemas::Timestamp;
use serde::{
    Deserialize,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::mapped::{instant_of_number, parse_time};

/// Maximum length of a text in an event's field; longer ones stay in the native record only.
pub(super) const MAX_TEXT_BYTES: usize = 8 * 1024;

/// Members of an object, unparsed until they are read, so that depth and long numbers elsewhere do no harm.
pub(super) struct Fields<'a> {
    members: Members<'a>,
    left_empty: Rc<Cell<bool>>,
}

impl<'a> Fields<'a> {
    pub(super) fn parse(text: &'a str) -> serde_json::Result<Self> {
        Self::parse_within(text, Rc::default())
    }

    /// Parses a nested object, which shares the flag for fields left empty.
    fn parse_within(text: &'a str, left_empty: Rc<Cell<bool>>) -> serde_json::Result<Self> {
        Ok(Self { members: serde_json::from_str(text)?, left_empty })
    }

    /// The member with that name, or else with that name in another case.
    pub(super) fn raw(&self, name: &str) -> Option<&'a RawValue> {
        let exact = self.members.find(|key| key == name);
        exact
            .or_else(|| self.members.find(|key| key.eq_ignore_ascii_case(name)))
            .filter(|value| value.get() != "null")
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.raw(name).is_some()
    }

    /// Whether the member at a path of names exists, as in `a.b`.
    pub(super) fn has_path(&self, path: &str) -> bool {
        match path.split_once('.') {
            None => self.has(path),
            Some((first, rest)) => self.inner(first).is_some_and(|inner| inner.has_path(rest)),
        }
    }

    /// The nested object with that name, if there is one; another type is not counted as a fault.
    pub(super) fn inner(&self, name: &str) -> Option<Fields<'a>> {
        self.within(self.raw(name)?.get())
    }

    /// The first of those members that is a text.
    pub(super) fn first_text(&self, names: &[&str]) -> Option<String> {
        names.iter().find_map(|name| self.plain_text(name))
    }

    /// A text that is not empty; another type is not counted as a fault.
    pub(super) fn plain_text(&self, name: &str) -> Option<String> {
        let text: String = serde_json::from_str(self.raw(name)?.get()).ok()?;
        (!text.is_empty()).then(|| self.text(name)).flatten()
    }

    /// A text of any length that is not empty, for the content of carriers.
    pub(super) fn plain_text_of_any_size(&self, name: &str) -> Option<String> {
        let text: String = serde_json::from_str(self.raw(name)?.get()).ok()?;
        (!text.is_empty()).then_some(text)
    }

    /// Whether a member with exactly that name exists.
    pub(super) fn exactly(&self, name: &str) -> bool {
        self.members.find(|key| key == name).is_some()
    }

    /// The members that are not null, by name, in order: the texts of their values.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&str, &'a str)> {
        let members = self.members.0.iter().map(|(name, value)| (&*name.0, value.get()));
        members.filter(|(_, value)| *value != "null")
    }

    /// Number of members.
    pub(super) fn len(&self) -> usize {
        self.members.0.len()
    }

    /// A text that is not empty.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        let text: Option<String> = self.read(name);
        text.filter(|text| !text.is_empty()).filter(|text| {
            // U+0000 is JSON, but no text that can be stored.
            let fits = text.len() <= MAX_TEXT_BYTES && !text.contains('\0');
            self.note_unless(fits);
            fits
        })
    }

    /// A boolean, also as the text that some versions write.
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

    /// The first `most` objects of an array; another type is not counted as a fault.
    pub(super) fn quiet_objects(&self, name: &str, most: usize) -> Vec<Fields<'a>> {
        let elements: Vec<&'a RawValue> =
            self.raw(name).and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default();
        elements.into_iter().take(most).filter_map(|element| self.within(element.get())).collect()
    }

    /// The texts of an array, at most `most`, each not empty.
    pub(super) fn texts(&self, name: &str, most: usize) -> Vec<String> {
        let texts: Vec<String> = self.read(name).unwrap_or_default();
        let storable =
            |text: &String| !text.is_empty() && text.len() <= MAX_TEXT_BYTES && !text.contains('\0');
        texts.into_iter().take(most).filter(storable).collect()
    }

    /// A text that is not empty, or a whole number as text.
    pub(super) fn id(&self, name: &str) -> Option<String> {
        let number: Option<u64> = self.raw(name).and_then(|raw| raw.get().parse().ok());
        number.map(|number| number.to_string()).or_else(|| self.text(name))
    }

    /// A timestamp: text as in RFC 3339 and other common forms, or a number of seconds, milliseconds,
    /// microseconds or nanoseconds since 1970.
    pub(super) fn instant(&self, name: &str) -> Option<Timestamp> {
        let raw = self.raw(name)?;
        if let Ok(number) = raw.get().parse() {
            return instant_of_number(number);
        }
        self.text(name).as_deref().and_then(parse_time)
    }

    /// Members that are texts, by name; at most so many.
    pub(super) fn pairs(&self, most: usize) -> BTreeMap<String, String> {
        let texts = self.members.0.iter().filter_map(|(name, value)| {
            let text: String = serde_json::from_str(value.get()).ok()?;
            let is_storable =
                [&*name.0, &text].iter().all(|text| !text.contains('\0') && text.len() <= MAX_TEXT_BYTES);
            is_storable.then(|| (name.0.to_string(), text))
        });
        texts.take(most).collect()
    }

    /// Whether a field of this object or a nested one was read and had a wrong type or length.
    pub(super) fn left_empty(&self) -> bool {
        self.left_empty.get()
    }

    fn within(&self, text: &'a str) -> Option<Self> {
        Self::parse_within(text, Rc::clone(&self.left_empty)).ok()
    }

    fn read<T: Deserialize<'a>>(&self, name: &str) -> Option<T> {
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

/// Members in order. Records have few: searching a list is faster than building a table.
struct Members<'a>(Vec<(Name<'a>, &'a RawValue)>);

#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'a> Members<'a> {
    /// The last of the members that match, as most parsers choose among duplicates.
    fn find(&self, is_it: impl Fn(&str) -> bool) -> Option<&'a RawValue> {
        self.0.iter().rev().find(|(name, _)| is_it(&name.0)).map(|(_, value)| *value)
    }
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Object)
    }
}

struct Object;

impl<'de> Visitor<'de> for Object {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
        let mut members = Vec::with_capacity(24);
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Members(members))
    }
}

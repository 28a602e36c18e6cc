//! A native record with its fields' values as texts, computed once for all rules.

use std::{borrow::Cow, cell::OnceCell};

use super::{
    fields::{FieldId, Fields},
    json::Json,
};

/// A record with a cache of its fields.
pub(super) struct Record<'r> {
    root: &'r Json<'r>,
    fields: &'r Fields,
    found: Vec<OnceCell<Found<'r>>>,
    everywhere: OnceCell<Vec<Leaf<'r>>>,
}

/// The values of a field.
#[derive(Debug, Default)]
pub(super) struct Found<'r> {
    /// Values at the field's path, with lists unopened; empty if the field is absent.
    pub(super) places: Vec<&'r Json<'r>>,
    /// All values: the elements of lists, and other values unchanged.
    pub(super) leaves: Vec<Leaf<'r>>,
}

/// One value with its text.
#[derive(Debug)]
pub(super) struct Leaf<'r> {
    pub(super) value: &'r Json<'r>,
    text: OnceCell<Cow<'r, str>>,
    folded: OnceCell<Cow<'r, str>>,
}

impl<'r> Record<'r> {
    pub(super) fn new(root: &'r Json<'r>, fields: &'r Fields) -> Self {
        let found = std::iter::repeat_with(OnceCell::new).take(fields.len()).collect();
        Self { root, fields, found, everywhere: OnceCell::new() }
    }

    /// The values of a field.
    pub(super) fn field(&self, field: FieldId) -> &Found<'r> {
        self.found[field.0].get_or_init(|| {
            let places = self.fields.find(field, self.root);
            let mut leaves = Vec::with_capacity(places.len());
            for value in &places {
                open(value, &mut leaves);
            }
            Found { places, leaves }
        })
    }

    /// Every text, number and boolean in the record, at any depth.
    pub(super) fn everywhere(&self) -> &[Leaf<'r>] {
        self.everywhere.get_or_init(|| {
            let mut leaves = Vec::new();
            open_all(self.root, &mut leaves);
            leaves
        })
    }
}

impl<'r> Found<'r> {
    /// A field with that single value.
    pub(super) fn of(value: &'r Json<'r>) -> Self {
        let mut leaves = Vec::new();
        open(value, &mut leaves);
        Self { places: vec![value], leaves }
    }
}

impl Leaf<'_> {
    fn new<'j>(value: &'j Json<'j>) -> Leaf<'j> {
        Leaf { value, text: OnceCell::new(), folded: OnceCell::new() }
    }

    /// The value's text: JSON for an object, none for null.
    pub(super) fn text(&self) -> Option<&str> {
        match self.value {
            Json::Null => None,
            Json::Text(text) => Some(text),
            other => Some(self.text.get_or_init(|| other.to_string().into())),
        }
    }

    /// The text folded for comparison ignoring case.
    pub(super) fn folded(&self) -> Option<&str> {
        let text = self.text()?;
        if let Some(folded) = self.folded.get() {
            return Some(folded);
        }
        let folded = match folded(text) {
            Cow::Borrowed(_) => return Some(text),
            Cow::Owned(folded) => Cow::Owned(folded),
        };
        Some(self.folded.get_or_init(|| folded))
    }
}

fn open<'r>(value: &'r Json<'r>, into: &mut Vec<Leaf<'r>>) {
    match value {
        Json::List(items) => items.iter().for_each(|item| open(item, into)),
        other => into.push(Leaf::new(other)),
    }
}

fn open_all<'r>(value: &'r Json<'r>, into: &mut Vec<Leaf<'r>>) {
    match value {
        Json::List(items) => items.iter().for_each(|item| open_all(item, into)),
        Json::Object(members) => members.sorted().for_each(|inner| open_all(inner, into)),
        Json::Null => {}
        plain => into.push(Leaf::new(plain)),
    }
}

/// Folds a text for comparison ignoring case: each character by itself, so that a part of a text folds as it
/// does in the whole.
pub(super) fn folded(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase()) {
        Cow::Borrowed(text)
    } else if text.is_ascii() {
        Cow::Owned(text.to_ascii_lowercase())
    } else {
        Cow::Owned(text.chars().flat_map(char::to_lowercase).collect())
    }
}

//! Forms of parameters: parsing of a filter's fields, for the derived parsers and descriptions.

use chrono::DateTime;
use schemas::Timestamp;
use serde::{Deserialize, Deserializer, de::Error};

/// Longest text that is looked for, in characters.
pub(crate) const MAX_TEXT_CHARS: usize = 1024;

/// A text of 1 to [`MAX_TEXT_CHARS`] characters without U+0000, which no row holds.
pub(crate) fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
    let length = text.chars().take(MAX_TEXT_CHARS + 1).count();
    if (1..=MAX_TEXT_CHARS).contains(&length) && !text.contains('\0') {
        return Ok(Some(text));
    }
    Err(D::Error::custom(format!("must be a text of 1 to {MAX_TEXT_CHARS} characters without U+0000")))
}

/// `true` or `false`.
pub(crate) fn truth<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<bool>, D::Error> {
    match Option::<String>::deserialize(deserializer)?.as_deref() {
        None => Ok(None),
        Some("true") => Ok(Some(true)),
        Some("false") => Ok(Some(false)),
        Some(_) => Err(D::Error::custom("must be true or false")),
    }
}

/// An instant as in RFC 3339, with its zone.
pub(crate) fn instant<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
    match DateTime::parse_from_rfc3339(&text) {
        Ok(instant) => Ok(Some(instant.to_utc())),
        Err(_) => Err(D::Error::custom(
            "must be an instant as in RFC 3339, for example 2026-01-31T10:00:00Z (a + is written %2B)",
        )),
    }
}

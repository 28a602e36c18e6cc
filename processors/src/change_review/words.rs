//! Texts from a plan: made printable, split into words.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

/// Maximum length of a plan's text in a review, in bytes.
const MAX_TEXT_BYTES: usize = 256;
/// Maximum length of a change's id, in bytes: ids are keys, whose size Postgres limits.
const MAX_ID_BYTES: usize = 512;

/// The text without control characters, cut to 256 bytes.
pub(super) fn printable(text: &str) -> String {
    let mut kept = String::with_capacity(text.len().min(MAX_TEXT_BYTES));
    for c in text.chars() {
        if kept.len() + c.len_utf8() > MAX_TEXT_BYTES - '…'.len_utf8() {
            kept.push('…');
            break;
        }
        kept.push(if c.is_control() { '\u{fffd}' } else { c });
    }
    kept
}

/// An id in at most 512 bytes; a longer one is cut and ends in the SHA-256 of the whole.
pub(super) fn bounded_id(id: &str) -> String {
    if id.len() <= MAX_ID_BYTES {
        return id.to_owned();
    }
    let digest = Sha256::digest(id.as_bytes());
    let mut hash = String::with_capacity(64);
    for byte in digest {
        write!(hash, "{byte:02x}").expect("a String takes everything");
    }
    let end = id.floor_char_boundary(MAX_ID_BYTES - hash.len() - 1);
    format!("{}~{hash}", &id[..end])
}

/// The words of a name, in lower case: `module.Prod-db["eu"]` gives module, prod, db, eu.
pub(super) fn words(name: &str) -> impl Iterator<Item = String> {
    name.split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_ascii_lowercase)
}

/// Whether a name denotes production: it contains the word prod, production or prd, numbered or not, but not
/// as in `non-prod` or `pre-prod`.
pub(super) fn names_production(name: &str) -> bool {
    let mut before = String::new();
    for word in words(name) {
        let stem = word.trim_end_matches(|c: char| c.is_ascii_digit());
        if matches!(stem, "prod" | "production" | "prd")
            && !matches!(before.as_str(), "non" | "not" | "pre" | "no")
        {
            return true;
        }
        before = word;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn production_is_a_word_of_a_name() {
        for name in
            ["prod", "Production", "payments-prd-01", "module.prod_db[0]", "orders_prod2", "eu/prod/x"]
        {
            assert!(names_production(name), "{name}");
        }
        for name in
            ["", "products", "non-prod", "nonprod", "pre_production", "reproduction", "staging", "delivery"]
        {
            assert!(!names_production(name), "{name}");
        }
    }

    #[test]
    fn texts_and_ids_are_bounded() {
        assert_eq!(printable("a\u{0}b\nc"), "a\u{fffd}b\u{fffd}c");
        assert!(printable(&"ä".repeat(500)).len() <= MAX_TEXT_BYTES);
        let (one, other) = ("ä".repeat(300) + "1", "ä".repeat(300) + "2");
        assert_ne!(bounded_id(&one), bounded_id(&other));
        assert!(bounded_id(&one).len() <= MAX_ID_BYTES);
        assert_eq!(bounded_id("CR-1"), "CR-1");
    }
}

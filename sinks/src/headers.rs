//! Kafka headers as `jsonb`: `[{"name": "ce_id", "value": "7f.."}, ..]`.
//!
//! Names may repeat and values may be null or any bytes; `jsonb` holds neither U+0000 nor what is not UTF-8. Such a
//! value is kept as `"hex"`, such a name as `"name_hex"`.

use serde_json::{Map, Value};

/// Headers in order, as the broker gives them.
pub type Headers = Vec<(String, Option<Vec<u8>>)>;

/// Headers as they are stored.
pub(crate) fn to_json(headers: &[(String, Option<Vec<u8>>)]) -> Value {
    let one = |(name, value): &(String, Option<Vec<u8>>)| {
        let mut entry = Map::new();
        put(&mut entry, ("name", "name_hex"), name.as_bytes());
        match value {
            Some(value) => put(&mut entry, ("value", "hex"), value),
            None => drop(entry.insert("value".into(), Value::Null)),
        }
        Value::Object(entry)
    };
    Value::Array(headers.iter().map(one).collect())
}

/// Parses stored headers; `None` if they are not in the stored form.
pub(crate) fn from_json(stored: &Value) -> Option<Headers> {
    let one = |entry: &Value| {
        let name = String::from_utf8(take(entry, ("name", "name_hex"))??).ok()?;
        Some((name, take(entry, ("value", "hex"))?))
    };
    stored.as_array()?.iter().map(one).collect()
}

fn put(entry: &mut Map<String, Value>, (as_text, as_hex): (&str, &str), bytes: &[u8]) {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => entry.insert(as_text.into(), text.into()),
        _ => entry.insert(as_hex.into(), to_hex(bytes).into()),
    };
}

/// `Some(None)` is a null.
#[expect(clippy::option_option, reason = "malformed, null and present are three things")]
fn take(entry: &Value, (as_text, as_hex): (&str, &str)) -> Option<Option<Vec<u8>>> {
    match (entry.get(as_text), entry.get(as_hex)) {
        (Some(Value::Null), None) => Some(None),
        (Some(Value::String(text)), None) => Some(Some(text.clone().into_bytes())),
        (None, Some(Value::String(hex))) => from_hex(hex).map(Some),
        _ => None,
    }
}

fn to_hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

fn from_hex(hex: &str) -> Option<Vec<u8>> {
    let nibbles: Vec<u8> =
        hex.chars().map(|c| c.to_digit(16).and_then(|n| u8::try_from(n).ok())).collect::<Option<_>>()?;
    let (pairs, rest) = nibbles.as_chunks::<2>();
    rest.is_empty().then(|| pairs.iter().map(|[high, low]| high << 4 | low).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_headers_come_back() {
        let headers: Headers = vec![
            ("ce_id".into(), Some(b"7".to_vec())),
            ("ce_id".into(), Some(Vec::new())),
            ("null".into(), None),
            ("bytes".into(), Some(vec![0xff, 0x00, 0x7f])),
            ("nul\0name".into(), Some(b"nul\0value".to_vec())),
        ];
        let stored = to_json(&headers);
        assert!(!stored.to_string().contains("\\u0000"), "jsonb refuses it: {stored}");
        assert_eq!(from_json(&stored), Some(headers));
    }

    #[test]
    fn what_we_did_not_store_is_refused() {
        for other in [
            serde_json::json!({}),
            serde_json::json!([{"name": "a"}]),
            serde_json::json!([{"value": "a"}]),
            serde_json::json!([{"name": "a", "hex": "abc"}]),
            serde_json::json!([{"name": "a", "hex": "zz"}]),
        ] {
            assert_eq!(from_json(&other), None, "{other}");
        }
    }
}

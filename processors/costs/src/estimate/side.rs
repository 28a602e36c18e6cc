//! A resource's configuration on one side of a plan, with the values that are known only after apply.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde_json::Value;

/// Reason for a missing price.
pub(super) type Unpriced = String;

/// Maximum count or size: 10^12.
const MOST: Decimal = Decimal::from_parts(0xd4a5_1000, 0xe8, 0, false, 0);

/// Longest key and longest value of a tag that is told, in bytes.
const MAX_TAG_BYTES: usize = 256;

/// A resource's configuration, before or after.
#[derive(Debug, Clone, Copy)]
pub(super) struct Side<'a> {
    values: &'a Value,
    /// Marks unknown values by `true`.
    unknown: &'a Value,
}

impl<'a> Side<'a> {
    pub(super) fn new(values: &'a Value, unknown: &'a Value) -> Self {
        Self { values, unknown }
    }

    /// Whether the value at a path (names and indices, separated by slashes) is unknown until the plan is
    /// applied.
    fn is_unknown(&self, path: &str) -> bool {
        let mut mark = self.unknown;
        for part in path.split('/') {
            if *mark == Value::Bool(true) {
                return true;
            }
            let next = match mark {
                Value::Array(marks) => part.parse::<usize>().ok().and_then(|at| marks.get(at)),
                Value::Object(marks) => marks.get(part),
                _ => None,
            };
            let Some(next) = next else { return false };
            mark = next;
        }
        *mark == Value::Bool(true)
    }

    fn value(&self, path: &str) -> Result<Option<&'a Value>, Unpriced> {
        if self.is_unknown(path) {
            return Err(format!("{} is known only after apply", shown(path)));
        }
        let mut value = self.values;
        for part in path.split('/') {
            let next = match value {
                Value::Array(values) => part.parse::<usize>().ok().and_then(|at| values.get(at)),
                Value::Object(values) => values.get(part),
                _ => None,
            };
            let Some(next) = next else { return Ok(None) };
            value = next;
        }
        Ok(Some(value).filter(|value| !value.is_null()))
    }

    /// A text; absent, null and empty count as the same.
    pub(super) fn text(&self, path: &str) -> Result<Option<&'a str>, Unpriced> {
        match self.value(path)? {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.trim()).filter(|text| !text.is_empty())),
            Some(_) => Err(format!("{} is no text", shown(path))),
        }
    }

    pub(super) fn required(&self, path: &str) -> Result<&'a str, Unpriced> {
        self.text(path)?.ok_or_else(|| format!("{} is missing", shown(path)))
    }

    /// A non-negative number; providers write some of them as text.
    pub(super) fn number(&self, path: &str) -> Result<Option<Decimal>, Unpriced> {
        let text = match self.value(path)? {
            None => return Ok(None),
            Some(Value::Number(number)) => number.to_string(),
            Some(Value::String(text)) if text.trim().is_empty() => return Ok(None),
            Some(Value::String(text)) => text.trim().to_owned(),
            Some(_) => return Err(format!("{} is no number", shown(path))),
        };
        let scientific = text.contains(['e', 'E']);
        let parsed =
            if scientific { Decimal::from_scientific(&text) } else { Decimal::from_str_exact(&text) };
        match parsed {
            Ok(number) if number > MOST => Err(format!("{} is larger than any resource", shown(path))),
            Ok(number) if !number.is_sign_negative() || number.is_zero() => Ok(Some(number)),
            Ok(_) => Err(format!("{} is negative", shown(path))),
            Err(_) => Err(format!("{} is no number", shown(path))),
        }
    }

    pub(super) fn flag(&self, path: &str) -> Result<bool, Unpriced> {
        match self.value(path)? {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(Value::String(text)) => Ok(text.eq_ignore_ascii_case("true")),
            Some(_) => Err(format!("{} is neither true nor false", shown(path))),
        }
    }

    /// The number of blocks or elements at a path.
    pub(super) fn count(&self, path: &str) -> Result<usize, Unpriced> {
        match self.value(path)? {
            None => Ok(0),
            Some(Value::Array(values)) => Ok(values.len()),
            Some(_) => Err(format!("{} is no list", shown(path))),
        }
    }

    /// A text that is known, wherever it stands; for guesses about the region.
    /// The tags or labels of a resource, as far as they are known.
    pub(super) fn tags(&self) -> Vec<(String, String)> {
        let mut found = BTreeMap::new();
        for name in ["tags", "labels", "tags_all"] {
            for (key, value) in self.values.get(name).and_then(Value::as_object).into_iter().flatten() {
                let Some(value) = value.as_str() else { continue };
                if key.len() <= MAX_TAG_BYTES && value.len() <= MAX_TAG_BYTES {
                    found.insert(key.clone(), value.to_owned());
                }
            }
        }
        found.into_iter().collect()
    }

    /// A known text at a path, used to guess the region.
    pub(super) fn known_text(&self, path: &str) -> Option<&'a str> {
        self.text(path).ok().flatten()
    }
}

/// A path as people write it.
fn shown(path: &str) -> String {
    path.split('/').filter(|part| part.parse::<usize>().is_err()).collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_known_absent_unknown_or_of_another_type() {
        let values =
            json!({"size": "20", "n": 3, "block": [{"a": 1.5}, {}], "empty": "", "null": null, "neg": -1});
        let unknown = json!({"later": true, "block": [{"b": true}, true]});
        let side = Side::new(&values, &unknown);
        assert_eq!(side.number("size"), Ok(Some(Decimal::from(20))));
        assert_eq!(side.number("block/0/a"), Ok(Some(Decimal::new(15, 1))));
        assert_eq!(side.text("empty"), Ok(None));
        assert_eq!(side.text("null"), Ok(None));
        assert_eq!(side.text("n"), Err("n is no text".into()));
        assert_eq!(side.number("later"), Err("later is known only after apply".into()));
        assert_eq!(side.number("block/0/b"), Err("block.b is known only after apply".into()));
        assert_eq!(side.number("block/1/a"), Err("block.a is known only after apply".into()));
        assert_eq!(side.number("neg"), Err("neg is negative".into()));
        assert_eq!(side.count("block"), Ok(2));
    }
}

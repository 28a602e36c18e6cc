//! A resource's configuration on one side of a plan, with the values that are known only after apply.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
};

use rust_decimal::Decimal;
use serde_json::Value;

/// Reason for a missing price.
pub(super) type Unpriced = String;

/// Maximum count or size: 10^12.
const MOST: Decimal = Decimal::from_parts(0xd4a5_1000, 0xe8, 0, false, 0);

/// Longest key and longest value of a tag that is told, in bytes.
const MAX_TAG_BYTES: usize = 256;

/// A resource's arguments, as far as the configuration sets them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Arguments {
    /// Arguments and blocks that it sets.
    pub(super) set: BTreeSet<String>,
    /// Paths of those whose expressions may be unknown until the plan is applied: names, separated by slashes.
    pub(super) undecided: BTreeSet<String>,
}

/// A resource's configuration, before or after.
///
/// A plan marks two kinds of values as unknown: those of expressions that refer to something that does not exist yet, and
/// those that the configuration does not set and the provider decides. The readers of optional values take the second kind
/// for absent, and note it: rules then assume the provider's default.
#[derive(Debug)]
pub(super) struct Side<'a> {
    values: &'a Value,
    /// Marks unknown values by `true`.
    unknown: &'a Value,
    /// `None` if the plan does not contain the resource's configuration: then no unknown value counts as absent.
    arguments: Option<&'a Arguments>,
    /// Whether the resource comes into being: then every known value is the configuration's.
    is_created: bool,
    /// Unknown values that were taken for absent.
    assumed: RefCell<BTreeSet<String>>,
}

impl<'a> Side<'a> {
    pub(super) fn new(values: &'a Value, unknown: &'a Value) -> Self {
        Self { values, unknown, arguments: None, is_created: false, assumed: RefCell::default() }
    }

    /// The same with what the configuration says.
    pub(super) fn with_arguments(self, arguments: Option<&'a Arguments>) -> Self {
        Self { arguments, ..self }
    }

    /// The same for a resource that comes into being.
    pub(super) fn created(self) -> Self {
        Self { is_created: true, ..self }
    }

    /// Whether the configuration sets an argument, so that its value does not show resources of their own.
    pub(super) fn sets(&self, name: &str) -> bool {
        self.is_created || self.arguments.is_some_and(|arguments| arguments.set.contains(name))
    }

    /// The assumption that follows from the values that were taken for absent.
    pub(super) fn assumption(&self) -> Option<String> {
        let assumed = self.assumed.borrow();
        let names: Vec<&str> = assumed.iter().map(String::as_str).collect();
        (!names.is_empty()).then(|| format!("the provider's defaults of {}", names.join(", ")))
    }

    /// Forgets an absent value, because the rule says what it assumes.
    pub(super) fn says_default_of(&self, path: &str) {
        self.assumed.borrow_mut().remove(&shown(path));
    }

    /// Whether the provider decides the unknown value at a path.
    fn is_left_to_provider(&self, path: &str) -> bool {
        let Some(Arguments { undecided, .. }) = self.arguments else { return false };
        let name = named(path, "/");
        let is_within = |inner: &str, outer: &str| {
            inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        !undecided.iter().any(|argument| is_within(argument, &name) || is_within(&name, argument))
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

    /// Refuses an unknown value, whoever decides it.
    pub(super) fn known(&self, path: &str) -> Result<(), Unpriced> {
        if self.is_unknown(path) {
            return Err(format!("{} is known only after apply", shown(path)));
        }
        Ok(())
    }

    fn value(&self, path: &str) -> Result<Option<&'a Value>, Unpriced> {
        if self.is_unknown(path) && self.is_left_to_provider(path) {
            self.assumed.borrow_mut().insert(shown(path));
            return Ok(None);
        }
        self.known(path)?;
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
        self.known(path)?;
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

    pub(super) fn required_number(&self, path: &str) -> Result<Decimal, Unpriced> {
        self.known(path)?;
        self.number(path)?.ok_or_else(|| format!("{} is missing", shown(path)))
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
        if self.is_unknown(path) { None } else { self.text(path).ok().flatten() }
    }
}

/// A path as people write it.
fn shown(path: &str) -> String {
    named(path, ".")
}

/// A path without its indices.
fn named(path: &str, separator: &str) -> String {
    path.split('/').filter(|part| part.parse::<usize>().is_err()).collect::<Vec<_>>().join(separator)
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

    #[test]
    fn an_unknown_value_counts_as_absent_unless_an_expression_decides_it() {
        let unknown =
            json!({"tenancy": true, "size": true, "disk": [{"size": true, "kind": true}], "zones": true});
        let none = json!(null);
        let arguments = |undecided: &[&str]| Arguments {
            set: BTreeSet::new(),
            undecided: undecided.iter().map(|name| (*name).to_owned()).collect(),
        };
        let none_undecided = arguments(&[]);
        let left = Side::new(&none, &unknown).with_arguments(Some(&none_undecided));
        assert_eq!(left.text("tenancy"), Ok(None));
        assert_eq!(left.number("disk/0/size"), Ok(None));
        assert_eq!(left.count("zones"), Ok(0));
        assert_eq!(
            left.assumption().as_deref(),
            Some("the provider's defaults of disk.size, tenancy, zones")
        );
        assert_eq!(left.required("tenancy"), Err("tenancy is known only after apply".into()));
        assert_eq!(left.required_number("size"), Err("size is known only after apply".into()));

        // Names that begin alike are others.
        let some_undecided = arguments(&["tenancy", "disk/size", "zones/names", "siz", "disk/kinds"]);
        let decided = Side::new(&none, &unknown).with_arguments(Some(&some_undecided));
        assert_eq!(decided.text("tenancy"), Err("tenancy is known only after apply".into()));
        assert_eq!(decided.number("disk/0/size"), Err("disk.size is known only after apply".into()));
        assert_eq!(decided.text("disk/0/kind"), Ok(None));
        assert_eq!(decided.count("zones"), Err("zones is known only after apply".into()));
        assert_eq!(decided.number("size"), Ok(None));
    }
}

//! Visits every value of a resource's configuration, with its path.

use serde_json::{Map, Value};

use super::plan::NOTHING;

/// A scalar value, or an empty list or object.
pub(super) struct Attribute<'v> {
    /// Path of names, joined by dots, without list indices: `ingress.cidr_blocks`.
    pub(super) path: &'v str,
    /// Last name in the path.
    pub(super) name: &'v str,
    /// Object that contains the value or its list.
    pub(super) holder: &'v Map<String, Value>,
    pub(super) value: &'v Value,
    /// Whether the plan marks it as sensitive.
    pub(super) sensitive: bool,
}

/// Visits every value of an object. JSON within a text (policies, container definitions) is visited as well,
/// at one level: JSON within that is text.
pub(super) fn visit(object: &Value, sensitive: &Value, visitor: &mut dyn FnMut(&Attribute<'_>)) {
    let Value::Object(members) = object else { return };
    Walk { path: String::new(), name_at: 0, embedded: false, visitor }.object(members, sensitive);
}

struct Walk<'w> {
    path: String,
    /// Start of the last name in the path.
    name_at: usize,
    /// Whether the position is inside JSON within a text.
    embedded: bool,
    visitor: &'w mut dyn FnMut(&Attribute<'_>),
}

impl Walk<'_> {
    fn object(&mut self, members: &Map<String, Value>, sensitive: &Value) {
        let (outer_len, outer_name) = (self.path.len(), self.name_at);
        for (name, value) in members {
            if !self.path.is_empty() {
                self.path.push('.');
            }
            self.name_at = self.path.len();
            self.path.push_str(name);
            self.value(members, value, within(sensitive, |marks| marks.get(name)));
            self.path.truncate(outer_len);
            self.name_at = outer_name;
        }
    }

    /// Visits one value, or each of a list.
    fn value(&mut self, holder: &Map<String, Value>, value: &Value, sensitive: &Value) {
        match value {
            Value::Object(members) if !members.is_empty() => self.object(members, sensitive),
            Value::Array(values) if !values.is_empty() => {
                for (index, value) in values.iter().enumerate() {
                    self.value(holder, value, within(sensitive, |marks| marks.get(index)));
                }
            }
            Value::String(text) if !self.embedded && text.trim_start().starts_with(['{', '[']) => {
                match serde_json::from_str::<Value>(text) {
                    Ok(inner) => {
                        self.embedded = true;
                        self.value(holder, &inner, whole(sensitive));
                        self.embedded = false;
                    }
                    Err(_) => self.tell(holder, value, sensitive),
                }
            }
            _ => self.tell(holder, value, sensitive),
        }
    }

    fn tell(&mut self, holder: &Map<String, Value>, value: &Value, sensitive: &Value) {
        let sensitive = *sensitive == Value::Bool(true);
        let (path, name) = (self.path.as_str(), &self.path[self.name_at..]);
        (self.visitor)(&Attribute { path, name, holder, value, sensitive });
    }
}

/// The mark of a part: `true` marks everything below it.
fn within<'m>(marks: &'m Value, part: impl FnOnce(&'m Value) -> Option<&'m Value>) -> &'m Value {
    if *marks == Value::Bool(true) { marks } else { part(marks).unwrap_or(&NOTHING) }
}

/// A mark that applies to everything below, or to nothing.
fn whole(marks: &Value) -> &Value {
    if *marks == Value::Bool(true) { marks } else { &NOTHING }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_found_in_lists_and_in_texts_and_keep_their_marks() {
        let object = json!({
            "a": [{ "b": 1 }, { "b": [true, null] }],
            "policy": "{\"Statement\": [{\"Action\": \"*\", \"More\": \"[1]\"}]}",
            "broken": "{no",
            "empty": [],
        });
        let marks = json!({ "a": [{}, true], "policy": true });
        let mut seen = Vec::new();
        visit(&object, &marks, &mut |found| {
            seen.push(format!("{} {} {} {}", found.path, found.name, found.value, found.sensitive));
        });
        assert_eq!(
            seen,
            [
                "a.b b 1 false",
                "a.b b true true",
                "a.b b null true",
                "broken broken \"{no\" false",
                "empty empty [] false",
                "policy.Statement.Action Action \"*\" true",
                "policy.Statement.More More \"[1]\" true",
            ]
        );
    }
}

//! Removes sensitive values from a plan.
//!
//! `terraform show -json` prints sensitive values in clear text, with marks in `before_sensitive`,
//! `after_sensitive` and `sensitive_values`, in `sensitive` of outputs, and for input variables in the
//! configuration (<https://developer.hashicorp.com/terraform/internals/json-format>).

use std::borrow::Cow;

use serde_json::{Map, Value};

/// Replacement for a removed value.
const REDACTED: &str = "(sensitive value)";
/// Maximum nesting of modules, that of the JSON parser.
const MAX_DEPTH: usize = 128;

/// The plan without its sensitive values; the text unchanged if it marks none, or if it cannot be parsed
/// (it then counts as unreadable, and is kept only in the record).
pub(super) fn redact(text: &str) -> Cow<'_, str> {
    if !text.contains("sensitive") {
        return Cow::Borrowed(text);
    }
    let Ok(mut plan) = serde_json::from_str::<Value>(text) else { return Cow::Borrowed(text) };
    let Some(members) = plan.as_object_mut() else { return Cow::Borrowed(text) };
    let mut redacted = 0_usize;
    for list in ["resource_changes", "resource_drift", "deferred_changes"] {
        for entry in members.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            // A deferred change holds the change of the resource one level deeper.
            let entry =
                if list == "deferred_changes" { entry.get_mut("resource_change") } else { Some(entry) };
            if let Some(change) = entry.and_then(|entry| entry.get_mut("change")) {
                redacted += redact_change(change);
            }
        }
    }
    for change in members.get_mut("output_changes").and_then(Value::as_object_mut).into_iter().flatten() {
        redacted += redact_change(change.1);
    }
    for values in ["/planned_values", "/prior_state/values"] {
        if let Some(values) = plan.pointer_mut(values) {
            redacted += redact_values(values);
        }
    }
    redacted += redact_variables(&mut plan);
    if redacted == 0 { Cow::Borrowed(text) } else { Cow::Owned(plan.to_string()) }
}

fn redact_change(change: &mut Value) -> usize {
    let Some(change) = change.as_object_mut() else { return 0 };
    [("before", "before_sensitive"), ("after", "after_sensitive")]
        .into_iter()
        .map(|(part, marks)| {
            let marks = change.get(marks).cloned().unwrap_or_default();
            change.get_mut(part).map_or(0, |value| mask(value, &marks))
        })
        .sum()
}

/// Values of resources and outputs, as in a state.
fn redact_values(values: &mut Value) -> usize {
    let mut redacted = 0;
    for output in values.get_mut("outputs").and_then(Value::as_object_mut).into_iter().flatten() {
        let is_sensitive = output.1.get("sensitive") == Some(&Value::Bool(true));
        if let Some(value) = output.1.get_mut("value").filter(|_| is_sensitive) {
            redacted += mask(value, &Value::Bool(true));
        }
    }
    values.get_mut("root_module").map_or(redacted, |root| redacted + redact_module(root, 0))
}

fn redact_module(module: &mut Value, depth: usize) -> usize {
    let mut redacted = 0;
    for resource in module.get_mut("resources").and_then(Value::as_array_mut).into_iter().flatten() {
        let marks = resource.get("sensitive_values").cloned().unwrap_or_default();
        redacted += resource.get_mut("values").map_or(0, |values| mask(values, &marks));
    }
    if depth < MAX_DEPTH {
        for child in module.get_mut("child_modules").and_then(Value::as_array_mut).into_iter().flatten() {
            redacted += redact_module(child, depth + 1);
        }
    }
    redacted
}

fn redact_variables(plan: &mut Value) -> usize {
    let declared = plan.pointer("/configuration/root_module/variables").and_then(Value::as_object);
    let is_sensitive = |variable: &Map<String, Value>| variable.get("sensitive") == Some(&Value::Bool(true));
    let sensitive: Vec<String> = declared
        .into_iter()
        .flatten()
        .filter(|(_, variable)| variable.as_object().is_some_and(is_sensitive))
        .map(|(name, _)| name.clone())
        .collect();
    let mut redacted = 0;
    for name in sensitive {
        for path in ["/variables", "/configuration/root_module/variables"] {
            let variable = plan.pointer_mut(path).and_then(|variables| variables.get_mut(&name));
            let member = if path == "/variables" { "value" } else { "default" };
            redacted += variable
                .and_then(|variable| variable.get_mut(member))
                .map_or(0, |value| mask(value, &Value::Bool(true)));
        }
    }
    redacted
}

/// Replaces the parts of a value whose marks are `true`, and returns their number. Null is kept: it reveals
/// nothing.
pub(super) fn mask(value: &mut Value, marks: &Value) -> usize {
    match (marks, value) {
        (_, Value::Null) => 0,
        (Value::Bool(true), value) => {
            *value = Value::from(REDACTED);
            1
        }
        (Value::Object(marks), Value::Object(members)) => marks
            .iter()
            .map(|(name, marks)| members.get_mut(name).map_or(0, |value| mask(value, marks)))
            .sum(),
        (Value::Array(marks), Value::Array(elements)) => {
            elements.iter_mut().zip(marks).map(|(value, marks)| mask(value, marks)).sum()
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn marked_values_are_taken_out_wherever_they_stand() {
        let secret = "correct-horse";
        let plan = json!({
            "format_version": "1.2",
            "variables": { "password": { "value": secret }, "region": { "value": "eu" } },
            "configuration": {
                "root_module": { "variables": { "password": { "sensitive": true, "default": secret } } },
            },
            "planned_values": {
                "outputs": { "token": { "sensitive": true, "value": [secret] } },
                "root_module": {
                    "child_modules": [{
                        "resources": [{ "values": { "a": secret, "b": 1 }, "sensitive_values": { "a": true } }],
                    }],
                },
            },
            "prior_state": {
                "values": {
                    "root_module": { "resources": [{ "values": { "a": secret }, "sensitive_values": { "a": true } }] },
                },
            },
            "output_changes": { "token": { "before": null, "after": secret, "after_sensitive": true } },
            "resource_drift": [{ "change": { "before": { "k": secret }, "before_sensitive": { "k": true } } }],
            "deferred_changes": [
                { "resource_change": { "change": { "after": secret, "after_sensitive": true } } },
            ],
            "resource_changes": [{
                "change": {
                    "before": { "list": ["x", { "y": secret }] },
                    "before_sensitive": { "list": [false, { "y": true }] },
                    "after": { "password": secret, "name": "orders", "none": null },
                    "after_sensitive": { "password": true, "none": true },
                },
            }],
        })
        .to_string();
        let redacted = redact(&plan);
        assert!(!redacted.contains(secret), "{redacted}");
        let value: Value = serde_json::from_str(&redacted).expect("JSON");
        assert_eq!(value["resource_changes"][0]["change"]["after"]["name"], "orders");
        assert_eq!(value["resource_changes"][0]["change"]["after"]["none"], Value::Null);
        assert_eq!(value["variables"]["region"]["value"], "eu");
        assert_eq!(redact(&redacted), redacted, "once is enough");
    }

    #[test]
    fn plans_without_marks_stay_as_they_are() {
        for text in [
            r#"{ "resource_changes": [ {"change": {"after": {"n": 1.0e400}}} ] }"#,
            "{ \"sensitive\": ",
            "[]",
        ] {
            assert_eq!(redact(text), text);
        }
    }
}

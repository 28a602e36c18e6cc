//! Values that a plan marks as sensitive.

use serde_json::{Map, Value};

use super::MAX_MODULES;

/// Replacement for a value that the plan marks as sensitive.
pub(super) const SENSITIVE: &str = "(sensitive value)";

/// The plan with sensitive values replaced by a text.
pub(crate) fn without_sensitive(plan: &Value) -> Value {
    let mut plan = plan.clone();
    for part in ["/resource_changes", "/resource_drift", "/deferred_changes"] {
        for entry in plan.pointer_mut(part).and_then(Value::as_array_mut).into_iter().flatten() {
            // A deferred change holds that of the resource one level deeper.
            let is_deferred = entry["resource_change"].is_object();
            let entry = if is_deferred { &mut entry["resource_change"] } else { entry };
            for (value, mask) in [("before", "before_sensitive"), ("after", "after_sensitive")] {
                let mask = entry["change"][mask].clone();
                if let Some(value) = entry.get_mut("change").and_then(|change| change.get_mut(value)) {
                    hide(value, &mask);
                }
            }
        }
    }
    for part in ["/planned_values", "/prior_state/values"] {
        let Some(values) = plan.pointer_mut(part) else { continue };
        let outputs = values.get_mut("outputs").and_then(Value::as_object_mut);
        for output in outputs.into_iter().flat_map(Map::values_mut) {
            if output["sensitive"] == true
                && let Some(value) = output.get_mut("value")
            {
                hide(value, &Value::Bool(true));
            }
        }
        if let Some(module) = values.get_mut("root_module") {
            hide_in_module(module, 0);
        }
    }
    plan
}

fn hide_in_module(module: &mut Value, depth: usize) {
    if depth > MAX_MODULES {
        return;
    }
    for resource in module.get_mut("resources").and_then(Value::as_array_mut).into_iter().flatten() {
        let mask = resource["sensitive_values"].clone();
        if let Some(values) = resource.get_mut("values") {
            hide(values, &mask);
        }
    }
    for below in module.get_mut("child_modules").and_then(Value::as_array_mut).into_iter().flatten() {
        hide_in_module(below, depth + 1);
    }
}

/// Replaces the texts marked by a mask.
pub(super) fn hide(value: &mut Value, mask: &Value) {
    match (&mut *value, mask) {
        (Value::String(text), Value::Bool(true)) => SENSITIVE.clone_into(text),
        (Value::Object(members), Value::Bool(true)) => {
            for below in members.values_mut() {
                hide(below, mask);
            }
        }
        (Value::Array(elements), Value::Bool(true)) => {
            for below in elements {
                hide(below, mask);
            }
        }
        (Value::Object(members), Value::Object(masks)) => {
            for (name, mask) in masks {
                if let Some(below) = members.get_mut(name) {
                    hide(below, mask);
                }
            }
        }
        (Value::Array(elements), Value::Array(masks)) => {
            elements.iter_mut().zip(masks).for_each(|(below, mask)| hide(below, mask));
        }
        _ => {}
    }
}

//! Converts the values of rules to reasons.

use regorus::Value;

/// Maximum number of reasons of one verdict.
const MAX_REASONS: usize = 1_000;
/// Maximum length of a reason, in bytes.
const MAX_REASON: usize = 2_000;
/// Members of an object that contain its message.
const MESSAGES: [&str; 5] = ["msg", "message", "reason", "description", "title"];

/// Reasons in the value of `deny`, `warn` or `violation`; empty if the rule found nothing.
///
/// Accepts sets and lists of texts and of objects with a message, texts, objects, and booleans.
///
/// # Errors
/// The value has another shape.
pub(crate) fn reasons(rule: &str, value: &Value) -> Result<Vec<String>, String> {
    let mut left = 200_000;
    if !crate::builtins::count(value, &mut left) {
        return Err(format!("the value of {rule} is too large"));
    }
    let mut found = Vec::new();
    match value {
        Value::Undefined | Value::Null | Value::Bool(false) => {}
        Value::Bool(true) => found.push(format!("{} is true", name(rule))),
        Value::Set(values) => {
            for one in values.iter().take(MAX_REASONS) {
                found.push(reason(rule, one)?);
            }
        }
        Value::Array(values) => {
            for one in values.iter().take(MAX_REASONS) {
                found.push(reason(rule, one)?);
            }
        }
        Value::Object(members) if members.iter().next().is_none() => {}
        Value::String(_) | Value::Object(_) => found.push(reason(rule, value)?),
        Value::Number(_) => return Err(shape(rule, value)),
    }
    found.sort();
    found.dedup();
    Ok(found)
}

fn name(rule: &str) -> &str {
    rule.rsplit('.').next().unwrap_or(rule)
}

fn shape(rule: &str, value: &Value) -> String {
    let shape = match value {
        Value::Number(_) => "a number",
        Value::Bool(_) => "a truth value",
        Value::Array(_) => "a list",
        Value::Set(_) => "a set",
        Value::Object(_) => "an object without a message (`msg`)",
        _ => "nothing",
    };
    format!("{} gives {shape}; a reason is a text, or an object with `msg`", name(rule))
}

fn reason(rule: &str, value: &Value) -> Result<String, String> {
    let text = match value {
        Value::String(text) => text.to_string(),
        Value::Object(members) => {
            let message = MESSAGES.iter().find_map(|name| members.get(&(*name).into()));
            match message {
                Some(Value::String(text)) => text.to_string(),
                Some(other) => other.to_string(),
                None => return Err(shape(rule, value)),
            }
        }
        _ => return Err(shape(rule, value)),
    };
    Ok(cut(&text))
}

/// The text, cut to its maximum length at a character boundary.
fn cut(text: &str) -> String {
    match text.char_indices().find(|(at, _)| *at >= MAX_REASON) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

//! JSON as values of the engine, without a copy in between.

use std::collections::BTreeMap;

use regorus::Value;

/// The engine's value of a JSON document.
pub(crate) fn rego_value(json: &serde_json::Value) -> Value {
    match json {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(bool) => Value::Bool(*bool),
        serde_json::Value::String(text) => text.as_str().into(),
        serde_json::Value::Array(elements) => elements.iter().map(rego_value).collect::<Vec<_>>().into(),
        serde_json::Value::Object(members) => {
            object(members.iter().map(|(name, value)| (name.as_str(), rego_value(value))))
        }
        // Numbers of any size keep their digits.
        number @ serde_json::Value::Number(_) => number.clone().into(),
    }
}

/// An object of the engine.
pub(crate) fn object<'a>(members: impl IntoIterator<Item = (&'a str, Value)>) -> Value {
    members.into_iter().map(|(name, value)| (name.into(), value)).collect::<BTreeMap<Value, Value>>().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_those_of_the_engines_own_conversion() {
        let text = r#"{"a": [null, true, -1, 0.1, 1e300, 18446744073709551615, 123456789012345678901234567890.5, "ä\n"],
            "": {}, "b": {"c": [], "d": {"e": false}}, "9": "10"}"#;
        let json: serde_json::Value = serde_json::from_str(text).expect("JSON");
        assert_eq!(rego_value(&json), Value::from(json));
    }
}

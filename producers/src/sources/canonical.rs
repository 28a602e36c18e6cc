//! A record's content in one spelling, for records that bring no id of their own.

use serde_json::Value;

/// The record with its names sorted and no space between tokens. Numbers and texts keep their value as
/// `serde_json` reads them; a record that it cannot read whole (too deep, too large a number) is taken as it stands.
pub(super) fn canonical(record: &str) -> String {
    let Ok(value) = serde_json::from_str::<Value>(record) else { return record.into() };
    let mut out = String::with_capacity(record.len());
    write(&value, &mut out);
    out
}

// Depth is bounded by the parser: 128.
fn write(value: &Value, out: &mut String) {
    match value {
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_unstable_by_key(|(name, _)| *name);
            out.push('{');
            for (at, (name, value)) in members.into_iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write(&Value::from(name.as_str()), out);
                out.push(':');
                write(value, out);
            }
            out.push('}');
        }
        Value::Array(elements) => {
            out.push('[');
            for (at, element) in elements.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write(element, out);
            }
            out.push(']');
        }
        scalar => out.push_str(&scalar.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::canonical;

    #[test]
    fn order_and_space_make_no_difference_and_content_does() {
        let one = canonical(r#"{"b": [1, {"y":2,"x":null}], "a":"\u00e4\/"}"#);
        assert_eq!(one, r#"{"a":"ä/","b":[1,{"x":null,"y":2}]}"#);
        assert_eq!(one, canonical("{\"a\":\"ä/\",\n\"b\":[1,{\"x\":null,\"y\":2}]}"));
        assert_ne!(one, canonical(r#"{"a":"ä/","b":[1,{"x":null,"y":3}]}"#));
    }
}

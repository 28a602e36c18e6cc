//! The YAML documents of a rule file, with `action: global`, `reset` and `repeat` applied.

use serde_json::{Map, Value};

/// Maximum nesting of maps that are merged.
const MAX_DEPTH: usize = 64;

/// One document.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Document<'t> {
    /// First line of the document in the file, from 1.
    pub(super) line: usize,
    /// Text of the document.
    pub(super) text: &'t str,
    /// Its content, merged over that of global documents.
    pub(super) content: Map<String, Value>,
}

/// Reason why a document cannot be read, with the line in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unreadable {
    pub(super) line: usize,
    pub(super) reason: String,
}

/// The documents of a file's text. An unreadable one does not affect the others.
pub(super) fn documents(text: &str) -> Vec<Result<Document<'_>, Unreadable>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let (mut found, mut global, mut previous) = (Vec::new(), None::<Map<String, Value>>, None);
    let mut empty = true;
    for (line, text) in divided(text) {
        let unreadable = |line, reason| Err(Unreadable { line, reason });
        let content = match read(line, text) {
            Ok(None) => continue,
            Ok(Some(content)) => content,
            Err(error) => {
                found.push(Err(error));
                empty = false;
                continue;
            }
        };
        empty = false;
        let laid = match act(content, &mut global, previous.as_ref()) {
            Ok(None) => continue,
            Ok(Some(laid)) => laid,
            Err(reason) => {
                found.push(unreadable(line, reason));
                continue;
            }
        };
        previous = Some(laid.clone());
        found.push(Ok(Document { line, text, content: laid }));
    }
    if empty {
        found.push(Err(Unreadable { line: 1, reason: "it holds no rule".to_owned() }));
    }
    found
}

/// Applies a document's `action`; without one, merges the document over the global content.
fn act(
    mut content: Map<String, Value>,
    global: &mut Option<Map<String, Value>>,
    previous: Option<&Map<String, Value>>,
) -> Result<Option<Map<String, Value>>, String> {
    let action = content.remove("action");
    match action.as_ref().map(|action| action.as_str().unwrap_or_default()) {
        None => {}
        Some("global") => {
            *global = Some(content);
            return Ok(None);
        }
        Some("reset") => {
            *global = None;
            return Ok(None);
        }
        Some("repeat") => {
            let previous = previous.ok_or("`action: repeat` has no document before it")?;
            return laid_over(previous.clone(), content, 0).map(Some);
        }
        Some(_) => return Err("an `action` is global, reset or repeat".to_owned()),
    }
    match global {
        Some(global) => laid_over(global.clone(), content, 0).map(Some),
        None => Ok(Some(content)),
    }
}

/// Merges two maps recursively; the values of the second take precedence.
fn laid_over(
    mut under: Map<String, Value>,
    over: Map<String, Value>,
    depth: usize,
) -> Result<Map<String, Value>, String> {
    if depth > MAX_DEPTH {
        return Err(format!("its maps are nested deeper than {MAX_DEPTH} levels"));
    }
    for (key, value) in over {
        let value = match (under.remove(&key), value) {
            (Some(Value::Object(under)), Value::Object(over)) => {
                Value::Object(laid_over(under, over, depth + 1)?)
            }
            (_, value) => value,
        };
        under.insert(key, value);
    }
    Ok(under)
}

/// The texts between document separators, each with the number of its first line.
fn divided(text: &str) -> Vec<(usize, &str)> {
    let (mut parts, mut start, mut first, mut at) = (Vec::new(), 0, 1, 0);
    for (number, line) in (1..).zip(text.split_inclusive('\n')) {
        let end = at + line.len();
        let marks = |mark: &str| {
            line.strip_prefix(mark)
                .is_some_and(|rest| rest.trim().is_empty() || rest.starts_with([' ', '\t']))
        };
        if marks("---") {
            parts.push((first, &text[start..at]));
            // What stands behind the mark on its line belongs to the document.
            (start, first) = (at + 3, number);
        } else if marks("...") {
            parts.push((first, &text[start..at]));
            (start, first) = (end, number + 1);
        }
        at = end;
    }
    parts.push((first, &text[start..]));
    parts
}

/// Parses a document; `None` if it is empty.
fn read(line: usize, text: &str) -> Result<Option<Map<String, Value>>, Unreadable> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let directive = |line: &str| line.starts_with('#') || line.starts_with('%') || line.trim().is_empty();
    if text.lines().all(directive) {
        return Ok(None);
    }
    let options = serde_saphyr::options! {
        strict_booleans: true,
        underscored_numbers_as_strings: true,
        leading_zero_numbers_as_strings: true,
        with_snippet: false,
    };
    match serde_saphyr::from_str_with_options::<Value>(text, options) {
        Ok(Value::Object(content)) => Ok(Some(content)),
        Ok(_) => Err(Unreadable { line, reason: "it is no map of keys and values".to_owned() }),
        Err(error) => {
            let within = error.location().and_then(|place| usize::try_from(place.line()).ok()).unwrap_or(1);
            Err(Unreadable {
                line: line + within.saturating_sub(1),
                reason: format!("it is no YAML: {error}"),
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn contents(text: &str) -> Vec<Result<Value, usize>> {
        let found = documents(text).into_iter();
        found.map(|document| document.map(|d| Value::Object(d.content)).map_err(|error| error.line)).collect()
    }

    #[test]
    fn a_file_holds_any_number_of_documents() {
        assert_eq!(contents("a: 1\n"), [Ok(json!({"a": 1}))]);
        assert_eq!(contents("\u{feff}a: 1\r\n---\r\na: 2\r\n"), [Ok(json!({"a": 1})), Ok(json!({"a": 2}))]);
        assert_eq!(contents("---\n# nothing\n---\na: 2\n...\n---\n"), [Ok(json!({"a": 2}))]);
        assert_eq!(
            contents("--- {a: 1}\n---\nb: |\n  --- not a mark\n"),
            [Ok(json!({"a": 1})), Ok(json!({"b": "--- not a mark\n"}))]
        );
        assert_eq!(
            contents("a: 1\n---\nb: [\n---\nc: 3\n"),
            [Ok(json!({"a": 1})), Err(3), Ok(json!({"c": 3}))]
        );
        assert_eq!(contents("- a\n"), [Err(1)]);
        assert_eq!(contents("# nothing\n"), [Err(1)]);
        assert_eq!(contents("a: 1\na: 2\n"), [Err(2)], "a key twice");
    }

    #[test]
    fn actions_lay_documents_over_each_other() {
        let text = "action: global\nt: x\nd: {a: 1}\n---\nd: {b: 2}\n---\naction: repeat\nd: {b: 3}\n\
                    ---\naction: reset\n---\nd: {c: 4}\n---\naction: other\n---\naction: repeat\nd: {c: 5}\n";
        assert_eq!(
            contents(text),
            [
                Ok(json!({"t": "x", "d": {"a": 1, "b": 2}})),
                Ok(json!({"t": "x", "d": {"a": 1, "b": 3}})),
                Ok(json!({"d": {"c": 4}})),
                Err(13),
                Ok(json!({"d": {"c": 5}})),
            ]
        );
        assert_eq!(contents("action: repeat\na: 1\n"), [Err(1)]);
    }

    #[test]
    fn scalars_are_those_of_yaml_1_2() {
        let text =
            "a: [yes, on, true, 012345678901, 1_000, 12, 1.5, ~, 'null', 2026-03-01, 18446744073709551615]\n";
        assert_eq!(
            contents(text),
            [Ok(json!({"a": [
                "yes", "on", true, "012345678901", "1_000", 12, 1.5, null, "null", "2026-03-01", u64::MAX
            ]}))]
        );
        assert_eq!(contents("a: .nan\n"), [Err(1)]);
    }
}

//! Values for the modifier `expand`, which are known only where the rules run.

use std::collections::BTreeMap;

use super::text::Pattern;

/// Maximum number of values that the placeholders of one value expand to.
const MAX_VALUES: usize = 10_000;

/// Values by the placeholder's name; each is a text that may contain wildcards.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Placeholders(BTreeMap<String, Vec<String>>);

impl Placeholders {
    /// Placeholders with these values.
    pub fn new(values: BTreeMap<String, Vec<String>>) -> Self {
        Self(values)
    }

    /// The names and their values, in the order of names.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &[String])> {
        self.0.iter().map(|(name, values)| (name.as_str(), values.as_slice()))
    }

    /// Every text that the value expands to. Fails with the name of a placeholder without values.
    pub(super) fn expand(&self, value: &str) -> Result<Vec<Pattern>, String> {
        let mut forms = vec![Pattern::default()];
        for part in parts(value) {
            let with = match part {
                Part::Text(text) => vec![Pattern::parse(&text)],
                Part::Placeholder(name) => {
                    let values = self.0.get(name).filter(|values| !values.is_empty()).ok_or_else(|| {
                        format!(
                            "the placeholder %{name}% has no value; give it some as \
                             `{name} = [\"..\"]` under `[rules.placeholders]` in weir.toml"
                        )
                    })?;
                    values.iter().map(|value| Pattern::parse(value)).collect()
                }
            };
            if forms.len() * with.len() > MAX_VALUES {
                return Err(format!("the placeholders of {value:?} give more than {MAX_VALUES} values"));
            }
            forms = forms
                .iter()
                .flat_map(|form| with.iter().map(|part| form.clone().then(part.clone())))
                .collect();
        }
        Ok(forms)
    }
}

enum Part<'v> {
    Text(String),
    Placeholder(&'v str),
}

/// The texts and placeholders of a value; `\%` is a plain percent sign.
fn parts(value: &str) -> Vec<Part<'_>> {
    let (mut parts, mut text, mut rest) = (Vec::new(), String::new(), value);
    while let Some(at) = rest.find(['%', '\\']) {
        text.push_str(&rest[..at]);
        let tail = &rest[at..];
        if let Some(after) = tail.strip_prefix("\\%") {
            text.push('%');
            rest = after;
        } else if let Some(escaped) = tail.strip_prefix('\\') {
            // Another escape, which the pattern reads: both characters stay, so that `\\%` is a backslash
            // before a name.
            let both = 1 + escaped.chars().next().map_or(0, char::len_utf8);
            text.push_str(&tail[..both]);
            rest = &tail[both..];
        } else if let Some((name, after)) = name(tail) {
            parts.push(Part::Text(std::mem::take(&mut text)));
            parts.push(Part::Placeholder(name));
            rest = after;
        } else {
            text.push('%');
            rest = &tail[1..];
        }
    }
    text.push_str(rest);
    parts.push(Part::Text(text));
    parts
}

/// The name at the beginning of `%name%..`, and the rest of the text.
fn name(text: &str) -> Option<(&str, &str)> {
    let (name, after) = text.strip_prefix('%')?.split_once('%')?;
    let plain = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    plain.then_some((name, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: &str, expected: &[&str]) {
        let values = [("admins", vec!["ada", "adm_*"]), ("zone", vec!["a", "b"])];
        let values = values.map(|(name, values)| {
            (name.to_owned(), values.into_iter().map(str::to_owned).collect::<Vec<_>>())
        });
        let found = Placeholders::new(BTreeMap::from(values)).expand(value).expect(value);
        let expected: Vec<Pattern> = expected.iter().map(|text| Pattern::parse(text)).collect();
        assert_eq!(found, expected, "{value}");
    }

    #[test]
    fn placeholders_become_their_values() {
        check("%admins%", &["ada", "adm_*"]);
        check("x-%admins%-%zone%", &["x-ada-a", "x-ada-b", "x-adm_*-a", "x-adm_*-b"]);
        check(r"\%plain%zone%", &["%plaina", "%plainb"]);
        check("100% of %zone%", &["100% of a", "100% of b"]);
        check("none", &["none"]);
        check(r"\*%zone%", &[r"\*a", r"\*b"]);
    }

    #[test]
    fn a_placeholder_without_values_is_named() {
        let none = Placeholders::default().expand("%admins%").expect_err("no value");
        assert!(none.contains("%admins%") && none.contains("rules.placeholders"), "{none}");
    }
}

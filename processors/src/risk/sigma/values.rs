//! Compiles a value of a rule, through the key's modifiers, to a test on a record's value.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ipnet::IpNet;
use regex::{Regex, RegexBuilder};
use serde_json::Value;

use super::{
    fields::Fields,
    matcher::{Number, Reach, Test},
    modifier::{Comparison, Key, Kind, Modifier, TimePart},
    placeholders::Placeholders,
    text::{Glob, Pattern},
};

/// Memory of the states that one regular expression keeps between two texts, in bytes. There are hundreds of expressions and
/// the values are short: with the 2 MiB that the engine takes by default, the rules alone could fill a gigabyte.
const MAX_DFA_BYTES: usize = 64 * 1024;

/// Context of compiling tests.
pub(super) struct Making<'m> {
    /// Fields of the format, for references to them.
    pub(super) fields: &'m mut Fields,
    /// Values for `expand`.
    pub(super) placeholders: &'m Placeholders,
}

/// A value while modifiers are applied.
enum Form {
    Text(Pattern),
    Bytes(Vec<u8>),
}

impl Making<'_> {
    /// Alternative tests for one value of the key. Fails if the value is not
    /// of the type that the modifiers require.
    pub(super) fn tests(&mut self, key: &Key<'_>, value: &Value) -> Result<Vec<Test>, String> {
        match key.kind {
            Kind::Exists => {
                let wanted = value.as_bool().ok_or("`exists` takes true or false")?;
                Ok(vec![Test::Exists(wanted)])
            }
            Kind::Number => Ok(vec![number(key, value)?]),
            Kind::Regex => Ok(vec![Test::Regex(regex(key, &plain_text(value)?)?)]),
            Kind::FieldRef => {
                let name = value.as_str().ok_or("`fieldref` takes the name of a field")?;
                let reach = reach(key);
                let cased = key.has(Modifier::Cased);
                Ok(vec![Test::Reference { field: self.fields.id(name)?, reach, cased }])
            }
            Kind::Cidr => {
                let texts = match value.as_str() {
                    Some(text) if key.has(Modifier::Expand) => self.placeholders.expand(text)?,
                    Some(text) => vec![Pattern::plain(text)],
                    None => return Err("`cidr` takes a network, like 10.0.0.0/8".to_owned()),
                };
                texts.iter().map(|text| Ok(Test::Cidr(network(text.as_plain())?))).collect()
            }
            Kind::Plain => self.plain(key, value),
        }
    }

    fn plain(&self, key: &Key<'_>, value: &Value) -> Result<Vec<Test>, String> {
        let changes_text = key.modifiers.iter().any(|modifier| {
            !matches!(modifier, Modifier::All | Modifier::NotEqual | Modifier::Cased | Modifier::Expand)
        });
        match value {
            // Keywords are texts, whatever they look like.
            Value::Null if key.field.is_none() => return Err("null is no keyword".to_owned()),
            Value::Null if changes_text || key.has(Modifier::NotEqual) => {
                return Err(
                    "null takes no modifier: write the field without one, and `not` in the condition"
                        .to_owned(),
                );
            }
            Value::Null => return Ok(vec![Test::Null]),
            Value::Bool(wanted) if key.field.is_some() && !changes_text => {
                return Ok(vec![Test::Bool(*wanted)]);
            }
            Value::Number(wanted) if key.field.is_some() && !changes_text => {
                return Ok(vec![Test::Number(Comparison::Equal, exact(&Number::of(wanted))?)]);
            }
            _ => {}
        }
        let written = plain_text(value)?;
        if key.field.is_none() && written.is_empty() {
            return Err("an empty keyword is in every event".to_owned());
        }
        let patterns = match value {
            Value::String(_) if key.has(Modifier::Expand) => self.placeholders.expand(&written)?,
            Value::String(_) => vec![Pattern::parse(&written)],
            _ => vec![Pattern::plain(&written)],
        };
        let mut forms: Vec<Form> = patterns.into_iter().map(Form::Text).collect();
        for modifier in &key.modifiers {
            let changed: Result<Vec<Vec<Form>>, String> =
                forms.into_iter().map(|form| transformed(form, *modifier)).collect();
            forms = changed?.into_iter().flatten().collect();
        }
        let places = [Modifier::Contains, Modifier::StartsWith, Modifier::EndsWith, Modifier::Base64Offset];
        let anywhere = key.field.is_none() && !places.iter().any(|place| key.has(*place));
        let cased = key.has(Modifier::Cased);
        forms
            .into_iter()
            .map(|form| {
                let mut pattern = text_of(form)?;
                if anywhere {
                    pattern = Pattern::anything().then(pattern).then(Pattern::anything());
                }
                Ok(Test::Glob(Glob::new(&pattern, cased)))
            })
            .collect()
    }
}

/// The text of a scalar.
fn plain_text(value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(_) | Value::Bool(_) => Ok(value.to_string()),
        Value::Null => Err("null is no text".to_owned()),
        Value::Array(_) | Value::Object(_) => {
            Err("a value is a text, a number, true, false or null; a field within a field is written a.b"
                .to_owned())
        }
    }
}

fn transformed(form: Form, modifier: Modifier) -> Result<Vec<Form>, String> {
    let one = |pattern| Ok(vec![Form::Text(pattern)]);
    let any = Pattern::anything;
    match modifier {
        Modifier::Contains => one(any().then(text_of(form)?).then(any())),
        Modifier::StartsWith => one(text_of(form)?.then(any())),
        Modifier::EndsWith => one(any().then(text_of(form)?)),
        Modifier::WinDash => {
            let forms = text_of(form)?.dashes().ok_or("`windash` takes at most 4 flags in one value")?;
            Ok(forms.into_iter().map(Form::Text).collect())
        }
        Modifier::Base64 => one(Pattern::plain(&STANDARD.encode(bytes_of(form)?))),
        Modifier::Base64Offset => {
            let forms = offsets(&bytes_of(form)?).into_iter();
            Ok(forms.map(|own| Form::Text(any().then(Pattern::plain(&own)).then(any()))).collect())
        }
        Modifier::Utf16Le | Modifier::Utf16Be | Modifier::Utf16 => {
            let text = String::from_utf8(bytes_of(form)?).map_err(|_| "it is encoded twice")?;
            let units = text.encode_utf16();
            let bytes: Vec<u8> = match modifier {
                Modifier::Utf16Be => units.flat_map(u16::to_be_bytes).collect(),
                Modifier::Utf16 => [0xff, 0xfe].into_iter().chain(units.flat_map(u16::to_le_bytes)).collect(),
                _ => units.flat_map(u16::to_le_bytes).collect(),
            };
            Ok(vec![Form::Bytes(bytes)])
        }
        _ => Ok(vec![form]),
    }
}

fn text_of(form: Form) -> Result<Pattern, String> {
    match form {
        Form::Text(pattern) => Ok(pattern),
        Form::Bytes(bytes) => match String::from_utf8(bytes) {
            Ok(text) => Ok(Pattern::plain(&text)),
            Err(_) => Err("these bytes are in no text of an event; `base64` must follow".to_owned()),
        },
    }
}

fn bytes_of(form: Form) -> Result<Vec<u8>, String> {
    match form {
        Form::Bytes(bytes) => Ok(bytes),
        Form::Text(pattern) => match pattern.as_plain() {
            Some(text) => Ok(text.as_bytes().to_vec()),
            None => Err("a value with wildcards cannot be encoded".to_owned()),
        },
    }
}

/// The Base64 forms of the bytes at offsets 0, 1 and 2: only the characters that these bytes alone determine.
fn offsets(bytes: &[u8]) -> Vec<String> {
    let form = |before: usize| {
        let encoded = STANDARD.encode([&[0; 2][..before], bytes].concat());
        // Six bits a character: the first whole one after the others, and the last whole one of ours.
        let (from, to) = ((before * 8).div_ceil(6), (before + bytes.len()) * 8 / 6);
        encoded.get(from..to).filter(|own| !own.is_empty()).map(ToOwned::to_owned)
    };
    (0..3).filter_map(form).collect()
}

fn reach(key: &Key<'_>) -> Reach {
    if key.has(Modifier::Contains) || (key.has(Modifier::StartsWith) && key.has(Modifier::EndsWith)) {
        Reach::Contains
    } else if key.has(Modifier::StartsWith) {
        Reach::StartsWith
    } else if key.has(Modifier::EndsWith) {
        Reach::EndsWith
    } else {
        Reach::Whole
    }
}

fn regex(key: &Key<'_>, pattern: &str) -> Result<Regex, String> {
    let built = RegexBuilder::new(pattern)
        .case_insensitive(key.has(Modifier::IgnoreCase))
        .multi_line(key.has(Modifier::MultiLine))
        .dot_matches_new_line(key.has(Modifier::DotAll))
        .dfa_size_limit(MAX_DFA_BYTES)
        .build();
    built.map_err(|error| {
        let told = error.to_string();
        let last = told.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
        format!("the regular expression {pattern:?} cannot be used: {last}")
    })
}

fn network(text: Option<&str>) -> Result<IpNet, String> {
    let text = text.ok_or("a network has no wildcards")?;
    let net = text.parse::<IpNet>().or_else(|_| text.parse::<std::net::IpAddr>().map(IpNet::from));
    net.map_err(|_| format!("{text:?} is no network, like 10.0.0.0/8 or 2001:db8::/32"))
}

/// Compiles a comparison with a number, of the whole value or of a part of a time.
fn number(key: &Key<'_>, value: &Value) -> Result<Test, String> {
    let wanted = value.as_number().ok_or("a number is wanted here, without quotes")?;
    let wanted = exact(&Number::of(wanted))?;
    let comparison = key.modifiers.iter().find_map(|modifier| match modifier {
        Modifier::Compare(comparison) => Some(*comparison),
        _ => None,
    });
    let part = key.modifiers.iter().find_map(|modifier| match modifier {
        Modifier::Time(part) => Some(*part),
        _ => None,
    });
    let Some(part) = part else {
        return Ok(Test::Number(comparison.unwrap_or(Comparison::Equal), wanted));
    };
    let (from, to) = match part {
        TimePart::Minute => (0, 59),
        TimePart::Hour => (0, 23),
        TimePart::Day => (1, 31),
        TimePart::Week => (1, 53),
        TimePart::Month => (1, 12),
        TimePart::Year => (0, 9999),
    };
    match wanted {
        Number::Whole(n) if (from..=to).contains(&n) => {
            Ok(Test::Time(part, comparison.unwrap_or(Comparison::Equal), wanted))
        }
        _ => Err(format!("this part of a time is a whole number from {from} to {to}")),
    }
}

/// A number that was not rounded while parsing.
fn exact(number: &Number) -> Result<Number, String> {
    const EXACT_BELOW: f64 = 9_007_199_254_740_992.0;
    match number {
        Number::Broken(n) if n.abs() >= EXACT_BELOW => {
            Err("the number is too large to be kept exactly; write it in quotes".to_owned())
        }
        number => Ok(*number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_is_found_wherever_the_text_stands() {
        for text in ["https://", "ab", "abc", "curl -s", "ünïcode"] {
            let forms = offsets(text.as_bytes());
            for (before, after) in [("", ""), ("x", "y"), ("xy", "yz"), ("xyz", "z"), ("xyzz", "?!")] {
                let encoded = STANDARD.encode(format!("{before}{text}{after}"));
                let found = forms.iter().any(|form| encoded.contains(form));
                assert!(found, "{text} between {before:?} and {after:?} in {encoded}");
            }
        }
    }
}

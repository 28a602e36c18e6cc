//! A command's body: one JSON object, read member by member. All faults are reported at once.

use std::fmt;

use edge::api_error::ApiError;
use rust_decimal::Decimal;
use schemas::{
    Timestamp,
    codec::json,
    problem::{Fault, ProblemKind},
};
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::Value;

/// Maximum number of reported faults.
const MAX_FAULTS: usize = 50;

/// Members of the body that are not read yet, and the faults of those that were.
#[derive(Debug, Default)]
pub(super) struct Form {
    members: Vec<(String, Value)>,
    faults: Vec<Fault>,
}

impl Form {
    /// Parses a body; an empty body and null have no members.
    pub(super) fn parse(body: &[u8]) -> Result<Self, ApiError> {
        let invalid = |detail: String| ApiError::new(ProblemKind::InvalidJson, detail);
        let text = std::str::from_utf8(body).map_err(|_| invalid("the body is not UTF-8".into()))?;
        if matches!(text.trim_ascii(), "" | "null") {
            return Ok(Self::default());
        }
        json::check_native(text).map_err(|bad| ApiError::new(bad.why.problem(), bad.detail))?;
        let Members(members) = serde_json::from_str(text).map_err(|error| {
            invalid(format!(
                "the body is not one JSON object, line {} column {}",
                error.line(),
                error.column()
            ))
        })?;
        let mut names: Vec<&str> = members.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        if names.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(invalid("the body has the same member twice".into()));
        }
        Ok(Self { members, faults: Vec::new() })
    }

    /// Records a fault at a location: a JSON pointer, or a path parameter.
    pub(super) fn fault(&mut self, at: &str, detail: impl Into<String>) {
        if self.faults.len() < MAX_FAULTS {
            self.faults.push(Fault { at: at.to_owned(), detail: detail.into() });
        }
    }

    /// Takes a member's value; null counts as absent.
    fn take(&mut self, name: &str) -> Option<Value> {
        let at = self.members.iter().position(|(member, _)| member == name)?;
        let (_, value) = self.members.swap_remove(at);
        Some(value).filter(|value| !value.is_null())
    }

    /// Whether a member is present and not null.
    pub(super) fn has(&self, name: &str) -> bool {
        self.members.iter().any(|(member, value)| member == name && !value.is_null())
    }

    /// A text of 1 to `most` bytes that is not blank.
    pub(super) fn text(&mut self, name: &str, most: usize) -> Option<String> {
        let value = self.take(name)?;
        let at = format!("/{name}");
        self.checked_text(&at, value, most)
    }

    fn checked_text(&mut self, at: &str, value: Value, most: usize) -> Option<String> {
        match value {
            Value::String(text) if (1..=most).contains(&text.len()) && !text.trim().is_empty() => Some(text),
            Value::String(_) => {
                self.fault(at, format!("must be a text of 1 to {most} bytes, and not blank"));
                None
            }
            _ => {
                self.fault(at, "must be a text");
                None
            }
        }
    }

    /// The same, required. If it is missing, a placeholder is returned and [`Form::finish`] fails.
    pub(super) fn required_text(&mut self, name: &str, most: usize) -> String {
        let faults = self.faults.len();
        let text = self.text(name, most);
        if text.is_none() && self.faults.len() == faults {
            self.fault(&format!("/{name}"), "is missing");
        }
        text.unwrap_or_default()
    }

    /// One of the allowed words, required. If it is missing or another word, a placeholder is returned, as
    /// above.
    pub(super) fn one_of(&mut self, name: &str, words: &[&'static str]) -> &'static str {
        let told = self.take(name);
        let word = words.iter().copied().find(|word| told.as_ref().and_then(Value::as_str) == Some(word));
        if word.is_none() {
            self.fault(&format!("/{name}"), format!("must be one of {}", words.join(", ")));
        }
        word.unwrap_or(words[0])
    }

    /// A timestamp, RFC 3339 with a zone.
    pub(super) fn instant(&mut self, name: &str) -> Option<Timestamp> {
        let value = self.take(name)?;
        let instant = value.as_str().and_then(|text| text.parse::<Timestamp>().ok());
        if instant.is_none() {
            self.fault(&format!("/{name}"), "must be a time as in RFC 3339, with a zone");
        }
        instant
    }

    /// A decimal number, also as text.
    pub(super) fn decimal(&mut self, name: &str) -> Option<Decimal> {
        let decimal = match self.take(name)? {
            Value::String(text) => Decimal::from_str_exact(&text).ok(),
            Value::Number(number) => Decimal::from_str_exact(&number.to_string()).ok(),
            _ => None,
        };
        if decimal.is_none() {
            self.fault(&format!("/{name}"), "must be a decimal number");
        }
        decimal
    }

    /// At most `most` texts; empty if the member is absent.
    pub(super) fn texts(&mut self, name: &str, most: usize, most_bytes: usize) -> Vec<String> {
        let at = format!("/{name}");
        match self.take(name) {
            None => Vec::new(),
            Some(Value::Array(items)) if items.len() <= most => items
                .into_iter()
                .enumerate()
                .filter_map(|(index, item)| self.checked_text(&format!("{at}/{index}"), item, most_bytes))
                .collect(),
            Some(_) => {
                self.fault(&at, format!("must be a list of at most {most} texts"));
                Vec::new()
            }
        }
    }

    /// A member as JSON text; `None` if absent.
    pub(super) fn json(&mut self, name: &str) -> Option<String> {
        self.take(name).map(|value| value.to_string())
    }

    /// The named members of an object of texts; empty texts if it is not an object.
    pub(super) fn object<const N: usize>(
        &mut self,
        name: &str,
        names: [&str; N],
        most: usize,
    ) -> [String; N] {
        if !self.members.iter().any(|(member, value)| member == name && value.is_object()) {
            let fault = if self.has(name) { "must be an object" } else { "is missing" };
            self.take(name);
            self.fault(&format!("/{name}"), fault);
            return std::array::from_fn(|_| String::new());
        }
        self.inside(name, |inner| names.map(|name| inner.required_text(name, most)))
    }

    /// The members of an object, as `read` reads them; an absent object has none.
    pub(super) fn inside<T>(&mut self, name: &str, read: impl FnOnce(&mut Self) -> T) -> T {
        let at = format!("/{name}");
        let members = match self.take(name) {
            Some(Value::Object(members)) => members.into_iter().collect(),
            Some(_) => {
                self.fault(&at, "must be an object");
                Vec::new()
            }
            None => Vec::new(),
        };
        let mut inner = Self { members, faults: Vec::new() };
        let answer = read(&mut inner);
        inner.note_unknown();
        for fault in inner.faults {
            self.fault(&format!("{at}{}", fault.at), fault.detail);
        }
        answer
    }

    /// Records unknown members as faults, since a misspelt name means something, unless their value is null.
    fn note_unknown(&mut self) {
        let members = std::mem::take(&mut self.members).into_iter();
        let mut unknown: Vec<_> =
            members.filter(|(_, value)| !value.is_null()).map(|(name, _)| name).collect();
        unknown.sort_unstable();
        for name in unknown {
            self.fault(&format!("/{name}"), "is not known here");
        }
    }

    /// Fails with all faults, including unknown members.
    pub(super) fn finish(mut self) -> Result<(), ApiError> {
        self.note_unknown();
        if self.faults.is_empty() {
            return Ok(());
        }
        for fault in &mut self.faults {
            fault.at = schemas::problem::printable(&fault.at);
        }
        let told: Vec<_> = self.faults.iter().map(|fault| format!("{} {}", fault.at, fault.detail)).collect();
        Err(ApiError::new(ProblemKind::InvalidCommand, told.join("; ")).with_errors(self.faults))
    }
}

/// An object's members in order, duplicates included.
struct Members(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks the faults (`location detail`) of reading a body in this way.
    #[track_caller]
    fn check(body: &str, read: impl FnOnce(&mut Form), expected: &[&str]) {
        let mut form = Form::parse(body.as_bytes()).expect("an object");
        read(&mut form);
        let faults = match form.finish() {
            Ok(()) => Vec::new(),
            Err(refusal) => refusal.problem().errors.clone(),
        };
        let told: Vec<_> = faults.iter().map(|fault| format!("{} {}", fault.at, fault.detail)).collect();
        assert_eq!(told, expected, "{body}");
    }

    #[test]
    fn all_faults_are_told_at_once_and_by_name() {
        let read = |form: &mut Form| {
            form.one_of("decision", &["approved", "rejected"]);
            form.required_text("reason", 5);
            form.instant("expires_at");
            form.decimal("multiplier");
            form.texts("rules", 2, 3);
            form.object("entity", ["kind", "id"], 5);
        };
        let good = r#"{"decision":"rejected","reason":"no","expires_at":"2026-01-01T00:00:00+01:00",
                       "multiplier":1.5,"rules":["a"],"entity":{"kind":"user","id":"mara"}}"#;
        check(good, read, &[]);
        check(
            r#"{"decision":"maybe","reason":" ","expires_at":"tomorrow","multiplier":"1,5","rules":["a","long",7],
                "entity":{"kind":7,"name":"x"},"until":"x"}"#,
            read,
            &[
                "/decision must be one of approved, rejected",
                "/reason must be a text of 1 to 5 bytes, and not blank",
                "/expires_at must be a time as in RFC 3339, with a zone",
                "/multiplier must be a decimal number",
                "/rules must be a list of at most 2 texts",
                "/entity/kind must be a text",
                "/entity/id is missing",
                "/entity/name is not known here",
                "/until is not known here",
            ],
        );
        let missing =
            ["/decision must be one of approved, rejected", "/reason is missing", "/entity is missing"];
        check("{}", read, &missing);
        check(" \n", read, &missing);
        check(r#"{"decision":null,"reason":null,"expires_at":null,"entity":null}"#, read, &missing);
    }

    #[test]
    fn a_member_of_any_name_is_told_in_one_line() {
        check(r#"{"a\nb\u202e":1}"#, |_| {}, &["/a\u{fffd}b\u{fffd} is not known here"]);
    }

    #[test]
    fn what_is_no_object_or_says_two_things_is_not_read() {
        let slug =
            |body: &[u8]| Form::parse(body).map(drop).map_err(|refusal| refusal.problem().slug().to_owned());
        for bad in [&b"[]"[..], b"7", b"{", b"{} {}", b"\xff", br#"{"a":1,"a":2}"#, br#"{"a":"\u0000"}"#] {
            assert_eq!(slug(bad), Err("invalid-json".into()), "{bad:?}");
        }
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000));
        assert_eq!(slug(deep.as_bytes()), Err("json-limit".into()));
    }
}

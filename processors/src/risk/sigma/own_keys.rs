//! Weir's extensions of Sigma: `entities`, `dedupe`, `confidence` and `impact`.

use schemas::changes::risk::EntityKind;
use serde_json::{Map, Value};

use super::{detection::Fault, fields::paths, json::Json, partition, path::Path};

/// Maximum number of values of one template: a record may contain lists of any length.
const MAX_VALUES: usize = 64;

/// Entities of a hit besides the event's actor and address.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Touched {
    /// By kind, templates in order: the first that yields a value counts.
    pub entities: Vec<(EntityKind, Vec<Template>)>,
    /// Templates of the dedupe key, whose values distinguish hits on one entity within an hour.
    pub dedupe: Vec<Template>,
}

impl Touched {
    /// Kind and id of every entity that the rule names in the record.
    pub fn entities_in(&self, record: &Json<'_>) -> Vec<(EntityKind, String)> {
        let named = self.entities.iter().flat_map(|(kind, templates)| {
            let ids = templates.iter().map(|template| template.fill(record)).find(|ids| !ids.is_empty());
            ids.unwrap_or_default().into_iter().map(|id| (*kind, partition::own(id, record)))
        });
        named.take(MAX_VALUES).collect()
    }

    /// The key by which hits on one entity count once per hour; empty by default.
    pub fn dedupe_key_in(&self, record: &Json<'_>) -> String {
        let values: Vec<String> =
            self.dedupe.iter().map(|template| template.fill(record).join(",")).collect();
        values.join("|")
    }
}

/// The extension keys of one rule.
pub(super) struct OwnKeys {
    pub(super) touched: Touched,
    pub(super) score: Option<u8>,
}

impl OwnKeys {
    /// Parses them from a rule, whose fields are those of the format, or of any if it has
    /// none. The error names the invalid key and the reason.
    pub(super) fn of(content: &Map<String, Value>, format: Option<&str>) -> Result<Self, Fault> {
        let key = |name: &str| content.get(name).filter(|value| !value.is_null());
        let about = |key: &'static str| move |reason: String| Fault::new(key, reason);
        let entities = key("entities").map_or(Ok(Vec::new()), |value| entities(value, format));
        let entities = entities.map_err(about("entities"))?;
        let dedupe = key("dedupe").map_or(Ok(Vec::new()), |value| templates(value, format));
        let dedupe = dedupe.map_err(about("dedupe"))?;
        let score = match (key("confidence"), key("impact")) {
            (None, None) => None,
            (Some(confidence), Some(impact)) => {
                let confidence = percent(confidence).map_err(about("confidence"))?;
                let impact = percent(impact).map_err(about("impact"))?;
                u8::try_from((confidence * impact + 50) / 100).ok()
            }
            (Some(_), None) => return Err(Fault::new("confidence", "confidence needs impact beside it")),
            (None, Some(_)) => return Err(Fault::new("impact", "impact needs confidence beside it")),
        };
        Ok(Self { touched: Touched { entities, dedupe }, score })
    }
}

fn percent(value: &Value) -> Result<u64, String> {
    value.as_u64().filter(|n| *n <= 100).ok_or_else(|| "must be a whole number from 0 to 100".to_owned())
}

fn entities(value: &Value, format: Option<&str>) -> Result<Vec<(EntityKind, Vec<Template>)>, String> {
    let Value::Object(kinds) = value else { return Err("must hold fields by kind of entity".to_owned()) };
    let one = |(kind, value): (&String, &Value)| {
        let known = EntityKind::from_name(kind).ok_or_else(|| {
            let known = EntityKind::ALL.map(EntityKind::name).join(", ");
            format!("{kind:?} is no kind of entity; there are {known}")
        })?;
        Ok((known, templates(value, format).map_err(|why| format!("{kind}: {why}"))?))
    };
    kinds.iter().map(one).collect()
}

fn templates(value: &Value, format: Option<&str>) -> Result<Vec<Template>, String> {
    let values = match value {
        Value::Array(values) => values.as_slice(),
        value => std::slice::from_ref(value),
    };
    let one = |value: &Value| {
        let text =
            value.as_str().ok_or("a field, a text with fields in braces, or a list of them is meant")?;
        Template::parse(text, format)
    };
    values.iter().map(one).collect()
}

/// A field, or a text with fields in braces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Field(FieldName),
}

impl Template {
    fn parse(text: &str, format: Option<&str>) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Err("an empty text names nothing".to_owned());
        }
        if !text.contains(['{', '}']) {
            return Ok(Self(vec![Piece::Field(FieldName::parse(text, format)?)]));
        }
        let (mut pieces, mut rest) = (Vec::new(), text);
        while let Some((before, after)) = rest.split_once('{') {
            let (field, after) =
                after.split_once('}').ok_or_else(|| format!("{text:?}: a brace is not closed"))?;
            if field.trim().is_empty() || field.contains('{') || before.contains('}') {
                return Err(format!("{text:?}: braces hold one field each"));
            }
            if !before.is_empty() {
                pieces.push(Piece::Text(before.to_owned()));
            }
            pieces.push(Piece::Field(FieldName::parse(field, format)?));
            rest = after;
        }
        if rest.contains('}') {
            return Err(format!("{text:?}: a brace is not opened"));
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.to_owned()));
        }
        Ok(Self(pieces))
    }

    /// The values of a record; empty unless every field has a value. If several fields are lists,
    /// their values are combined by index, and lists of different lengths yield nothing.
    fn fill(&self, record: &Json<'_>) -> Vec<String> {
        let mut filled: Vec<String> = vec![String::new()];
        for piece in &self.0 {
            let values = match piece {
                Piece::Text(text) => vec![text.clone()],
                Piece::Field(field) => field.values(record),
            };
            filled = match (filled.len(), values.len()) {
                (_, 0) => return Vec::new(),
                (_, 1) => filled.into_iter().map(|text| joined(text, &values[0])).collect(),
                (1, _) => values.iter().map(|value| joined(filled[0].clone(), value)).collect(),
                (a, b) if a == b => {
                    filled.into_iter().zip(values).map(|(text, v)| joined(text, &v)).collect()
                }
                _ => return Vec::new(),
            };
        }
        filled
    }
}

/// A text with a value behind it. Many calls take the name of a thing or its ARN: where a template completes a name to
/// an ARN, an ARN stands for itself.
fn joined(text: String, value: &str) -> String {
    const ARN: &str = "arn:";
    if text.starts_with(ARN) && value.starts_with(ARN) { value.to_owned() } else { text + value }
}

/// A field that is read as texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FieldName {
    /// Possible paths; the first that exists counts.
    paths: Vec<Path>,
}

impl FieldName {
    pub(super) fn parse(name: &str, format: Option<&str>) -> Result<Self, String> {
        Ok(Self { paths: paths(format, name)? })
    }

    /// The texts of the field: none if it is missing, null, empty or an object; one for each element of a
    /// list.
    pub(super) fn values(&self, record: &Json<'_>) -> Vec<String> {
        let places = self.paths.iter().map(|path| path.find(record)).find(|places| !places.is_empty());
        let mut found = Vec::new();
        places.unwrap_or_default().into_iter().for_each(|value| collect(value, &mut found));
        found
    }
}

fn collect(value: &Json<'_>, into: &mut Vec<String>) {
    let text = match value {
        Json::List(items) => return items.iter().for_each(|item| collect(item, into)),
        Json::Object(_) | Json::Null => return,
        Json::Text(text) => text.clone().into_owned(),
        plain => plain.to_string(),
    };
    if !text.trim().is_empty() && into.len() < MAX_VALUES {
        into.push(text);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(template: &str, expected: &[&str]) {
        let record = json!({
            "account": "111122223333", "arn": "arn:aws:s3:::a", "n": 7, "none": null, "blank": " ", "object": {"name": "x"}, "all": [],
            "subjects": [{"space": "a", "name": "one"}, {"space": "b", "name": "two"}], "three": [1, 2, 3],
        });
        assert_eq!(
            Template::parse(template, None).expect(template).fill(&Json::from(&record)),
            expected,
            "{template}"
        );
    }

    #[test]
    fn a_template_names_what_every_field_of_it_names() {
        check("account", &["111122223333"]);
        check("object.name", &["x"]);
        check("subjects[1].name", &["two"]);
        check("subjects.name", &["one", "two"]);
        check("arn:{account}:user/{object.name}", &["arn:111122223333:user/x"]);
        check("arn:aws:s3:::{arn}", &["arn:aws:s3:::a"]);
        check("arn:{account}:bucket/{arn}", &["arn:aws:s3:::a"]);
        check("bucket/{arn}", &["bucket/arn:aws:s3:::a"]);
        check("{n}", &["7"]);
        check("{subjects.space}:{subjects.name}", &["a:one", "b:two"]);
        check("{account}/{subjects.name}", &["111122223333/one", "111122223333/two"]);
        for nothing in ["missing", "none", "blank", "object", "all", "x{missing}", "{three}{subjects.name}"] {
            check(nothing, &[]);
        }
    }

    #[test]
    fn malformed_templates_are_told() {
        for wrong in ["", " ", "a{b", "a}b", "{}", "{a{b}}", "{a}}"] {
            assert!(Template::parse(wrong, None).is_err(), "{wrong:?}");
        }
    }
}

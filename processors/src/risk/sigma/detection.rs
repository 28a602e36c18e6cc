//! The `detection` of a rule: its selections, compiled to tests, and the condition over them.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::{
    condition::{self, Condition},
    engine::MatchedField,
    fields::{FieldId, Fields},
    matcher::Test,
    modifier::{Key, Modifier},
    record::{Found, Record},
    values::Making,
};

/// Minimum number of plain texts of one field for a hash lookup instead of comparisons.
const WORTH_LOOKING_UP: usize = 8;

/// A compiled detection.
#[derive(Debug, Clone)]
pub(super) struct Detection {
    pub(super) selections: Vec<Selection>,
    pub(super) condition: Condition<usize>,
}

/// A compiled selection.
#[derive(Debug, Clone)]
pub(super) enum Selection {
    All(Vec<Self>),
    Any(Vec<Self>),
    Field(FieldTests),
    /// Keywords: values that may be anywhere in the record.
    Anywhere {
        tests: Vec<Test>,
        all: bool,
    },
}

/// Tests on the values of a field.
#[derive(Debug, Clone)]
pub(super) struct FieldTests {
    pub(super) field: FieldId,
    /// Folded texts; a value that equals one of them passes.
    pub(super) texts: HashSet<String>,
    pub(super) tests: Vec<Test>,
    pub(super) link: Link,
}

/// Logical link between the values of one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Link {
    /// Any of them matches.
    Any,
    All,
    /// None of them matches, and the field exists.
    None,
}

/// Reason for rejecting a detection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    /// The key in question, as the rule writes it.
    pub(super) at: String,
    pub(super) reason: String,
}

impl Fault {
    pub(super) fn new(at: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { at: at.into(), reason: reason.into() }
    }
}

impl Detection {
    /// Compiles the section `detection` of a rule, or the corresponding one of a filter.
    pub(super) fn read(section: &Map<String, Value>, making: &mut Making<'_>) -> Result<Self, Fault> {
        let mut names = Vec::new();
        let mut selections = Vec::new();
        for (name, value) in
            section.iter().filter(|(name, _)| !["condition", "timeframe"].contains(&name.as_str()))
        {
            selections.push(selection(name, value, making)?);
            names.push(name.as_str());
        }
        let unreadable = |reason: String| Fault::new("condition", reason);
        let conditions = match section.get("condition") {
            Some(Value::String(one)) => vec![one.as_str()],
            Some(Value::Array(many)) => {
                let texts = many.iter().map(Value::as_str).collect::<Option<Vec<_>>>();
                texts.filter(|texts| !texts.is_empty()).ok_or_else(|| {
                    unreadable("a list of conditions holds texts, and at least one".to_owned())
                })?
            }
            Some(_) => return Err(unreadable("the condition is a text, or a list of texts".to_owned())),
            None => return Err(Fault::new("detection", "it has no condition")),
        };
        let conditions: Result<Vec<_>, _> =
            conditions.into_iter().map(|written| condition::parse(written, &names)).collect();
        let mut conditions = conditions.map_err(unreadable)?;
        let condition = if conditions.len() > 1 {
            Condition::Any(conditions)
        } else {
            conditions.pop().expect("there is a condition")
        };
        Ok(Self { selections, condition })
    }

    /// Adds the negation of another detection.
    pub(super) fn unless(&mut self, other: &Self) {
        let before = self.selections.len();
        self.selections.extend(other.selections.iter().cloned());
        let moved = moved(&other.condition, before);
        let own = std::mem::replace(&mut self.condition, Condition::All(Vec::new()));
        self.condition = Condition::All(vec![own, Condition::Not(Box::new(moved))]);
    }

    pub(super) fn holds(&self, record: &Record<'_>) -> bool {
        self.decides(&self.condition, record)
    }

    fn decides(&self, condition: &Condition<usize>, record: &Record<'_>) -> bool {
        match condition {
            Condition::Named(at) => self.selections[*at].holds(record),
            Condition::All(parts) => parts.iter().all(|part| self.decides(part, record)),
            Condition::Any(parts) => parts.iter().any(|part| self.decides(part, record)),
            Condition::Not(part) => !self.decides(part, record),
            Condition::AtLeast(wanted, names) if *wanted == names.len() => {
                names.iter().all(|at| self.selections[*at].holds(record))
            }
            Condition::AtLeast(wanted, names) => {
                names.iter().filter(|at| self.selections[**at].holds(record)).take(*wanted).count() == *wanted
            }
        }
    }

    /// The fields because of which a record matches.
    pub(super) fn matched(&self, record: &Record<'_>, fields: &Fields) -> Vec<MatchedField> {
        let mut matched = Vec::new();
        self.collect(&self.condition, (record, fields), &mut matched);
        matched
    }

    fn collect(
        &self,
        condition: &Condition<usize>,
        (record, fields): (&Record<'_>, &Fields),
        into: &mut Vec<MatchedField>,
    ) {
        let mut add = |at: &usize| self.selections[*at].collect((record, fields), into);
        match condition {
            Condition::Named(at) => add(at),
            Condition::AtLeast(_, names) => names.iter().for_each(add),
            Condition::All(parts) | Condition::Any(parts) => {
                for part in parts {
                    self.collect(part, (record, fields), into);
                }
            }
            Condition::Not(_) => {}
        }
    }
}

fn moved(condition: &Condition<usize>, by: usize) -> Condition<usize> {
    let all = |parts: &[Condition<usize>]| parts.iter().map(|part| moved(part, by)).collect();
    match condition {
        Condition::Named(at) => Condition::Named(at + by),
        Condition::All(parts) => Condition::All(all(parts)),
        Condition::Any(parts) => Condition::Any(all(parts)),
        Condition::Not(part) => Condition::Not(Box::new(moved(part, by))),
        Condition::AtLeast(n, names) => Condition::AtLeast(*n, names.iter().map(|at| at + by).collect()),
    }
}

impl Selection {
    pub(super) fn holds(&self, record: &Record<'_>) -> bool {
        match self {
            Self::All(parts) => parts.iter().all(|part| part.holds(record)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(record)),
            Self::Field(tests) => tests.hold(record),
            Self::Anywhere { tests, all } => {
                let stands = |test: &Test| record.everywhere().iter().any(|leaf| test.holds_of(leaf));
                if *all { tests.iter().all(stands) } else { tests.iter().any(stands) }
            }
        }
    }

    fn collect(&self, (record, fields): (&Record<'_>, &Fields), into: &mut Vec<MatchedField>) {
        match self {
            Self::Any(parts) | Self::All(parts) => {
                if self.holds(record) {
                    for part in parts {
                        part.collect((record, fields), into);
                    }
                }
            }
            Self::Field(tests) => {
                if tests.hold(record) {
                    let value = match record.field(tests.field).places.as_slice() {
                        [] => Value::Null,
                        [one] => one.to_value(),
                        many => many.iter().map(|value| value.to_value()).collect(),
                    };
                    into.push(MatchedField { field: fields.name(tests.field).to_owned(), value });
                }
            }
            Self::Anywhere { tests, .. } => {
                for test in tests {
                    if let Some(leaf) = record.everywhere().iter().find(|leaf| test.holds_of(leaf)) {
                        into.push(MatchedField { field: "keyword".to_owned(), value: leaf.value.to_value() });
                    }
                }
            }
        }
    }

    fn cost(&self) -> u8 {
        match self {
            Self::All(parts) | Self::Any(parts) => parts.iter().map(Self::cost).max().unwrap_or(0),
            Self::Field(tests) => tests.tests.iter().map(Test::cost).max().unwrap_or(0),
            Self::Anywhere { .. } => u8::MAX,
        }
    }
}

impl FieldTests {
    fn hold(&self, record: &Record<'_>) -> bool {
        self.hold_of(record.field(self.field), record)
    }

    /// Whether the tests pass for a field with these values.
    pub(super) fn hold_of(&self, found: &Found<'_>, record: &Record<'_>) -> bool {
        let one = || {
            let known = |text: &str| self.texts.contains(text);
            (!self.texts.is_empty() && found.leaves.iter().any(|leaf| leaf.folded().is_some_and(known)))
                || self.tests.iter().any(|test| test.holds(found, record))
        };
        match self.link {
            Link::Any => one(),
            Link::All => self.tests.iter().all(|test| test.holds(found, record)),
            Link::None => {
                !found.places.is_empty() && self.tests.iter().all(|test| test.can_differ(record)) && !one()
            }
        }
    }
}

/// Compiles a selection: a map of fields, a list of maps or keywords, or one keyword.
fn selection(name: &str, value: &Value, making: &mut Making<'_>) -> Result<Selection, Fault> {
    match value {
        Value::Object(fields) => map(name, fields, making),
        Value::Array(items) if items.is_empty() => {
            Err(Fault::new(name, format!("the selection {name:?} is empty")))
        }
        Value::Array(items) if items.iter().any(|item| item.is_object() || item.is_array()) => {
            let parts = items.iter().map(|item| match item {
                Value::Object(fields) => map(name, fields, making),
                Value::Array(_) => {
                    Err(Fault::new(name, "a list within a list has no meaning in a selection"))
                }
                keyword => {
                    field("", std::slice::from_ref(keyword), making).map_err(|fault| fault.in_selection(name))
                }
            });
            parts.collect::<Result<Vec<_>, _>>().map(Selection::Any)
        }
        Value::Array(keywords) => field("", keywords, making).map_err(|fault| fault.in_selection(name)),
        keyword => field("", std::slice::from_ref(keyword), making).map_err(|fault| fault.in_selection(name)),
    }
}

impl Fault {
    /// The same, located by the selection's name: an empty key cannot be found in the text.
    fn in_selection(self, name: &str) -> Self {
        Self { at: name.to_owned(), ..self }
    }
}

fn map(name: &str, fields: &Map<String, Value>, making: &mut Making<'_>) -> Result<Selection, Fault> {
    if fields.is_empty() {
        return Err(Fault::new(name, format!("the selection {name:?} is empty")));
    }
    let parts = fields.iter().map(|(key, value)| match value {
        Value::Array(values) => field(key, values, making),
        value => field(key, std::slice::from_ref(value), making),
    });
    let mut parts = parts.collect::<Result<Vec<_>, _>>()?;
    parts.sort_by_key(Selection::cost);
    Ok(Selection::All(parts))
}

/// Compiles a key with its values.
fn field(written: &str, values: &[Value], making: &mut Making<'_>) -> Result<Selection, Fault> {
    let fault = |reason: String| Fault::new(written, format!("{written}: {reason}").trim_start_matches(": "));
    let key = Key::parse(written).map_err(fault)?;
    if values.is_empty() {
        return Err(fault("the list of values is empty".to_owned()));
    }
    let mut each = Vec::with_capacity(values.len());
    for value in values {
        each.push(making.tests(&key, value).map_err(fault)?);
    }
    let all = key.has(Modifier::All);
    let Some(name) = key.field else {
        if all && each.iter().any(|forms| forms.len() > 1) {
            let words = each.into_iter().map(|tests| Selection::Anywhere { tests, all: false });
            return Ok(Selection::All(words.collect()));
        }
        return Ok(Selection::Anywhere { tests: each.into_iter().flatten().collect(), all });
    };
    let id = making.fields.id(name).map_err(fault)?;
    let tests = |tests: Vec<Test>, link| FieldTests { field: id, texts: HashSet::new(), tests, link };
    if all && each.iter().any(|forms| forms.len() > 1) {
        let forms = each.into_iter().map(|forms| Selection::Field(tests(forms, Link::Any)));
        return Ok(Selection::All(forms.collect()));
    }
    let link = match (all, key.has(Modifier::NotEqual)) {
        (true, _) => Link::All,
        (_, true) => Link::None,
        _ => Link::Any,
    };
    let mut tests = tests(each.into_iter().flatten().collect(), link);
    if link != Link::All {
        tests.look_up();
    }
    Ok(Selection::Field(tests))
}

impl FieldTests {
    /// Moves plain texts to the hash lookup, if there are many.
    fn look_up(&mut self) {
        let exact = |test: &Test| match test {
            Test::Glob(glob) => glob.exact().map(ToOwned::to_owned),
            _ => None,
        };
        if self.tests.iter().filter(|test| exact(test).is_some()).count() >= WORTH_LOOKING_UP {
            self.texts = self.tests.iter().filter_map(exact).collect();
            self.tests.retain(|test| exact(test).is_none());
        }
    }
}

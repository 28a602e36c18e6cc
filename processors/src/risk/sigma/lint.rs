//! Lints for rules that are valid but faulty.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{
    condition::Condition,
    detection::{Detection, Fault, FieldTests, Link, Selection},
    fields::{FieldId, Fields},
    json::{Json, Members},
    known_fields,
    load::Place,
    matcher::{Number, Test},
    modifier::Comparison,
    record::{Found, Record},
    rule::{Rule, RuleProblem},
};

/// Maximum number of ways to satisfy a condition that are examined; a rule with more gets no finding.
const MAX_WAYS: usize = 256;
/// A text that no rule mentions.
const NO_SUCH_VALUE: &str = "no-rule-is-about-this-7f3a9c";

/// A finding about a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Kind of the finding.
    pub kind: FindingKind,
    /// Location and reason.
    pub problem: RuleProblem,
}

/// Kind of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FindingKind {
    /// Another rule has the same id: their signals cannot be distinguished.
    SameId,
    /// Its conditions contradict each other.
    NeverFires,
    /// It fires on every event.
    AlwaysFires,
    /// It reads a field that the format does not have, as far as the format's fields are known.
    UnknownField,
}

impl FindingKind {
    /// The kind's name in outputs.
    pub fn name(self) -> &'static str {
        match self {
            Self::SameId => "same_id",
            Self::NeverFires => "never_fires",
            Self::AlwaysFires => "always_fires",
            Self::UnknownField => "unknown_field",
        }
    }

    /// Whether the finding makes the rule useless.
    pub fn is_unusable(self) -> bool {
        self != Self::UnknownField
    }
}

/// Rules with the id of an earlier rule.
pub(super) fn same_ids<'r>(rules: impl Iterator<Item = (&'r Rule, &'r Place)>) -> Vec<Finding> {
    let mut first: BTreeMap<&str, &Rule> = BTreeMap::new();
    let mut findings = Vec::new();
    for (rule, place) in rules {
        let Some(other) = first.get(rule.id.as_str()) else {
            first.insert(&rule.id, rule);
            continue;
        };
        let reason = format!("its id {:?} is that of {:?} in {} too", rule.id, other.title, other.file);
        let problem = place.problem(Some(rule.title.clone()), Fault::new("id", reason));
        findings.push(Finding { kind: FindingKind::SameId, problem });
    }
    findings
}

/// Findings about a single rule.
pub(super) fn of_rule(detection: &Detection, fields: &Fields, format: &str) -> Vec<(FindingKind, Fault)> {
    let mut found = Vec::new();
    if let Some(reason) = never_fires(detection, fields) {
        found.push((FindingKind::NeverFires, Fault::new("condition", reason)));
    } else if let Some(reason) = always_fires(detection, fields, format) {
        found.push((FindingKind::AlwaysFires, Fault::new("condition", reason)));
    }
    let mut named = BTreeSet::new();
    for selection in &detection.selections {
        name_fields(selection, &mut named);
    }
    for field in named {
        let name = fields.name(field);
        if let Some(reason) = known_fields::unknown(format, fields.first_keys(field), name) {
            found.push((FindingKind::UnknownField, Fault::new(name, reason)));
        }
    }
    found
}

fn name_fields(selection: &Selection, into: &mut BTreeSet<FieldId>) {
    match selection {
        Selection::All(parts) | Selection::Any(parts) => {
            for part in parts {
                name_fields(part, into);
            }
        }
        Selection::Field(tests) => {
            into.insert(tests.field);
        }
        Selection::Anywhere { .. } => {}
    }
}

/// The reason why the rule fires on every event, if it does.
fn always_fires(detection: &Detection, fields: &Fields, format: &str) -> Option<String> {
    if detection.holds(&Record::new(&Json::Object(Members::default()), fields)) {
        return Some("it fires on everything: an event that has none of its fields satisfies it".to_owned());
    }
    let mut any = json!({});
    for field in known_fields::in_every_record(format) {
        any[*field] = NO_SUCH_VALUE.into();
    }
    let fires = detection.holds(&Record::new(&Json::from(&any), fields));
    fires.then(|| "it fires on everything: any value of fields that every event has satisfies it".to_owned())
}

/// A test that must pass, or must fail.
type Literal<'d> = (&'d FieldTests, bool);

/// The reason why no event can satisfy the rule, if so. Assumes that a field holds one value.
fn never_fires(detection: &Detection, fields: &Fields) -> Option<String> {
    let ways = ways(&detection.condition, true)?;
    let mut why = None;
    for way in ways {
        why = Some(contradiction(&way, detection, fields)?);
    }
    why
}

/// The selections that must match (or must not) in each way of satisfying a condition; `None` if there are
/// too many.
fn ways(condition: &Condition<usize>, wanted: bool) -> Option<Vec<BTreeSet<(usize, bool)>>> {
    let each = |parts: &[Condition<usize>]| -> Option<Vec<_>> {
        parts.iter().map(|part| ways(part, wanted)).collect()
    };
    let singly =
        |names: &[usize]| names.iter().map(|at| vec![BTreeSet::from([(*at, wanted)])]).collect::<Vec<_>>();
    match (condition, wanted) {
        (Condition::Named(at), _) => Some(vec![BTreeSet::from([(*at, wanted)])]),
        (Condition::Not(part), _) => ways(part, !wanted),
        (Condition::All(parts), true) | (Condition::Any(parts), false) => together(each(parts)?),
        (Condition::Any(parts), true) | (Condition::All(parts), false) => {
            Some(each(parts)?.into_iter().flatten().collect()).filter(|ways: &Vec<_>| ways.len() <= MAX_WAYS)
        }
        (Condition::AtLeast(n, names), _) => match (*n == names.len(), *n == 1, wanted) {
            (true, _, true) | (_, true, false) => together(singly(names)),
            (_, true, true) | (true, _, false) => Some(singly(names).into_iter().flatten().collect()),
            _ => None,
        },
    }
}

/// Every combination of one way of each part.
fn together(parts: Vec<Vec<BTreeSet<(usize, bool)>>>) -> Option<Vec<BTreeSet<(usize, bool)>>> {
    let mut all = vec![BTreeSet::new()];
    for part in parts {
        if all.len() * part.len() > MAX_WAYS {
            return None;
        }
        all = all.iter().flat_map(|way| part.iter().map(|more| way.union(more).copied().collect())).collect();
    }
    Some(all)
}

/// The reason why these selections contradict each other, if they do.
fn contradiction(way: &BTreeSet<(usize, bool)>, detection: &Detection, fields: &Fields) -> Option<String> {
    if way.iter().any(|(at, wanted)| *wanted && way.contains(&(*at, false))) {
        return Some("it can never fire: it wants a selection and its opposite".to_owned());
    }
    let mut literals = Vec::new();
    for (at, wanted) in way {
        add_literals(&detection.selections[*at], *wanted, &mut literals);
    }
    let named: BTreeSet<FieldId> = literals.iter().map(|(tests, _)| tests.field).collect();
    let blocked = named.into_iter().find(|field| {
        let of_field: Vec<Literal<'_>> =
            literals.iter().filter(|(tests, _)| tests.field == *field).copied().collect();
        of_field.len() > 1 && excludes(&of_field, fields)
    })?;
    Some(format!("it can never fire: no value of {} passes all of its tests", fields.name(blocked)))
}

fn add_literals<'d>(selection: &'d Selection, wanted: bool, into: &mut Vec<Literal<'d>>) {
    match selection {
        Selection::Field(tests) => into.push((tests, wanted)),
        Selection::All(parts) if wanted || parts.len() == 1 => {
            for part in parts {
                add_literals(part, wanted, into);
            }
        }
        Selection::Any(parts) if !wanted || parts.len() == 1 => {
            for part in parts {
                add_literals(part, wanted, into);
            }
        }
        _ => {}
    }
}

/// Whether no value passes all of these tests of one field. Decided only if one of them leaves few
/// candidates, and only among tests that ignore case: the candidates are folded.
fn excludes(literals: &[Literal<'_>], fields: &Fields) -> bool {
    let ignores_case = |test: &Test| match test {
        Test::Glob(glob) => !glob.is_cased(),
        Test::Regex(_) | Test::Reference { .. } => false,
        _ => true,
    };
    if !literals.iter().all(|(tests, _)| tests.tests.iter().all(ignores_case)) {
        return false;
    }
    let few = literals.iter().filter(|(_, wanted)| *wanted).find_map(|(tests, _)| values(tests));
    let Some(candidates) = few.or_else(|| numbers(literals)) else { return false };
    let nothing = Json::Object(Members::default());
    let record = Record::new(&nothing, fields);
    let passes =
        |found: &Found<'_>| literals.iter().all(|(tests, wanted)| tests.hold_of(found, &record) == *wanted);
    !candidates.iter().any(|candidate| match candidate {
        Some(value) => passes(&Found::of(&Json::from(value))),
        None => passes(&Found::default()),
    })
}

/// All values that pass the test, if they are few; `None` stands for an absent field.
fn values(tests: &FieldTests) -> Option<Vec<Option<Value>>> {
    if tests.link != Link::Any {
        return None;
    }
    let mut values: Vec<Option<Value>> = tests.texts.iter().map(|text| Some(json!(text))).collect();
    for test in &tests.tests {
        match test {
            Test::Glob(glob) => values.push(Some(json!(glob.exact()?))),
            Test::Null => values.extend([None, Some(Value::Null)]),
            Test::Bool(flag) => values.extend([Some(json!(flag)), Some(json!(flag.to_string()))]),
            Test::Exists(false) => values.push(None),
            Test::Number(Comparison::Equal, Number::Whole(n)) => {
                values.push(i64::try_from(*n).ok().map(|n| json!(n)));
            }
            _ => return None,
        }
    }
    Some(values)
}

/// Numbers near those that the tests compare with: if any number passes all tests, one of these does.
fn numbers(literals: &[Literal<'_>]) -> Option<Vec<Option<Value>>> {
    let mut values = Vec::new();
    for test in literals.iter().flat_map(|(tests, _)| &tests.tests) {
        let Test::Number(_, Number::Whole(n)) = test else { return None };
        let n = i64::try_from(*n).ok()?;
        values.extend([n.checked_sub(1)?, n, n.checked_add(1)?].map(|n| Some(json!(n))));
    }
    literals.iter().all(|(tests, _)| tests.link == Link::Any).then_some(values)
}

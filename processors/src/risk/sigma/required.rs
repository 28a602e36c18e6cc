//! Values that a field must have for a rule to fire, as far as plain equality implies them.
//!
//! Only certain implications count: a rule without any may fire on every record.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    condition::Condition,
    detection::{Detection, FieldTests, Link, Selection},
    fields::FieldId,
    matcher::Test,
};

/// Maximum number of values of one field; longer lists select too little to be worth indexing.
const MAX_VALUES: usize = 256;

/// By field, the folded values of which it must have one.
pub(super) type Required = BTreeMap<FieldId, BTreeSet<String>>;

/// Conditions that hold on every record on which the rule fires.
pub(super) fn required(detection: &Detection) -> Required {
    of_condition(&detection.condition, detection)
}

fn of_condition(condition: &Condition<usize>, all: &Detection) -> Required {
    let of = |at: &usize| of_selection(&all.selections[*at]);
    match condition {
        Condition::Named(at) => of(at),
        Condition::All(parts) => every(parts.iter().map(|part| of_condition(part, all))),
        Condition::Any(parts) => any(parts.iter().map(|part| of_condition(part, all))),
        Condition::AtLeast(wanted, names) if *wanted == names.len() => every(names.iter().map(of)),
        Condition::AtLeast(_, names) => any(names.iter().map(of)),
        Condition::Not(_) => Required::new(),
    }
}

fn of_selection(selection: &Selection) -> Required {
    match selection {
        Selection::All(parts) => every(parts.iter().map(of_selection)),
        Selection::Any(parts) => any(parts.iter().map(of_selection)),
        Selection::Field(tests) => of_field(tests),
        Selection::Anywhere { .. } => Required::new(),
    }
}

fn of_field(tests: &FieldTests) -> Required {
    let exact = |test: &Test| match test {
        Test::Glob(glob) => glob.exact().map(ToOwned::to_owned),
        _ => None,
    };
    let mut required = Required::new();
    let values = match tests.link {
        Link::Any => tests.tests.iter().map(exact).collect::<Option<BTreeSet<_>>>().map(|mut values| {
            values.extend(tests.texts.iter().cloned());
            values
        }),
        // Each of them must be there: one is enough to know.
        Link::All => tests.tests.iter().find_map(exact).map(|value| BTreeSet::from([value])),
        Link::None => None,
    };
    required.extend(values.filter(|values| !values.is_empty()).map(|values| (tests.field, values)));
    required
}

/// Conjunction: for a field in several parts, the shorter list is enough.
fn every(parts: impl Iterator<Item = Required>) -> Required {
    let mut whole = Required::new();
    for (field, values) in parts.flatten() {
        let known = whole.entry(field).or_insert_with(|| values.clone());
        if values.len() < known.len() {
            *known = values;
        }
    }
    whole
}

/// Disjunction: a field counts if every part constrains it.
fn any(mut parts: impl Iterator<Item = Required>) -> Required {
    let mut whole = parts.next().unwrap_or_default();
    for part in parts {
        whole.retain(|field, values| match part.get(field) {
            Some(others) => {
                values.extend(others.iter().cloned());
                values.len() <= MAX_VALUES
            }
            None => false,
        });
    }
    whole.retain(|_, values| values.len() <= MAX_VALUES);
    whole
}

/// The field whose values best separate these rules: so that the fewest have to be evaluated for a
/// record.
pub(super) fn best_field(rules: &[&Required]) -> Option<FieldId> {
    let fields: BTreeSet<FieldId> = rules.iter().flat_map(|rule| rule.keys().copied()).collect();
    let asked = |field: &FieldId| {
        let (mut without, mut by_value): (u64, BTreeMap<&String, u64>) = (0, BTreeMap::new());
        for rule in rules {
            match rule.get(field) {
                Some(values) => values.iter().for_each(|value| *by_value.entry(value).or_default() += 1),
                None => without += 1,
            }
        }
        // Rules that are asked always, and those of a value: the more rules name it, the likelier it comes.
        let (squares, sum) = by_value.values().fold((0, 0), |(squares, sum), n| (squares + n * n, sum + n));
        without * 1_000 + squares * 1_000 / sum.max(1)
    };
    fields.into_iter().min_by_key(asked)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::risk::sigma::{
        documents::documents, fields::Fields, placeholders::Placeholders, values::Making,
    };

    fn of(detection: &str) -> Vec<(String, Vec<String>)> {
        let section = documents(detection).remove(0).expect("YAML").content;
        let mut fields = Fields::of("aws.cloudtrail");
        let making = &mut Making { fields: &mut fields, placeholders: &Placeholders::default() };
        let found = required(&Detection::read(&section, making).expect("a detection"));
        let named = |(field, values): (FieldId, BTreeSet<String>)| {
            (fields.name(field).to_owned(), values.into_iter().collect())
        };
        let mut found: Vec<(String, Vec<String>)> = found.into_iter().map(named).collect();
        found.sort_unstable();
        found
    }

    #[track_caller]
    fn check(detection: &str, expected: &[(&str, &[&str])]) {
        let expected = expected.iter().map(|(field, values)| {
            ((*field).to_owned(), values.iter().map(|value| (*value).to_owned()).collect::<Vec<_>>())
        });
        assert_eq!(of(detection), expected.collect::<Vec<_>>(), "{detection}");
    }

    #[test]
    fn only_what_certainly_follows_is_said() {
        check("  s: {a: X, b: [Y, z]}\n  condition: s\n", &[("a", &["x"]), ("b", &["y", "z"])]);
        check("  s: {a: X}\n  f: {a: Y}\n  condition: s and not f\n", &[("a", &["x"])]);
        check("  s: {a: X}\n  f: {b: Y}\n  condition: s or f\n", &[]);
        check("  s: {a: X, b: Z}\n  f: {a: Y}\n  condition: s or f\n", &[("a", &["x", "y"])]);
        check("  s:\n    - {a: X}\n    - {a: Y}\n  condition: s\n", &[("a", &["x", "y"])]);
        check("  s_1: {a: X}\n  s_2: {b: Y}\n  condition: all of s_*\n", &[("a", &["x"]), ("b", &["y"])]);
        check("  s_1: {a: X}\n  s_2: {b: Y}\n  condition: 1 of s_*\n", &[]);
        check("  s_1: {a: X}\n  s_2: {a: Y}\n  condition: 1 of them\n", &[("a", &["x", "y"])]);
        check("  s: {a: X}\n  condition: not s\n", &[]);
        check("  s: {a|all: [X, Y]}\n  condition: s\n", &[("a", &["x"])]);
        check(
            "  s: {a: [a, b, c, d, e, f, g, h]}\n  condition: s\n",
            &[("a", &["a", "b", "c", "d", "e", "f", "g", "h"])],
        );
        check("  s: {'a[0]': X, c: Ä}\n  condition: s\n", &[("a[0]", &["x"]), ("c", &["ä"])]);
        for open in [
            "a: X*",
            "a|contains: X",
            "a: null",
            "a: 5",
            "a: [X, null]",
            "a: true",
            "a|cased: X",
            "a|neq: X",
            "a|re: X",
            "a: [a, b, c, d, e, f, g, h, 'i*']",
            "a|fieldref: b",
        ] {
            check(&format!("  s: {{{open}}}\n  condition: s\n"), &[]);
        }
    }
}

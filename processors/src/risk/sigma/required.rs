//! Which values a field must have for a rule to fire, where the rule says so by plain equality.
//!
//! Only what certainly follows from a rule is said: a rule of which nothing is said may fire on every record.

use std::collections::{BTreeMap, BTreeSet};

use rsigma_parser::{
    ConditionExpr, Detection, DetectionItem, Detections, Quantifier, SelectorPattern, SigmaRule, SigmaValue,
};

/// Most values of one field; a longer list says too little to be worth a place for each.
const MAX_VALUES: usize = 256;

/// For each field that must have one of some values: those values, in lower case.
pub(super) type Required = BTreeMap<String, BTreeSet<String>>;

/// What must hold on every record on which the rule fires.
pub(super) fn required(rule: &SigmaRule) -> Required {
    let detection = &rule.detection;
    any(detection.conditions.iter().map(|condition| of_condition(condition, detection)))
}

fn of_condition(condition: &ConditionExpr, all: &Detections) -> Required {
    match condition {
        ConditionExpr::Identifier(name) => all.named.get(name).map(of_detection).unwrap_or_default(),
        ConditionExpr::And(parts) => every(parts.iter().map(|part| of_condition(part, all))),
        ConditionExpr::Or(parts) => any(parts.iter().map(|part| of_condition(part, all))),
        ConditionExpr::Selector { quantifier, pattern } => {
            let parts = all.named.iter().filter(|(name, _)| selects(pattern, name));
            match quantifier {
                Quantifier::All => every(parts.map(|(_, part)| of_detection(part))),
                Quantifier::Any | Quantifier::Count(1..) => any(parts.map(|(_, part)| of_detection(part))),
                Quantifier::Count(0) => Required::new(),
            }
        }
        ConditionExpr::Not(_) => Required::new(),
    }
}

/// Whether `... of PATTERN` means that detection. Names with a leading underscore, which `them` leaves out, and
/// patterns of another form than `NAME*` mean nothing here.
fn selects(pattern: &SelectorPattern, name: &str) -> bool {
    let named = match pattern {
        SelectorPattern::Them => true,
        SelectorPattern::Pattern(pattern) => pattern
            .strip_suffix('*')
            .is_some_and(|start| !start.contains(['*', '?', '[']) && name.starts_with(start)),
    };
    named && !name.starts_with('_')
}

fn of_detection(detection: &Detection) -> Required {
    match detection {
        Detection::AllOf(items) => every(items.iter().map(of_item)),
        Detection::And(parts) => every(parts.iter().map(of_detection)),
        Detection::AnyOf(parts) => any(parts.iter().map(of_detection)),
        Detection::Keywords(_) | Detection::ArrayMatch { .. } | Detection::Conditional { .. } => {
            Required::new()
        }
    }
}

fn of_item(item: &DetectionItem) -> Required {
    let mut required = Required::new();
    if let Some(field) = item.field.name.as_ref().filter(|field| !field.contains(['[', '\\']))
        && item.field.modifiers.is_empty()
        && let Some(values) = item.values.iter().map(plain).collect::<Option<BTreeSet<_>>>()
        && !values.is_empty()
    {
        required.insert(field.clone(), values);
    }
    required
}

/// The one text that the value equals. Only of ASCII text is lower case the same to everybody.
fn plain(value: &SigmaValue) -> Option<String> {
    match value {
        SigmaValue::String(text) => {
            text.as_plain().filter(|text| text.is_ascii() && !text.is_empty()).map(|text| text.to_lowercase())
        }
        _ => None,
    }
}

/// All of these hold: of one field said twice, the shorter list is enough.
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

/// One of these holds: a field counts if each of them says something of it.
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

/// The field by whose value these rules are told apart best: such that the fewest have to be asked about a record.
pub(super) fn best_field(rules: &[Required]) -> Option<String> {
    let fields: BTreeSet<&String> = rules.iter().flat_map(BTreeMap::keys).collect();
    let asked = |field: &&&String| {
        let (mut without, mut by_value): (u64, BTreeMap<&String, u64>) = (0, BTreeMap::new());
        for rule in rules {
            match rule.get(**field) {
                Some(values) => values.iter().for_each(|value| *by_value.entry(value).or_default() += 1),
                None => without += 1,
            }
        }
        // Rules that are asked always, and those of a value: the more rules name it, the likelier it comes.
        let (squares, sum) = by_value.values().fold((0, 0), |(squares, sum), n| (squares + n * n, sum + n));
        without * 1_000 + squares * 1_000 / sum.max(1)
    };
    fields.iter().min_by_key(asked).map(|field| (**field).clone())
}

#[cfg(test)]
mod tests {
    use rsigma_parser::parse_sigma_yaml;

    use super::*;

    fn of(detection: &str) -> Required {
        let text = format!("title: A rule\nlogsource: {{product: aws}}\ndetection:\n{detection}");
        required(&parse_sigma_yaml(&text).expect("a rule").rules[0])
    }

    #[track_caller]
    fn check(detection: &str, expected: &[(&str, &[&str])]) {
        let expected = expected.iter().map(|(field, values)| {
            ((*field).to_owned(), values.iter().map(|value| (*value).to_owned()).collect())
        });
        assert_eq!(of(detection), expected.collect(), "{detection}");
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
        for open in
            ["a: X*", "a|contains: X", "a: null", "a: ''", "a: Ä", "'a[0]': X", "a: 5", "a: [X, null]"]
        {
            check(&format!("  s: {{{open}}}\n  condition: s\n"), &[]);
        }
    }

    #[test]
    fn the_best_field_tells_rules_apart() {
        let rules: Vec<Required> = (0..10)
            .map(|n| of(&format!("  s: {{source: one, name: n{n}, rare: [a, b, c]}}\n  condition: s\n")))
            .collect();
        assert_eq!(best_field(&rules).as_deref(), Some("name"));
        assert_eq!(best_field(&[Required::new()]), None);
    }
}

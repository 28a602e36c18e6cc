//! Type and condition of a correlation.

use std::collections::BTreeSet;

use schemas::changes::correlation::{CorrelationCondition, MAX_VALUES};
use serde_json::{Map, Value};

use super::{
    condition::{self, Condition},
    correlation::texts,
    detection::Fault,
    rule::plain,
};

/// Maximum number of ways to satisfy a condition over the names of rules.
const MAX_WAYS: usize = 64;
/// Supported types. The last two are extensions of Weir.
const TYPES: [&str; 6] =
    ["event_count", "value_count", "temporal", "temporal_ordered", "impossible_travel", "first_seen"];
/// Maximum speed of `impossible_travel`, in km/h.
const MAX_SPEED: u64 = 1_000_000;

/// Parses the condition, and the fields whose values are counted.
pub(super) fn condition(
    section: &Map<String, Value>,
    references: &[String],
) -> Result<(CorrelationCondition, Vec<String>), Fault> {
    let kind = plain(section, "type").ok_or_else(|| Fault::new("correlation", "it has no `type`"))?;
    let written = section.get("condition").filter(|value| !value.is_null());
    let at = |reason: String| Fault::new("condition", reason);
    if !TYPES.contains(&kind.as_str()) {
        return Err(Fault::new("type", format!("{kind} is not decided; {} are", TYPES.join(", "))));
    }
    if let Some(Value::String(written)) = written {
        return extended(&kind, written, references).map(|decided| (decided, Vec::new())).map_err(at);
    }
    let terms = match written {
        None => None,
        Some(Value::Object(terms)) => Some(terms),
        Some(_) => {
            return Err(
                at("a condition is a map of operators, or a text over the names of rules".to_owned()),
            );
        }
    };
    let fields = terms.map_or(Ok(Vec::new()), |terms| texts(terms, "field"))?;
    if let Some(own) = own(&kind, terms, &fields) {
        return own.map(|decided| (decided, fields)).map_err(at);
    }
    let least = terms.map_or(Ok(None), at_least).map_err(at)?;
    if kind != "value_count" && !fields.is_empty() {
        return Err(at(format!("`field` is for value_count, not for {kind}")));
    }
    let decided = match (kind.as_str(), least) {
        ("event_count" | "value_count", None) => {
            return Err(at(format!("{kind} needs a count, like `gte: 3`")));
        }
        ("value_count", _) if fields.is_empty() => {
            return Err(at("value_count needs `field` in its condition".to_owned()));
        }
        ("event_count", Some(n)) => CorrelationCondition::EventCount(n),
        ("value_count", Some(n)) => CorrelationCondition::ValueCount(n),
        (kind, least) => {
            let all = u64::try_from(references.len()).unwrap_or(u64::MAX);
            match least {
                Some(least) if least > all => {
                    return Err(at(format!("it wants {least} of its {all} rules")));
                }
                Some(least) if least < all && kind == "temporal" => {
                    return Ok((CorrelationCondition::TemporalCount(least), fields));
                }
                Some(least) if least < all => {
                    return Err(at(format!(
                        "a {kind} correlation that wants some of its rules is not decided"
                    )));
                }
                _ => {}
            }
            by_order(kind, references.to_vec())
        }
    };
    Ok((decided, fields))
}

/// Parses the condition of a type that extends Sigma.
fn own(
    kind: &str,
    terms: Option<&Map<String, Value>>,
    fields: &[String],
) -> Option<Result<CorrelationCondition, String>> {
    let (operator, wanted, most) = match kind {
        "impossible_travel" => {
            ("gt", "`field: [latitude, longitude]` and a speed in km/h, like `gt: 900`", MAX_SPEED)
        }
        "first_seen" => {
            ("lte", "`field`, and `lte`: the most values that a group may have, like `lte: 20`", MAX_VALUES)
        }
        _ => return None,
    };
    let decided = || {
        let others = terms?.keys().any(|key| key != "field" && key != operator);
        let number = terms?.get(operator)?.as_u64().filter(|number| (1..=most).contains(number))?;
        match kind {
            _ if others => None,
            "impossible_travel" => {
                (fields.len() == 2).then_some(CorrelationCondition::ImpossibleTravel(number))
            }
            _ => (!fields.is_empty()).then_some(CorrelationCondition::FirstSeen(number)),
        }
    };
    Some(decided().ok_or_else(|| format!("{kind} wants {wanted}, of 1 to {most}, and nothing else")))
}

fn by_order(kind: &str, rules: Vec<String>) -> CorrelationCondition {
    if kind == "temporal_ordered" {
        CorrelationCondition::TemporalOrdered(rules)
    } else {
        CorrelationCondition::Temporal(rules)
    }
}

/// A condition over the names of rules.
fn extended(kind: &str, written: &str, references: &[String]) -> Result<CorrelationCondition, String> {
    if !kind.starts_with("temporal") {
        return Err(format!(
            "a condition over the names of rules is for temporal correlations, not for {kind}"
        ));
    }
    let names: Vec<&str> = references.iter().map(String::as_str).collect();
    let parsed = condition::parse(written, &names)?;
    let ways = ways(&parsed)?;
    let rules_of =
        |way: BTreeSet<usize>| way.into_iter().map(|at| references[at].clone()).collect::<Vec<_>>();
    let mut ways: Vec<Vec<String>> = ways.into_iter().map(rules_of).collect();
    match (ways.len(), kind) {
        (1, _) => Ok(by_order(kind, ways.remove(0))),
        (_, "temporal") => Ok(CorrelationCondition::TemporalAny(ways)),
        _ => Err(format!("a {kind} correlation joins names of rules by `and` alone")),
    }
}

/// The sets of rules of which one must have fired. More events can only add matches, so that a condition
/// cannot require absence.
fn ways(condition: &Condition<usize>) -> Result<BTreeSet<BTreeSet<usize>>, String> {
    let of_all = |parts: Vec<BTreeSet<BTreeSet<usize>>>| {
        let mut all = BTreeSet::from([BTreeSet::new()]);
        for part in parts {
            if all.len() * part.len() > MAX_WAYS {
                return Err(format!("its condition can be satisfied in more than {MAX_WAYS} ways"));
            }
            all = all
                .iter()
                .flat_map(|way| part.iter().map(|more| way.union(more).copied().collect()))
                .collect();
        }
        Ok(all)
    };
    let one = |at: &usize| BTreeSet::from([BTreeSet::from([*at])]);
    match condition {
        Condition::Named(at) => Ok(one(at)),
        Condition::All(parts) => of_all(parts.iter().map(ways).collect::<Result<_, _>>()?),
        Condition::Any(parts) => {
            let each: Vec<BTreeSet<BTreeSet<usize>>> = parts.iter().map(ways).collect::<Result<_, _>>()?;
            Ok(each.into_iter().flatten().collect())
        }
        Condition::AtLeast(n, names) if *n == names.len() => of_all(names.iter().map(one).collect()),
        Condition::AtLeast(1, names) => Ok(names.iter().flat_map(one).collect()),
        Condition::AtLeast(..) => Err("of rules, one or all of a pattern can be wanted".to_owned()),
        Condition::Not(_) => {
            Err("`not` cannot be decided: the rule that must not be there may still come in".to_owned())
        }
    }
}

/// The minimum count.
fn at_least(terms: &Map<String, Value>) -> Result<Option<u64>, String> {
    let mut least = None::<u64>;
    for (operator, value) in terms.iter().filter(|(operator, _)| *operator != "field") {
        let number = || {
            value.as_u64().ok_or_else(|| format!("`{operator}` takes a whole number that is not negative"))
        };
        let wanted = match operator.as_str() {
            "gte" => number()?,
            "gt" => number()?.saturating_add(1),
            "lt" | "lte" | "eq" | "neq" => {
                return Err(
                    "only `gt` and `gte` can be decided while events may still come in; `lt`, `lte`, `eq` \
                     and `neq` might be true now and false later"
                        .to_owned(),
                );
            }
            other => return Err(format!("{other:?} is no operator of a correlation's condition")),
        };
        least = least.max(Some(wanted.max(1)));
    }
    Ok(least)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::risk::sigma::SigmaEngine;

    const BASE: &str = "title: Refused\nid: 7c1f6f0e-8a44-4a0e-9f55-6f1f5c6a2b11\nname: refused\n\
                        logsource: {product: aws, service: cloudtrail}\n\
                        detection: {s: {errorCode: AccessDenied}, condition: s}\nlevel: low\n";

    #[test]
    fn conditions_over_the_names_of_rules() {
        let other = BASE.replace("7c1f6f0e", "8c1f6f0e").replace("name: refused", "name: probed");
        let third = BASE.replace("7c1f6f0e", "9c1f6f0e").replace("name: refused", "name: taken");
        let decided = |kind: &str, condition: &str| {
            let text = format!(
                "title: Probing\nid: probing\nlevel: high\ncorrelation:\n  type: {kind}\n  \
                 rules: [refused, probed, taken]\n  timespan: 5m\n  condition: {condition}\n"
            );
            let files = [("a.yml", BASE), ("b.yml", &other), ("c.yml", &third), ("probing.yml", &text)];
            let (engine, problems) = SigmaEngine::load(files);
            let condition = engine.correlations().first().map(|found| found.terms.condition.clone());
            condition.ok_or_else(|| problems[0].reason.clone())
        };
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let all = names(&["refused", "probed", "taken"]);
        for (condition, expected) in [
            ("refused and probed and taken", CorrelationCondition::Temporal(all.clone())),
            ("refused AND probed", CorrelationCondition::Temporal(names(&["refused", "probed"]))),
            ("all of them", CorrelationCondition::Temporal(all.clone())),
            (
                "(refused or probed) and taken",
                CorrelationCondition::TemporalAny(vec![
                    names(&["refused", "taken"]),
                    names(&["probed", "taken"]),
                ]),
            ),
            (
                "1 of *ed or taken",
                CorrelationCondition::TemporalAny(all.iter().map(|name| vec![name.clone()]).collect()),
            ),
            ("{gte: 2}", CorrelationCondition::TemporalCount(2)),
            ("{gt: 2}", CorrelationCondition::Temporal(all.clone())),
        ] {
            assert_eq!(decided("temporal", condition), Ok(expected), "{condition}");
        }
        assert_eq!(
            decided("temporal_ordered", "refused and taken"),
            Ok(CorrelationCondition::TemporalOrdered(names(&["refused", "taken"])))
        );
        for (kind, condition, reason) in [
            ("temporal", "refused and not probed", "`not`"),
            ("temporal", "refused and nothing", "\"nothing\""),
            ("temporal", "{gte: 4}", "4 of its 3"),
            ("temporal_ordered", "refused or taken", "by `and` alone"),
            ("temporal_ordered", "{gte: 2}", "not decided"),
            ("event_count", "refused and probed", "for temporal"),
        ] {
            let refused = decided(kind, condition).expect_err(condition);
            assert!(refused.contains(reason), "{refused}");
        }
    }
}

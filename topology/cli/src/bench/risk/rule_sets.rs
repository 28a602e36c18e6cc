//! Rule sets of any size: Weir's own CloudTrail rules, and variants of them.
//!
//! A variant is a rule whose event names are others of the same service: a verb and a noun that occur in the rules of
//! that service, put together anew. So the names of variants spread as real rules' names do: some are called often,
//! most hardly ever, and several rules wait for the same call. All else in it stays, so that a rule without an event
//! name costs the same in every variant. Nothing is drawn by chance: a size gives the same rules in every run.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, ensure};
use processors::risk::{
    rules::{self, EXAMPLES_SUFFIX},
    sigma::SigmaEngine,
};
use serde_json::Value;

/// Range of the rules on CloudTrail within the set.
const FOLDER: &str = "aws/cloudtrail/";
const EVENT_NAME: &str = "eventName";
const EVENT_SOURCE: &str = "eventSource";
/// Coprime to the sizes of the lists that it walks through, so that steps of it reach all of them.
const STRIDE: usize = 7_919;

/// A set of so many rules that read CloudTrail: own ones first, evenly from the whole set; then variants of
/// all of them.
pub(super) fn cloudtrail(size: usize) -> anyhow::Result<SigmaEngine> {
    let own = own()?;
    let names = Names::of(&own);
    let mut texts = Vec::with_capacity(size);
    for number in 0..size {
        let (variant, at) = (number / own.len(), number % own.len());
        let at = (at * STRIDE) % own.len();
        let mut rule = own[at].clone();
        if variant > 0 {
            names.vary(&mut rule, variant);
        }
        texts.push((format!("{number}.yml"), rule.to_string()));
    }
    let (engine, problems) = SigmaEngine::load(texts);
    ensure!(problems.is_empty(), "a rule of the bench cannot be used: {}", problems[0]);
    Ok(engine)
}

fn own() -> anyhow::Result<Vec<Value>> {
    let files = rules::own().into_iter();
    let files = files.filter(|(name, _)| name.starts_with(FOLDER) && !name.ends_with(EXAMPLES_SUFFIX));
    files.map(|(name, text)| serde_saphyr::from_str(text).with_context(|| name.to_owned())).collect()
}

/// The verbs and nouns of event names, by service; those of all services where a rule names none.
struct Names {
    by_service: BTreeMap<String, (Vec<String>, Vec<String>)>,
}

impl Names {
    fn of(rules: &[Value]) -> Self {
        let mut found: BTreeMap<String, (BTreeSet<String>, BTreeSet<String>)> = BTreeMap::new();
        for rule in rules {
            each_selection(&rule["detection"], &mut |selection| {
                let service = service_of(selection);
                for name in strings(selection.get(EVENT_NAME)) {
                    if let Some((verb, noun)) = parts(&name) {
                        for service in [service.as_str(), ""] {
                            let (verbs, nouns) = found.entry(service.to_owned()).or_default();
                            verbs.insert(verb.to_owned());
                            nouns.insert(noun.to_owned());
                        }
                    }
                }
            });
        }
        let lists = |(verbs, nouns): (BTreeSet<String>, BTreeSet<String>)| {
            (verbs.into_iter().collect(), nouns.into_iter().collect())
        };
        Self { by_service: found.into_iter().map(|(service, names)| (service, lists(names))).collect() }
    }

    /// Gives a rule other event names and another id.
    fn vary(&self, rule: &mut Value, variant: usize) {
        let id = format!("{}-{variant}", rule["id"].as_str().unwrap_or_default());
        rule["id"] = id.into();
        each_selection_mut(&mut rule["detection"], &mut |selection| {
            let service = service_of(selection);
            match selection.get_mut(EVENT_NAME) {
                Some(Value::String(name)) => *name = self.other(&service, name, variant),
                Some(Value::Array(names)) => {
                    for name in names {
                        if let Value::String(name) = name {
                            *name = self.other(&service, name, variant);
                        }
                    }
                }
                _ => {}
            }
        });
    }

    /// Another name that a call of the service might have; a pattern stays as it is.
    fn other(&self, service: &str, name: &str, variant: usize) -> String {
        let names = self.by_service.get(service).or_else(|| self.by_service.get(""));
        let (Some((verb, noun)), Some((verbs, nouns))) = (parts(name), names) else { return name.to_owned() };
        let place = |list: &[String], word: &str| list.iter().position(|other| other == word).unwrap_or(0);
        let nth = place(verbs, verb) * nouns.len() + place(nouns, noun) + variant * STRIDE;
        let nth = nth % (verbs.len() * nouns.len());
        format!("{}{}", verbs[nth / nouns.len()], nouns[nth % nouns.len()])
    }
}

/// `CreateAccessKey` is `Create` and `AccessKey`.
fn parts(name: &str) -> Option<(&str, &str)> {
    let noun = name.bytes().skip(1).position(|byte| byte.is_ascii_uppercase())? + 1;
    (!name.contains(['*', '?'])).then(|| name.split_at(noun))
}

fn service_of(selection: &serde_json::Map<String, Value>) -> String {
    strings(selection.get(EVENT_SOURCE)).into_iter().next().unwrap_or_default()
}

fn strings(value: Option<&Value>) -> Vec<String> {
    let text = |value: &Value| value.as_str().map(ToOwned::to_owned);
    match value {
        Some(Value::Array(values)) => values.iter().filter_map(text).collect(),
        Some(value) => text(value).into_iter().collect(),
        None => Vec::new(),
    }
}

fn each_selection(value: &Value, see: &mut impl FnMut(&serde_json::Map<String, Value>)) {
    match value {
        Value::Object(fields) => {
            see(fields);
            fields.values().for_each(|inner| each_selection(inner, see));
        }
        Value::Array(items) => items.iter().for_each(|inner| each_selection(inner, see)),
        _ => {}
    }
}

fn each_selection_mut(value: &mut Value, see: &mut impl FnMut(&mut serde_json::Map<String, Value>)) {
    match value {
        Value::Object(fields) => {
            see(fields);
            fields.values_mut().for_each(|inner| each_selection_mut(inner, see));
        }
        Value::Array(items) => items.iter_mut().for_each(|inner| each_selection_mut(inner, see)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_set_has_its_size_and_its_names_spread() {
        let own = own().expect("our rules are YAML");
        let names = Names::of(&own);
        let mut varied = BTreeSet::new();
        for variant in 0..20 {
            varied.insert(names.other("iam.amazonaws.com", "CreateAccessKey", variant));
        }
        assert!(varied.contains("CreateAccessKey") && varied.len() > 10, "{varied:?}");
        assert_eq!(names.other("iam.amazonaws.com", "Create*", 3), "Create*");
        let engine = cloudtrail(own.len() + 50).expect("usable");
        let ids: BTreeSet<_> = engine.rules().map(|(_, rule)| rule.id.as_str()).collect();
        assert_eq!(ids.len(), own.len() + 50, "every rule has an id of its own");
    }
}

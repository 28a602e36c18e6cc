//! The rules of one format, so arranged that a record asks few of them.
//!
//! Rules that need one field to have one of some values are asked only about records that have it: each value has an
//! engine of its own. The field is the one that tells these rules apart best. All others are in an engine that is asked
//! about every record; within an engine, rsigma's own index leaves out what cannot fire.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use rsigma_eval::{
    CompiledRule, Engine, EvaluationResult, Event, EventValue, MatchDetailLevel, compile_rule, evaluate_rule,
};
use rsigma_parser::SigmaRule;

use super::{
    native::NativeRecord,
    required::{Required, best_field, required},
};

/// Fewer rules than this are asked together.
const WORTH_DIVIDING: usize = 16;

/// Compiled rules and where each is found.
pub(super) struct Indexed {
    /// The first holds the rules that every record asks.
    engines: Vec<Engine>,
    /// The field whose value chooses an engine.
    field: Option<String>,
    by_value: HashMap<String, usize>,
    /// Of each rule, in the order they were given, an engine that has it, and its place there.
    homes: Vec<(usize, usize)>,
}

impl Indexed {
    /// Arranges rules, whose ids must be their places in the list.
    pub(super) fn new(rules: Vec<(CompiledRule, Required)>) -> Self {
        let (compiled, mut required): (Vec<CompiledRule>, Vec<Required>) = rules.into_iter().unzip();
        let field = if compiled.len() < WORTH_DIVIDING { None } else { best_field(&required) };
        let mut divided: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        let mut always = Vec::new();
        for (place, required) in required.iter_mut().enumerate() {
            match field.as_ref().and_then(|field| required.remove(field)) {
                Some(values) => {
                    for value in values {
                        divided.entry(value).or_default().push(place);
                    }
                }
                None => always.push(place),
            }
        }
        let (mut engines, mut by_value) = (Vec::with_capacity(divided.len() + 1), HashMap::new());
        let mut homes = vec![(0, 0); compiled.len()];
        for (value, places) in
            std::iter::once((None, always)).chain(divided.into_iter().map(|(v, p)| (Some(v), p)))
        {
            for (within, place) in places.iter().enumerate() {
                homes[*place] = (engines.len(), within);
            }
            if let Some(value) = value {
                by_value.insert(value, engines.len());
            }
            engines.push(engine(places.iter().map(|place| compiled[*place].clone()).collect()));
        }
        Self { engines, field, by_value, homes }
    }

    /// What fires, with the rule's place in the list, in the list's order.
    pub(super) fn evaluate(&self, record: &NativeRecord<'_>) -> Vec<(usize, EvaluationResult)> {
        let mut chosen = BTreeSet::from([0]);
        if let Some(value) = self.field.as_ref().and_then(|field| record.get_field(field)) {
            self.choose(&value, &mut chosen);
        }
        let results = chosen.into_iter().flat_map(|engine| self.engines[engine].evaluate(record));
        let placed = |result: EvaluationResult| Some((result.header.rule_id.as_ref()?.parse().ok()?, result));
        let mut found: Vec<(usize, EvaluationResult)> = results.filter_map(placed).collect();
        found.sort_by_key(|(place, _)| *place);
        // A field with several values may have chosen several engines that hold the same rule.
        found.dedup_by_key(|(place, _)| *place);
        found
    }

    /// The places of the rules that fire, each asked by itself.
    pub(super) fn evaluate_each(&self, record: &NativeRecord<'_>) -> Vec<usize> {
        let fires = |(engine, within): &(usize, usize)| {
            evaluate_rule(&self.engines[*engine].rules()[*within], record).is_some()
        };
        let asked = self.homes.iter().enumerate();
        asked.filter(|(_, home)| fires(home)).map(|(place, _)| place).collect()
    }

    fn choose(&self, value: &EventValue<'_>, chosen: &mut BTreeSet<usize>) {
        match value {
            EventValue::Array(values) => values.iter().for_each(|value| self.choose(value, chosen)),
            EventValue::Map(_) | EventValue::Null => {}
            plain => {
                let text = plain.as_str().map(|text| text.to_lowercase());
                chosen.extend(text.and_then(|text| self.by_value.get(&text)));
            }
        }
    }
}

/// A rule as the engine asks it, and what it requires.
pub(super) fn compiled(rule: &SigmaRule) -> rsigma_eval::Result<(CompiledRule, Required)> {
    Ok((compile_rule(rule)?, required(rule)))
}

fn engine(rules: Vec<CompiledRule>) -> Engine {
    let mut engine = Engine::new();
    engine.set_match_detail(MatchDetailLevel::Summary);
    engine.extend_compiled_rules(rules);
    engine
}

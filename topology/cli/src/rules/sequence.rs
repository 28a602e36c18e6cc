//! Examples of correlation rules: events in time, of which one completes the rule, or none does.

use std::{collections::BTreeMap, sync::Arc};

use chrono::TimeDelta;
use processors::{
    Processor,
    risk::{
        Risk, RuleSet,
        sigma::{Correlation, SigmaEngine},
    },
};
use producers::sources::SourceFormat;
use projections::risk::{FirstSight, FirstSights, GroupEvent, completing};
use schemas::{
    EventId, TenantId, Timestamp,
    changes::{
        RiskChange,
        correlation::{CorrelationPart, CorrelationTerms},
    },
};
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use super::formats;
use crate::up::LOCAL_TENANT;

/// Most events that one example may have.
const MAX_EVENTS: usize = 10_000;

/// Like events one after the other.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Step {
    event: Value,
    /// Time of the first of them, in seconds from the example's beginning.
    #[serde(default)]
    at: u32,
    /// Number of events; of a step that varies, as many as it has values.
    #[serde(default = "one")]
    times: usize,
    /// Seconds from one to the next.
    #[serde(default = "one_second")]
    every: u32,
    /// Per field the values that it has, one event after the other.
    #[serde(default)]
    vary: BTreeMap<String, Vec<Value>>,
}

fn one() -> usize {
    1
}

fn one_second() -> u32 {
    1
}

impl Step {
    fn records(&self) -> impl Iterator<Item = (u32, Value)> {
        let times = self.vary.values().map(Vec::len).max().unwrap_or(self.times);
        (0_u32..).zip(0..times).map(|(nth, at)| {
            let mut record = self.event.clone();
            for (field, values) in &self.vary {
                if let (Some(place), Some(value)) =
                    (place(&mut record, field), values.get(at % values.len().max(1)))
                {
                    *place = value.clone();
                }
            }
            (self.at.saturating_add(nth.saturating_mul(self.every)), record)
        })
    }
}

/// The field of that path; made where it is missing.
fn place<'v>(record: &'v mut Value, field: &str) -> Option<&'v mut Value> {
    field.split('.').try_fold(record, |within, name| {
        if within.is_null() {
            *within = Value::Object(serde_json::Map::new());
        }
        within.as_object_mut().map(|object| object.entry(name.to_owned()).or_insert(Value::Null))
    })
}

/// The correlation rules of a set, and the rules that they refer to.
pub(super) struct Sequences {
    rules: RuleSet,
    correlations: Vec<Correlation>,
    formats: Vec<SourceFormat>,
}

impl Sequences {
    pub(super) fn new(engine: SigmaEngine) -> Self {
        let read = formats(&engine);
        let formats = SourceFormat::ALL.iter().copied().filter(|format| read.contains(&format.name()));
        let correlations = engine.correlations().to_vec();
        Self { formats: formats.collect(), correlations, rules: RuleSet::new(engine) }
    }

    /// Whether the file holds a correlation.
    pub(super) fn has(&self, file: &str) -> bool {
        self.correlations.iter().any(|correlation| correlation.rule.file == file)
    }

    /// Failure of an example of the file's correlations, if it fails.
    pub(super) fn failure(&self, file: &str, steps: &[Step], should_fire: bool) -> Option<String> {
        let mut events: Vec<(u32, Value)> = steps.iter().flat_map(Step::records).take(MAX_EVENTS).collect();
        if events.is_empty() {
            return Some("an example of a correlation needs `events`".to_owned());
        }
        events.sort_by_key(|(at, _)| *at);
        let mut parts = Vec::new();
        for (number, (at, record)) in (1_u128..).zip(events) {
            match self.parts(number, at, &record) {
                Ok(found) => parts.extend(found),
                Err(reason) => return Some(reason),
            }
        }
        let ids = self.correlations.iter().filter(|c| c.rule.file == file).map(|c| c.rule.id.as_str());
        let fires = ids.clone().any(|id| completes(parts.iter().filter(|part| part.rule.id == id)));
        match (should_fire, fires) {
            (true, false) => Some(format!(
                "no event completes the rule; {} of them count",
                parts.iter().filter(|part| ids.clone().any(|id| part.rule.id == id)).count()
            )),
            (false, true) => Some("an event completes the rule in this negative example".to_owned()),
            _ => None,
        }
    }

    /// The record's parts in correlations, as the stage finds them.
    fn parts(&self, number: u128, at: u32, record: &Value) -> Result<Vec<CorrelationPart>, String> {
        let tenant = TenantId::new(LOCAL_TENANT).map_err(|error| error.to_string())?;
        let risk = Risk::new(self.rules.clone());
        let mut parts = Vec::new();
        for format in &self.formats {
            let mapped = format.map(&tenant, &record.to_string()).map_err(|error| error.to_string())?;
            let mut envelope = mapped.envelope;
            envelope.id = EventId::new(Uuid::from_u128(number)).ok_or("no event id")?;
            envelope.occurred_at = Timestamp::UNIX_EPOCH + TimeDelta::seconds(at.into());
            let changes = risk.process(&envelope).into_iter();
            parts.extend(
                changes
                    .filter_map(|change| match change {
                        RiskChange::Part(part) => Some(vec![*part]),
                        RiskChange::Sightings(sightings) => Some(sightings.parts().to_vec()),
                        _ => None,
                    })
                    .flatten(),
            );
        }
        Ok(parts)
    }
}

/// Whether an event of any group completes the rule, or shows a value that its group never had.
fn completes<'a>(parts: impl Iterator<Item = &'a CorrelationPart>) -> bool {
    let mut groups: BTreeMap<&str, Vec<GroupEvent<'_>>> = BTreeMap::new();
    let mut values: BTreeMap<&str, FirstSights<Arc<CorrelationTerms>>> = BTreeMap::new();
    for part in parts {
        let (at, event_id) = (part.occurred_at, *part.event_id.as_uuid());
        let sight = FirstSight { at, event_id, terms: Arc::new(part.terms.clone()) };
        values.entry(&part.group).or_default().see(&part.value, sight);
        groups.entry(&part.group).or_default().push(GroupEvent {
            occurred_at: part.occurred_at,
            event_id: *part.event_id.as_uuid(),
            reference: &part.reference,
            value: &part.value,
            terms: &part.terms,
        });
    }
    groups.values().any(|events| !completing(events).is_empty())
        || values.values().any(|values| !values.reported().is_empty())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn steps_repeat_and_vary() {
        let step = json!({"event": {"a": 1}, "at": 5, "every": 2, "vary": {"b.c": ["x", "y", "z"]}});
        let step: Step = serde_json::from_value(step).expect("a step");
        let records: Vec<_> = step.records().collect();
        assert_eq!(records.len(), 3);
        assert_eq!(records[2], (9, json!({"a": 1, "b": {"c": "z"}})));
        let step: Step = serde_json::from_value(json!({"event": 7, "times": 4})).expect("a step");
        assert_eq!(step.records().last(), Some((3, json!(7))));
    }
}

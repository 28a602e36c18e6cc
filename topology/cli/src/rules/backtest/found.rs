//! Comparison of the signals that two rule sets find in the same events.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::Arc,
};

use anyhow::ensure;
use processors::risk::{
    is_undecided,
    sigma::{Json, Moment, Rule, SigmaEngine},
};
use projections::risk::{FirstSight, FirstSights, GroupEvent, completing, first_of_hours};
use schemas::{Envelope, Timestamp, changes::correlation::CorrelationTerms};
use serde::Serialize;
use uuid::Uuid;

/// Most hits of both sets that are held: about 200 MB.
const MAX_HITS: usize = 2_000_000;

/// Events that one rule finds with one rule set and with the other.
#[derive(Debug, Serialize)]
pub(super) struct Difference {
    pub(super) rule_id: String,
    pub(super) title: String,
    pub(super) level: &'static str,
    author: Option<String>,
    /// Events that it finds in the candidate set.
    pub(super) candidate: usize,
    /// Events that it finds in the present set.
    pub(super) present: usize,
    /// Events that only the candidate finds.
    pub(super) added: usize,
    /// Events that only the present finds.
    pub(super) removed: usize,
    pub(super) examples_added: Vec<Uuid>,
    pub(super) examples_removed: Vec<Uuid>,
}

/// Hits of both sets, so far.
pub(super) struct Found {
    candidate: Side,
    present: Side,
    seen: HashSet<Uuid>,
    pub(super) unreadable: u64,
    pub(super) duplicates: u64,
}

/// Place of the correlation, tenant and group.
type GroupKey = (usize, String, String);

/// One set of rules, and what it found.
struct Side {
    engine: SigmaEngine,
    /// By rule id.
    hits: BTreeMap<String, BTreeSet<Uuid>>,
    counted: BTreeMap<GroupKey, Vec<Counted>>,
    /// Values of the groups of `first_seen` correlations.
    sighted: BTreeMap<GroupKey, FirstSights<Arc<CorrelationTerms>>>,
    held: usize,
}

/// An event that a correlation counts.
struct Counted {
    occurred_at: Timestamp,
    event_id: Uuid,
    reference: String,
    value: String,
}

impl Found {
    pub(super) fn new(candidate: SigmaEngine, present: SigmaEngine) -> Self {
        let [candidate, present] = [candidate, present].map(|engine| Side {
            engine,
            hits: BTreeMap::new(),
            counted: BTreeMap::new(),
            sighted: BTreeMap::new(),
            held: 0,
        });
        Self { candidate, present, seen: HashSet::new(), unreadable: 0, duplicates: 0 }
    }

    /// Asks both sets. Fails where more is found than can be held.
    pub(super) fn see(&mut self, event: &Envelope) -> anyhow::Result<()> {
        let Some(native) = &event.native else { return Ok(()) };
        let sides = [&self.candidate, &self.present];
        if !sides.iter().any(|side| side.engine.reads(&native.format)) {
            return Ok(());
        }
        let Ok(record) = Json::read(&native.record) else {
            self.unreadable += 1;
            return Ok(());
        };
        if is_undecided(&native.format, &record) {
            return Ok(());
        }
        let id = *event.id.as_uuid();
        let before = self.candidate.held + self.present.held;
        if self.seen.contains(&id) {
            self.duplicates += 1;
            return Ok(());
        }
        self.candidate.see(event, &native.format, &record);
        self.present.see(event, &native.format, &record);
        let held = self.candidate.held + self.present.held;
        // Only what was found could be counted twice.
        if held > before {
            self.seen.insert(id);
        }
        ensure!(held <= MAX_HITS, "more than {MAX_HITS} hits are too many to compare; choose a shorter time");
        Ok(())
    }

    /// Every rule of the candidate set, and those of the present set that found something: the largest difference first.
    pub(super) fn differences(mut self, examples: usize) -> Vec<Difference> {
        self.candidate.correlate();
        self.present.correlate();
        let none = BTreeSet::new();
        let mut rules: BTreeMap<&str, &Rule> = BTreeMap::new();
        let of_present = self.present.rules().filter(|rule| self.present.hits.contains_key(&rule.id));
        for rule in of_present.chain(self.candidate.rules()) {
            rules.insert(&rule.id, rule);
        }
        let mut differences: Vec<Difference> = rules
            .into_values()
            .map(|rule| {
                let candidate = self.candidate.hits.get(&rule.id).unwrap_or(&none);
                let present = self.present.hits.get(&rule.id).unwrap_or(&none);
                Difference {
                    rule_id: rule.id.clone(),
                    title: rule.title.clone(),
                    level: rule.level.name(),
                    author: rule.author.clone(),
                    candidate: candidate.len(),
                    present: present.len(),
                    added: candidate.difference(present).count(),
                    removed: present.difference(candidate).count(),
                    examples_added: candidate.difference(present).take(examples).copied().collect(),
                    examples_removed: present.difference(candidate).take(examples).copied().collect(),
                }
            })
            .collect();
        differences.sort_by_key(|rule| std::cmp::Reverse(rule.added + rule.removed));
        differences
    }
}

impl Side {
    /// The rules that give signals.
    fn rules(&self) -> impl Iterator<Item = &Rule> {
        let correlations = self.engine.correlations().iter().map(|correlation| &correlation.rule);
        self.engine.rules().map(|(_, rule)| rule).chain(correlations).filter(|rule| rule.signals())
    }

    fn see(&mut self, event: &Envelope, format: &str, record: &Json<'_>) {
        let event_id = *event.id.as_uuid();
        for hit in self.engine.evaluate_record(format, record) {
            if hit.rule.signals() {
                self.held += 1;
                self.hits.entry(hit.rule.id.clone()).or_default().insert(event_id);
            }
            let parts = self.engine.parts(&hit, record, Moment::from(event)).into_iter();
            for part in parts.filter(|part| part.correlation.rule.signals()) {
                let same = |other: &_| std::ptr::eq(other, part.correlation);
                let Some(place) = self.engine.correlations().iter().position(same) else { continue };
                let key = (place, event.tenant.as_str().to_owned(), part.group);
                if part.correlation.terms.condition.deciding_values().is_some() {
                    let terms = Arc::clone(&part.correlation.terms);
                    let sight = FirstSight { at: event.occurred_at, event_id, terms };
                    let sights = self.sighted.entry(key).or_default();
                    self.held += usize::from(sights.see(&part.value, sight));
                    continue;
                }
                self.held += 1;
                self.counted.entry(key).or_default().push(Counted {
                    occurred_at: event.occurred_at,
                    event_id,
                    reference: part.reference.to_owned(),
                    value: part.value,
                });
            }
        }
    }

    /// Finds the events that report a correlation: of each group the first of each hour, as in a stage.
    fn correlate(&mut self) {
        for ((place, ..), counted) in &self.counted {
            let correlation = &self.engine.correlations()[*place];
            let events: Vec<GroupEvent<'_>> = counted
                .iter()
                .map(|event| GroupEvent {
                    occurred_at: event.occurred_at,
                    event_id: event.event_id,
                    reference: &event.reference,
                    value: &event.value,
                    terms: &correlation.terms,
                })
                .collect();
            for place in first_of_hours(&events, &completing(&events)).into_values() {
                let hits = self.hits.entry(correlation.rule.id.clone()).or_default();
                hits.insert(events[place].event_id);
            }
        }
        for ((place, ..), sights) in &self.sighted {
            let correlation = &self.engine.correlations()[*place];
            let reported = sights.reported().into_iter().filter_map(|value| sights.get(value));
            let hits = self.hits.entry(correlation.rule.id.clone()).or_default();
            hits.extend(reported.map(|sight| sight.event_id));
        }
    }
}

#[cfg(test)]
mod tests {
    use producers::sources::SourceFormat;
    use schemas::TenantId;
    use serde_json::json;

    use super::*;

    /// What a rule about created things finds in both stages of one request.
    fn found_in_one_request(more: &str) -> Vec<Difference> {
        let rule = format!(
            "title: Made\nid: made\nlogsource: {{product: kubernetes, service: audit}}\n\
             detection: {{s: {{verb: create}}, condition: s}}\nlevel: high\n{more}"
        );
        let engine = || SigmaEngine::load([("made.yml", &rule)]).0;
        let mut found = Found::new(engine(), engine());
        let tenant = TenantId::new("acme").expect("a plain name");
        for stage in ["RequestReceived", "ResponseComplete"] {
            let record = json!({
                "kind": "Event", "apiVersion": "audit.k8s.io/v1", "stage": stage, "verb": "create",
                "auditID": "3f0d5c1e-0000-4000-8000-000000000001", "user": {"username": "mara"},
                "objectRef": {"resource": "pods", "namespace": "shop"},
                "stageTimestamp": "2026-03-02T10:15:00.000000Z",
            });
            let mapped = SourceFormat::KubernetesAudit.map(&tenant, &record.to_string()).expect("a record");
            found.see(&mapped.envelope).expect("few hits");
        }
        found.differences(1)
    }

    #[test]
    fn a_request_is_found_when_it_is_decided() {
        let found = found_in_one_request("");
        let counts: Vec<_> = found.iter().map(|rule| (rule.candidate, rule.present)).collect();
        assert_eq!(counts, [(1, 1)]);
    }

    #[test]
    fn a_rule_that_does_not_score_gives_no_signals() {
        assert!(found_in_one_request("confidence: 0\nimpact: 80\n").is_empty());
    }
}

//! Derives signals from an event: one for each rule that fires and each entity involved.

use std::{
    cell::OnceCell,
    collections::{BTreeMap, btree_map::Entry},
    sync::Arc,
};

use schemas::{
    Envelope, Event,
    changes::{
        correlation::{CorrelationPart, CorrelationSignal, CorrelationTerms, Shown},
        risk::{
            Entity, MAX_RULE_ID_BYTES, MAX_SCORE, RiskSignal, SignalEvidence, SignalRule, bounded,
            hazard_micronats,
        },
    },
};
use serde_json::{Map, Value};

use super::{
    entities::{Allowance, Touch, touched},
    native::is_undecided,
    sigma::{Hit, Json, MatchedField, Moment, Part, PartPlace, Rule, SigmaEngine, UnreadableRecord},
};

/// Maximum length of other texts of a rule or an event, in bytes.
const MAX_TEXT_BYTES: usize = 512;
/// Maximum length of a dedupe key, in bytes.
const MAX_DEDUPE_BYTES: usize = 128;
/// Maximum size of the matched fields as JSON, in bytes.
const MAX_MATCHED_BYTES: usize = 4096;
/// Maximum size of a single value among them as JSON, in bytes.
const MAX_VALUE_BYTES: usize = 1024;
/// Name of the field with the number of values that did not fit.
const LEFT_OUT: &str = "(left out)";
/// Name of the field with the number of entities beyond the maximum of the event.
const ENTITIES_LEFT_OUT: &str = "(entities left out)";

/// Result of evaluating the rules on an event.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Signals, sorted by entity and rule.
    pub(super) signals: Vec<RiskSignal>,
    /// The event's parts in correlations that count events, each once.
    pub(super) parts: Vec<CorrelationPart>,
    /// Values that it shows to correlations of which the first event of each value counts, one for each of these.
    pub(super) shown: Vec<Shown>,
    /// Its part in each of these, as far as it is known without its evidence: most values are known.
    pub(super) sighted: Sighted,
}

/// The event's parts in correlations of which the first event of each value counts.
#[derive(Debug, Default)]
pub(super) struct Sighted {
    places: Vec<PartPlace>,
    /// Entities of what is made of the event in any case.
    allowance: Allowance,
}

impl Sighted {
    /// The parts with their evidence, by the same rules from the same event.
    pub(super) fn parts(self, engine: &SigmaEngine, envelope: &Envelope) -> Vec<CorrelationPart> {
        let native = envelope.native.as_ref().expect("it has shown something");
        let record = Json::read(&native.record).expect("the record was read before");
        let mut event = Evaluated::new(envelope, &native.format, &record, self.allowance);
        let moment = Moment::from(envelope);
        let part = |place: PartPlace| {
            event.part(&engine.part(place, &record, moment).expect("the record has not changed"))
        };
        self.places.into_iter().map(part).collect()
    }
}

/// The signals of an event, sorted by entity and rule.
///
/// A rule with score 0 gives none, nor does one that only serves correlations. Of several hits of one rule id
/// on one entity, the highest counts.
pub fn signals(engine: &SigmaEngine, envelope: &Envelope) -> Result<Vec<RiskSignal>, UnreadableRecord> {
    Ok(found(engine, envelope)?.signals)
}

/// The signals and the parts in correlations of an event.
pub(super) fn found(engine: &SigmaEngine, envelope: &Envelope) -> Result<Found, UnreadableRecord> {
    let Some(native) = envelope.native.as_ref().filter(|native| engine.reads(&native.format)) else {
        return Ok(Found::default());
    };
    let record = Json::read(&native.record)?;
    if is_undecided(&native.format, &record) {
        return Ok(Found::default());
    }
    let hits = engine.signalled(&native.format, &record);
    if hits.is_empty() {
        return Ok(Found::default());
    }
    let mut event = Evaluated::new(envelope, &native.format, &record, Allowance::default());
    let signals = event.signals(&hits);
    let parts = hits.iter().flat_map(|hit| engine.parts(hit, &record, Moment::from(envelope)));
    // A value is shown once by an event, by whichever of the rules fired first.
    let (mut counted, mut sighted) = (BTreeMap::new(), BTreeMap::new());
    for part in parts.filter(|part| part.correlation.rule.score > 0) {
        let id = named(&part.correlation.rule).id.as_str();
        if part.correlation.terms.condition.deciding_values().is_some() {
            sighted.entry(id).or_insert(part);
        } else {
            counted.entry((id, part.reference)).or_insert(part);
        }
    }
    // Those that are always made first: what the others name has no effect on them.
    let parts = counted.values().map(|part| event.part(part)).collect();
    let places = sighted.values().map(|part| part.place).collect();
    let shown = sighted.into_values().map(|part| Shown {
        rule: Arc::clone(named(&part.correlation.rule)),
        terms: Arc::clone(&part.correlation.terms),
        group: part.group,
        value: part.value,
    });
    let shown = shown.collect();
    Ok(Found { signals, parts, shown, sighted: Sighted { places, allowance: event.allowance } })
}

/// An event that rules fired on.
struct Evaluated<'a> {
    envelope: &'a Envelope,
    format: &'a str,
    record: &'a Json<'a>,
    /// Computed for the first fact that needs it.
    content_sha256: OnceCell<[u8; 32]>,
    allowance: Allowance,
}

impl<'a> Evaluated<'a> {
    fn new(envelope: &'a Envelope, format: &'a str, record: &'a Json<'a>, allowance: Allowance) -> Self {
        Self { envelope, format, record, content_sha256: OnceCell::new(), allowance }
    }

    /// The signals of the rules that fired: of several with one rule id on one entity, the highest.
    fn signals(&mut self, hits: &[Hit<'_>]) -> Vec<RiskSignal> {
        let mut found: BTreeMap<(Entity, String), RiskSignal> = BTreeMap::new();
        for hit in hits.iter().filter(|hit| hit.rule.signals()) {
            let (of_hit, touches) = self.hit(hit.rule, &hit.matched);
            for touch in touches {
                let signal = of_hit.signal(touch, self.content_sha256());
                match found.entry((signal.entity.clone(), signal.rule.id.clone())) {
                    Entry::Vacant(place) => {
                        place.insert(signal);
                    }
                    Entry::Occupied(mut place) if place.get().hazard_micronats < signal.hazard_micronats => {
                        place.insert(signal);
                    }
                    Entry::Occupied(_) => {}
                }
            }
        }
        found.into_values().collect()
    }

    /// The event's part in a correlation, with the signal that it may become.
    fn part(&mut self, part: &Part<'_>) -> CorrelationPart {
        let (of_hit, touches) = self.hit(&part.correlation.rule, &part.matched(self.record));
        let hazard = hazard_micronats(of_hit.score);
        CorrelationPart {
            tenant: self.envelope.tenant.clone(),
            event_id: self.envelope.id,
            occurred_at: self.envelope.occurred_at,
            group: part.group.clone(),
            reference: part.reference.to_owned(),
            value: part.value.clone(),
            terms: CorrelationTerms::clone(&part.correlation.terms),
            rule: of_hit.rule,
            signal: CorrelationSignal {
                touched: touches.into_iter().map(|touch| (touch.entity, touch.share.of(hazard))).collect(),
                score: of_hit.score,
                dedupe_key: of_hit.dedupe_key,
                evidence: of_hit.evidence,
            },
            content_sha256: self.content_sha256(),
        }
    }

    /// Common fields of the signals of a rule, and the entities that they are about.
    fn hit(&mut self, rule: &Rule, matched: &[MatchedField]) -> (OfHit<'a>, Vec<Touch>) {
        let named_by_rule = rule.touched.entities_in(self.record);
        let touched = touched(self.envelope, named_by_rule, &mut self.allowance);
        let matched = matched_json(matched, touched.left_out);
        (OfHit::new(self, rule, matched), touched.touches)
    }

    fn content_sha256(&self) -> [u8; 32] {
        *self.content_sha256.get_or_init(|| self.envelope.content_sha256())
    }
}

/// Common fields of the signals of one hit.
struct OfHit<'a> {
    envelope: &'a Envelope,
    score: u8,
    rule: Arc<SignalRule>,
    dedupe_key: String,
    evidence: Arc<SignalEvidence>,
}

impl<'a> OfHit<'a> {
    fn new(event: &Evaluated<'a>, rule: &Rule, matched: String) -> Self {
        let envelope = event.envelope;
        let (actor, action) = match &envelope.event {
            Event::Activity(event) => (event.actor.id.as_str(), event.action.as_str()),
            Event::Governance(event) => (event.actor.id.as_str(), event.kind.name()),
            other => ("", other.kind_name()),
        };
        let text = |text: &str| bounded(text, MAX_TEXT_BYTES);
        let evidence = SignalEvidence {
            actor: text(actor),
            action: text(action),
            source: text(envelope.source.as_str()),
            native_format: text(event.format),
            matched,
        };
        let score = rule.score.min(MAX_SCORE);
        let dedupe_key = bounded(&rule.touched.dedupe_key_in(event.record), MAX_DEDUPE_BYTES);
        Self { envelope, score, rule: Arc::clone(named(rule)), dedupe_key, evidence: Arc::new(evidence) }
    }

    fn signal(&self, touch: Touch, content_sha256: [u8; 32]) -> RiskSignal {
        RiskSignal {
            tenant: self.envelope.tenant.clone(),
            event_id: self.envelope.id,
            occurred_at: self.envelope.occurred_at,
            entity: touch.entity,
            rule: Arc::clone(&self.rule),
            score: self.score,
            hazard_micronats: touch.share.of(hazard_micronats(self.score)),
            dedupe_key: self.dedupe_key.clone(),
            evidence: Arc::clone(&self.evidence),
            content_sha256,
        }
    }
}

fn named(rule: &Rule) -> &Arc<SignalRule> {
    rule.named.get_or_init(|| Arc::new(signal_rule(rule)))
}

fn signal_rule(rule: &Rule) -> SignalRule {
    let text = |text: &str| bounded(text, MAX_TEXT_BYTES);
    let (mut tactics, mut techniques) = (Vec::new(), Vec::new());
    for tag in &rule.tags {
        match attack(tag) {
            Some(Attack::Tactic(name)) => tactics.push(name),
            Some(Attack::Technique(id)) => techniques.push(id),
            None => {}
        }
    }
    for names in [&mut tactics, &mut techniques] {
        names.sort_unstable();
        names.dedup();
    }
    SignalRule {
        id: bounded(&rule.id, MAX_RULE_ID_BYTES),
        version: rule.version.clone(),
        title: text(&rule.title),
        author: rule.author.as_deref().map(text),
        file: text(&rule.file),
        level: rule.level,
        tactics,
        techniques,
    }
}

enum Attack {
    Tactic(String),
    Technique(String),
}

/// The tactic or technique of a tag in the namespace `attack`; groups, software and campaigns are neither.
fn attack(tag: &str) -> Option<Attack> {
    let name = tag.to_ascii_lowercase().strip_prefix("attack.")?.replace('_', "-");
    let plain = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b));
    if !plain || name.is_empty() || name.len() > 40 {
        return None;
    }
    let numbered = |name: &str| name.get(1..2).is_some_and(|digit| digit.as_bytes()[0].is_ascii_digit());
    match (name.as_bytes()[0], numbered(&name)) {
        (b't', true) => Some(Attack::Technique(name.to_ascii_uppercase())),
        (_, true) => None,
        (_, false) => Some(Attack::Tactic(name)),
    }
}

/// The matched fields as a JSON object of bounded size; the number of omitted ones is added.
fn matched_json(matched: &[MatchedField], entities_left_out: usize) -> String {
    let (mut fields, mut left_out, mut size) = (Map::new(), 0_u64, 128);
    for found in matched {
        let (field, value) = (bounded(&found.field, MAX_TEXT_BYTES), storable(&found.value));
        let bytes = json_len(&Value::String(field.clone())) + json_len(&value) + 2;
        if size + bytes > MAX_MATCHED_BYTES {
            left_out += 1;
        } else if !fields.contains_key(&field) {
            size += bytes;
            fields.insert(field, value);
        }
    }
    if left_out > 0 {
        fields.insert(LEFT_OUT.to_owned(), left_out.into());
    }
    if entities_left_out > 0 {
        fields.insert(ENTITIES_LEFT_OUT.to_owned(), entities_left_out.into());
    }
    Value::Object(fields).to_string()
}

/// The value in a form that can be stored: without U+0000, and as cut text if it is long.
fn storable(value: &Value) -> Value {
    let text = value.to_string();
    if text.len() <= MAX_VALUE_BYTES && !text.contains("\\u0000") {
        return value.clone();
    }
    let plain = value.as_str().map_or(text, ToOwned::to_owned);
    Value::String(bounded(&plain, MAX_VALUE_BYTES))
}

/// Length of the JSON text; escapes may be longer than the characters they stand for.
fn json_len(value: &Value) -> usize {
    value.to_string().len()
}

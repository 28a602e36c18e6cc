//! Sigma correlation rules: loading, and the part of an event in them.
//!
//! Events are counted where they are stored, in the sink.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use chrono::SecondsFormat;
use schemas::{
    Envelope, Timestamp,
    changes::{
        correlation::{CorrelationCondition, CorrelationTerms, MAX_VALUES},
        risk::bounded,
    },
};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{
    derived::{Derived, place},
    detection::Fault,
    engine::MatchedField,
    json::Json,
    own_keys::FieldName,
    rule::{Rule, RuleText, plain},
    terms::condition,
};

/// Maximum `timespan`: 90 days, as long as events are kept.
const MAX_TIMESPAN_SECONDS: u64 = 90 * 86_400;
/// Maximum number of rules that a correlation refers to.
const MAX_REFERENCES: usize = 32;
/// Maximum length of a reference to a rule, in bytes.
const MAX_REFERENCE_BYTES: usize = 200;
/// Keys that a correlation may have.
const KEYS: [&str; 9] =
    ["type", "rules", "group-by", "timespan", "timeframe", "condition", "aliases", "generate", "window"];
/// Maximum length of a group and of a counted value, in bytes; longer ones are cut and end in their hash.
const MAX_KEY_BYTES: usize = 512;

/// A loaded correlation rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Correlation {
    /// The rule as outputs name it; its entities come from the event that completes it.
    pub rule: Rule,
    /// Condition of the correlation.
    pub terms: Arc<CorrelationTerms>,
    /// Rules whose events it counts, by id or name.
    pub references: Vec<String>,
    /// Fields (`group-by`) whose values form the group.
    pub group_by: Vec<String>,
    /// Fields whose different values `value_count` counts.
    value_fields: Vec<String>,
    /// By alias and rule, the field of the alias.
    aliases: BTreeMap<String, BTreeMap<String, String>>,
    /// Fields that are read by reference: those of the group, then the counted ones.
    read: Vec<Vec<Reading>>,
    /// Whether the rules that it refers to also give signals of their own (`generate`).
    pub(super) generate: bool,
}

/// A field that is read, and the part of its value that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Reading {
    field: FieldName,
    derived: Option<Derived>,
}

/// Time and id of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Time of the event.
    pub occurred_at: Timestamp,
    /// Id of the event.
    pub event_id: Uuid,
}

impl From<&Envelope> for Moment {
    fn from(event: &Envelope) -> Self {
        Self { occurred_at: event.occurred_at, event_id: *event.id.as_uuid() }
    }
}

/// Place of a correlation among those of an engine, and of one of its references.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::risk) struct PartPlace {
    pub(super) correlation: usize,
    pub(super) reference: usize,
}

/// An event's part in a correlation.
#[derive(Debug, Clone, PartialEq)]
pub struct Part<'e> {
    /// The correlation.
    pub correlation: &'e Correlation,
    /// The rule that fired, as the correlation refers to it.
    pub reference: &'e str,
    /// Group of the event.
    pub group: String,
    /// Value that `value_count` counts; empty for other correlation types.
    pub value: String,
    /// See [`SigmaEngine::part`](super::engine::SigmaEngine::part).
    pub(in crate::risk) place: PartPlace,
    /// The fields that are read of its rule's records.
    readings: &'e [Reading],
}

impl Part<'_> {
    /// Fields of the group, and the counted ones, of the same record.
    pub fn matched(&self, record: &Json<'_>) -> Vec<MatchedField> {
        let mut matched = Vec::new();
        for (field, reading) in self.correlation.fields().zip(self.readings) {
            let values = reading.field.values(record);
            let mut text = values.join(",");
            if let Some(derived) = reading.derived {
                let whole = field.rsplit_once('|').map_or(field.as_str(), |(whole, _)| whole);
                matched.push(MatchedField { field: whole.to_owned(), value: text.into() });
                text = values.iter().find_map(|value| derived.of(value)).unwrap_or_default();
            }
            matched.push(MatchedField { field: field.clone(), value: text.into() });
        }
        matched
    }
}

impl Correlation {
    /// Loads a rule. The error names the invalid key and the reason.
    pub(super) fn read(content: &Map<String, Value>, text: RuleText<'_>) -> Result<Self, Fault> {
        let rule = Rule::read(content, text, None)?;
        let fault = |reason: String| Fault::new("correlation", reason);
        let section = content.get("correlation").and_then(Value::as_object);
        let section = section.ok_or_else(|| fault("a correlation is a map".to_owned()))?;
        if let Some(unknown) = section.keys().find(|key| !KEYS.contains(&key.as_str())) {
            return Err(Fault::new(unknown, format!("{unknown:?} is no key of a correlation in Sigma 2.1")));
        }
        let references = texts(section, "rules")?;
        let different: BTreeSet<&String> = references.iter().collect();
        if different.is_empty() || different.len() < references.len() || different.len() > MAX_REFERENCES {
            return Err(fault("it must refer to between 1 and 32 rules, to each once".to_owned()));
        }
        if references.iter().any(|reference| *reference != bounded(reference, MAX_REFERENCE_BYTES)) {
            return Err(fault(
                "it refers to a rule by more than 200 bytes, or by control characters".to_owned(),
            ));
        }
        let (condition, value_fields) = condition(section, &references)?;
        let condition = in_windows(section, condition)?;
        let generate = content.get("generate").or_else(|| section.get("generate"));
        let generate = generate.map_or(Some(false), Value::as_bool);
        Ok(Self {
            rule,
            terms: Arc::new(CorrelationTerms { timespan_seconds: timespan(section)?, condition }),
            group_by: texts(section, "group-by")?,
            value_fields,
            aliases: aliases(section)?,
            read: Vec::new(),
            references,
            generate: generate.ok_or_else(|| Fault::new("generate", "`generate` is true or false"))?,
        })
    }

    /// Determines the fields to read from the events of each rule, given the names of the rules that a
    /// reference means.
    pub(super) fn resolve(&mut self, meant: impl Fn(&str) -> Vec<String>) -> Result<(), Fault> {
        let fields: Vec<&String> = self.fields().collect();
        let mut read = Vec::with_capacity(self.references.len());
        for reference in &self.references {
            let mut of_rule = Vec::with_capacity(fields.len());
            for written in &fields {
                let (field, derived) =
                    Derived::split(written).map_err(|reason| Fault::new(written.as_str(), reason))?;
                let named = match self.aliases.get(field) {
                    None => field,
                    Some(by_rule) => {
                        let mut names = vec![reference.clone()];
                        names.extend(meant(reference));
                        let field_name = names.iter().find_map(|name| by_rule.get(name));
                        field_name.map(String::as_str).ok_or_else(|| {
                            Fault::new(
                                "aliases",
                                format!("the alias {field:?} has no field of the rule {reference:?}"),
                            )
                        })?
                    }
                };
                let field = FieldName::parse(named, None).map_err(|reason| Fault::new("group-by", reason))?;
                of_rule.push(Reading { field, derived });
            }
            read.push(of_rule);
        }
        self.read = read;
        Ok(())
    }

    /// The part of an event, if its record has a value for every field of the group and for the counted ones.
    pub(super) fn part<'e>(&'e self, at: PartPlace, record: &Json<'_>, event: Moment) -> Option<Part<'e>> {
        let readings = &self.read[at.reference];
        let mut found = Vec::with_capacity(readings.len() + 1);
        for reading in readings {
            let values = reading.field.values(record);
            if values.is_empty() {
                return None;
            }
            found.push(match reading.derived {
                Some(derived) => values.iter().find_map(|value| derived.of(value))?,
                None => joined(values),
            });
        }
        let mut counted = found.split_off(self.group_by.len());
        if let (CorrelationCondition::ImpossibleTravel(_), [latitude, longitude]) =
            (&self.terms.condition, counted.as_slice())
        {
            counted = vec![place(latitude, longitude)?];
        }
        match self.terms.condition {
            CorrelationCondition::TumblingEventCount(_) => {
                counted = vec![event.event_id.to_string()];
                found.push(self.window(event.occurred_at));
            }
            CorrelationCondition::TumblingValueCount(_) => found.push(self.window(event.occurred_at)),
            _ => {}
        }
        let group = serde_json::to_string(&found).expect("texts serialise");
        Some(Part {
            correlation: self,
            reference: &self.references[at.reference],
            group: bounded(&group, MAX_KEY_BYTES),
            value: bounded(&counted.join("|"), MAX_KEY_BYTES),
            place: at,
            readings,
        })
    }

    /// The fields of the group, then the counted ones.
    fn fields(&self) -> impl Iterator<Item = &String> {
        self.group_by.iter().chain(&self.value_fields)
    }

    /// Names the window of an instant, with what is counted in it: a changed rule counts in windows of its own.
    fn window(&self, at: Timestamp) -> String {
        let seconds = i64::from(self.terms.timespan_seconds);
        let start = at.timestamp().div_euclid(seconds) * seconds;
        let start = Timestamp::from_timestamp(start, 0).unwrap_or(Timestamp::MIN_UTC);
        let wanted = self.terms.condition.deciding_values().unwrap_or_default();
        format!("{wanted} in {}/PT{seconds}S", start.to_rfc3339_opts(SecondsFormat::Secs, true))
    }

    /// The condition in words.
    pub fn condition(&self) -> String {
        let span = self.terms.timespan_seconds;
        let rules = self.references.join(", ");
        let what = match &self.terms.condition {
            CorrelationCondition::EventCount(n) | CorrelationCondition::TumblingEventCount(n) => {
                format!("{n} events of {rules}")
            }
            CorrelationCondition::ValueCount(n) | CorrelationCondition::TumblingValueCount(n) => {
                format!("{n} different values of {} in events of {rules}", self.value_fields.join(", "))
            }
            CorrelationCondition::Temporal(_) => format!("an event of each of {rules}"),
            CorrelationCondition::TemporalAny(ways) => {
                let each: Vec<String> = ways.iter().map(|rules| rules.join(" and ")).collect();
                format!("an event of each of {}", each.join(", or of "))
            }
            CorrelationCondition::TemporalCount(n) => format!("events of {n} of {rules}"),
            CorrelationCondition::TemporalOrdered(_) => format!("an event of each of {rules}, in this order"),
            CorrelationCondition::ImpossibleTravel(speed) => {
                format!("two events of {rules}, 500 km or more apart, farther than {speed} km/h reach")
            }
            CorrelationCondition::FirstSeen(_) => String::new(),
        };
        let by = if self.group_by.is_empty() { "all".to_owned() } else { self.group_by.join(", ") };
        if let CorrelationCondition::FirstSeen(most) = self.terms.condition {
            let fields = self.value_fields.join(", ");
            return format!(
                "the first event of {rules} with this {fields}, once {by} is known for {span} s and has at most {most} of them"
            );
        }
        let window = match self.terms.condition {
            CorrelationCondition::TumblingEventCount(_) | CorrelationCondition::TumblingValueCount(_) => {
                "a tumbling window of "
            }
            _ => "",
        };
        format!("{what} within {window}{span} s, by {by}")
    }
}

/// The values, separated by commas; nearly always there is one.
fn joined(mut values: Vec<String>) -> String {
    match values.as_mut_slice() {
        [one] => std::mem::take(one),
        many => many.join(","),
    }
}

/// The condition for the `window` that the correlation wants.
fn in_windows(
    section: &Map<String, Value>,
    condition: CorrelationCondition,
) -> Result<CorrelationCondition, Fault> {
    let window = section.get("window").map(|window| window.as_str().unwrap_or_default());
    let few = |n: u64| n <= MAX_VALUES;
    match (window, condition) {
        (None | Some("sliding"), condition) => Ok(condition),
        (Some("tumbling"), CorrelationCondition::EventCount(n)) if few(n) => {
            Ok(CorrelationCondition::TumblingEventCount(n))
        }
        (Some("tumbling"), CorrelationCondition::ValueCount(n)) if few(n) => {
            Ok(CorrelationCondition::TumblingValueCount(n))
        }
        (Some("tumbling"), _) => Err(Fault::new(
            "window",
            format!("tumbling windows are for event_count and value_count, of at most {MAX_VALUES}"),
        )),
        _ => Err(Fault::new("window", "windows are sliding or tumbling")),
    }
}

/// The `timespan` in seconds.
fn timespan(section: &Map<String, Value>) -> Result<u32, Fault> {
    let fault = |reason: &str| Fault::new("timespan", reason);
    let written = plain(section, "timespan").or_else(|| plain(section, "timeframe"));
    let written = written.ok_or_else(|| Fault::new("correlation", "it has no `timespan`"))?;
    let unit_at = written.len() - written.chars().last().map_or(0, char::len_utf8);
    let (number, unit) = written.split_at(unit_at);
    let unit: u64 = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        "w" => 7 * 86_400,
        "M" => 30 * 86_400,
        "y" => 365 * 86_400,
        _ => return Err(fault("a timespan is a number and s, m, h or d, like 90m")),
    };
    let number: u64 =
        number.parse().map_err(|_| fault("a timespan is a number and s, m, h or d, like 90m"))?;
    let seconds = number.checked_mul(unit).filter(|seconds| (1..=MAX_TIMESPAN_SECONDS).contains(seconds));
    let seconds = seconds.and_then(|seconds| u32::try_from(seconds).ok());
    seconds.ok_or_else(|| fault("its timespan must be between a second and 90 days"))
}

/// The texts of a key: a single one, or a list.
pub(super) fn texts(section: &Map<String, Value>, key: &str) -> Result<Vec<String>, Fault> {
    let wrong = || Fault::new(key, format!("`{key}` is a text, or a list of texts"));
    match section.get(key) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::String(one)) => Ok(vec![one.clone()]),
        Some(Value::Array(many)) => {
            let each = many.iter().map(|text| text.as_str().map(ToOwned::to_owned));
            each.collect::<Option<_>>().ok_or_else(wrong)
        }
        Some(_) => Err(wrong()),
    }
}

fn aliases(section: &Map<String, Value>) -> Result<BTreeMap<String, BTreeMap<String, String>>, Fault> {
    let Some(written) = section.get("aliases") else { return Ok(BTreeMap::new()) };
    let read = || {
        let mut aliases = BTreeMap::new();
        for (alias, by_rule) in written.as_object()? {
            let fields = by_rule.as_object()?.iter();
            let fields = fields.map(|(rule, field)| Some((rule.clone(), field.as_str()?.to_owned())));
            aliases.insert(alias.clone(), fields.collect::<Option<_>>()?);
        }
        Some(aliases)
    };
    read().ok_or_else(|| Fault::new("aliases", "aliases hold, by alias and rule, the name of a field"))
}

#[cfg(test)]
mod tests;

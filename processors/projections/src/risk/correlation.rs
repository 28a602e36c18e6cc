//! Events that complete a correlation's condition: a pure function of the set of a group's events.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use schemas::{
    Timestamp,
    changes::correlation::{CorrelationCondition, CorrelationTerms},
};
use uuid::Uuid;

use super::{
    assessment::hour_of,
    travel::{Place, out_of_reach},
};

/// An event of one group, reduced to what a correlation counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupEvent<'a> {
    /// Time of the event.
    pub occurred_at: Timestamp,
    /// Id of the event. An event on which several of the rules fire counts once.
    pub event_id: Uuid,
    /// The rule that fired, as the correlation refers to it.
    pub reference: &'a str,
    /// Value that `value_count` counts; place of the event for `impossible_travel`.
    pub value: &'a str,
    /// Condition of the correlation.
    pub terms: &'a CorrelationTerms,
}

/// Indices of the events that complete the condition: the events within the `timespan` that ends with them,
/// those of the same instant included, satisfy it. Linear in the number of events, once sorted.
pub fn completing(events: &[GroupEvent<'_>]) -> BTreeSet<usize> {
    let terms: BTreeSet<&CorrelationTerms> = events.iter().map(|event| event.terms).collect();
    terms.into_iter().flat_map(|terms| completing_by(terms, events)).collect()
}

/// The first of the events at these indices in each clock hour, by hour: by it the condition is reported.
pub fn first_of_hours(events: &[GroupEvent<'_>], places: &BTreeSet<usize>) -> BTreeMap<i64, usize> {
    let mut first: BTreeMap<i64, usize> = BTreeMap::new();
    let order = |place: usize| (events[place].occurred_at, events[place].event_id);
    for place in places {
        let of_hour = first.entry(hour_of(events[*place].occurred_at)).or_insert(*place);
        if order(*place) < order(*of_hour) {
            *of_hour = *place;
        }
    }
    first
}

fn completing_by(terms: &CorrelationTerms, events: &[GroupEvent<'_>]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..events.len()).collect();
    // Of one instant, events come in the order in which the condition wants them.
    order.sort_unstable_by_key(|place| (events[*place].occurred_at, step(terms, &events[*place])));
    let mut window = Window::new(terms);
    let (mut complete, mut first, mut next) = (Vec::new(), 0, 0);
    while next < order.len() {
        let instant = events[order[next]].occurred_at;
        let start = instant.timestamp_micros() - i64::from(terms.timespan_seconds) * 1_000_000;
        let since = next;
        while next < order.len() && events[order[next]].occurred_at == instant {
            window.enter(&events[order[next]]);
            next += 1;
        }
        while first < next && events[order[first]].occurred_at.timestamp_micros() <= start {
            window.leave(&events[order[first]]);
            first += 1;
        }
        if window.is_satisfied(start) {
            complete.extend(order[since..next].iter().filter(|place| events[**place].terms == terms));
        }
    }
    complete
}

/// Index of the event's rule in the order that the condition requires.
fn step(terms: &CorrelationTerms, event: &GroupEvent<'_>) -> Option<usize> {
    match &terms.condition {
        CorrelationCondition::TemporalOrdered(rules) => rules.iter().position(|rule| rule == event.reference),
        _ => None,
    }
}

/// Events of a time window.
struct Window<'a> {
    terms: &'a CorrelationTerms,
    events: HashMap<Uuid, u64>,
    values: HashMap<&'a str, u64>,
    rules: HashMap<&'a str, u64>,
    /// By step: the latest start, in microseconds, of an ordered sequence of events up to this step.
    begun: Vec<Option<i64>>,
    /// By place, time of the latest event there, in microseconds. Filled for `impossible_travel` only.
    places: HashMap<Place, i64>,
}

impl<'a> Window<'a> {
    fn new(terms: &'a CorrelationTerms) -> Self {
        let steps = match &terms.condition {
            CorrelationCondition::TemporalOrdered(rules) => rules.len(),
            _ => 0,
        };
        Self {
            terms,
            events: HashMap::new(),
            values: HashMap::new(),
            rules: HashMap::new(),
            begun: vec![None; steps],
            places: HashMap::new(),
        }
    }

    fn enter(&mut self, event: &GroupEvent<'a>) {
        *self.events.entry(event.event_id).or_default() += 1;
        *self.values.entry(event.value).or_default() += 1;
        *self.rules.entry(event.reference).or_default() += 1;
        if let Some(step) = step(self.terms, event) {
            let begun = match step.checked_sub(1) {
                None => Some(event.occurred_at.timestamp_micros()),
                Some(before) => self.begun[before],
            };
            self.begun[step] = self.begun[step].max(begun);
        }
        if let (CorrelationCondition::ImpossibleTravel(_), Some(place)) =
            (&self.terms.condition, Place::read(event.value))
        {
            self.places.insert(place, event.occurred_at.timestamp_micros());
        }
    }

    fn leave(&mut self, event: &GroupEvent<'a>) {
        fn less<K: std::hash::Hash + Eq>(counts: &mut HashMap<K, u64>, key: &K) {
            if let Some(count) = counts.get_mut(key) {
                *count -= 1;
                if *count == 0 {
                    counts.remove(key);
                }
            }
        }
        less(&mut self.events, &event.event_id);
        less(&mut self.values, &event.value);
        less(&mut self.rules, &event.reference);
    }

    fn is_satisfied(&mut self, start: i64) -> bool {
        let enough = |found: usize, wanted: u64| u64::try_from(found).is_ok_and(|found| found >= wanted);
        match &self.terms.condition {
            CorrelationCondition::EventCount(wanted) => enough(self.events.len(), *wanted),
            CorrelationCondition::ValueCount(wanted) => enough(self.values.len(), *wanted),
            CorrelationCondition::Temporal(rules) => {
                rules.iter().all(|rule| self.rules.contains_key(rule.as_str()))
            }
            CorrelationCondition::TemporalAny(ways) => {
                ways.iter().any(|rules| rules.iter().all(|rule| self.rules.contains_key(rule.as_str())))
            }
            CorrelationCondition::TemporalCount(wanted) => enough(self.rules.len(), *wanted),
            // A row that began within the timespan lies within it: it cannot end later than now.
            CorrelationCondition::TemporalOrdered(_) => {
                self.begun.last().copied().flatten().is_some_and(|begun| begun > start)
            }
            CorrelationCondition::ImpossibleTravel(speed) => {
                self.places.retain(|_, at| *at > start);
                let now = start + i64::from(self.terms.timespan_seconds) * 1_000_000;
                out_of_reach(&self.places, now, *speed)
            }
            // Its events are kept by value, and looked at there.
            CorrelationCondition::FirstSeen(_)
            | CorrelationCondition::TumblingEventCount(_)
            | CorrelationCondition::TumblingValueCount(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_timestamp(1_800_000_000 + second, 0).expect("a time")
    }

    /// The result by the definition, event by event.
    fn by_definition(events: &[GroupEvent<'_>]) -> BTreeSet<usize> {
        let completes = |event: &GroupEvent<'_>| {
            let span = i64::from(event.terms.timespan_seconds);
            let within: Vec<_> = events
                .iter()
                .filter(|other| {
                    let age = (event.occurred_at - other.occurred_at).num_seconds();
                    (0..span).contains(&age)
                })
                .collect();
            let different = |of: fn(&GroupEvent<'_>) -> String| {
                within.iter().map(|event| of(event)).collect::<BTreeSet<_>>().len() as u64
            };
            match &event.terms.condition {
                CorrelationCondition::EventCount(n) => different(|event| event.event_id.to_string()) >= *n,
                CorrelationCondition::ValueCount(n) => different(|event| event.value.to_owned()) >= *n,
                CorrelationCondition::Temporal(rules) => {
                    rules.iter().all(|rule| within.iter().any(|event| event.reference == rule))
                }
                CorrelationCondition::TemporalAny(ways) => ways
                    .iter()
                    .any(|rules| rules.iter().all(|rule| within.iter().any(|event| event.reference == rule))),
                CorrelationCondition::TemporalCount(n) => different(|event| event.reference.to_owned()) >= *n,
                CorrelationCondition::ImpossibleTravel(speed) => {
                    let latest = within.iter().filter(|other| other.occurred_at == event.occurred_at);
                    latest.into_iter().any(|here| {
                        within.iter().any(|there| {
                            let seconds = (event.occurred_at - there.occurred_at).num_seconds();
                            let reach = f64::from(
                                u32::try_from(seconds * i64::try_from(*speed).expect("small"))
                                    .expect("small"),
                            );
                            let places = Place::read(here.value).zip(Place::read(there.value));
                            let kilometres = places.map_or(0.0, |(here, there)| here.kilometres_to(there));
                            kilometres >= 500.0 && kilometres * 3_600.0 > reach
                        })
                    })
                }
                CorrelationCondition::FirstSeen(_)
                | CorrelationCondition::TumblingEventCount(_)
                | CorrelationCondition::TumblingValueCount(_) => false,
                CorrelationCondition::TemporalOrdered(rules) => {
                    // The earliest event of each rule that is no earlier than the one before it.
                    let mut earliest = Some(at(i64::MIN / 1_000_000_000_000));
                    for rule in rules {
                        earliest = earliest.and_then(|since| {
                            let later = within
                                .iter()
                                .filter(|event| event.reference == rule && event.occurred_at >= since);
                            later.map(|event| event.occurred_at).min()
                        });
                    }
                    earliest.is_some()
                }
            }
        };
        (0..events.len()).filter(|place| completes(&events[*place])).collect()
    }

    fn terms() -> impl Strategy<Value = CorrelationTerms> {
        let rules = || Just(["a", "b", "c"].map(str::to_owned).to_vec()).prop_shuffle();
        let condition = prop_oneof![
            (1_u64..5).prop_map(CorrelationCondition::EventCount),
            (1_u64..4).prop_map(CorrelationCondition::ValueCount),
            rules().prop_map(CorrelationCondition::Temporal),
            rules().prop_map(CorrelationCondition::TemporalOrdered),
            rules().prop_map(|rules| {
                CorrelationCondition::TemporalAny(vec![rules[..1].to_vec(), rules[1..].to_vec()])
            }),
            (1_u64..4).prop_map(CorrelationCondition::TemporalCount),
            (10_000_u64..1_000_000).prop_map(CorrelationCondition::ImpossibleTravel),
        ];
        (1_u32..20, condition)
            .prop_map(|(timespan_seconds, condition)| CorrelationTerms { timespan_seconds, condition })
    }

    proptest! {
        #[test]
        fn a_sweep_finds_what_the_definition_says(
            terms in prop::collection::vec(terms(), 1..3),
            drawn in prop::collection::vec((0_i64..60, 0_u128..30, 0_usize..3, 0_usize..4, 0_usize..3), 0..60),
            cut in 0_usize..60,
        ) {
            // One event has one time and one version of the rule.
            let events: Vec<GroupEvent<'_>> = drawn.iter().map(|(second, id, rule, value, version)| GroupEvent {
                occurred_at: at((second + i64::try_from(*id).expect("small") * 7) % 60),
                event_id: Uuid::from_u128(id + 1),
                reference: ["a", "b", "c"][*rule],
                value: ["119,36", "v", "72,280", "0,0"][*value],
                terms: &terms[version % terms.len()],
            }).collect();
            let complete = completing(&events);
            prop_assert_eq!(&complete, &by_definition(&events));

            // More events only ever complete more.
            let some = &events[..cut.min(events.len())];
            prop_assert!(completing(some).is_subset(&complete));

            // The order in which they come changes nothing.
            let turned: Vec<_> = events.iter().rev().cloned().collect();
            let turned: BTreeSet<usize> =
                completing(&turned).into_iter().map(|place| events.len() - 1 - place).collect();
            prop_assert_eq!(turned, complete);
        }
    }

    #[test]
    fn a_timespan_ends_with_the_event_and_does_not_hold_its_own_start() {
        let terms = CorrelationTerms { timespan_seconds: 10, condition: CorrelationCondition::EventCount(2) };
        let event = |n: u128, second| GroupEvent {
            occurred_at: at(second),
            event_id: Uuid::from_u128(n),
            reference: "a",
            value: "",
            terms: &terms,
        };
        assert!(completing(&[event(1, 0), event(2, 10)]).is_empty());
        assert_eq!(completing(&[event(1, 0), event(2, 9)]), BTreeSet::from([1]));
        assert_eq!(completing(&[event(1, 5), event(2, 5)]), BTreeSet::from([0, 1]));
        assert!(completing(&[event(1, 5), event(1, 5)]).is_empty(), "one event counts once");
    }
}

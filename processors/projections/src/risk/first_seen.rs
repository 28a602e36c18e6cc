//! Values of a group by the events that show them first: a pure function of the set of sightings.

use std::collections::{BTreeMap, BTreeSet};

use schemas::{
    Timestamp,
    changes::correlation::{CorrelationCondition, CorrelationTerms, MAX_VALUES},
};
use uuid::Uuid;

/// A value of a group, as it was first seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirstSight<T> {
    /// Time of the event.
    pub at: Timestamp,
    /// Id of the event.
    pub event_id: Uuid,
    /// Terms of the rule's version that was in force when the event was processed.
    pub terms: T,
}

/// The values of a group, each as it was first seen. Of many the first ones are kept, as many as
/// [`CorrelationCondition::deciding_values`]: which ones depends on the set of sightings and not on their order, for the
/// last of those that are kept only ever becomes earlier. All sightings of a group keep as many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirstSights<T> {
    values: BTreeMap<String, FirstSight<T>>,
}

impl<T> Default for FirstSights<T> {
    fn default() -> Self {
        Self { values: BTreeMap::new() }
    }
}

impl<T: AsRef<CorrelationTerms>> FirstSights<T> {
    /// Adds a sighting: true if it is the first of its value so far, and not one too many.
    pub fn see(&mut self, value: &str, sight: FirstSight<T>) -> bool {
        let most = most(sight.terms.as_ref());
        let is_first = match self.values.get_mut(value) {
            Some(known) if (known.at, known.event_id) <= (sight.at, sight.event_id) => false,
            Some(known) => {
                *known = sight;
                true
            }
            None => {
                self.values.insert(value.to_owned(), sight);
                true
            }
        };
        while self.values.len() > most {
            let Some(last) = self.last().map(|(value, _)| value.to_owned()) else { break };
            self.values.remove(&last);
        }
        is_first && self.values.contains_key(value)
    }

    /// The values with their first sights.
    pub fn values(&self) -> impl Iterator<Item = (&str, &FirstSight<T>)> {
        self.values.iter().map(|(value, sight)| (value.as_str(), sight))
    }

    /// The first sight of a value.
    pub fn get(&self, value: &str) -> Option<&FirstSight<T>> {
        self.values.get(value)
    }

    /// The last of the values, in the order of their first sights, if the group has as many as are kept: later ones are not.
    pub fn last_kept(&self) -> Option<&FirstSight<T>> {
        let (_, last) = self.last()?;
        (self.values.len() >= most(last.terms.as_ref())).then_some(last)
    }

    /// The values that are reported, each by the event that shows it first. For `first_seen`: those of a group that was
    /// known for the timespan by then, among as many as its rule takes for usual. For a count: the one that reaches it.
    pub fn reported(&self) -> BTreeSet<&str> {
        let in_order = self.in_order();
        let Some(since) = in_order.first().map(|(_, sight)| sight.at) else { return BTreeSet::new() };
        let is_reported = |place: usize, sight: &FirstSight<T>| {
            let terms = sight.terms.as_ref();
            let Ok(place) = u64::try_from(place) else { return false };
            match terms.condition {
                CorrelationCondition::FirstSeen(most) => {
                    let known_seconds = (sight.at - since).num_seconds();
                    known_seconds >= i64::from(terms.timespan_seconds) && place < most
                }
                CorrelationCondition::TumblingEventCount(n) | CorrelationCondition::TumblingValueCount(n) => {
                    place + 1 == n
                }
                _ => false,
            }
        };
        let places = in_order.iter().enumerate();
        places
            .filter(|(place, (_, sight))| is_reported(*place, sight))
            .map(|(_, (value, _))| *value)
            .collect()
    }

    fn last(&self) -> Option<(&str, &FirstSight<T>)> {
        self.values().max_by_key(|(value, sight)| (sight.at, sight.event_id, *value))
    }

    fn in_order(&self) -> Vec<(&str, &FirstSight<T>)> {
        let mut values: Vec<_> = self.values().collect();
        values.sort_unstable_by_key(|(value, sight)| (sight.at, sight.event_id, *value));
        values
    }
}

fn most(terms: &CorrelationTerms) -> usize {
    let values = terms.condition.deciding_values().unwrap_or(MAX_VALUES);
    usize::try_from(values).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;

    fn at(day: i64) -> Timestamp {
        Timestamp::from_timestamp(1_800_000_000 + day * 86_400, 0).expect("a time")
    }

    fn terms(days: u32, most: u64) -> Arc<CorrelationTerms> {
        let condition = CorrelationCondition::FirstSeen(most);
        Arc::new(CorrelationTerms { timespan_seconds: days * 86_400, condition })
    }

    fn seen(sights: &[(&str, i64)], terms: &Arc<CorrelationTerms>) -> FirstSights<Arc<CorrelationTerms>> {
        let mut values = FirstSights::default();
        for (n, (value, day)) in (1_u128..).zip(sights) {
            let event_id = Uuid::from_u128(n);
            values.see(value, FirstSight { at: at(*day), event_id, terms: Arc::clone(terms) });
        }
        values
    }

    #[track_caller]
    fn check(sights: &[(&str, i64)], most: u64, expected: &[&str]) {
        let values = seen(sights, &terms(14, most));
        assert_eq!(values.reported().into_iter().collect::<Vec<_>>(), expected, "{sights:?}");
    }

    #[test]
    fn a_value_is_new_once_its_group_is_known() {
        check(&[("s3", 0), ("ec2", 13), ("s3", 20)], 20, &[]);
        check(&[("s3", 0), ("ec2", 14)], 20, &["ec2"]);
        check(&[("s3", 0), ("ec2", 20), ("ec2", 3)], 20, &[]);
        check(&[("ec2", 20), ("iam", 30), ("s3", 0)], 20, &["ec2", "iam"]);
        check(&[("s3", 0), ("ec2", 1), ("iam", 30), ("kms", 31)], 3, &["iam"]);
        check(&[], 3, &[]);
    }

    #[test]
    fn a_count_is_reported_by_the_value_that_reaches_it() {
        let condition = CorrelationCondition::TumblingValueCount(3);
        let terms = Arc::new(CorrelationTerms { timespan_seconds: 900, condition });
        let check = |sights: &[(&str, i64)], expected: &[&str]| {
            let values = seen(sights, &terms);
            assert_eq!(values.reported().into_iter().collect::<Vec<_>>(), expected, "{sights:?}");
            values
        };
        check(&[("a", 1), ("b", 2), ("a", 3)], &[]);
        let full = check(&[("a", 1), ("b", 2), ("a", 3), ("c", 4), ("d", 5)], &["c"]);
        assert_eq!(full.last_kept().map(|last| last.at), Some(at(4)), "what comes later decides nothing");
        // One that comes late: another value is the third.
        let late = check(&[("a", 1), ("b", 2), ("c", 4), ("d", 3)], &["d"]);
        assert_eq!((late.get("c"), late.values().count()), (None, 3));
        assert_eq!(check(&[("a", 1), ("b", 2)], &[]).last_kept(), None);
    }

    #[test]
    fn a_group_keeps_its_first_values() {
        let terms = terms(0, 1_000);
        let many: Vec<String> = (0..2_000).map(|n| n.to_string()).collect();
        let sights: Vec<(&str, i64)> = many.iter().map(String::as_str).zip((0..2_000).rev()).collect();
        let values = seen(&sights, &terms);
        assert_eq!(values.values().count(), 256);
        assert!(values.values().all(|(_, sight)| sight.at < at(256)));
    }

    proptest! {
        #[test]
        fn order_and_repetition_change_nothing(
            drawn in prop::collection::vec((0_u32..400, 0_i64..90, 0_u128..500), 0..900),
            seed in any::<u64>(),
        ) {
            let all = [terms(14, 20), terms(7, 300)];
            let build = |sights: &[(u32, i64, u128)]| {
                let mut values = FirstSights::default();
                for (value, day, n) in sights {
                    // One event has one value, one time and one version of the rule.
                    let terms = Arc::clone(&all[usize::try_from(n % 2).expect("small")]);
                    let event_id = Uuid::from_u128(u128::from(*value) << 64 | n << 16 | u128::try_from(*day).expect("positive"));
                    values.see(&value.to_string(), FirstSight { at: at(*day), event_id, terms });
                }
                values
            };
            let once = build(&drawn);
            let mut other = drawn.clone();
            other.extend_from_slice(&drawn[..drawn.len() / 2]);
            let len = other.len().max(1);
            other.rotate_left(usize::try_from(seed % u64::try_from(len).expect("small")).expect("small"));
            other.reverse();
            prop_assert_eq!(build(&other), once);
        }
    }
}

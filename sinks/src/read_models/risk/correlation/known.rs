//! Cache of the groups of sightings: most events show a value that their group has had for long.
//!
//! Holds what was read under the groups' locks, once its transaction is committed. Others only ever make it more: a value is
//! seen earlier, or there are more of them. So what changes nothing by this changes nothing.

use std::sync::Arc;

use foldhash::HashMap;
use projections::risk::FirstSights;
use schemas::{Timestamp, changes::correlation::CorrelationTerms};
use uuid::Uuid;

/// Most values of all groups that are kept in memory, about 200 bytes each; with more, groups are read again.
const MAX_KEPT: usize = 100_000;

/// An event, in the order in which first sights are decided.
type Sight = (Timestamp, Uuid);

/// A group as it was read.
#[derive(Debug)]
pub(in crate::read_models::risk) struct KnownGroup {
    last_day: i32,
    values: HashMap<String, Sight>,
    /// The last of its values, if it has as many as are kept: later ones are not.
    last_kept: Option<Sight>,
}

impl KnownGroup {
    pub(super) fn of(last_day: i32, sights: &FirstSights<Arc<CorrelationTerms>>) -> Self {
        let values: HashMap<String, Sight> =
            sights.values().map(|(value, sight)| (value.to_owned(), (sight.at, sight.event_id))).collect();
        let last_kept = sights.last_kept().map(|last| (last.at, last.event_id));
        Self { last_day, values, last_kept }
    }

    fn has(&self, value: &str, day: i32, sight: Sight) -> bool {
        let is_late = |first: &Sight| *first <= sight;
        // A value that is as late as the last one may come before it by its name.
        let is_past = self.last_kept.is_some_and(|last| last < sight);
        day <= self.last_day && (self.values.get(value).is_some_and(is_late) || is_past)
    }
}

/// Groups that are known, by tenant, rule and group.
#[derive(Debug, Default)]
pub(in crate::read_models::risk) struct Known {
    groups: HashMap<String, HashMap<String, HashMap<String, KnownGroup>>>,
    kept: usize,
    /// Of the transaction that is not committed yet.
    learnt: Vec<([String; 3], KnownGroup)>,
}

impl Known {
    /// Whether an event with this value changes nothing.
    pub(super) fn has(
        &self,
        (tenant, rule, group): (&str, &str, &str),
        value: &str,
        (day, sight): (i32, Sight),
    ) -> bool {
        let known =
            self.groups.get(tenant).and_then(|rules| rules.get(rule)).and_then(|groups| groups.get(group));
        known.is_some_and(|known| known.has(value, day, sight))
    }

    /// Adds a group once the transaction is committed.
    pub(super) fn learn(&mut self, (tenant, rule, group): (&str, &str, &str), known: KnownGroup) {
        self.learnt.push(([tenant, rule, group].map(ToOwned::to_owned), known));
    }

    /// The transaction is committed.
    pub(in crate::read_models::risk) fn commit(&mut self) {
        for ([tenant, rule, group], known) in self.learnt.drain(..) {
            if self.kept >= MAX_KEPT {
                self.groups.clear();
                self.kept = 0;
            }
            self.kept += known.values.len() + 1;
            let groups = self.groups.entry(tenant).or_default().entry(rule).or_default();
            if let Some(before) = groups.insert(group, known) {
                self.kept = self.kept.saturating_sub(before.values.len() + 1);
            }
        }
    }

    /// The transaction is not committed, or nobody knows.
    pub(in crate::read_models::risk) fn roll_back(&mut self) {
        self.learnt.clear();
    }
}

#[cfg(test)]
mod tests {
    use projections::risk::FirstSight;
    use schemas::changes::correlation::CorrelationCondition;

    use super::*;

    fn sight(second: i64) -> Sight {
        (Timestamp::from_timestamp(second, 0).expect("a time"), Uuid::from_u128(7))
    }

    fn group(values: i64) -> KnownGroup {
        let terms = CorrelationTerms { timespan_seconds: 1, condition: CorrelationCondition::FirstSeen(20) };
        let terms = Arc::new(terms);
        let mut sights = FirstSights::default();
        for second in 0..values {
            let (at, event_id) = sight(second + 100);
            sights.see(&second.to_string(), FirstSight { at, event_id, terms: Arc::clone(&terms) });
        }
        KnownGroup::of(3, &sights)
    }

    #[test]
    fn what_is_known_is_what_was_committed() {
        let (mut known, name) = (Known::default(), ("acme", "rule", "ada"));
        known.learn(name, group(2));
        assert!(!known.has(name, "0", (3, sight(100))), "nobody knows whether that is so");
        known.roll_back();
        known.commit();
        assert!(!known.has(name, "0", (3, sight(100))), "it is not");
        known.learn(name, group(2));
        known.commit();
        assert!(known.has(name, "0", (3, sight(100))) && known.has(name, "0", (2, sight(500))));
        assert!(!known.has(name, "0", (3, sight(99))), "earlier than it was seen");
        assert!(
            !known.has(name, "0", (4, sight(500))),
            "on another day: the group is told that it is in use"
        );
        assert!(!known.has(name, "new", (3, sight(500))));
        assert!(!known.has(("other", "rule", "ada"), "0", (3, sight(500))));
    }

    #[test]
    fn what_comes_after_as_many_as_are_kept_changes_nothing() {
        let (mut known, name) = (Known::default(), ("acme", "rule", "ada"));
        known.learn(name, group(300));
        known.commit();
        assert!(known.has(name, "299", (3, sight(399))) && known.has(name, "new", (3, sight(1_000))));
        assert!(!known.has(name, "new", (3, sight(200))));
    }

    #[test]
    fn memory_is_bounded() {
        let mut known = Known::default();
        for n in 0..2_000 {
            known.learn(("acme", "rule", &n.to_string()), group(256));
            known.commit();
            assert!(known.kept <= MAX_KEPT + 257);
        }
    }
}

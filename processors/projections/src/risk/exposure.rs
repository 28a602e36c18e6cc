//! Exposure of an entity to one rule within one hour, summed up over its signals.

use std::{cmp::Reverse, sync::Arc};

use schemas::{
    Timestamp,
    changes::risk::{RiskSignal, SignalRule},
};
use uuid::Uuid;

use super::assessment::hour_of;

/// Maximum number of dedupe keys of a rule that count within an hour, those with the highest hazard: a rule
/// contributes at most three times its largest hazard, so more would add little. Bounds the row, whatever
/// keys a publisher sends.
pub const MAX_KEYS: usize = 8;

/// Exposure of an entity to one rule within one hour.
///
/// A function of the set of signals: [`merge`](Self::merge) gives the same result for any grouping and order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exposure {
    /// The rule, as in the latest event.
    pub rule: Arc<SignalRule>,
    /// The hour, counted from 1970 on.
    pub hour: i64,
    /// Highest hazard by dedupe key; largest first, then by key; at most [`MAX_KEYS`].
    pub hazards: Vec<KeyHazard>,
    /// Number of signals.
    pub signals: i64,
    /// Time of the first signal.
    pub first_at: Timestamp,
    /// Time of the last signal.
    pub last_at: Timestamp,
    /// Event of the last signal.
    pub last_event_id: Uuid,
}

/// The highest hazard of signals with one dedupe key, which count once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyHazard {
    /// The dedupe key; often empty.
    pub key: String,
    /// Hazard in millionths of a nat.
    pub micronats: i64,
}

impl Exposure {
    /// The exposure of one signal.
    pub fn of(signal: &RiskSignal) -> Self {
        Self {
            rule: Arc::clone(&signal.rule),
            hour: hour_of(signal.occurred_at),
            hazards: vec![KeyHazard { key: signal.dedupe_key.clone(), micronats: signal.hazard_micronats }],
            signals: 1,
            first_at: signal.occurred_at,
            last_at: signal.occurred_at,
            last_event_id: *signal.event_id.as_uuid(),
        }
    }

    /// Adds the exposure of other signals of the same entity, rule and hour.
    pub fn merge(&mut self, other: Self) {
        self.signals += other.signals;
        self.first_at = self.first_at.min(other.first_at);
        if (self.last_at, self.last_event_id) < (other.last_at, other.last_event_id) {
            (self.last_at, self.last_event_id) = (other.last_at, other.last_event_id);
            self.rule = other.rule;
        }
        for hazard in other.hazards {
            match self.hazards.iter_mut().find(|known| known.key == hazard.key) {
                Some(known) => known.micronats = known.micronats.max(hazard.micronats),
                None => self.hazards.push(hazard),
            }
        }
        self.hazards
            .sort_unstable_by(|a, b| (Reverse(a.micronats), &a.key).cmp(&(Reverse(b.micronats), &b.key)));
        self.hazards.truncate(MAX_KEYS);
    }

    /// Hazard, in millionths of a nat.
    pub fn micronats(&self) -> i64 {
        self.hazards.iter().fold(0, |sum, hazard| sum.saturating_add(hazard.micronats))
    }

    /// The largest single hazard, in millionths of a nat.
    pub fn largest(&self) -> i64 {
        self.hazards.first().map_or(0, |hazard| hazard.micronats)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use schemas::changes::risk::SignalLevel;

    use super::*;

    fn exposure(key: u8, micronats: i64, second: i64, event: u128) -> Exposure {
        let at = Timestamp::from_timestamp(second, 0).expect("a time");
        Exposure {
            rule: Arc::new(SignalRule {
                id: "a".to_owned(),
                version: format!("{second}|{event}"),
                title: "A".to_owned(),
                author: None,
                file: "a.yml".to_owned(),
                level: SignalLevel::High,
                tactics: vec![],
                techniques: vec![],
            }),
            hour: 0,
            hazards: vec![KeyHazard { key: key.to_string(), micronats }],
            signals: 1,
            first_at: at,
            last_at: at,
            last_event_id: Uuid::from_u128(event),
        }
    }

    fn merged(exposures: Vec<Exposure>) -> Exposure {
        let merge = |mut sum: Exposure, one| {
            sum.merge(one);
            sum
        };
        exposures.into_iter().reduce(merge).expect("some")
    }

    proptest! {
        #[test]
        fn the_order_of_signals_and_how_they_are_grouped_change_nothing(
            drawn in prop::collection::vec((0_u8..20, 1_i64..6, 0_i64..5, 0_u128..9), 1..40),
            cut in 1_usize..40,
        ) {
            let exposures: Vec<Exposure> =
                drawn.iter().map(|(key, micronats, second, event)| exposure(*key, *micronats, *second, *event)).collect();
            let whole = merged(exposures.clone());

            let mut turned = exposures.clone();
            turned.reverse();
            prop_assert_eq!(&merged(turned), &whole);
            let parts = exposures.chunks(cut).map(|part| merged(part.to_vec()));
            prop_assert_eq!(&merged(parts.collect()), &whole);

            let mut highest: BTreeMap<String, i64> = BTreeMap::new();
            for (key, micronats, ..) in &drawn {
                let known = highest.entry(key.to_string()).or_default();
                *known = (*known).max(*micronats);
            }
            let mut ranked: Vec<(i64, String)> = highest.into_iter().map(|(key, m)| (-m, key)).collect();
            ranked.sort();
            ranked.truncate(MAX_KEYS);
            let counted: Vec<(i64, String)> = whole.hazards.iter().map(|h| (-h.micronats, h.key.clone())).collect();
            prop_assert_eq!(counted, ranked);
            prop_assert_eq!(whole.signals, i64::try_from(drawn.len()).expect("small"));
        }
    }
}

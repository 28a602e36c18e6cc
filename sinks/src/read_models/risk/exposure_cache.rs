//! Cache of entities' exposures between batches: every batch touches the busy entities, and would read all of their
//! exposures again.
//!
//! An entry holds as long as nobody else has written the entity's row of `entity_risk`. Whoever changes exposures locks
//! that row first, and writes or removes it in the same transaction; so the transaction that wrote the row last names the
//! state of the exposures.

use std::collections::HashMap;

use projections::risk::{Exposure, assessment::MAX_AGE_HOURS, incidents::EVIDENCE_HOURS};

use super::entity_facts::EntityKey;

/// Most exposures of all entities that are kept, about 250 bytes each.
const MAX_KEPT: usize = 40_000;
/// Age at which an exposure is dropped, relative to the entity's newest: no score and no incident that goes on needs it.
const KEPT_HOURS: i64 = MAX_AGE_HOURS + EVIDENCE_HOURS;
/// Number of transactions after which PostgreSQL's `xmin` repeats.
const XMIN_PERIOD: u64 = 1 << 32;

/// Last writer of an entity's row, as a transaction sees it that holds the row's lock.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct RowVersion {
    /// The row's `xmin`: the lower 32 bits of the transaction that wrote it.
    pub(super) xmin: u64,
    /// The transaction that sees it.
    pub(super) seen_by: u64,
}

impl RowVersion {
    fn is_of(self, writer: u64) -> bool {
        // The row was written by that transaction or a later one: the lower bits tell which, within one period.
        writer % XMIN_PERIOD == self.xmin && self.seen_by.wrapping_sub(writer) < XMIN_PERIOD
    }
}

/// Exposures of an entity from an hour on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KeptExposures {
    /// The first hour.
    pub(super) from_hour: i64,
    /// All from that hour on, sorted by rule, then by hour.
    pub(super) exposures: Vec<Exposure>,
}

impl KeptExposures {
    /// Drops what is too old to matter.
    fn trim(&mut self, newest_hour: i64) {
        let from_hour = newest_hour.saturating_sub(KEPT_HOURS);
        if self.from_hour < from_hour && self.exposures.iter().any(|exposure| exposure.hour < from_hour) {
            self.exposures.retain(|exposure| exposure.hour >= from_hour);
            self.from_hour = from_hour;
        }
    }

    fn cost(&self) -> usize {
        self.exposures.len() + 1
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct EntityId {
    tenant: String,
    kind: String,
    id: String,
}

impl From<EntityKey<'_>> for EntityId {
    fn from(entity: EntityKey<'_>) -> Self {
        Self { tenant: entity.tenant.to_owned(), kind: entity.kind.to_owned(), id: entity.id.to_owned() }
    }
}

#[derive(Debug)]
struct Entry {
    /// The transaction that wrote the entity's row together with these exposures.
    written_by: u64,
    kept: KeptExposures,
}

/// Exposures as committed transactions of this writer left them.
#[derive(Debug, Default)]
pub(super) struct ExposureCache {
    entries: HashMap<EntityId, Entry>,
    /// Exposures and entities in `entries`.
    kept: usize,
    /// Exposures that found no room since the cache was last emptied.
    refused: usize,
    /// Of the transaction that is not committed yet.
    pending: Vec<(EntityId, Entry)>,
}

impl ExposureCache {
    /// Takes an entity's exposures out, if they are those that its row belongs to and reach back to an hour.
    pub(super) fn take(
        &mut self,
        entity: EntityKey<'_>,
        row: RowVersion,
        from_hour: i64,
    ) -> Option<KeptExposures> {
        let entry = self.entries.remove(&EntityId::from(entity))?;
        self.kept = self.kept.saturating_sub(entry.kept.cost());
        (row.is_of(entry.written_by) && entry.kept.from_hour <= from_hour).then_some(entry.kept)
    }

    /// Adds an entity's exposures once the transaction, which also wrote the entity's row, is committed.
    pub(super) fn learn(
        &mut self,
        entity: EntityKey<'_>,
        written_by: u64,
        newest_hour: i64,
        mut kept: KeptExposures,
    ) {
        kept.trim(newest_hour);
        self.pending.push((entity.into(), Entry { written_by, kept }));
    }

    /// The transaction is committed.
    pub(super) fn commit(&mut self) {
        for (entity, entry) in std::mem::take(&mut self.pending) {
            let cost = entry.kept.cost();
            if self.kept + cost > MAX_KEPT {
                // Those that are kept stay: of entities that come in turn, removing the oldest would remove each before
                // it comes again. Unless others have come for long.
                self.refused += cost;
                if self.refused > MAX_KEPT {
                    self.clear();
                }
                continue;
            }
            self.kept += cost;
            if let Some(replaced) = self.entries.insert(entity, entry) {
                self.kept -= replaced.kept.cost();
            }
        }
    }

    /// A transaction begins: none before it is pending.
    pub(super) fn begin(&mut self) {
        self.pending.clear();
    }

    /// Nobody knows what is committed.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use projections::risk::KeyHazard;
    use schemas::{
        Timestamp,
        changes::risk::{SignalLevel, SignalRule},
    };
    use uuid::Uuid;

    use super::*;

    const ADA: EntityKey<'static> = EntityKey { tenant: "acme", kind: "user", id: "ada" };

    fn exposure(hour: i64) -> Exposure {
        let at = Timestamp::from_timestamp(hour * 3600, 0).expect("a time");
        let rule = SignalRule {
            id: "rule".to_owned(),
            version: "1".to_owned(),
            title: "Rule".to_owned(),
            author: None,
            file: "rule.yml".to_owned(),
            level: SignalLevel::High,
            tactics: vec![],
            techniques: vec![],
        };
        Exposure {
            rule: Arc::new(rule),
            hour,
            hazards: vec![KeyHazard { key: "key".to_owned(), micronats: 1 }],
            signals: 1,
            first_at: at,
            last_at: at,
            last_event_id: Uuid::from_u128(1),
        }
    }

    fn hours(from: i64, to: i64) -> KeptExposures {
        KeptExposures { from_hour: from, exposures: (from..to).map(exposure).collect() }
    }

    fn row(xmin: u64, seen_by: u64) -> RowVersion {
        RowVersion { xmin, seen_by }
    }

    #[test]
    fn what_is_taken_is_what_the_last_committed_writer_of_the_row_left() {
        let mut cache = ExposureCache::default();
        cache.learn(ADA, 7, 9, hours(0, 10));
        assert_eq!(cache.take(ADA, row(7, 8), 0), None, "not committed");
        cache.begin();
        cache.commit();
        assert_eq!(cache.take(ADA, row(7, 8), 0), None, "rolled back");
        let check = |seen: RowVersion, from_hour: i64, holds: bool| {
            let mut cache = ExposureCache::default();
            cache.learn(ADA, 7, 9, hours(0, 10));
            cache.commit();
            let taken = cache.take(ADA, seen, from_hour);
            assert_eq!(taken, holds.then(|| hours(0, 10)), "{seen:?} from {from_hour}");
            assert_eq!((cache.kept, cache.take(ADA, row(7, 8), 0)), (0, None), "taken once");
        };
        check(row(7, 8), 0, true);
        check(row(7, XMIN_PERIOD + 6), 3, true);
        check(row(8, 9), 0, false);
        check(row(7, XMIN_PERIOD + 7), 0, false);
        check(row(7, 8), -1, false);
    }

    #[test]
    fn a_transaction_of_a_later_period_is_told_by_its_lower_bits() {
        let mut cache = ExposureCache::default();
        cache.learn(ADA, XMIN_PERIOD + 7, 9, hours(0, 10));
        cache.commit();
        assert_eq!(cache.take(ADA, row(7, XMIN_PERIOD + 8), 0), Some(hours(0, 10)));
    }

    #[test]
    fn what_is_too_old_to_matter_is_dropped() {
        let mut cache = ExposureCache::default();
        cache.learn(ADA, 7, KEPT_HOURS + 5, hours(0, 10));
        cache.commit();
        assert_eq!(cache.take(ADA, row(7, 8), 5), Some(hours(5, 10)));
    }

    #[test]
    fn memory_is_bounded_and_those_that_come_again_replace_those_that_do_not() {
        let mut cache = ExposureCache::default();
        let ids: Vec<String> = (0..2_500).map(|number| format!("user {number}")).collect();
        let named = |id| EntityKey { id, ..ADA };
        for id in &ids {
            cache.learn(named(id), 7, 99, hours(0, 99));
            cache.commit();
            assert!(cache.kept <= MAX_KEPT, "{}", cache.kept);
        }
        let newest = named(&ids[2_499]);
        assert!(cache.take(newest, row(7, 8), 0).is_some(), "it came after more than are kept");
        cache.clear();
        assert_eq!((cache.kept, cache.take(named(&ids[2_498]), row(7, 8), 0)), (0, None));
    }
}

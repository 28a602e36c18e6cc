//! The stored events of groups that decide whether others complete a condition.

use std::{collections::BTreeSet, sync::Arc};

use projections::risk::GroupEvent;
use schemas::{
    Timestamp,
    changes::correlation::{CorrelationCondition, CorrelationTerms},
};
use sqlx::{PgConnection, Row, postgres::PgRow};
use uuid::Uuid;

use super::{
    super::rules::{Rules, encoded},
    Open,
};
use crate::read_models::risk::{entity_facts::place, table::GroupSpan};

/// Most rules that a correlation refers to, each of which may fire on one event.
const MAX_ROWS_OF_EVENT: i64 = 32;
/// Events of a group that are read at once; where there are more, those that decide are looked for one by one.
const FEW_EVENTS: i64 = 256;

/// A stored event of a group.
pub(super) struct Stored {
    occurred_at: Timestamp,
    event_id: Uuid,
    reference: String,
    value: String,
    terms: Arc<CorrelationTerms>,
}

impl Stored {
    pub(super) fn judged(&self) -> GroupEvent<'_> {
        GroupEvent {
            occurred_at: self.occurred_at,
            event_id: self.event_id,
            reference: &self.reference,
            value: &self.value,
            terms: &self.terms,
        }
    }
}

/// Every stored event that new ones may complete, and of those before them what may count for one of these; by group.
pub(super) async fn events_around(
    tx: &mut PgConnection,
    rules: &mut Rules,
    open: &[Open<'_>],
) -> sqlx::Result<Vec<Vec<Stored>>> {
    let mut around = Around::nothing_yet(open);
    let all: Vec<usize> = (0..open.len()).collect();
    let within = sqlx::query(
        "SELECT a.nth, e.occurred_at, e.event_id, e.reference, e.value, e.rule_key
           FROM unnest($1::risk_group[]) WITH ORDINALITY
                  AS a(tenant_id, rule_id, group_key, longest_seconds, oldest_at, newest_at, nth)
           JOIN risk_correlation_event AS e USING (tenant_id, rule_id, group_key)
          WHERE e.occurred_at BETWEEN a.oldest_at AND a.newest_at",
    )
    .bind(around.spans(&all))
    .fetch_all(&mut *tx)
    .await?;
    around.add(tx, rules, &all, &within).await?;
    let wanted: Vec<Before> = around.events.iter().map(|events| Before::wanted_by(events)).collect();
    let latest = sqlx::query(
        "SELECT a.nth, e.*
           FROM unnest($1::risk_group[]) WITH ORDINALITY
                  AS a(tenant_id, rule_id, group_key, longest_seconds, oldest_at, newest_at, nth)
           JOIN unnest($2::bigint[]) WITH ORDINALITY AS b(latest, nth) USING (nth)
          CROSS JOIN LATERAL (
                SELECT e.occurred_at, e.event_id, e.reference, e.value, e.rule_key
                  FROM risk_correlation_event AS e
                 WHERE e.tenant_id = a.tenant_id AND e.rule_id = a.rule_id AND e.group_key = a.group_key
                   AND e.occurred_at < a.oldest_at
                   AND e.occurred_at > a.oldest_at - make_interval(secs => a.longest_seconds::float8)
                 ORDER BY e.occurred_at DESC LIMIT b.latest) AS e",
    )
    .bind(around.spans(&all))
    .bind(wanted.iter().map(|wanted| wanted.latest).collect::<Vec<_>>())
    .fetch_all(&mut *tx)
    .await?;
    around.add(tx, rules, &all, &latest).await?;
    around.step_through(tx, rules, &busy(&wanted, &latest, &all)?).await?;
    Ok(around.events)
}

/// The groups that have more events before the new ones than were read, with what else decides them.
fn busy<'w>(wanted: &'w [Before], latest: &[PgRow], all: &[usize]) -> sqlx::Result<Vec<(usize, &'w Before)>> {
    let mut read: Vec<i64> = vec![0; wanted.len()];
    for row in latest {
        read[place(row, all)?] += 1;
    }
    let is_cut_off = |(place, wanted): &(usize, &Before)| read[*place] >= wanted.latest;
    Ok(wanted.iter().enumerate().filter(is_cut_off).collect())
}

/// Events of groups, as they are read.
struct Around<'o> {
    open: &'o [Open<'o>],
    /// By group.
    events: Vec<Vec<Stored>>,
}

impl<'o> Around<'o> {
    fn nothing_yet(open: &'o [Open<'o>]) -> Self {
        Self { open, events: open.iter().map(|_| Vec::new()).collect() }
    }

    fn spans(&self, places: &[usize]) -> Vec<GroupSpan<'o>> {
        places.iter().map(|place| self.open[*place].span()).collect()
    }

    /// Adds rows of the groups at these places; `nth` counts them. Some may be there already: an event counts once.
    async fn add(
        &mut self,
        tx: &mut PgConnection,
        rules: &mut Rules,
        places: &[usize],
        rows: &[PgRow],
    ) -> sqlx::Result<()> {
        let open = self.open;
        let mut keys: BTreeSet<(&str, i64)> = BTreeSet::new();
        for row in rows {
            keys.insert((open[place(row, places)?].key.tenant, row.try_get("rule_key")?));
        }
        rules.read(tx, keys).await?;
        for row in rows {
            let place = place(row, places)?;
            self.events[place].push(Stored {
                occurred_at: row.try_get("occurred_at")?,
                event_id: row.try_get("event_id")?,
                reference: row.try_get("reference")?,
                value: row.try_get("value")?,
                terms: rules.terms(open[place].key.tenant, row.try_get("rule_key")?)?,
            });
        }
        Ok(())
    }

    /// Adds the events before the new ones that decide busy groups, by steps from one value or rule to the next.
    async fn step_through(
        &mut self,
        tx: &mut PgConnection,
        rules: &mut Rules,
        busy: &[(usize, &Before)],
    ) -> sqlx::Result<()> {
        let by_value = busy.iter().filter(|(_, wanted)| wanted.of_each_value);
        let places: Vec<usize> = by_value.map(|(place, _)| *place).collect();
        if !places.is_empty() {
            let rows = sqlx::query(
                "SELECT a.nth, e.*
                   FROM unnest($1::risk_group[]) WITH ORDINALITY
                          AS a(tenant_id, rule_id, group_key, longest_seconds, oldest_at, newest_at, nth)
                  CROSS JOIN LATERAL weir_correlation_latest(a.tenant_id, a.rule_id, a.group_key,
                          a.oldest_at - make_interval(secs => a.longest_seconds::float8), a.oldest_at) AS e",
            )
            .bind(self.spans(&places))
            .fetch_all(&mut *tx)
            .await?;
            self.add(tx, rules, &places, &rows).await?;
        }
        let (mut places, mut lists) = (Vec::new(), Vec::new());
        for (place, wanted) in busy {
            for in_order in &wanted.chains {
                places.push(*place);
                lists.push(encoded(in_order));
            }
        }
        if !places.is_empty() {
            let rows = sqlx::query(
                "SELECT a.nth, e.*
                   FROM unnest($1::risk_group[]) WITH ORDINALITY
                          AS a(tenant_id, rule_id, group_key, longest_seconds, oldest_at, newest_at, nth)
                   JOIN unnest($2::text[]) WITH ORDINALITY AS b(rules, nth) USING (nth)
                  CROSS JOIN LATERAL weir_correlation_chains(a.tenant_id, a.rule_id, a.group_key,
                          a.oldest_at - make_interval(secs => a.longest_seconds::float8), a.oldest_at,
                          b.rules::jsonb) AS e",
            )
            .bind(self.spans(&places))
            .bind(lists)
            .fetch_all(&mut *tx)
            .await?;
            self.add(tx, rules, &places, &rows).await?;
        }
        Ok(())
    }
}

/// The earlier events that decide the conditions of those that may complete a correlation. Without a bound, a busy group
/// would be read again and again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Before {
    /// The latest events, up to this number. If there are no more, nothing else is needed.
    latest: i64,
    /// The latest event of each value and rule.
    of_each_value: bool,
    /// For each of these lists, the latest events that follow each other in its order.
    chains: BTreeSet<Vec<String>>,
}

impl Before {
    fn wanted_by(events: &[Stored]) -> Self {
        Self::of(events.iter().map(|event| &*event.terms).collect())
    }

    /// What conditions need.
    fn of(terms: BTreeSet<&CorrelationTerms>) -> Self {
        let mut before = Self::default();
        for terms in terms {
            match &terms.condition {
                CorrelationCondition::EventCount(n) => {
                    let events = i64::try_from(*n).unwrap_or(i64::MAX);
                    before.latest = before.latest.max(events.saturating_mul(MAX_ROWS_OF_EVENT));
                }
                CorrelationCondition::ValueCount(_)
                | CorrelationCondition::ImpossibleTravel(_)
                | CorrelationCondition::Temporal(_)
                | CorrelationCondition::TemporalAny(_)
                | CorrelationCondition::TemporalCount(_) => before.of_each_value = true,
                CorrelationCondition::TemporalOrdered(rules) => {
                    before.chains.insert(rules.clone());
                }
                // Events of which the first of each value counts are kept elsewhere, and by value.
                CorrelationCondition::FirstSeen(_)
                | CorrelationCondition::TumblingEventCount(_)
                | CorrelationCondition::TumblingValueCount(_) => {}
            }
        }
        if before.of_each_value || !before.chains.is_empty() {
            before.latest = before.latest.max(FEW_EVENTS);
        }
        before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_busy_group_what_decides_every_version_of_its_rule_is_read() {
        let ordered = ["a", "b"].map(str::to_owned).to_vec();
        let check = |conditions: &[CorrelationCondition], expected: (i64, bool, usize)| {
            let terms: Vec<CorrelationTerms> = conditions
                .iter()
                .map(|condition| CorrelationTerms { timespan_seconds: 60, condition: condition.clone() })
                .collect();
            let before = Before::of(terms.iter().collect());
            let found = (before.latest, before.of_each_value, before.chains.len());
            assert_eq!(found, expected, "{conditions:?}");
        };
        let (few, many) = (CorrelationCondition::EventCount(2), CorrelationCondition::EventCount(100));
        let (values, in_order) =
            (CorrelationCondition::ValueCount(3), CorrelationCondition::TemporalOrdered(ordered));
        check(&[], (0, false, 0));
        check(&[CorrelationCondition::FirstSeen(20)], (0, false, 0));
        check(std::slice::from_ref(&few), (64, false, 0));
        check(&[few, many.clone()], (3_200, false, 0));
        check(std::slice::from_ref(&values), (FEW_EVENTS, true, 0));
        check(std::slice::from_ref(&in_order), (FEW_EVENTS, false, 1));
        check(&[many, values, in_order], (3_200, true, 1));
    }
}

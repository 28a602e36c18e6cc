//! The stored events of groups that decide whether others complete a condition.

use std::{collections::BTreeSet, sync::Arc};

use projections::risk::GroupEvent;
use schemas::{
    Timestamp,
    changes::correlation::{CorrelationCondition, CorrelationTerms},
};
use sqlx::{PgConnection, Row, postgres::PgRow};
use uuid::Uuid;

use super::{super::rules::Rules, Open};
use crate::read_models::risk::{entity_facts::place, table::GroupSpan};

/// Most rules that a correlation refers to, each of which may fire on one event.
const MAX_ROWS_OF_EVENT: i64 = 32;

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
    let spans: Vec<GroupSpan<'_>> = open.iter().map(Open::span).collect();
    let mut stored: Vec<Vec<Stored>> = open.iter().map(|_| Vec::new()).collect();
    let within = sqlx::query(
        "SELECT a.nth, e.occurred_at, e.event_id, e.reference, e.value, e.rule_key
           FROM unnest($1::risk_group[]) WITH ORDINALITY
                  AS a(tenant_id, rule_id, group_key, longest_seconds, oldest_at, newest_at, nth)
           JOIN risk_correlation_event AS e USING (tenant_id, rule_id, group_key)
          WHERE e.occurred_at BETWEEN a.oldest_at AND a.newest_at",
    )
    .bind(&spans)
    .fetch_all(&mut *tx)
    .await?;
    read(tx, rules, (open, &mut stored), within).await?;
    let wanted: Vec<Before> = stored.iter().map(|events| Before::wanted_by(events)).collect();
    let before = sqlx::query(
        "SELECT nth, occurred_at, event_id, reference, value, rule_key FROM (
           SELECT DISTINCT ON (a.nth, e.of) a.nth, e.*
             FROM unnest($1::risk_group[]) WITH ORDINALITY
                    AS a(tenant_id, rule_id, group_key, longest_seconds, oldest_at, newest_at, nth)
             JOIN unnest($2::text[], $3::bigint[]) WITH ORDINALITY AS b(one_per, at_most, nth) USING (nth)
            CROSS JOIN LATERAL (
                  SELECT e.occurred_at, e.event_id, e.reference, e.value, e.rule_key,
                         CASE b.one_per WHEN 'value' THEN e.value COLLATE \"C\" WHEN 'reference' THEN e.reference
                                        ELSE e.event_id::text || e.reference END AS of
                    FROM risk_correlation_event AS e
                   WHERE e.tenant_id = a.tenant_id AND e.rule_id = a.rule_id AND e.group_key = a.group_key
                     AND e.occurred_at < a.oldest_at
                     AND e.occurred_at > a.oldest_at - make_interval(secs => a.longest_seconds::float8)
                   ORDER BY e.occurred_at DESC LIMIT b.at_most) AS e
            ORDER BY a.nth, e.of, e.occurred_at DESC) AS latest",
    )
    .bind(&spans)
    .bind(wanted.iter().map(Before::one_per).collect::<Vec<_>>())
    .bind(wanted.iter().map(Before::at_most).collect::<Vec<_>>())
    .fetch_all(&mut *tx)
    .await?;
    read(tx, rules, (open, &mut stored), before).await?;
    Ok(stored)
}

async fn read(
    tx: &mut PgConnection,
    rules: &mut Rules,
    (open, stored): (&[Open<'_>], &mut [Vec<Stored>]),
    rows: Vec<PgRow>,
) -> sqlx::Result<()> {
    let places: Vec<usize> = (0..open.len()).collect();
    let mut keys: BTreeSet<(&str, i64)> = BTreeSet::new();
    for row in &rows {
        keys.insert((open[place(row, &places)?].key.tenant, row.try_get("rule_key")?));
    }
    rules.read(tx, keys).await?;
    for row in &rows {
        let place = place(row, &places)?;
        stored[place].push(Stored {
            occurred_at: row.try_get("occurred_at")?,
            event_id: row.try_get("event_id")?,
            reference: row.try_get("reference")?,
            value: row.try_get("value")?,
            terms: rules.terms(open[place].key.tenant, row.try_get("rule_key")?)?,
        });
    }
    Ok(())
}

/// Bound on the earlier events that are read beside those that may complete a correlation: enough to decide
/// the condition. Without it, a busy group would be read again and again.
enum Before {
    /// The latest events, up to this number: older ones add nothing.
    Latest(i64),
    /// The latest event of each value.
    OfEachValue,
    /// The latest event of each rule.
    OfEachReference,
    All,
}

impl Before {
    /// The bound that the conditions of these events need.
    fn wanted_by(events: &[Stored]) -> Self {
        let terms: BTreeSet<&CorrelationTerms> = events.iter().map(|event| &*event.terms).collect();
        let mut wanted: Option<Self> = None;
        for terms in terms {
            let by_terms = match terms.condition {
                CorrelationCondition::EventCount(n) => {
                    Self::Latest(i64::try_from(n).unwrap_or(i64::MAX).saturating_mul(MAX_ROWS_OF_EVENT))
                }
                CorrelationCondition::ValueCount(_) | CorrelationCondition::ImpossibleTravel(_) => {
                    Self::OfEachValue
                }
                // Events of which the first of each value counts are kept elsewhere, and by value.
                CorrelationCondition::Temporal(_)
                | CorrelationCondition::TemporalAny(_)
                | CorrelationCondition::TemporalCount(_)
                | CorrelationCondition::FirstSeen(_)
                | CorrelationCondition::TumblingEventCount(_)
                | CorrelationCondition::TumblingValueCount(_) => Self::OfEachReference,
                CorrelationCondition::TemporalOrdered(_) => Self::All,
            };
            wanted = Some(match (wanted, by_terms) {
                (None, only) => only,
                (Some(Self::Latest(one)), Self::Latest(other)) => Self::Latest(one.max(other)),
                (Some(Self::OfEachValue), Self::OfEachValue) => Self::OfEachValue,
                (Some(Self::OfEachReference), Self::OfEachReference) => Self::OfEachReference,
                _ => Self::All,
            });
        }
        wanted.unwrap_or(Self::All)
    }

    fn one_per(&self) -> &'static str {
        match self {
            Self::OfEachValue => "value",
            Self::OfEachReference => "reference",
            Self::Latest(_) | Self::All => "event",
        }
    }

    fn at_most(&self) -> Option<i64> {
        match self {
            Self::Latest(rows) => Some(*rows),
            Self::OfEachValue | Self::OfEachReference | Self::All => None,
        }
    }
}

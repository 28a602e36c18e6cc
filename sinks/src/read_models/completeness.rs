//! Completeness of the audit log's way to its receivers, by the hour of the events: entries written,
//! published, delivered by each sink, and missing.
//!
//! An entry's hour is that of its own time, by which a SIEM searches its copy too. A sink notes the entries
//! that it has passed in the transaction that moves its position: one that is not among them, and others
//! behind it are, is missing.

use std::collections::BTreeMap;

use schemas::{TenantId, Timestamp};
use serde::{Deserialize, Serialize};
use sqlx::{FromRow, PgPool};
use utoipa::ToSchema;

use crate::read_models::{
    Positions,
    snapshot::{ReadError, Snapshot},
};

/// The stage that writes the log.
pub use schemas::changes::audit::STAGE;

const WRITTEN: &str = "
    SELECT date_trunc('hour', e.occurred_at, 'UTC') AS hour, count(*) AS written,
           count(*) FILTER (WHERE e.log_index < p.next_index) AS published
      FROM audit_entry AS e LEFT JOIN audit_topic_position AS p ON p.log = e.topic || '/' || e.partition
     WHERE e.tenant_id = $1 AND e.occurred_at >= $2 AND e.occurred_at < $3 GROUP BY 1";
const SET_ASIDE: &str = "
    SELECT date_trunc('hour', coalesce(recorded_at, parked_at), 'UTC') AS hour, count(*) AS set_aside FROM parked_record
     WHERE tenant_id = $1 AND stage = $4 AND status = 'parked'
       AND coalesce(recorded_at, parked_at) >= $2 AND coalesce(recorded_at, parked_at) < $3 GROUP BY 1";
const DELIVERED: &str = "
    SELECT hour, sink, owed, parked, missing, waiting FROM siem_hours($1, $2, $3)";

/// One hour of a tenant's events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CompleteHour {
    /// Its start, in UTC.
    #[schema(value_type = String, format = DateTime)]
    pub hour: Timestamp,
    /// Entries of the audit log whose events happened in this hour.
    pub written: i64,
    /// Of these, the entries that are on the topic `weir.audit.v1`, as far as its relay has noted.
    pub published: i64,
    /// Records that the audit stage set aside as dead letters and nobody has decided about; by the hour in
    /// which they were recorded, for the time of the event may be what could not be read.
    pub set_aside: i64,
    /// Each sink that this hour's entries concern, by name.
    pub sinks: Vec<SinkHour>,
}

/// One hour of a tenant's events, as one sink has delivered it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SinkHour {
    /// The sink's name.
    pub sink: String,
    /// Entries that its filter takes, up to the last one that the sink has passed.
    pub owed: i64,
    /// Of these, the entries that the receiver has accepted, each counted once.
    pub delivered: i64,
    /// Of these, the entries that the receiver refused and that the sink has not delivered since, also where somebody has
    /// discarded them.
    pub set_aside: i64,
    /// Of these, the entries that were neither delivered nor set aside.
    pub missing: i64,
    /// Entries behind the last one that the sink has passed.
    pub waiting: i64,
}

/// Completeness of a range of hours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completeness {
    /// Newest first; hours without anything are left out.
    pub hours: Vec<CompleteHour>,
    /// Positions that the answer reflects.
    pub positions: Positions,
}

#[derive(FromRow)]
struct WrittenHour {
    hour: Timestamp,
    written: i64,
    published: i64,
}

#[derive(FromRow)]
struct SetAsideHour {
    hour: Timestamp,
    set_aside: i64,
}

#[derive(FromRow)]
struct DeliveredHour {
    hour: Timestamp,
    sink: String,
    owed: i64,
    parked: i64,
    missing: i64,
    waiting: i64,
}

/// The tenant's hours from one instant to another, both on the hour.
pub async fn hours(
    pool: &PgPool,
    tenant: &TenantId,
    (from, to): (Timestamp, Timestamp),
) -> Result<Completeness, ReadError> {
    let mut snapshot = Snapshot::open(pool, tenant, Some(STAGE)).await?;
    let connection = snapshot.connection();
    let written: Vec<WrittenHour> =
        sqlx::query_as(WRITTEN).bind(tenant.as_str()).bind(from).bind(to).fetch_all(&mut *connection).await?;
    let set_aside: Vec<SetAsideHour> = sqlx::query_as(SET_ASIDE)
        .bind(tenant.as_str())
        .bind(from)
        .bind(to)
        .bind(STAGE)
        .fetch_all(&mut *connection)
        .await?;
    let delivered: Vec<DeliveredHour> = sqlx::query_as(DELIVERED)
        .bind(tenant.as_str())
        .bind(from)
        .bind(to)
        .fetch_all(&mut *connection)
        .await?;
    Ok(Completeness { hours: joined(written, set_aside, delivered), positions: snapshot.positions })
}

fn joined(
    written: Vec<WrittenHour>,
    set_aside: Vec<SetAsideHour>,
    delivered: Vec<DeliveredHour>,
) -> Vec<CompleteHour> {
    let mut hours: BTreeMap<Timestamp, CompleteHour> = BTreeMap::new();
    let empty = |hour| CompleteHour { hour, written: 0, published: 0, set_aside: 0, sinks: Vec::new() };
    for row in written {
        let hour = hours.entry(row.hour).or_insert_with(|| empty(row.hour));
        (hour.written, hour.published) = (row.written, row.published);
    }
    for row in set_aside {
        hours.entry(row.hour).or_insert_with(|| empty(row.hour)).set_aside = row.set_aside;
    }
    for row in delivered {
        let hour = hours.entry(row.hour).or_insert_with(|| empty(row.hour));
        hour.sinks.push(row.into());
    }
    for hour in hours.values_mut() {
        hour.sinks.sort_by(|a, b| a.sink.cmp(&b.sink));
    }
    hours.into_values().rev().collect()
}

impl From<DeliveredHour> for SinkHour {
    fn from(row: DeliveredHour) -> Self {
        Self {
            delivered: row.owed - row.parked - row.missing,
            sink: row.sink,
            owed: row.owed,
            set_aside: row.parked,
            missing: row.missing,
            waiting: row.waiting,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hour: u32) -> Timestamp {
        format!("2026-01-05T{hour:02}:00:00Z").parse().expect("an instant")
    }

    #[test]
    fn hours_come_newest_first_and_say_what_is_missing() {
        let row = |hour, sink: &str, owed, parked, missing| DeliveredHour {
            hour,
            sink: sink.into(),
            owed,
            parked,
            missing,
            waiting: 1,
        };
        let hours = joined(
            vec![WrittenHour { hour: at(3), written: 9, published: 8 }],
            vec![SetAsideHour { hour: at(4), set_aside: 2 }],
            vec![row(at(3), "b", 9, 1, 1), row(at(3), "a", 9, 0, 0), row(at(2), "a", 5, 0, 5)],
        );
        let shown: Vec<_> = hours
            .iter()
            .map(|hour| {
                let sinks: Vec<_> = hour
                    .sinks
                    .iter()
                    .map(|sink| (sink.sink.as_str(), sink.delivered, sink.missing))
                    .collect();
                (hour.hour, hour.written, hour.published, hour.set_aside, sinks)
            })
            .collect();
        assert_eq!(
            shown,
            [
                (at(4), 0, 0, 2, vec![]),
                (at(3), 9, 8, 0, vec![("a", 9, 0), ("b", 7, 1)]),
                (at(2), 0, 0, 0, vec![("a", 0, 5)]),
            ]
        );
    }
}

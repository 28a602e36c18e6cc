//! Content of stored events: tells a batch which of its facts are stored already.

use std::collections::{BTreeSet, HashMap};

use sqlx::{AssertSqlSafe, PgConnection, Row, postgres::PgRow};
use uuid::Uuid;

use crate::postgres::row_type::row_type;

/// An event that is asked for, or anything else with an id within a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, sqlx::Encode)]
pub(super) struct EventKey<'a> {
    pub(super) tenant_id: &'a str,
    pub(super) event_id: Uuid,
}

row_type!(EventKey, "event_key");

/// The rows of a table about these events: `tenant_id`, `event_id`, `content_sha256`, and these columns, each after a comma.
///
/// Only the event is asked for, whatever else a table's key names: a question that names an entity, too, might be answered
/// by way of all rows of that entity, of which a busy one has any number.
pub(super) async fn rows_about(
    tx: &mut PgConnection,
    (table, columns): (&'static str, &'static str),
    events: BTreeSet<EventKey<'_>>,
) -> sqlx::Result<Vec<PgRow>> {
    let events: Vec<EventKey<'_>> = events.into_iter().collect();
    // Names of tables and columns only, all of them constants.
    let text = format!(
        "SELECT tenant_id, event_id, content_sha256{columns}
           FROM unnest($1::event_key[]) AS a(tenant_id, event_id) JOIN {table} USING (tenant_id, event_id)"
    );
    sqlx::query(AssertSqlSafe(text)).bind(events).fetch_all(tx).await
}

/// The content hash in such a row.
pub(super) fn content_of(row: &PgRow) -> sqlx::Result<[u8; 32]> {
    let content: &[u8] = row.try_get("content_sha256")?;
    content.try_into().map_err(|_| sqlx::Error::Decode("content_sha256 is not 32 bytes long".into()))
}

/// Fills in the content hashes that a table holds of these events, each at the place of its fact. For tables whose key is
/// the event.
pub(super) async fn fill_stored(
    tx: &mut PgConnection,
    table: &'static str,
    keys: &HashMap<(&str, Uuid), usize>,
    stored: &mut [Option<[u8; 32]>],
) -> sqlx::Result<()> {
    let events =
        keys.keys().map(|(tenant_id, event_id)| EventKey { tenant_id, event_id: *event_id }).collect();
    for row in &rows_about(tx, (table, ""), events).await? {
        if let Some(place) = keys.get(&(row.try_get("tenant_id")?, row.try_get("event_id")?)) {
            stored[*place] = Some(content_of(row)?);
        }
    }
    Ok(())
}

//! `risk_signal` by COPY: a signal is as many rows as it has entities, and on records of attacks nearly every event has
//! some.

use sqlx::PgConnection;

use super::table::SignalRow;
use crate::postgres::copy::{CopyIn, CopyRows};

const STATEMENT: &str = "COPY risk_signal (tenant_id, event_id, entity_kind, entity, rule_id, occurred_at, \
                         hazard_micronats, rule_key, score, dedupe_key, actor, action, source, native_format, \
                         matched, content_sha256) FROM STDIN (FORMAT binary)";
const COLUMNS: i16 = 16;

/// Writes rows, sorted by key; one whose key is there is an error.
pub(super) async fn copy(
    tx: &mut PgConnection,
    rows: &[SignalRow<'_>],
    buffer: &mut CopyRows,
) -> sqlx::Result<()> {
    let mut copy = CopyIn::begin(tx, STATEMENT, buffer).await?;
    for row in rows {
        encode(copy.rows(), row);
        copy.send_pieces().await?;
    }
    copy.finish().await.map(drop)
}

fn encode(rows: &mut CopyRows, row: &SignalRow<'_>) {
    rows.row(COLUMNS);
    rows.text(row.tenant_id);
    rows.uuid(&row.event_id);
    rows.text(row.entity_kind);
    rows.text(row.entity);
    rows.text(row.rule_id);
    rows.timestamptz(row.occurred_at);
    rows.bigint(row.hazard_micronats);
    rows.bigint(row.rule_key);
    rows.smallint(row.score);
    rows.text(row.dedupe_key);
    rows.text(row.actor);
    rows.text(row.action);
    rows.text(row.source);
    rows.text(row.native_format);
    rows.text(row.matched);
    rows.bytea(row.content_sha256);
}

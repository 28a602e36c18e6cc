//! COPY of the rows of events and of their entries.

use std::{pin::pin, sync::LazyLock};

use audit_log::Hash;
use futures_util::FutureExt as _;
use schemas::changes::AuditEntry;
use sqlx::PgConnection;

use super::{
    append::as_bigint,
    write::{AuditFact, column_names},
};
use crate::{
    compress,
    postgres::copy::{CopyIn, CopyRows},
};

/// Entries that are made between two looks whether Postgres has taken in the events.
const ENTRIES_A_LOOK: usize = 32;
/// Most bytes of entries that are made before it has.
const MAX_AHEAD_BYTES: usize = 1024 * 1024;

static COPY: LazyLock<String> =
    LazyLock::new(|| format!("COPY audit_entry ({}) FROM STDIN (FORMAT binary)", column_names()));
/// COPY of the ids of events; rows that exist already are refused here, before their entries are sent.
const COPY_EVENTS: &str =
    "COPY audit_event (occurred_at, event_id, tenant_id, content) FROM STDIN (FORMAT binary)";
/// Bytes of an event's content hash that are kept to tell a duplicate from a conflict.
pub(super) const CONTENT_BYTES: usize = 16;

/// Buffers of the rows of events and entries, which are reused.
#[derive(Default)]
pub(super) struct Copies {
    events: CopyRows,
    entries: CopyRows,
}

impl Copies {
    /// Copies the events of facts, then their entries, which `encode` makes by position. Entries are made while Postgres
    /// takes in the events; they are sent once it has refused none.
    pub(super) async fn copy(
        &mut self,
        tx: &mut PgConnection,
        facts: &[AuditFact<'_>],
        mut encode: impl FnMut(usize, &mut CopyRows) -> sqlx::Result<()>,
    ) -> sqlx::Result<()> {
        let mut events = CopyIn::begin(tx, COPY_EVENTS, &mut self.events).await?;
        for fact in facts {
            identify(events.rows(), fact.change);
            events.send_pieces().await?;
        }
        self.entries.begin();
        let mut next = 0;
        {
            let mut taken_in = pin!(events.finish());
            loop {
                if let Some(outcome) = taken_in.as_mut().now_or_never() {
                    outcome?;
                    break;
                }
                let upto = facts.len().min(next + ENTRIES_A_LOOK);
                let made = (next..upto).try_for_each(|position| encode(position, &mut self.entries));
                next = upto;
                if made.is_err() || next == facts.len() || self.entries.len() >= MAX_AHEAD_BYTES {
                    taken_in.await?;
                    made?;
                    break;
                }
            }
        }
        let mut entries = CopyIn::resume(tx, &COPY, &mut self.entries).await?;
        entries.send_pieces().await?;
        for position in next..facts.len() {
            encode(position, entries.rows())?;
            entries.send_pieces().await?;
        }
        entries.finish().await.map(drop)
    }
}

/// The beginning of the content hash: 128 bits tell contents apart as well as 256, at half the price.
pub(super) fn content_of(entry: &AuditEntry) -> [u8; CONTENT_BYTES] {
    *entry.content_sha256.first_chunk().expect("16 of 32 bytes")
}

pub(super) fn padded(content: [u8; CONTENT_BYTES]) -> [u8; 32] {
    let mut whole = [0; 32];
    whole[..CONTENT_BYTES].copy_from_slice(&content);
    whole
}

/// A row of `audit_event`.
fn identify(rows: &mut CopyRows, entry: &AuditEntry) {
    rows.row(4);
    rows.timestamptz(entry.occurred_at);
    rows.uuid(entry.event_id.as_uuid());
    rows.text(entry.tenant.as_str());
    rows.bytea(&content_of(entry));
}

/// Columns that the log adds to a row; none to a row outside any log.
#[derive(Clone, Copy, Default)]
pub(super) struct Place {
    pub(super) index: Option<u64>,
    pub(super) leaf: Option<Hash>,
    pub(super) digest: Option<Hash>,
}

pub(super) fn encode(rows: &mut CopyRows, fact: &AuditFact<'_>, frame: &[u8], place: Place) {
    let Place { index, leaf, digest } = place;
    let entry = fact.change;
    rows.row(29); // COLUMNS, one by one
    rows.timestamptz(entry.occurred_at);
    rows.bigint(fact.offset);
    rows.uuid(entry.event_id.as_uuid());
    match index {
        Some(index) => rows.bigint(as_bigint(index)),
        None => rows.optional_bytea(None),
    }
    rows.integer(fact.partition.partition);
    rows.integer(entry.class_uid);
    rows.integer(entry.activity_id);
    rows.integer(entry.severity_id);
    rows.smallint(compress::CURRENT);
    rows.text(fact.partition.topic.name());
    rows.text(entry.tenant.as_str());
    rows.text(entry.kind);
    rows.text(entry.actor_kind.name());
    rows.text(&entry.actor);
    rows.optional_text(entry.actor_name.as_deref());
    rows.optional_text(entry.actor_ip.as_deref());
    rows.text(&entry.action);
    rows.optional_text(entry.resource_type.as_deref());
    rows.optional_text(entry.resource.as_deref());
    rows.optional_text(entry.project.as_deref());
    rows.text(entry.outcome.name());
    rows.optional_text(entry.outcome_code.as_deref());
    rows.text(&entry.source);
    rows.optional_text(entry.correlation_id.as_deref());
    rows.bytea(&entry.content_sha256);
    rows.optional_bytea(leaf.as_ref().map(|leaf| leaf.0.as_slice()));
    rows.bytea(frame);
    rows.optional_bytea(digest.as_ref().map(|digest| digest.0.as_slice()));
    rows.texts_or_null(&entry.other_resources);
}

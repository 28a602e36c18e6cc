//! Writing decisions about data, and the holds, erasures and saved searches that follow from them.

use std::collections::HashMap;

use schemas::changes::{RetentionDecision, retention::RetentionDecisionKind};
use sqlx::PgConnection;
use uuid::Uuid;

use super::searches;
use crate::{
    outbox::Outgoing,
    postgres::row_type::table,
    read_models::{Fact, ReadModel, WritePath, stored_content::fill_stored},
};

table! {
    /// A decision.
    struct DecisionRow in "retention_decision" as "retention_decision_row" {
        tenant_id: text, event_id: uuid;
        kind: text,
        scope: text,
        subject: text,
        name: text,
        decided_at: instant,
        actor: text,
        reason: text_or_null,
        topic: text,
        partition: integer,
        record_offset: bigint,
        content_sha256: bytes,
    }
}

type Stated<'a> = Fact<'a, RetentionDecision>;

/// The read model of decisions about data.
#[derive(Debug, Default)]
pub struct RetentionDecisions;

// Of a hold's decisions of one kind the newest counts, of a subject's requests the oldest, whatever the order in which they
// come: so both are kept by comparing with what is there.
const PLACED: &str = "
    INSERT INTO legal_hold AS h (tenant_id, scope, subject, name, placed_at, placed_event, placed_by, placed_for)
    SELECT DISTINCT ON (1, 2, 3, 4) tenant_id, scope, subject, name, decided_at, event_id, actor, reason
      FROM unnest($1::retention_decision_row[]) ORDER BY 1, 2, 3, 4, decided_at DESC, event_id DESC
    ON CONFLICT (tenant_id, scope, subject, name) DO UPDATE
       SET placed_at = excluded.placed_at, placed_event = excluded.placed_event, placed_by = excluded.placed_by,
           placed_for = excluded.placed_for
     WHERE h.placed_at IS NULL OR (h.placed_at, h.placed_event) < (excluded.placed_at, excluded.placed_event)";
const RELEASED: &str = "
    INSERT INTO legal_hold AS h (tenant_id, scope, subject, name, released_at, released_event, released_by, released_for)
    SELECT DISTINCT ON (1, 2, 3, 4) tenant_id, scope, subject, name, decided_at, event_id, actor, reason
      FROM unnest($1::retention_decision_row[]) ORDER BY 1, 2, 3, 4, decided_at DESC, event_id DESC
    ON CONFLICT (tenant_id, scope, subject, name) DO UPDATE
       SET released_at = excluded.released_at, released_event = excluded.released_event,
           released_by = excluded.released_by, released_for = excluded.released_for
     WHERE h.released_at IS NULL
        OR (h.released_at, h.released_event) < (excluded.released_at, excluded.released_event)";
const ERASED: &str = "
    INSERT INTO erasure AS e (tenant_id, subject, requested_at, event_id, requested_by, reason)
    SELECT DISTINCT ON (1, 2) tenant_id, subject, decided_at, event_id, actor, reason
      FROM unnest($1::retention_decision_row[]) ORDER BY 1, 2, decided_at, event_id
    ON CONFLICT (tenant_id, subject) DO UPDATE
       SET requested_at = excluded.requested_at, event_id = excluded.event_id, requested_by = excluded.requested_by,
           reason = excluded.reason
     WHERE (e.requested_at, e.event_id) > (excluded.requested_at, excluded.event_id)";

impl ReadModel for RetentionDecisions {
    type Change = RetentionDecision;
    type Key<'a> = (&'a str, Uuid);

    const TABLE: &'static str = "retention_decision";

    fn key(decision: &RetentionDecision) -> Self::Key<'_> {
        (decision.tenant.as_str(), *decision.event_id.as_uuid())
    }

    fn content_sha256(decision: &RetentionDecision) -> [u8; 32] {
        decision.content_sha256
    }

    async fn prepare(&mut self, _: &mut PgConnection, _: &[Stated<'_>]) -> sqlx::Result<()> {
        Ok(())
    }

    async fn stored_content(
        &mut self,
        tx: &mut PgConnection,
        facts: &[Stated<'_>],
    ) -> sqlx::Result<Vec<Option<[u8; 32]>>> {
        let keys: HashMap<Self::Key<'_>, usize> =
            facts.iter().map(|fact| Self::key(fact.change)).zip(0..).collect();
        let mut stored = vec![None; facts.len()];
        fill_stored(tx, Self::TABLE, &keys, &mut stored).await?;
        Ok(stored)
    }

    async fn write(&mut self, tx: &mut PgConnection, facts: &[Stated<'_>], _: WritePath) -> sqlx::Result<()> {
        DecisionRow::insert(tx, &facts.iter().map(row).collect::<Vec<_>>()).await
    }

    async fn fold(&mut self, tx: &mut PgConnection, new: &[Stated<'_>]) -> sqlx::Result<Vec<Outgoing>> {
        let folds = [
            (RetentionDecisionKind::HoldPlaced, PLACED),
            (RetentionDecisionKind::HoldReleased, RELEASED),
            (RetentionDecisionKind::SubjectErased, ERASED),
        ];
        for (kind, fold) in folds {
            let rows: Vec<_> = new.iter().filter(|fact| fact.change.kind == kind).map(row).collect();
            if !rows.is_empty() {
                sqlx::query(fold).bind(rows).execute(&mut *tx).await?;
            }
        }
        searches::fold(tx, &new.iter().map(|fact| fact.change).collect::<Vec<_>>()).await?;
        Ok(Vec::new())
    }
}

fn row<'a>(fact: &Stated<'a>) -> DecisionRow<'a> {
    let Fact { change, partition, offset } = *fact;
    DecisionRow {
        tenant_id: change.tenant.as_str(),
        event_id: *change.event_id.as_uuid(),
        kind: change.kind.name(),
        scope: change.scope.name(),
        subject: &change.subject,
        name: &change.name,
        decided_at: change.decided_at,
        actor: &change.actor,
        reason: change.reason.as_deref(),
        topic: partition.topic.name(),
        partition: partition.partition,
        record_offset: offset,
        content_sha256: &change.content_sha256,
    }
}

//! The tables of change review, each declared once: the columns by which rows are asked for, then the others.

use schemas::{Timestamp, changes::Proposal};
use serde_json::Value;

use crate::postgres::row_type::{row_type, table};

table! {
    /// A fact about a change.
    struct FactRow in "change_fact" as "change_fact_row_3" {
        tenant_id: text, event_id: uuid;
        change_id: text,
        kind: text,
        occurred_at: instant,
        actor_kind: text_or_null,
        actor: text_or_null,
        actor_name: text_or_null,
        second_party: text_or_null,
        resource: text_or_null,
        project: text_or_null,
        environment: text_or_null,
        decision: text_or_null,
        decided_proposal: text_or_null,
        reason: text_or_null,
        expires_at: instant_or_null,
        outcome: text,
        outcome_code: text_or_null,
        route: text_or_null,
        score: smallint_or_null,
        reading: text_or_null,
        proposal: json_or_null(&'a Proposal),
        topic: text,
        partition: integer,
        record_offset: bigint,
        content_sha256: bytes,
    }
}

table! {
    /// The state of a change.
    struct ReviewRow in "change_review" as "change_review_row_2" upsert on "tenant_id, change_id" {
        tenant_id: text, change_id: text;
        approval: text,
        decision: text_or_null,
        provisioning: text,
        route: text_or_null,
        score: smallint_or_null,
        reading: text_or_null,
        project: text_or_null,
        environment: text_or_null,
        requested_by: text_or_null,
        proposal_event_id: uuid_or_null,
        proposed_at: instant_or_null,
        decided_at: instant_or_null,
        approvals: smallint,
        approvals_needed: smallint,
        approved_until: instant_or_null,
        impossible: json(Value),
        impossible_total: integer,
        first_at: instant,
        last_at: instant,
        facts: bigint,
    }
}

/// A change, and what a batch adds to it besides its facts.
#[derive(Debug, Clone, Copy, sqlx::Encode)]
pub(super) struct News<'a> {
    pub(super) tenant_id: &'a str,
    pub(super) change_id: &'a str,
    pub(super) first_at: Timestamp,
    pub(super) last_at: Timestamp,
    pub(super) facts: i64,
}

row_type!(News, "change_news");

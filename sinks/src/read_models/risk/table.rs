//! The tables of risk, each declared once: the columns by which rows are asked for, then the others.

use projections::risk::TopRule;
use schemas::Timestamp;

use crate::postgres::row_type::{row_type, table};

table! {
    /// A rule as signals and correlations saw it.
    struct RuleRow in "risk_rule" as "risk_rule_row" insert missing {
        rule_key: bigint;
        tenant_id: text,
        rule_id: text,
        version: text,
        title: text,
        author: text_or_null,
        file: text,
        level: text,
        tactics: texts,
        techniques: texts,
        terms: made_text_or_null,
    }
}

table! {
    /// A rule that fired on an event and touched an entity.
    struct SignalRow in "risk_signal" as "risk_signal_row" {
        tenant_id: text, event_id: uuid, entity_kind: text, entity: text, rule_id: text;
        occurred_at: instant,
        hazard_micronats: bigint,
        rule_key: bigint,
        score: smallint,
        dedupe_key: text,
        actor: text,
        action: text,
        source: text,
        native_format: text,
        matched: text,
        content_sha256: bytes,
    }
}

table! {
    /// A decision about how much an entity's hazard weighs.
    struct WeightRow in "risk_weight" as "risk_weight_row" {
        tenant_id: text, event_id: uuid, entity_kind: text, entity: text, weight_source: text;
        decided_at: instant,
        expires_at: instant_or_null,
        factor_thousandths: integer,
        decision: text,
        reason: text_or_null,
        actor: text,
        content_sha256: bytes,
    }
}

table! {
    /// A decision about an incident.
    struct TriageRow in "risk_triage" as "risk_triage_row" {
        tenant_id: text, event_id: uuid, entity_kind: text, entity: text;
        decided_at: instant,
        incident_id: uuid,
        decision: text,
        rules: texts,
        reason: text_or_null,
        actor: text,
        content_sha256: bytes,
    }
}

table! {
    /// An event that should have counted and cannot.
    struct UnusableRow in "risk_unusable" as "risk_unusable_row" {
        tenant_id: text, event_id: uuid;
        occurred_at: instant,
        source: text,
        format: text,
        reason: text,
        content_sha256: bytes,
    }
}

table! {
    /// An event that a correlation counts.
    struct CorrelationEventRow in "risk_correlation_event" as "risk_correlation_event_row" {
        tenant_id: text, event_id: uuid, rule_id: text, reference: text;
        occurred_at: instant,
        rule_key: bigint,
        group_key: text,
        value: text,
        signal: made_text,
        content_sha256: bytes,
    }
}

table! {
    /// The event by which a group's condition is reported for an hour.
    struct ReportRow in "risk_correlation_report" as "risk_correlation_report_row"
    upsert on "tenant_id, rule_id, group_key, hour" {
        tenant_id: text, rule_id: text, group_key: text, hour: bigint;
        occurred_at: instant,
        event_id: uuid,
    }
}

table! {
    /// First event of a value of a group.
    struct FirstSeenRow in "risk_first_seen" as "risk_first_seen_row"
    upsert on "tenant_id, rule_id, group_key, value" insert new {
        tenant_id: text, rule_id: text, group_key: text, value: text;
        first_at: instant,
        event_id: uuid,
        rule_key: bigint,
        reported: boolean,
        signal: made_text,
        content_sha256: bytes,
    }
}

table! {
    /// Exposure of an entity by one rule within one hour.
    struct ExposureRow read as
    /// The exposure as it is stored.
    StoredExposure in "risk_exposure" as "risk_exposure_row"
    upsert on "tenant_id, entity_kind, entity, rule_id, hour" insert new {
        tenant_id: text, entity_kind: text, entity: text, rule_id: text;
        hour: bigint,
        rule_key: bigint,
        micronats: bigint,
        signals: bigint,
        first_at: instant,
        last_at: instant,
        last_event_id: uuid,
        dedupe_keys: names,
        key_micronats: bigints,
    }
}

table! {
    /// Risk of an entity.
    struct EntityRiskRow read as
    /// The entity's risk as it is stored.
    StoredEntityRisk in "entity_risk" as "entity_risk_row" upsert on "tenant_id, entity_kind, entity" {
        tenant_id: text, entity_kind: text, entity: text;
        sort_key: double,
        newest_hour: bigint,
        hazard_micronats: bigint,
        signals: bigint,
        rules: integer,
        factor_thousandths: integer,
        factor_until: instant_or_null,
        first_at: instant_or_null,
        last_at: instant_or_null,
        top_rules: json(Vec<TopRule>),
    }
}

table! {
    /// An incident.
    struct IncidentRow read as
    /// The incident as it is stored; without keys of rules, the release before wrote it.
    StoredIncident in "incident" as "incident_keyed_row" upsert on "tenant_id, id" {
        tenant_id: text, entity_kind: text, entity: text;
        id: uuid,
        opened_hour: bigint,
        last_hour: bigint,
        since_hour: bigint,
        peak_micronats: bigint,
        signals: bigint,
        first_at: instant,
        last_at: instant,
        status_at: instant_or_null,
        cause: text,
        status: text,
        reopened: boolean,
        reason: text_or_null,
        decided_by: text_or_null,
        level: text,
        tactics: texts,
        techniques: texts,
        rule_keys: bigints_or_null,
        rule_signals: bigints_or_null,
    }
}

/// An entity, and the first hour of what is asked for about it.
#[derive(Debug, sqlx::Encode)]
pub(super) struct EntityHour<'a> {
    pub(super) tenant_id: &'a str,
    pub(super) entity_kind: &'a str,
    pub(super) entity: &'a str,
    pub(super) from_hour: i64,
}

row_type!(EntityHour, "risk_entity");

/// A correlation's group, the longest timespan of its rule, and the instants between which new events lie.
#[derive(Debug, Clone, Copy, sqlx::Encode)]
pub(super) struct GroupSpan<'a> {
    pub(super) tenant_id: &'a str,
    pub(super) rule_id: &'a str,
    pub(super) group_key: &'a str,
    pub(super) longest_seconds: i64,
    pub(super) oldest_at: Timestamp,
    pub(super) newest_at: Timestamp,
}

row_type!(GroupSpan, "risk_group");

/// A `first_seen` group and the day of its newest event.
#[derive(Debug, Clone, Copy, sqlx::Encode)]
pub(super) struct FirstSeenGroupRow<'a> {
    pub(super) tenant_id: &'a str,
    pub(super) rule_id: &'a str,
    pub(super) group_key: &'a str,
    pub(super) last_day: i32,
}

row_type!(FirstSeenGroupRow, "risk_first_seen_group_row");

/// A value of a group.
#[derive(Debug, Clone, Copy, sqlx::Encode)]
pub(super) struct FirstSeenKey<'a> {
    pub(super) tenant_id: &'a str,
    pub(super) rule_id: &'a str,
    pub(super) group_key: &'a str,
    pub(super) value: &'a str,
}

row_type!(FirstSeenKey, "risk_first_seen_key");

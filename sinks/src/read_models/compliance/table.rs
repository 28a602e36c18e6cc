//! The tables of compliance, each declared once: the columns by which rows are asked for, then the others.

use std::collections::BTreeMap;

use crate::postgres::row_type::{row_type, table};

table! {
    /// A resource as an event shows it.
    struct ObservationRow in "compliance_observation" as "compliance_observation_row" {
        tenant_id: text, event_id: uuid, resource: text;
        observed_at: instant,
        presence: text,
        change_id: text_or_null,
        source: text,
        resource_type: text,
        cloud: text_or_null,
        account: text_or_null,
        region: text_or_null,
        name: text_or_null,
        project: text_or_null,
        environment: text_or_null,
        verdicts_key: uuid_or_null,
        fault: text_or_null,
        topic: text,
        partition: integer,
        record_offset: bigint,
        content_sha256: bytes,
    }
}

table! {
    /// One verdict of a set.
    struct VerdictRow in "compliance_verdict" as "compliance_verdict_row" insert missing {
        tenant_id: text, verdicts_key: uuid, policy_id: text;
        policy_hash: text,
        status: text,
        denies: boolean,
        reasons: texts,
    }
}

table! {
    /// A version of a policy.
    struct PolicyRow in "compliance_policy" as "compliance_policy_row" insert missing {
        tenant_id: text, policy_id: text, policy_hash: text;
        title: text,
        severity: text,
        remediation: text,
        controls: json(&'a BTreeMap<String, Vec<String>>),
    }
}

table! {
    /// A change that was applied.
    struct AppliedRow in "compliance_applied" as "compliance_applied_row" {
        tenant_id: text, event_id: uuid;
        change_id: text,
        applied_at: instant,
        content_sha256: bytes,
    }
}

table! {
    /// A resource from an instant on.
    struct StateRow in "compliance_state" as "compliance_state_row" insert missing {
        tenant_id: text, resource: text, valid_from: instant, event_id: uuid;
        verdicts_key: uuid_or_null,
        resource_type: text,
        project: text_or_null,
    }
}

table! {
    /// A time for which a policy fails for a resource.
    struct FindingRow in "compliance_finding" as "compliance_finding_row"
    upsert on "tenant_id, resource, policy_id, opened_at" {
        tenant_id: text, resource: text, policy_id: text, opened_at: instant;
        finding_id: uuid,
        policy_hash: text,
        severity: text,
        number: integer,
        opened_by: uuid,
        reasons: texts,
        due_at: instant,
        closed_at: instant_or_null,
        closed_by: uuid_or_null,
        close_reason: text_or_null,
        resource_type: text,
        project: text_or_null,
    }
}

table! {
    /// A step in the life of a waiver.
    struct WaiverFactRow in "compliance_waiver_fact" as "compliance_waiver_fact_row" {
        tenant_id: text, event_id: uuid;
        waiver: text,
        decided_at: instant,
        step: text,
        actor: text,
        second_party: text_or_null,
        requested_by: text_or_null,
        owner: text_or_null,
        policies: texts,
        resources: texts,
        expires_at: instant_or_null,
        fault: text_or_null,
        reason: text_or_null,
        content_sha256: bytes,
    }
}

table! {
    /// A waiver as its steps leave it.
    struct WaiverRow in "compliance_waiver" as "compliance_waiver_row" upsert on "tenant_id, waiver" {
        tenant_id: text, waiver: text;
        owner: text_or_null,
        policies: texts,
        resources: texts,
        reason: text_or_null,
        requested_by: text_or_null,
        requested_at: instant_or_null,
        granted_by: text_or_null,
        granted_at: instant_or_null,
        rejected_by: text_or_null,
        rejected_at: instant_or_null,
        revoked_by: text_or_null,
        revoked_at: instant_or_null,
        expires_at: instant_or_null,
        ends_at: instant_or_null,
        first_at: instant,
        ineffective: json(serde_json::Value),
    }
}

table! {
    /// One policy that a waiver waives for one resource.
    struct WaivedRow in "compliance_waived" as "compliance_waived_row" {
        tenant_id: text, resource: text, policy_id: text, waiver: text;
        valid_from: instant,
        valid_to: instant,
        expires_at: instant,
    }
}

/// A resource that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, sqlx::Encode)]
pub(super) struct ResourceKey<'a> {
    pub(super) tenant_id: &'a str,
    pub(super) resource: &'a str,
}

row_type!(ResourceKey, "compliance_resource_key");

/// A set of verdicts that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, sqlx::Encode)]
pub(super) struct VerdictsKey<'a> {
    pub(super) tenant_id: &'a str,
    pub(super) verdicts_key: uuid::Uuid,
}

row_type!(VerdictsKey, "compliance_verdicts_key");

/// A time of a finding that is taken out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, sqlx::Encode)]
pub(super) struct FindingKey<'a> {
    pub(super) tenant_id: &'a str,
    pub(super) resource: &'a str,
    pub(super) policy_id: &'a str,
    pub(super) opened_at: schemas::Timestamp,
}

row_type!(FindingKey, "compliance_finding_key");

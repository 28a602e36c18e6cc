//! The tables of cost, each declared once: the columns by which rows are asked for, then the others.

use std::collections::BTreeMap;

use schemas::changes::cost::SizeTold;

use crate::postgres::row_type::{row_type, table};

table! {
    /// Scope of a bill, which is replaced as a whole.
    struct ScopeRow in "cost_scope" as "cost_scope_row" insert missing {
        tenant_id: text, scope_key: uuid;
        provider: text,
        billing_account: text,
        billing_period: date,
    }
}

table! {
    /// Series that charges are summed up by.
    struct SeriesRow in "cost_series" as "cost_series_row" insert missing {
        tenant_id: text, series_key: uuid;
        scope_key: uuid,
        billing_period: date,
        provider: text,
        billing_account: text,
        sub_account: text,
        service: text,
        service_category: text,
        region: text,
        resource: text,
        charge_category: text,
        charge_class: text,
        currency: text,
        sku: text,
        sku_price: text,
        consumed_unit: text,
        pricing_unit: text,
        tags: json(&'a BTreeMap<String, String>),
        group_key: uuid,
    }
}

table! {
    /// Columns that charges have in common.
    struct ColumnsRow in "cost_columns" as "cost_columns_row" insert missing {
        tenant_id: text, columns_key: uuid;
        columns: text,
    }
}

table! {
    /// A charge.
    struct ChargeRow in "cost_charge" as "cost_charge_row" {
        tenant_id: text, event_id: uuid;
        known_at: instant,
        charge_period_start: instant,
        charge_period_end: instant,
        series_key: uuid,
        scope_key: uuid,
        replaces: boolean,
        billed: decimal,
        effective: decimal_or_null,
        list: decimal_or_null,
        contracted: decimal_or_null,
        consumed_quantity: decimal_or_null,
        pricing_quantity: decimal_or_null,
        description: text_or_null,
        corrects: text_or_null,
        other_columns: made_text_or_null,
        content_sha256: bytes,
        columns_key: uuid_or_null,
    }
}

table! {
    /// A decision about a budget.
    struct BudgetRow in "cost_budget_fact" as "cost_budget_fact_row" {
        tenant_id: text, event_id: uuid;
        decided_at: instant,
        budget: text,
        decision: text,
        fault: text_or_null,
        amount: decimal_or_null,
        currency: text_or_null,
        period: text_or_null,
        scope: text_or_null,
        scope_key: text_or_null,
        scope_value: text_or_null,
        cost: text_or_null,
        enforcement: text_or_null,
        thresholds: bigints,
        actor: text,
        reason: text_or_null,
        content_sha256: bytes,
    }
}

table! {
    /// An event about resources that cost by the second.
    struct LifecycleRow in "cost_lifecycle" as "cost_lifecycle_row" {
        tenant_id: text, event_id: uuid;
        happened_at: instant,
        actor: text_or_null,
        content_sha256: bytes,
    }
}

table! {
    /// Facts of a lifecycle event about one of its resources.
    struct LifecycleResourceRow in "cost_lifecycle_resource" as "cost_lifecycle_resource_row" insert missing {
        tenant_id: text, resource: text, event_id: uuid;
        happened_at: instant,
        series_key: uuid,
        kind: text,
        told: json(&'a SizeTold),
        actor: text_or_null,
    }
}

table! {
    /// Interval in which a resource existed at one price.
    struct AccrualRow in "cost_accrual" as "cost_accrual_row" {
        tenant_id: text, resource_ref: text, starts: instant;
        ends: instant_or_null,
        series_key: uuid,
        began_by: uuid,
        hourly: decimal_or_null,
        monthly: decimal_or_null,
        unpriced: text_or_null,
        actor: text_or_null,
    }
}

table! {
    /// A decision about allocation rules.
    struct AllocationRow in "cost_allocation_fact" as "cost_allocation_fact_row" {
        tenant_id: text, event_id: uuid;
        decided_at: instant,
        decision: text,
        fault: text_or_null,
        rules: made_text_or_null,
        actor: text,
        reason: text_or_null,
        content_sha256: bytes,
    }
}

table! {
    /// A measurement of a resource.
    struct UtilisationRow in "cost_utilisation" as "cost_utilisation_row" {
        tenant_id: text, event_id: uuid;
        measured_at: instant,
        resource: text,
        metric: text,
        value: decimal,
        content_sha256: bytes,
    }
}

table! {
    /// A Kubernetes workload.
    struct WorkloadRow in "cost_workload" as "cost_workload_row" insert missing {
        tenant_id: text, workload_key: uuid;
        cluster: text,
        namespace: text,
        name: text,
        project: text,
        labels: json(&'a BTreeMap<String, String>),
        told: integer,
    }
}

table! {
    /// A decision about a recommendation.
    struct RecommendationRow in "cost_recommendation_fact" as "cost_recommendation_fact_row" {
        tenant_id: text, event_id: uuid;
        decided_at: instant,
        recommendation: text,
        decision: text,
        fault: text_or_null,
        actor: text,
        reason: text_or_null,
        content_sha256: bytes,
    }
}

/// Change of a day of a series that became known at an instant, as charges are added or withdrawn; entries
/// with one key are added up.
#[derive(Debug, sqlx::Encode)]
pub(super) struct EntryRow<'a> {
    pub(super) tenant_id: &'a str,
    pub(super) series_key: uuid::Uuid,
    pub(super) day: chrono::NaiveDate,
    pub(super) known_at: schemas::Timestamp,
    pub(super) charges: i64,
    pub(super) billed: rust_decimal::Decimal,
    pub(super) effective: rust_decimal::Decimal,
    pub(super) list: rust_decimal::Decimal,
    pub(super) contracted: rust_decimal::Decimal,
    pub(super) consumed_quantity: rust_decimal::Decimal,
    pub(super) pricing_quantity: rust_decimal::Decimal,
    pub(super) covers_until: Option<schemas::Timestamp>,
}

row_type!(EntryRow, "cost_entry_row");

/// A scope that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, sqlx::Encode)]
pub(super) struct ScopeKey<'a> {
    pub(super) tenant_id: &'a str,
    pub(super) scope_key: uuid::Uuid,
}

row_type!(ScopeKey, "cost_scope_key");

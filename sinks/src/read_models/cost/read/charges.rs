//! Charges one by one, as believed at an instant.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use schemas::{TenantId, Timestamp};
use serde::{Deserialize, Serialize};
use sqlx::{PgPool, QueryBuilder, Row, postgres::PgRow, types::Json};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    STAGE,
    filter::{CostFilter, CostView},
};
use crate::read_models::snapshot::{Page, ReadError, Snapshot};

/// Key of the last charge of a page: charges are ordered by both fields, oldest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChargeKey {
    /// `charge_period_start` of the last charge.
    pub charge_period_start: Timestamp,
    /// Its event.
    pub event_id: Uuid,
}

/// Request for one page.
#[derive(Debug, Clone)]
pub struct ChargesRequest {
    /// Days and instant of knowledge to read costs for.
    pub view: CostView,
    /// Filter on the charges.
    pub filter: CostFilter,
    /// Only charges after this one.
    pub after: Option<ChargeKey>,
    /// Most charges on the page.
    pub limit: u16,
}

/// One charge, by the columns of FOCUS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChargeRecord {
    /// The event that says it.
    pub event_id: Uuid,
    /// Time at which it became known.
    #[schema(value_type = String, format = DateTime)]
    pub known_at: Timestamp,
    /// FOCUS `ChargePeriodStart`.
    #[schema(value_type = String, format = DateTime)]
    pub charge_period_start: Timestamp,
    /// FOCUS `ChargePeriodEnd`, exclusive.
    #[schema(value_type = String, format = DateTime)]
    pub charge_period_end: Timestamp,
    /// First day of the billing period.
    #[schema(value_type = String, format = Date)]
    pub billing_period: NaiveDate,
    /// FOCUS `ProviderName`.
    pub provider: String,
    /// FOCUS `BillingAccountId`.
    pub billing_account: String,
    /// FOCUS `SubAccountId`.
    pub sub_account: String,
    /// FOCUS `ServiceName`.
    pub service: String,
    /// FOCUS `ServiceCategory`.
    pub service_category: String,
    /// FOCUS `RegionId`.
    pub region: String,
    /// FOCUS `ResourceId`.
    pub resource: String,
    /// FOCUS `ChargeCategory`.
    pub charge_category: String,
    /// FOCUS `ChargeClass`.
    pub charge_class: String,
    /// FOCUS `BillingCurrency`.
    pub currency: String,
    /// FOCUS `SkuId`.
    pub sku: String,
    /// FOCUS `SkuPriceId`.
    pub sku_price: String,
    /// FOCUS `ConsumedUnit`.
    pub consumed_unit: String,
    /// FOCUS `PricingUnit`.
    pub pricing_unit: String,
    /// FOCUS `BilledCost`, a decimal.
    pub billed_cost: String,
    /// FOCUS `EffectiveCost`.
    pub effective_cost: Option<String>,
    /// FOCUS `ListCost`.
    pub list_cost: Option<String>,
    /// FOCUS `ContractedCost`.
    pub contracted_cost: Option<String>,
    /// FOCUS `ConsumedQuantity`.
    pub consumed_quantity: Option<String>,
    /// FOCUS `PricingQuantity`.
    pub pricing_quantity: Option<String>,
    /// FOCUS `ChargeDescription`.
    pub description: Option<String>,
    /// The event whose charge this corrects, where it names one.
    pub corrects: Option<String>,
    /// FOCUS `Tags`.
    pub tags: BTreeMap<String, String>,
    /// Every other column of the row, as it came.
    pub other_columns: BTreeMap<String, String>,
}

/// A page of charges that count at the instant, oldest first.
pub async fn charges(
    pool: &PgPool,
    tenant: &TenantId,
    request: &ChargesRequest,
) -> Result<Page<ChargeRecord, ChargeKey>, ReadError> {
    let snapshot = Snapshot::open(pool, tenant, Some(STAGE)).await?;
    let ChargesRequest { view, filter, after, limit } = request;
    let mut query = QueryBuilder::new(
        "SELECT c.event_id, c.known_at, c.charge_period_start, c.charge_period_end, c.billed::text, c.effective::text,
                c.list::text, c.contracted::text, c.consumed_quantity::text, c.pricing_quantity::text, c.description,
                c.corrects, c.other_columns, k.columns, s.*
           FROM cost_charge AS c JOIN cost_series AS s USING (tenant_id, series_key)
           LEFT JOIN cost_columns AS k USING (tenant_id, columns_key) WHERE c.tenant_id = ",
    );
    query.push_bind(tenant.as_str().to_owned());
    if let Some(from) = view.from {
        query.push(" AND c.charge_period_start >= ").push_bind(midnight(from));
    }
    if let Some(to) = view.to {
        query.push(" AND c.charge_period_start < ").push_bind(midnight(to));
    }
    if let Some(instant) = view.instant() {
        query.push(" AND c.known_at <= ").push_bind(instant);
    }
    // The rule of `projections::cost::superseded_at`.
    query.push(
        " AND NOT EXISTS (SELECT FROM cost_scope AS o CROSS JOIN LATERAL unnest(o.replaced_at) AS r(at)
                           WHERE o.tenant_id = c.tenant_id AND o.scope_key = c.scope_key AND r.at > c.known_at",
    );
    if let Some(instant) = view.instant() {
        query.push(" AND r.at <= ").push_bind(instant);
    }
    query.push(")");
    filter.push(&mut query);
    if let Some(after) = after {
        query.push(" AND (c.charge_period_start, c.event_id) > (").push_bind(after.charge_period_start);
        query.push(", ").push_bind(after.event_id).push(")");
    }
    query.push(" ORDER BY c.charge_period_start, c.event_id LIMIT ").push_bind(i64::from(*limit) + 1);
    let key = |charge: &ChargeRecord| ChargeKey {
        charge_period_start: charge.charge_period_start,
        event_id: charge.event_id,
    };
    snapshot.page(&mut query, *limit, record, key).await
}

fn midnight(day: NaiveDate) -> Timestamp {
    day.and_time(chrono::NaiveTime::MIN).and_utc()
}

fn record(row: &PgRow) -> Result<ChargeRecord, ReadError> {
    let mut other_columns = BTreeMap::new();
    for part in ["columns", "other_columns"] {
        let columns: Option<&str> = row.try_get(part)?;
        let columns = columns.map(serde_json::from_str::<BTreeMap<String, String>>).transpose();
        let columns = columns.map_err(|error| ReadError::Unreadable(format!("{part}: {error}")))?;
        other_columns.extend(columns.unwrap_or_default());
    }
    let Json(tags) = row.try_get("tags")?;
    Ok(ChargeRecord {
        event_id: row.try_get("event_id")?,
        known_at: row.try_get("known_at")?,
        charge_period_start: row.try_get("charge_period_start")?,
        charge_period_end: row.try_get("charge_period_end")?,
        billing_period: row.try_get("billing_period")?,
        provider: row.try_get("provider")?,
        billing_account: row.try_get("billing_account")?,
        sub_account: row.try_get("sub_account")?,
        service: row.try_get("service")?,
        service_category: row.try_get("service_category")?,
        region: row.try_get("region")?,
        resource: row.try_get("resource")?,
        charge_category: row.try_get("charge_category")?,
        charge_class: row.try_get("charge_class")?,
        currency: row.try_get("currency")?,
        sku: row.try_get("sku")?,
        sku_price: row.try_get("sku_price")?,
        consumed_unit: row.try_get("consumed_unit")?,
        pricing_unit: row.try_get("pricing_unit")?,
        billed_cost: row.try_get("billed")?,
        effective_cost: row.try_get("effective")?,
        list_cost: row.try_get("list")?,
        contracted_cost: row.try_get("contracted")?,
        consumed_quantity: row.try_get("consumed_quantity")?,
        pricing_quantity: row.try_get("pricing_quantity")?,
        description: row.try_get("description")?,
        corrects: row.try_get("corrects")?,
        tags,
        other_columns,
    })
}

//! Which charges are asked for, and from when they are looked at.

use chrono::NaiveDate;
use schemas::{TenantId, Timestamp};
use serde::{Deserialize, Deserializer, Serialize};
use sqlx::{Postgres, QueryBuilder};
use utoipa::{IntoParams, ToSchema};

use crate::read_models::parameters::{instant, text};

/// When costs are looked at: what they are for, and what was known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub struct CostView {
    /// The first day that costs are for (`2026-01-31`, UTC).
    #[serde(deserialize_with = "day")]
    #[param(value_type = Option<String>, format = Date)]
    pub from: Option<NaiveDate>,
    /// The day after the last.
    #[serde(deserialize_with = "day")]
    #[param(value_type = Option<String>, format = Date)]
    pub to: Option<NaiveDate>,
    /// The instant to look from (RFC 3339): what was known by then, with the corrections that had come. Now by default.
    #[serde(deserialize_with = "instant")]
    #[param(value_type = Option<String>, format = DateTime)]
    pub known_at: Option<Timestamp>,
    /// Another name of `known_at`; of both the earlier counts.
    #[serde(deserialize_with = "instant")]
    #[param(value_type = Option<String>, format = DateTime)]
    pub as_of: Option<Timestamp>,
}

/// What charges must fulfil; absent parts do not constrain.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub struct CostFilter {
    /// FOCUS `ProviderName`, whole.
    #[serde(deserialize_with = "text")]
    #[param(min_length = 1, max_length = 1024, pattern = r"^[^\u0000]*$")]
    pub provider: Option<String>,
    /// FOCUS `BillingAccountId`, whole.
    #[serde(deserialize_with = "text")]
    #[param(min_length = 1, max_length = 1024, pattern = r"^[^\u0000]*$")]
    pub billing_account: Option<String>,
    /// First day of the billing period.
    #[serde(deserialize_with = "day")]
    #[param(value_type = Option<String>, format = Date)]
    pub billing_period: Option<NaiveDate>,
    /// FOCUS `SubAccountId`, whole.
    #[serde(deserialize_with = "text")]
    #[param(min_length = 1, max_length = 1024, pattern = r"^[^\u0000]*$")]
    pub sub_account: Option<String>,
    /// FOCUS `ServiceName`, whole.
    #[serde(deserialize_with = "text")]
    #[param(min_length = 1, max_length = 1024, pattern = r"^[^\u0000]*$")]
    pub service: Option<String>,
    /// FOCUS `ServiceCategory`, whole.
    #[serde(deserialize_with = "text")]
    #[param(min_length = 1, max_length = 1024, pattern = r"^[^\u0000]*$")]
    pub service_category: Option<String>,
    /// FOCUS `RegionId`, whole.
    #[serde(deserialize_with = "text")]
    #[param(min_length = 1, max_length = 1024, pattern = r"^[^\u0000]*$")]
    pub region: Option<String>,
    /// FOCUS `ResourceId`, whole.
    #[serde(deserialize_with = "text")]
    #[param(min_length = 1, max_length = 1024, pattern = r"^[^\u0000]*$")]
    pub resource: Option<String>,
    /// FOCUS `ChargeCategory`, whole.
    #[serde(deserialize_with = "text")]
    #[param(min_length = 1, max_length = 1024, pattern = r"^[^\u0000]*$")]
    pub charge_category: Option<String>,
    /// FOCUS `ChargeClass`: `Correction`.
    #[serde(deserialize_with = "text")]
    #[param(min_length = 1, max_length = 1024, pattern = r"^[^\u0000]*$")]
    pub charge_class: Option<String>,
    /// FOCUS `BillingCurrency`.
    #[serde(deserialize_with = "text")]
    #[param(min_length = 1, max_length = 1024, pattern = r"^[^\u0000]*$")]
    pub currency: Option<String>,
    /// FOCUS `SkuId`, whole.
    #[serde(deserialize_with = "text")]
    #[param(min_length = 1, max_length = 1024, pattern = r"^[^\u0000]*$")]
    pub sku: Option<String>,
    /// FOCUS `SkuPriceId`, whole.
    #[serde(deserialize_with = "text")]
    #[param(min_length = 1, max_length = 1024, pattern = r"^[^\u0000]*$")]
    pub sku_price: Option<String>,
    /// A tag, `key=value`; `key=` is an empty value.
    #[serde(deserialize_with = "tag")]
    #[param(min_length = 2, max_length = 1024, pattern = r"^[^\u0000=]+=[^\u0000]*$")]
    pub tag: Option<String>,
}

/// What costs are broken down by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum By {
    /// A column of the series.
    Dimension(Dimension),
    /// The values of the tag with that key.
    Tag(String),
}

/// A column that costs are broken down by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Dimension {
    /// FOCUS `ProviderName`.
    Provider,
    /// FOCUS `BillingAccountId`.
    BillingAccount,
    /// First day of the billing period.
    BillingPeriod,
    /// FOCUS `SubAccountId`.
    SubAccount,
    /// FOCUS `ServiceName`.
    Service,
    /// FOCUS `ServiceCategory`.
    ServiceCategory,
    /// FOCUS `RegionId`.
    Region,
    /// FOCUS `ResourceId`.
    Resource,
    /// FOCUS `ChargeCategory`.
    ChargeCategory,
    /// FOCUS `ChargeClass`.
    ChargeClass,
    /// FOCUS `SkuId`.
    Sku,
    /// FOCUS `SkuPriceId`.
    SkuPrice,
    /// FOCUS `ConsumedUnit`: quantities of one unit can be added up.
    ConsumedUnit,
}

impl Dimension {
    /// The expression over `cost_series AS s`.
    pub(super) const fn column(self) -> &'static str {
        match self {
            Self::Provider => "s.provider",
            Self::BillingAccount => "s.billing_account",
            Self::BillingPeriod => "s.billing_period::text",
            Self::SubAccount => "s.sub_account",
            Self::Service => "s.service",
            Self::ServiceCategory => "s.service_category",
            Self::Region => "s.region",
            Self::Resource => "s.resource",
            Self::ChargeCategory => "s.charge_category",
            Self::ChargeClass => "s.charge_class",
            Self::Sku => "s.sku",
            Self::SkuPrice => "s.sku_price",
            Self::ConsumedUnit => "s.consumed_unit",
        }
    }
}

impl CostView {
    /// The instant to look from, if it is not now.
    pub fn instant(&self) -> Option<Timestamp> {
        self.known_at.into_iter().chain(self.as_of).min()
    }
}

impl CostFilter {
    /// Adds conditions on `cost_series AS s`. Only constants are pushed as SQL; everything that a reader gave is bound.
    pub(super) fn push(&self, query: &mut QueryBuilder<Postgres>) {
        let equal = [
            (" AND s.provider = ", &self.provider),
            (" AND s.billing_account = ", &self.billing_account),
            (" AND s.sub_account = ", &self.sub_account),
            (" AND s.service = ", &self.service),
            (" AND s.service_category = ", &self.service_category),
            (" AND s.region = ", &self.region),
            (" AND s.resource = ", &self.resource),
            (" AND s.charge_category = ", &self.charge_category),
            (" AND s.charge_class = ", &self.charge_class),
            (" AND s.currency = ", &self.currency),
            (" AND s.sku = ", &self.sku),
            (" AND s.sku_price = ", &self.sku_price),
        ];
        for (condition, value) in equal {
            if let Some(value) = value {
                query.push(condition).push_bind(value.clone());
            }
        }
        if let Some(period) = self.billing_period {
            query.push(" AND s.billing_period = ").push_bind(period);
        }
        if let Some((key, value)) = self.tag.as_deref().and_then(|tag| tag.split_once('=')) {
            query.push(" AND s.tags ->> ").push_bind(key.to_owned());
            query.push(" = ").push_bind(value.to_owned());
        }
    }
}

/// Adds the days and the instant on `cost_daily AS d` joined to `cost_series AS s`, for a tenant.
pub(super) fn push_where(
    query: &mut QueryBuilder<Postgres>,
    tenant: &TenantId,
    view: &CostView,
    filter: &CostFilter,
) {
    query.push(
        " FROM cost_daily AS d JOIN cost_series AS s USING (tenant_id, series_key) WHERE d.tenant_id = ",
    );
    // Row-level security says the same; said here too, the planner knows the value.
    query.push_bind(tenant.as_str().to_owned());
    if let Some(from) = view.from {
        query.push(" AND d.day >= ").push_bind(from);
    }
    if let Some(to) = view.to {
        query.push(" AND d.day < ").push_bind(to);
    }
    if let Some(instant) = view.instant() {
        query.push(" AND d.known_at <= ").push_bind(instant);
    }
    filter.push(query);
}

/// A day, `2026-01-31`.
pub fn day<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<NaiveDate>, D::Error> {
    let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
    let day = NaiveDate::parse_from_str(&text, "%Y-%m-%d").ok();
    let sane = day.filter(|day| (1..=9999).contains(&chrono::Datelike::year(day)) && text.len() == 10);
    sane.map(Some).ok_or_else(|| serde::de::Error::custom("must be a day, for example 2026-01-31"))
}

fn tag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    match text(deserializer)? {
        Some(tag) if tag.find('=').is_none_or(|place| place == 0) => {
            Err(serde::de::Error::custom("must be key=value"))
        }
        tag => Ok(tag),
    }
}

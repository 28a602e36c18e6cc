//! Filter on charges, and the instant as of which they are read.

use chrono::NaiveDate;
use schemas::{TenantId, Timestamp};
use serde::{Deserialize, Deserializer, Serialize};
use sqlx::{PgConnection, Postgres, QueryBuilder};
use utoipa::{IntoParams, ToSchema};

use crate::read_models::{
    parameters::{instant, text},
    snapshot::{ReadError, Snapshot},
};

/// View of costs: the days that they are for, and the instant of knowledge.
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
    /// Instant of knowledge (RFC 3339): costs as known then, with the corrections that had come. Now by
    /// default.
    #[serde(deserialize_with = "instant")]
    #[param(value_type = Option<String>, format = DateTime)]
    pub known_at: Option<Timestamp>,
    /// Another name of `known_at`; of both the earlier counts.
    #[serde(deserialize_with = "instant")]
    #[param(value_type = Option<String>, format = DateTime)]
    pub as_of: Option<Timestamp>,
}

/// Filter on charges; an absent parameter matches everything.
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

/// Grouping of costs.
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
            // What accrues has no billing period yet.
            Self::BillingPeriod => {
                "CASE WHEN s.billing_period > '1970-01-01' THEN s.billing_period::text END"
            }
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

impl Dimension {
    /// Whether groups of series have the column.
    pub(super) const fn is_of_groups(self) -> bool {
        !matches!(self, Self::Resource | Self::Sku | Self::SkuPrice | Self::ConsumedUnit)
    }
}

impl CostView {
    /// Instant of knowledge, if it is not now.
    pub fn instant(&self) -> Option<Timestamp> {
        self.known_at.into_iter().chain(self.as_of).min()
    }
}

impl CostFilter {
    /// Whether it asks for nothing that groups of series leave out.
    fn is_of_groups(&self) -> bool {
        let Self { resource, sku, sku_price, tag, .. } = self;
        [resource, sku, sku_price, tag].into_iter().all(Option::is_none)
    }

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

/// Table of the sums that a question is answered from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::read_models::cost) enum Source {
    /// Days of series: answers everything.
    Daily,
    /// Months of series: answers questions about whole months.
    Monthly,
    /// Days of groups of series: answers questions that name no resource, SKU, unit or tag.
    Groups,
}

/// Properties of a question that decide about its [`Source`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Grain {
    /// Whether it groups by nothing finer than a month.
    pub(super) by_month: bool,
    /// Whether it groups by nothing that groups of series leave out.
    pub(super) by_group: bool,
}

impl Source {
    /// The smallest table that answers the question.
    pub(super) fn of(view: &CostView, filter: &CostFilter, grain: Grain) -> Self {
        let is_first = |day: Option<NaiveDate>| day.is_none_or(|day| chrono::Datelike::day(&day) == 1);
        if grain.by_group && filter.is_of_groups() {
            Self::Groups
        } else if grain.by_month && is_first(view.from) && is_first(view.to) {
            Self::Monthly
        } else {
            Self::Daily
        }
    }

    pub(in crate::read_models::cost) const fn table(self) -> &'static str {
        match self {
            Self::Daily => "cost_daily",
            Self::Monthly => "cost_monthly",
            Self::Groups => "cost_daily_group",
        }
    }
}

/// Days to sum up: those of charges, and those of accrued costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::read_models::cost) struct Days {
    /// The instant up to which resources accrue; `None`: the tenant has none that do.
    accrued_until: Option<Timestamp>,
    source: Source,
}

impl Days {
    /// The days of charges alone.
    pub(super) const fn of_charges() -> Self {
        Self { accrued_until: None, source: Source::Daily }
    }

    /// The days of a tenant at an instant, or now.
    pub(super) async fn of(
        snapshot: &mut Snapshot,
        tenant: &TenantId,
        instant: Option<Timestamp>,
    ) -> Result<Self, ReadError> {
        Ok(Self::at(snapshot.connection(), tenant, instant).await?)
    }

    /// The same over a connection.
    pub(in crate::read_models::cost) async fn at(
        connection: &mut PgConnection,
        tenant: &TenantId,
        instant: Option<Timestamp>,
    ) -> sqlx::Result<Self> {
        // Where the planner has no statistics yet, as after the first bill, it takes days and series for a handful and
        // compares each with each: 1,400 series took 70 ms, and the time grows with their square. Without materialised
        // relations it does not, until the end of the transaction.
        let (accrued_until, _): (Option<Timestamp>, String) = sqlx::query_as(
            "SELECT (SELECT coalesce($2, now()) WHERE EXISTS (SELECT FROM cost_accrual WHERE tenant_id = $1)),
                    set_config('enable_material', 'off', true)",
        )
        .bind(tenant.as_str())
        .bind(instant)
        .fetch_one(connection)
        .await?;
        Ok(Self { accrued_until, source: Source::Daily })
    }

    /// The same, from that table.
    pub(in crate::read_models::cost) const fn out_of(self, source: Source) -> Self {
        Self { source, ..self }
    }

    /// Adds the days `d` joined to their series `s`, with what has accrued of them: `d.accrued`.
    pub(in crate::read_models::cost) fn push(
        self,
        query: &mut QueryBuilder<Postgres>,
        tenant: &str,
        days: (Option<NaiveDate>, Option<NaiveDate>),
        known_at: Option<Timestamp>,
    ) {
        self.push_over("cost_series", query, tenant, days, known_at);
    }

    /// The same with the series of another relation, which has those that are asked for.
    pub(super) fn push_over(
        self,
        series_of: &'static str,
        query: &mut QueryBuilder<Postgres>,
        tenant: &str,
        (from, to): (Option<NaiveDate>, Option<NaiveDate>),
        known_at: Option<Timestamp>,
    ) {
        query.push(" FROM (SELECT tenant_id, series_key, day, known_at, charges, billed, effective, list, contracted,");
        query
            .push(" consumed_quantity, pricing_quantity, 0::numeric AS accrued FROM ")
            .push(self.source.table());
        if let Some(until) = self.accrued_until {
            let (key, series) = match self.source {
                Source::Daily | Source::Monthly => ("a.series_key", ""),
                Source::Groups => ("g.group_key", " JOIN cost_series AS g USING (tenant_id, series_key)"),
            };
            query.push(" UNION ALL SELECT tenant_id, ").push(key).push(", a.day, ").push_bind(until);
            query.push("::timestamptz, 0, 0, 0, 0, 0, 0, 0, a.accrued FROM weir_cost_accrued(");
            query.push_bind(tenant.to_owned()).push(", ").push_bind(from).push(", ");
            query.push_bind(to).push(", ").push_bind(until).push(") AS a").push(series);
        }
        query.push(") AS d JOIN ").push(series_of);
        query.push(" AS s USING (tenant_id, series_key) WHERE d.tenant_id = ");
        // Row-level security says the same; said here too, the planner knows the value.
        query.push_bind(tenant.to_owned());
        if let Some(from) = from {
            query.push(" AND d.day >= ").push_bind(from);
        }
        if let Some(to) = to {
            query.push(" AND d.day < ").push_bind(to);
        }
        if let Some(instant) = known_at {
            query.push(" AND d.known_at <= ").push_bind(instant);
        }
    }

    /// Adds the days that a view and a filter ask for.
    pub(super) fn push_where(
        self,
        query: &mut QueryBuilder<Postgres>,
        tenant: &TenantId,
        view: &CostView,
        filter: &CostFilter,
    ) {
        self.push(query, tenant.as_str(), (view.from, view.to), view.instant());
        filter.push(query);
    }
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

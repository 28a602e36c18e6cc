//! Sums of days.

use chrono::NaiveDate;
use schemas::TenantId;
use serde::{Deserialize, Serialize};
use sqlx::{PgPool, Postgres, QueryBuilder, Row, postgres::PgRow};
use utoipa::ToSchema;

use super::{
    STAGE,
    filter::{By, CostFilter, CostView, Days, Grain, Source},
};
use crate::read_models::snapshot::{Positions, ReadError, Snapshot};

/// Most points of a series.
const MAX_POINTS: i64 = 5_000;

/// Money of one currency, to the last digit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CostSums {
    /// FOCUS `BillingCurrency`; `XXX` where the bill names none.
    pub currency: String,
    /// Billed cost.
    pub billed_cost: String,
    /// Billed cost with purchases spread over what they are used for.
    pub effective_cost: String,
    /// At list prices; without purchases, which usage carries again.
    pub list_cost: String,
    /// At contracted prices.
    pub contracted_cost: String,
    /// Accrued cost: list price by the second of resources without a charge yet. Separate from all other
    /// costs.
    #[serde(default = "nothing")]
    pub accrued_cost: String,
    /// Number of charges.
    pub charges: i64,
}

fn nothing() -> String {
    "0".to_owned()
}

/// Totals by currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Of each currency.
    pub totals: Vec<CostSums>,
    /// The first day with a charge.
    pub first_day: Option<NaiveDate>,
    /// The last day with a charge.
    pub last_day: Option<NaiveDate>,
    /// Positions that the answer reflects.
    pub positions: Positions,
}

/// The distance between two points.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// A day.
    #[default]
    Day,
    /// A week, from Monday on.
    Week,
    /// A month.
    Month,
}

impl Step {
    /// As `date_trunc` names it.
    const fn name(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
        }
    }
}

/// Costs of a day, week or month.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TimePoint {
    /// Its first day.
    #[schema(value_type = String, format = Date)]
    pub day: NaiveDate,
    /// Costs of this time.
    #[serde(flatten)]
    pub sums: CostSums,
}

/// Costs over time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeseries {
    /// Oldest first; days without charges are left out.
    pub points: Vec<TimePoint>,
    /// Whether these are all; otherwise the newest are.
    pub complete: bool,
    /// Positions that the answer reflects.
    pub positions: Positions,
}

/// Costs of one value of a dimension.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BreakdownItem {
    /// The value; null for charges that have none.
    pub value: Option<String>,
    /// Costs of this value.
    #[serde(flatten)]
    pub sums: CostSums,
    /// FOCUS `ConsumedQuantity`, added up; it says something where all charges have one unit.
    pub consumed_quantity: String,
    /// FOCUS `PricingQuantity`, added up.
    pub pricing_quantity: String,
}

/// Costs by a dimension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Breakdown {
    /// Highest cost first: what was billed, and what has accrued.
    pub items: Vec<BreakdownItem>,
    /// Whether these are all.
    pub complete: bool,
    /// Of each currency, all values together.
    pub totals: Vec<CostSums>,
    /// Positions that the answer reflects.
    pub positions: Positions,
}

const SUMS: &str = "s.currency, trim_scale(sum(d.billed))::text AS billed,
    trim_scale(sum(d.effective))::text AS effective,
    trim_scale(coalesce(sum(d.list) FILTER (WHERE s.charge_category <> 'Purchase'), 0))::text AS list,
    trim_scale(sum(d.contracted))::text AS contracted, sum(d.charges)::bigint AS charges,
    trim_scale(sum(d.accrued))::text AS accrued";

/// Condition that leaves out groups without a cost, also those whose charges were all withdrawn.
pub(super) const HAS_COST: &str = " HAVING sum(d.charges) <> 0 OR sum(d.billed) <> 0 OR sum(d.accrued) <> 0";

/// Totals of the costs that fulfil the filter.
pub async fn summary(
    pool: &PgPool,
    tenant: &TenantId,
    view: &CostView,
    filter: &CostFilter,
) -> Result<Summary, ReadError> {
    let mut snapshot = Snapshot::open(pool, tenant, Some(STAGE)).await?;
    let source = Source::of(view, filter, Grain { by_month: false, by_group: true });
    let days = Days::of(&mut snapshot, tenant, view.instant()).await?.out_of(source);
    let mut query = select("min(d.day) AS first_day, max(d.day) AS last_day");
    days.push_where(&mut query, tenant, view, filter);
    query.push(" GROUP BY s.currency").push(HAS_COST).push(" ORDER BY s.currency");
    let rows = query.build().fetch_all(snapshot.connection()).await?;
    let first_or_last =
        |name: &str| rows.iter().map(|row| row.try_get::<NaiveDate, _>(name)).collect::<Result<Vec<_>, _>>();
    Ok(Summary {
        first_day: first_or_last("first_day")?.into_iter().min(),
        last_day: first_or_last("last_day")?.into_iter().max(),
        totals: rows.iter().map(sums).collect::<Result<_, _>>()?,
        positions: snapshot.positions,
    })
}

/// Costs that fulfil the filter, over time.
pub async fn timeseries(
    pool: &PgPool,
    tenant: &TenantId,
    view: &CostView,
    filter: &CostFilter,
    step: Step,
) -> Result<Timeseries, ReadError> {
    let mut snapshot = Snapshot::open(pool, tenant, Some(STAGE)).await?;
    let source = Source::of(view, filter, Grain { by_month: step == Step::Month, by_group: true });
    let days = Days::of(&mut snapshot, tenant, view.instant()).await?.out_of(source);
    let mut query = QueryBuilder::new("SELECT date_trunc(");
    query.push_bind(step.name()).push(", d.day::timestamp)::date AS at, ").push(SUMS);
    days.push_where(&mut query, tenant, view, filter);
    query.push(" GROUP BY 1, s.currency").push(HAS_COST);
    query.push(" ORDER BY 1 DESC, s.currency DESC LIMIT ").push_bind(MAX_POINTS + 1);
    let rows = query.build().fetch_all(snapshot.connection()).await?;
    let most = usize::try_from(MAX_POINTS).unwrap_or(usize::MAX);
    let point = |row: &PgRow| Ok::<_, ReadError>(TimePoint { day: row.try_get("at")?, sums: sums(row)? });
    let mut points = rows.iter().take(most).map(point).collect::<Result<Vec<_>, _>>()?;
    points.reverse();
    Ok(Timeseries { points, complete: rows.len() <= most, positions: snapshot.positions })
}

/// Costs that fulfil the filter, by the values of a dimension or a tag.
pub async fn breakdown(
    pool: &PgPool,
    tenant: &TenantId,
    view: &CostView,
    filter: &CostFilter,
    by: By,
    limit: u16,
) -> Result<Breakdown, ReadError> {
    let mut snapshot = Snapshot::open(pool, tenant, Some(STAGE)).await?;
    let by_group = matches!(&by, By::Dimension(dimension) if dimension.is_of_groups());
    let source = |by_group| Source::of(view, filter, Grain { by_month: true, by_group });
    let days = Days::of(&mut snapshot, tenant, view.instant()).await?.out_of(source(by_group));
    let mut query = QueryBuilder::new("SELECT nullif(");
    match by {
        By::Dimension(dimension) => query.push(dimension.column()),
        By::Tag(key) => query.push("s.tags ->> ").push_bind(key),
    };
    query.push(", '') AS value, ").push(SUMS);
    query.push(
        ", trim_scale(sum(d.consumed_quantity))::text AS consumed_quantity,
         trim_scale(sum(d.pricing_quantity))::text AS pricing_quantity",
    );
    days.push_where(&mut query, tenant, view, filter);
    query.push(" GROUP BY 1, s.currency").push(HAS_COST);
    query
        .push(" ORDER BY sum(d.billed) + sum(d.accrued) DESC, 1, s.currency LIMIT ")
        .push_bind(i64::from(limit) + 1);
    let rows = query.build().fetch_all(snapshot.connection()).await?;
    let item = |row: &PgRow| {
        Ok::<_, ReadError>(BreakdownItem {
            value: row.try_get("value")?,
            sums: sums(row)?,
            consumed_quantity: row.try_get("consumed_quantity")?,
            pricing_quantity: row.try_get("pricing_quantity")?,
        })
    };
    let items = rows.iter().take(usize::from(limit)).map(item).collect::<Result<Vec<_>, _>>()?;
    let mut query = select("0");
    let days = days.out_of(source(true));
    days.push_where(&mut query, tenant, view, filter);
    query.push(" GROUP BY s.currency").push(HAS_COST).push(" ORDER BY s.currency");
    let totals = query.build().fetch_all(snapshot.connection()).await?;
    Ok(Breakdown {
        items,
        complete: rows.len() <= usize::from(limit),
        totals: totals.iter().map(sums).collect::<Result<_, _>>()?,
        positions: snapshot.positions,
    })
}

fn select(first: &'static str) -> QueryBuilder<Postgres> {
    let mut query = QueryBuilder::new("SELECT ");
    query.push(first).push(", ").push(SUMS);
    query
}

/// The sums of a row that selects [`SUMS`].
pub(super) fn sums(row: &PgRow) -> Result<CostSums, ReadError> {
    Ok(CostSums {
        currency: row.try_get("currency")?,
        billed_cost: row.try_get("billed")?,
        effective_cost: row.try_get("effective")?,
        list_cost: row.try_get("list")?,
        contracted_cost: row.try_get("contracted")?,
        accrued_cost: row.try_get("accrued")?,
        charges: row.try_get("charges")?,
    })
}

/// The selection of [`sums`], for queries of other modules.
pub(super) const SELECTED: &str = SUMS;

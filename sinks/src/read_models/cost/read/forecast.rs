//! The forecast of what days to come will cost, from the days that are over and billed.

use chrono::{Days as DayCount, NaiveDate};
use costs::forecast;
use schemas::{TenantId, changes::cost::BudgetCost};
use serde::{Deserialize, Serialize};
use sqlx::{PgPool, QueryBuilder, Row, postgres::PgRow};
use utoipa::ToSchema;

use super::{
    STAGE,
    billed_until::{billed_until, of_scope},
    filter::{CostFilter, CostView, Days},
};
use crate::read_models::snapshot::{Positions, ReadError, Snapshot};

/// Days of history that a forecast uses.
pub(in crate::read_models::cost) const HISTORY_DAYS: u64 = 730;
/// Days of a season.
pub(in crate::read_models::cost) const WEEK: usize = 7;
/// Most days that are forecast.
pub const MAX_FORECAST_DAYS: u16 = 366;

/// Forecast of future costs in one currency.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CurrencyForecast {
    /// ISO 4217.
    pub currency: String,
    /// The last day that the forecast knows: the newest that is over, billed by everybody who has billed within a week, and has a
    /// cost.
    #[schema(value_type = String, format = Date)]
    pub known_until: NaiveDate,
    /// The model that was best on the past: `seasonal_naive`, `seasonal_mean`, `stl_level`, `stl_damped_trend`, the latter two
    /// also in logarithms (`_log`). Null where there are fewer than 15 days.
    pub model: Option<String>,
    /// Its mean absolute error on the past, for a day.
    pub error: Option<f64>,
    /// The same of the last week again.
    pub naive_error: Option<f64>,
    /// Forecasts of the future days.
    pub days: Vec<ForecastDay>,
    /// Purchases (commitments, upfront fees) in the days that the forecast is based on, by day. They follow
    /// no pattern, and are in no forecast.
    pub purchases: Vec<PurchaseDay>,
}

/// Forecast of the cost of one day. Forecasts are statistics, and rounded to four places.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ForecastDay {
    /// The day, UTC.
    #[schema(value_type = String, format = Date)]
    pub day: NaiveDate,
    /// Expected cost.
    pub expected: f64,
    /// Lower bound of the 80 % prediction interval.
    pub low_80: f64,
    /// Upper bound of the 80 % prediction interval.
    pub high_80: f64,
    /// Lower bound of the 95 % prediction interval.
    pub low_95: f64,
    /// Upper bound of the 95 % prediction interval.
    pub high_95: f64,
}

/// Cost of purchases on one day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PurchaseDay {
    /// The day, UTC.
    #[schema(value_type = String, format = Date)]
    pub day: NaiveDate,
    /// Billed cost, a decimal.
    pub billed_cost: String,
}

/// Request for a forecast of costs.
#[derive(Debug, Clone)]
pub struct ForecastRequest {
    /// Days and instant of knowledge to read costs for.
    pub view: CostView,
    /// Filter on the charges.
    pub filter: CostFilter,
    /// Cost that is forecast.
    pub cost: BudgetCost,
    /// Current day: it is not over.
    pub today: NaiveDate,
    /// Number of days to forecast.
    pub days: u16,
}

/// Forecasts, and the positions that they reflect.
#[derive(Debug, Clone, PartialEq)]
pub struct Forecasts {
    /// Of each currency.
    pub forecasts: Vec<CurrencyForecast>,
    /// Positions that the answer reflects.
    pub positions: Positions,
}

/// Costs of one currency by day.
struct Course {
    currency: String,
    days: Vec<(NaiveDate, f64)>,
}

/// Forecasts what a view and a filter ask for.
pub async fn forecasts(
    pool: &PgPool,
    tenant: &TenantId,
    request: &ForecastRequest,
) -> Result<Forecasts, ReadError> {
    let mut snapshot = Snapshot::open(pool, tenant, Some(STAGE)).await?;
    let to = request.view.to.map_or(request.today, |to| to.min(request.today));
    let earliest = to.checked_sub_days(DayCount::new(HISTORY_DAYS)).unwrap_or(to);
    let from = request.view.from.map_or(earliest, |from| from.max(earliest));
    let days = Days::of(&mut snapshot, tenant, request.view.instant()).await?;
    let mut query = QueryBuilder::new(
        "SELECT currency, array_agg(day ORDER BY day) AS days, array_agg(cost ORDER BY day) AS costs FROM (SELECT s.currency, d.day, sum(",
    );
    query.push(match request.cost {
        BudgetCost::Billed => "d.billed",
        BudgetCost::Effective => "d.effective",
    });
    query.push(" + d.accrued)::double precision AS cost");
    days.push(&mut query, tenant.as_str(), (Some(from), Some(to)), request.view.instant());
    request.filter.push(&mut query);
    query.push(" AND s.charge_category <> 'Purchase' GROUP BY 1, 2) AS c GROUP BY 1 ORDER BY 1");
    let rows = query.build().fetch_all(snapshot.connection()).await?;
    let mut asked = of_scope(tenant, to, request.view.instant());
    request.filter.push(&mut asked);
    let billed = billed_until(snapshot.connection(), asked).await?;
    let mut forecasts = Vec::with_capacity(rows.len());
    for row in &rows {
        let mut course = course(row)?;
        if let Some(until) = billed.get(&course.currency) {
            course.days.retain(|(day, _)| day < until);
        }
        let purchases = purchases(&mut snapshot, tenant, request, &course.currency, (from, to)).await?;
        forecasts.extend(forecast_of(course, purchases, request.days));
    }
    Ok(Forecasts { forecasts, positions: snapshot.positions })
}

fn course(row: &PgRow) -> Result<Course, ReadError> {
    let (days, costs): (Vec<NaiveDate>, Vec<f64>) = (row.try_get("days")?, row.try_get("costs")?);
    Ok(Course { currency: row.try_get("currency")?, days: days.into_iter().zip(costs).collect() })
}

async fn purchases(
    snapshot: &mut Snapshot,
    tenant: &TenantId,
    request: &ForecastRequest,
    currency: &str,
    (from, to): (NaiveDate, NaiveDate),
) -> Result<Vec<PurchaseDay>, ReadError> {
    let mut query = QueryBuilder::new("SELECT d.day, trim_scale(sum(d.billed))::text AS billed");
    Days::of_charges().push(&mut query, tenant.as_str(), (Some(from), Some(to)), request.view.instant());
    request.filter.push(&mut query);
    query.push(" AND s.charge_category = 'Purchase' AND s.currency = ").push_bind(currency.to_owned());
    query.push(" GROUP BY 1 HAVING sum(d.billed) <> 0 ORDER BY 1");
    let rows: Vec<(NaiveDate, String)> = query.build_query_as().fetch_all(snapshot.connection()).await?;
    Ok(rows.into_iter().map(|(day, billed_cost)| PurchaseDay { day, billed_cost }).collect())
}

/// The costs of all days from the first to the last; days that are missing cost nothing.
pub(in crate::read_models::cost) fn without_gaps(days: &[(NaiveDate, f64)]) -> Vec<f64> {
    let mut costs = Vec::with_capacity(days.len());
    let mut next = days.first().map(|(day, _)| *day);
    for (day, cost) in days {
        while let Some(missing) = next.filter(|missing| missing < day) {
            costs.push(0.0);
            next = missing.succ_opt();
        }
        costs.push(*cost);
        next = day.succ_opt();
    }
    costs
}

/// `None` without a single day.
fn forecast_of(course: Course, purchases: Vec<PurchaseDay>, days: u16) -> Option<CurrencyForecast> {
    let (known_until, _) = *course.days.last()?;
    let forecast = forecast::forecast(&without_gaps(&course.days), WEEK, usize::from(days));
    let day = |(number, point): (u64, &forecast::Point)| {
        Some(ForecastDay {
            day: known_until.checked_add_days(DayCount::new(number))?,
            expected: rounded(point.expected),
            low_80: rounded(point.within_80.0),
            high_80: rounded(point.within_80.1),
            low_95: rounded(point.within_95.0),
            high_95: rounded(point.within_95.1),
        })
    };
    Some(CurrencyForecast {
        currency: course.currency,
        known_until,
        model: forecast.as_ref().map(|forecast| forecast.model.to_owned()),
        error: forecast.as_ref().map(|forecast| rounded(forecast.error)),
        naive_error: forecast.as_ref().map(|forecast| rounded(forecast.naive_error)),
        days: forecast
            .as_ref()
            .map(|forecast| (1..).zip(&forecast.points).filter_map(day).collect())
            .unwrap_or_default(),
        purchases,
    })
}

fn rounded(value: f64) -> f64 {
    (value * 10_000.0).round() / 10_000.0
}

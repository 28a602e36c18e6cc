//! Anomalies: days on which a series cost more or less than it used to, and first spends; each with what explains it and
//! the event behind it.
//!
//! A series is one resource, or what has no resource in one account, service and region; never a total, in which anomalies
//! could cancel each other out.

mod cause;
mod dimension;
mod known;

use std::collections::BTreeMap;

use chrono::{Days as DayCount, NaiveDate};
use costs::anomaly::{self, DailyAnomaly, FirstSpend, SeriesKey, Severity, Spend, first_spends};
use schemas::{TenantId, Timestamp, changes::cost::BudgetCost};
use serde::{Deserialize, Serialize};
use sqlx::{PgPool, QueryBuilder, Row, postgres::PgRow};
use utoipa::ToSchema;
use uuid::Uuid;

use self::{
    cause::{cause, events},
    dimension::explain_dimensions,
    known::Known,
};
use super::{
    STAGE,
    filter::{CostFilter, CostView, Days, Grain, Source},
};
use crate::read_models::snapshot::{Positions, ReadError, Snapshot};

/// Days before the first one that is judged, from which it is expected.
const HISTORY_DAYS: u64 = 56;
/// Days that are examined by default.
const DEFAULT_DAYS: u64 = 30;
/// Most series that are judged at once: those that cost most on a day.
const MAX_SERIES: i64 = 20_000;

/// Something unusual.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CostAnomaly {
    /// `daily`: a day outside of its expected range. `first_spend`: the first cost in an account, service or region.
    pub kind: String,
    /// The day, UTC.
    #[schema(value_type = String, format = Date)]
    pub day: NaiveDate,
    /// ISO 4217.
    pub currency: String,
    /// FOCUS `SubAccountId`; null where the series is not narrowed by it.
    pub account: Option<String>,
    /// FOCUS `ServiceName`.
    pub service: Option<String>,
    /// FOCUS `RegionId`.
    pub region: Option<String>,
    /// FOCUS `ResourceId`.
    pub resource: Option<String>,
    /// Expected cost. Expectations are statistics, and rounded to four places.
    pub expected: f64,
    /// Lower bound of the expected cost.
    pub expected_low: f64,
    /// Upper bound of the expected cost.
    pub expected_high: f64,
    /// Actual cost, charged and accrued.
    pub actual: f64,
    /// Actual minus expected.
    pub impact: f64,
    /// `low`, `medium` from 20 % of what was expected, `high` from 50 %.
    pub severity: String,
    /// The dimension that explains it: `sku`, `charge_category`, `resource`, `account`, `service` or `region`.
    pub dimension: String,
    /// Its value.
    pub dimension_value: String,
    /// The event behind it, where one is known.
    pub cause: Option<AnomalyCause>,
}

/// The event behind an anomaly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AnomalyCause {
    /// Its id in the audit log.
    pub event_id: Uuid,
    /// Time of the event.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// `provisioned`, `scaled` or `deleted`.
    pub kind: String,
    /// Resource that the event changed.
    pub resource: String,
    /// Actor of the event.
    pub actor: Option<String>,
}

/// Request for the anomalies of costs.
#[derive(Debug, Clone)]
pub struct AnomaliesRequest {
    /// Days and instant of knowledge to read costs for.
    pub view: CostView,
    /// Filter on the charges.
    pub filter: CostFilter,
    /// Cost that is examined.
    pub cost: BudgetCost,
    /// Current day.
    pub today: NaiveDate,
    /// Most anomalies in the answer.
    pub limit: u16,
}

/// Anomalies, and whether they are complete.
#[derive(Debug, Clone, PartialEq)]
pub struct Anomalies {
    /// The largest impact first.
    pub items: Vec<CostAnomaly>,
    /// Whether these are all.
    pub complete: bool,
    /// Positions that the answer reflects.
    pub positions: Positions,
}

/// Costs of one series by day.
struct Series {
    currency: String,
    key: SeriesKey,
    /// Reference of the resource.
    resource_ref: String,
    days: Vec<(NaiveDate, f64)>,
}

/// Finds what is unusual.
pub async fn anomalies(
    pool: &PgPool,
    tenant: &TenantId,
    request: &AnomaliesRequest,
) -> Result<Anomalies, ReadError> {
    // Today is not over: it costs less than it will.
    let to = request.view.to.map_or(request.today, |to| to.min(request.today));
    let before = |day: NaiveDate, days: u64| day.checked_sub_days(DayCount::new(days)).unwrap_or(day);
    let from = request.view.from.unwrap_or_else(|| before(to, DEFAULT_DAYS));
    let history = before(from, HISTORY_DAYS);
    let mut snapshot = Snapshot::open(pool, tenant, Some(STAGE)).await?;
    let days = Days::of(&mut snapshot, tenant, request.view.instant()).await?;
    // Before the series: reading those turns hash tables off.
    let spends = spends(&mut snapshot, tenant, request, days, (history, to)).await?;
    let known = Known { tenant, instant: request.view.instant() };
    let first_day = known.first_day(&mut snapshot).await?;
    let series = series(&mut snapshot, tenant, request, days, (history, to)).await?;
    let mut complete = series.len() < usize::try_from(MAX_SERIES).unwrap_or(usize::MAX);
    let mut found: Vec<(usize, CostAnomaly)> = Vec::new();
    for (place, one) in series.iter().enumerate() {
        let unusual = anomaly::anomalies(&one.days).into_iter().filter(|anomaly| anomaly.day >= from);
        found.extend(unusual.map(|anomaly| (place, daily(one, &anomaly))));
    }
    for (currency, spends) in &spends {
        // A place that is new in the window may be an old one: only days since the very first are new.
        let new = first_spends(spends).into_iter().filter(|first| first.day >= from);
        for first in new {
            if first_day.is_some_and(|day| day < before(first.day, 9))
                && !known.has_spent(&mut snapshot, currency, &first, history).await?
            {
                found.push((usize::MAX, first_spend(currency, &first)));
            }
        }
    }
    found.sort_by(|(_, a), (_, b)| {
        b.impact
            .abs()
            .total_cmp(&a.impact.abs())
            .then_with(|| (a.day, &a.resource).cmp(&(b.day, &b.resource)))
    });
    complete &= found.len() <= usize::from(request.limit);
    found.truncate(usize::from(request.limit));
    let events = events(&mut snapshot, tenant, (before(from, 2), to)).await?;
    explain_dimensions(&mut snapshot, tenant, request, &series, &mut found).await?;
    for (place, anomaly) in &mut found {
        anomaly.cause = cause(anomaly, series.get(*place), &events);
    }
    let items = found.into_iter().map(|(_, anomaly)| anomaly).collect();
    Ok(Anomalies { items, complete, positions: snapshot.positions })
}

/// The column of a cost.
const fn amount(cost: BudgetCost) -> &'static str {
    match cost {
        BudgetCost::Billed => "d.billed",
        BudgetCost::Effective => "d.effective",
    }
}

/// Costs of each account, each service and each region by day, of each currency. All that a place cost on a day counts,
/// however many resources it was spent on.
async fn spends(
    snapshot: &mut Snapshot,
    tenant: &TenantId,
    request: &AnomaliesRequest,
    days: Days,
    (from, to): (NaiveDate, NaiveDate),
) -> Result<BTreeMap<String, Vec<Spend>>, ReadError> {
    let source = Source::of(&request.view, &request.filter, Grain { by_month: false, by_group: true });
    let amount = amount(request.cost);
    let mut query = QueryBuilder::new("SELECT s.currency, d.day, s.sub_account, s.service, s.region, sum(");
    query.push(amount).push(" + d.accrued)::double precision AS cost");
    let of_days = (Some(from), Some(to));
    days.out_of(source).push(&mut query, tenant.as_str(), of_days, request.view.instant());
    request.filter.push(&mut query);
    query.push(
        " AND s.charge_category <> 'Purchase'
          GROUP BY GROUPING SETS ((s.currency, d.day, s.sub_account), (s.currency, d.day, s.service),
                                  (s.currency, d.day, s.region))
         HAVING sum(",
    );
    query.push(amount).push(" + d.accrued) <> 0");
    let rows = query.build().fetch_all(snapshot.connection()).await?;
    let mut spends: BTreeMap<String, Vec<Spend>> = BTreeMap::new();
    for row in &rows {
        // Each row has one of the three; the others are null. What has none of them is no place.
        let place = |column: &str| {
            Ok::<_, ReadError>(row.try_get::<Option<String>, _>(column)?.filter(|name| !name.is_empty()))
        };
        let key = SeriesKey {
            account: place("sub_account")?,
            service: place("service")?,
            region: place("region")?,
            resource: None,
        };
        let spend = Spend { day: row.try_get("day")?, key, cost: row.try_get("cost")? };
        spends.entry(row.try_get("currency")?).or_default().push(spend);
    }
    Ok(spends)
}

/// Costs of each series by day. A series with charges ends on the newest day that its billing account is billed for: the
/// days after it are not known yet, and what accrues on them is at list prices.
async fn series(
    snapshot: &mut Snapshot,
    tenant: &TenantId,
    request: &AnomaliesRequest,
    days: Days,
    (from, to): (NaiveDate, NaiveDate),
) -> Result<Vec<Series>, ReadError> {
    let amount = amount(request.cost);
    // Sums of days are many and small: sorted by number and day they take half of the time of a hash table.
    sqlx::query("SELECT set_config('enable_hashagg', 'off', true)").execute(snapshot.connection()).await?;
    // Series are numbered first: to compare the texts of each day takes twice as long.
    let (of_days, instant) = ((Some(from), Some(to)), request.view.instant());
    let mut query = QueryBuilder::new(
        "WITH billed AS MATERIALIZED (SELECT s.provider, s.billing_account, max(d.day) AS newest",
    );
    Days::of_charges().out_of(Source::Groups).push(&mut query, tenant.as_str(), of_days, instant);
    query.push(
        " GROUP BY 1, 2), numbered AS MATERIALIZED (
           SELECT s.tenant_id, s.series_key, s.currency, s.sub_account, s.service, s.region, s.resource, s.resource_ref,
                  s.provider, s.billing_account,
                  dense_rank() OVER (ORDER BY s.currency, s.sub_account, s.service, s.region, s.resource_ref) AS number
             FROM cost_series AS s WHERE s.charge_category <> 'Purchase' AND s.tenant_id = ",
    );
    query.push_bind(tenant.as_str().to_owned());
    request.filter.push(&mut query);
    query.push("), of_day AS (SELECT s.number, d.day, sum((");
    query.push(amount).push(" + d.accrued)::double precision) AS cost");
    days.push_over("numbered", &mut query, tenant.as_str(), of_days, instant);
    query.push(
        " GROUP BY 1, 2),
         until AS (
           SELECT n.number, max(b.newest) AS newest
             FROM numbered AS n JOIN billed AS b USING (provider, billing_account) GROUP BY 1),
         largest AS (
           SELECT number, array_agg(day ORDER BY day) AS days, array_agg(cost ORDER BY day) AS costs,
                  max(abs(cost)) AS largest
             FROM of_day GROUP BY 1 HAVING max(abs(cost)) >= 1 ORDER BY largest DESC, number LIMIT ",
    );
    query.push_bind(MAX_SERIES).push(
        ")
         SELECT n.currency, n.sub_account AS account, n.service, n.region, n.resource, n.resource_ref, l.days, l.costs,
                u.newest
           FROM largest AS l
           JOIN (SELECT DISTINCT ON (number) * FROM numbered ORDER BY number, resource DESC) AS n USING (number)
           LEFT JOIN until AS u USING (number)
          ORDER BY l.largest DESC, number",
    );
    let rows = query.build().fetch_all(snapshot.connection()).await?;
    rows.iter().map(|row| decoded(row, to)).collect()
}

fn decoded(row: &PgRow, to: NaiveDate) -> Result<Series, ReadError> {
    let text = |name: &str| {
        Ok::<_, ReadError>(Some(row.try_get::<String, _>(name)?).filter(|text| !text.is_empty()))
    };
    let (days, costs): (Vec<NaiveDate>, Vec<f64>) = (row.try_get("days")?, row.try_get("costs")?);
    let mut days: Vec<(NaiveDate, f64)> = days.into_iter().zip(costs).collect();
    let newest: Option<NaiveDate> = row.try_get("newest")?;
    let end = to.pred_opt().map(|yesterday| newest.map_or(yesterday, |newest| newest.min(yesterday)));
    if let Some(end) = end {
        days.retain(|(day, _)| *day <= end);
        // A resource that costs nothing any more is one that cost nothing on the last day as well.
        if days.last().is_some_and(|(last, _)| *last < end) {
            days.push((end, 0.0));
        }
    }
    Ok(Series {
        currency: row.try_get("currency")?,
        key: SeriesKey {
            account: text("account")?,
            service: text("service")?,
            region: text("region")?,
            resource: text("resource")?,
        },
        resource_ref: row.try_get("resource_ref")?,
        days,
    })
}

fn daily(series: &Series, anomaly: &DailyAnomaly) -> CostAnomaly {
    let DailyAnomaly { day, expected, low, high, actual, impact, severity } = *anomaly;
    let SeriesKey { account, service, region, resource } = series.key.clone();
    let (dimension, value) = narrowest(&series.key);
    CostAnomaly {
        kind: "daily".to_owned(),
        day,
        currency: series.currency.clone(),
        account,
        service,
        region,
        resource,
        expected: rounded(expected),
        expected_low: rounded(low),
        expected_high: rounded(high),
        actual: rounded(actual),
        impact: rounded(impact),
        severity: severity.name().to_owned(),
        dimension: dimension.to_owned(),
        dimension_value: value,
        cause: None,
    }
}

fn first_spend(currency: &str, first: &FirstSpend) -> CostAnomaly {
    let of = |name: &str| (first.dimension.name() == name).then(|| first.value.clone());
    CostAnomaly {
        kind: "first_spend".to_owned(),
        day: first.day,
        currency: currency.to_owned(),
        account: of("account"),
        service: of("service"),
        region: of("region"),
        resource: None,
        expected: 0.0,
        expected_low: 0.0,
        expected_high: 0.0,
        actual: rounded(first.cost),
        impact: rounded(first.cost),
        severity: Severity::High.name().to_owned(),
        dimension: first.dimension.name().to_owned(),
        dimension_value: first.value.clone(),
        cause: None,
    }
}

/// Statistics have no more than four places.
fn rounded(value: f64) -> f64 {
    (value * 10_000.0).round() / 10_000.0
}

/// The narrowest dimension of a series.
fn narrowest(key: &SeriesKey) -> (&'static str, String) {
    [
        ("resource", &key.resource),
        ("service", &key.service),
        ("region", &key.region),
        ("account", &key.account),
    ]
    .into_iter()
    .find_map(|(name, value)| Some((name, value.clone()?)))
    .unwrap_or(("account", String::new()))
}

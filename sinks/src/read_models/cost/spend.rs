//! Spending that counts against a budget while resources accrue: the inputs of [`costs::accrual::Spend`],
//! read from the tables.

use std::{collections::BTreeMap, sync::Arc};

use chrono::{Datelike as _, Months, NaiveDate};
use costs::accrual::{Accruing, Covers, Rate, Spend};
use projections::cost::budget::period_of;
use rust_decimal::Decimal;
use schemas::Timestamp;
use sqlx::{PgConnection, QueryBuilder};
use uuid::Uuid;

use super::budget::{InForce, Reached, push_scope, push_spent};

/// Most months of a span, far more than anybody has events of.
const MAX_MONTHS: usize = 1_200;

/// From when to when a tenant's resources accrue, as far as its events tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    /// The day of the first event.
    pub(super) first: NaiveDate,
    /// The newest event: how far time is known to have come.
    pub(super) last: Timestamp,
}

impl Span {
    /// A day of each month from a day on to the newest event.
    pub(super) fn months_from(self, first: NaiveDate) -> impl Iterator<Item = NaiveDate> {
        let last = self.last.date_naive();
        let first = first.with_day(1).unwrap_or(first);
        std::iter::successors(Some(first), |month| month.checked_add_months(Months::new(1)))
            .take_while(move |month| *month <= last)
            .take(MAX_MONTHS)
    }
}

/// From when to when a tenant's resources accrue; `None`: none does.
pub(super) async fn accrued_from_to(tx: &mut PgConnection, tenant: &str) -> sqlx::Result<Option<Span>> {
    let found: Option<(Timestamp, Timestamp)> = sqlx::query_as(
        "SELECT min(happened_at), max(happened_at) FROM cost_lifecycle WHERE tenant_id = $1
            AND EXISTS (SELECT FROM cost_accrual WHERE tenant_id = $1) HAVING count(*) > 0",
    )
    .bind(tenant)
    .fetch_optional(tx)
    .await?;
    Ok(found.map(|(first, last)| Span { first: first.date_naive(), last }))
}

/// The day to which time was known to have come before these events; `None` without events, or where they are the first.
pub(super) async fn last_before(
    tx: &mut PgConnection,
    tenant: &str,
    lives: &[Uuid],
) -> sqlx::Result<Option<NaiveDate>> {
    if lives.is_empty() {
        return Ok(None);
    }
    let last: Option<Timestamp> = sqlx::query_scalar(
        "SELECT max(happened_at) FROM cost_lifecycle WHERE tenant_id = $1 AND event_id <> ALL($2)",
    )
    .bind(tenant)
    .bind(lives)
    .fetch_one(tx)
    .await?;
    Ok(last.map(|last| last.date_naive()))
}

/// Periods of days with what charges cover in them, as far as it was read: a tenant's budgets share it.
pub(super) type CoversByPeriod = BTreeMap<(NaiveDate, NaiveDate), Arc<Covers>>;

/// The thresholds that charges and accrual together reach in one period, as far as time is known to have come.
pub(super) async fn reached(
    tx: &mut PgConnection,
    tenant: &str,
    budget: &InForce,
    period: NaiveDate,
    last: Timestamp,
    known: &mut CoversByPeriod,
) -> sqlx::Result<Vec<Reached>> {
    let days = period_of(budget.period, period);
    let accruing = accruing(tx, tenant, budget, days).await?;
    if !accruing.is_empty() && !known.contains_key(&days) {
        known.insert(days, Arc::new(covers(tx, tenant, days).await?));
    }
    let covers = known.get(&days).map(Arc::clone).unwrap_or_default();
    let spend = Spend { steps: steps(tx, tenant, budget, days).await?, accruing, covers };
    let newest = spend.steps.iter().map(|(known_at, _)| *known_at).max();
    let horizon = newest.map_or(last, |newest| newest.max(last));
    let amounts: Vec<Decimal> = budget
        .thresholds
        .iter()
        .map(|percent| budget.amount.saturating_mul(Decimal::from(*percent)) / Decimal::ONE_HUNDRED)
        .collect();
    let reached = spend.reached(days, horizon, &amounts);
    let told = budget.thresholds.iter().zip(reached);
    Ok(told.filter_map(|(percent, at)| at.map(|(at, spent)| (*percent, at, spent.to_string()))).collect())
}

/// Amounts of charges by the time at which they became known.
async fn steps(
    tx: &mut PgConnection,
    tenant: &str,
    budget: &InForce,
    (start, end): (NaiveDate, NaiveDate),
) -> sqlx::Result<Vec<(Timestamp, Decimal)>> {
    let mut query = QueryBuilder::new("SELECT d.known_at, sum(CASE WHEN ");
    query.push_bind(budget.cost.clone()).push(" = 'effective' THEN d.effective ELSE d.billed END)::text");
    push_spent(&mut query, tenant, budget);
    query.push(" AND d.day >= ").push_bind(start).push(" AND d.day < ").push_bind(end);
    query.push(" GROUP BY d.known_at");
    let steps: Vec<(Timestamp, String)> = query.build_query_as().fetch_all(tx).await?;
    Ok(steps.into_iter().map(|(known_at, sum)| (known_at, nearest(&sum))).collect())
}

/// A sum as a decimal of 96 bits: one with more digits is rounded, one that is too large is the largest.
pub(super) fn nearest(text: &str) -> Decimal {
    let largest = if text.starts_with('-') { Decimal::MIN } else { Decimal::MAX };
    text.parse().unwrap_or(largest)
}

/// A resource, its interval, and its prices by the hour and the month.
type Row = (String, Timestamp, Option<Timestamp>, Decimal, Decimal);

/// The resources that accrue in the period and count against the budget.
async fn accruing(
    tx: &mut PgConnection,
    tenant: &str,
    budget: &InForce,
    (start, end): (NaiveDate, NaiveDate),
) -> sqlx::Result<Vec<Accruing>> {
    let mut query = QueryBuilder::new(
        "SELECT a.resource_ref, a.starts, a.ends, a.hourly, a.monthly
           FROM cost_accrual AS a JOIN cost_series AS s USING (tenant_id, series_key)
          WHERE a.hourly IS NOT NULL AND a.tenant_id = ",
    );
    query.push_bind(tenant.to_owned()).push(" AND a.starts < ").push_bind(end);
    query.push("::timestamp AT TIME ZONE 'UTC' AND (a.ends IS NULL OR a.ends > ").push_bind(start);
    query.push("::timestamp AT TIME ZONE 'UTC')");
    push_scope(&mut query, budget);
    let rows: Vec<Row> = query.build_query_as().fetch_all(tx).await?;
    let one = |(resource, from, until, hourly, monthly): Row| Accruing {
        resource,
        from,
        until,
        rate: Rate { hourly, monthly },
    };
    Ok(rows.into_iter().map(one).collect())
}

/// Periods that charges cover, by resource and day: the time at which the charge became known, and the end of
/// its period. As in `weir_cost_covered_days`, a charge for more than 400 days covers 400.
async fn covers(
    tx: &mut PgConnection,
    tenant: &str,
    (start, end): (NaiveDate, NaiveDate),
) -> sqlx::Result<Covers> {
    let rows: Vec<(String, NaiveDate, Timestamp, Timestamp)> = sqlx::query_as(
        "SELECT DISTINCT c.resource_ref, g.day::date, c.known_at, date_trunc('second', c.covers_until)
           FROM (SELECT s.resource_ref, d.day, d.known_at, d.covers_until,
                        sum(d.charges) OVER (PARTITION BY d.series_key, d.day ORDER BY d.known_at) AS charges
                   FROM cost_resource AS r
                   JOIN cost_series AS s ON s.tenant_id = r.tenant_id AND s.resource_ref = r.resource_ref
                   JOIN cost_daily AS d ON d.tenant_id = s.tenant_id AND d.series_key = s.series_key
                  WHERE r.tenant_id = $1 AND s.charge_category = 'Usage' AND d.day >= $2 - 400 AND d.day < $3) AS c
          CROSS JOIN LATERAL generate_series(
                  greatest(c.day::timestamp, $2::timestamp),
                  least((c.covers_until AT TIME ZONE 'UTC'), $3::timestamp, c.day + interval '400 days')
                    - interval '1 microsecond',
                  interval '1 day') AS g(day)
          WHERE c.charges > 0 AND c.covers_until IS NOT NULL",
    )
    .bind(tenant)
    .bind(start)
    .bind(end)
    .fetch_all(tx)
    .await?;
    let mut covers = Covers::new();
    for (resource, day, known_at, until) in rows {
        covers.entry((resource, day)).or_default().push((known_at, until));
    }
    Ok(covers)
}

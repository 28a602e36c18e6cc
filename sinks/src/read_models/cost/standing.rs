//! Standing of budgets at an instant: spending in the period that it lies in, and the forecast for its end.

use chrono::NaiveDate;
use costs::forecast;
use projections::cost::budget::period_of;
use rust_decimal::Decimal;
use schemas::{TenantId, Timestamp, changes::budget_verdicts::BudgetStand};
use sqlx::{PgConnection, QueryBuilder};

pub(crate) use super::budget::InForce;
use super::{
    budget::{IN_FORCE, MAX_BUDGETS, decoded, push_scope},
    read::{Days, HISTORY_DAYS, WEEK, billed_until, of_scope, without_gaps},
};

/// The budgets of a tenant that were in force at an instant, hard ones first, then by name.
pub(crate) async fn in_force_at(
    connection: &mut PgConnection,
    tenant: &TenantId,
    at: Timestamp,
) -> sqlx::Result<Vec<InForce>> {
    let mut query = QueryBuilder::new("SELECT * FROM (");
    query.push(IN_FORCE).push_bind(tenant.as_str().to_owned());
    query.push(" AND decided_at <= ").push_bind(at);
    query.push(" ORDER BY budget, decided_at DESC, event_id DESC) AS b WHERE decision = 'set'");
    query.push(" ORDER BY enforcement = 'hard' DESC, budget LIMIT ");
    query.push_bind(MAX_BUDGETS);
    query.build().fetch_all(connection).await?.iter().map(decoded).collect()
}

/// Standing of one budget at an instant, by what was known then.
pub(crate) async fn stand(
    connection: &mut PgConnection,
    tenant: &TenantId,
    budget: &InForce,
    at: Timestamp,
) -> sqlx::Result<BudgetStand> {
    let today = at.date_naive();
    let (start, end) = period_of(budget.period, today);
    let days = Days::at(connection, tenant, Some(at)).await?;
    let mut query = QueryBuilder::new("SELECT coalesce(sum(CASE WHEN ");
    query
        .push_bind(budget.cost.clone())
        .push(" = 'effective' THEN d.effective ELSE d.billed END + d.accrued), 0)::text");
    let of_period = days.out_of(budget.sums());
    of_period.push(&mut query, tenant.as_str(), (Some(start), Some(end)), Some(at));
    push_scope(&mut query, budget);
    let spent: String = query.build_query_scalar().fetch_one(&mut *connection).await?;
    let forecast = forecast_of(connection, tenant, (days, budget), (today, at, &spent)).await?;
    Ok(BudgetStand {
        budget: budget.budget.clone(),
        enforcement: budget.enforcement,
        scope: budget.scope(),
        period: budget.period,
        period_start: start,
        period_end: end,
        amount: budget.amount,
        currency: budget.currency.clone(),
        // A sum with more digits than fit is beyond every budget.
        spent: spent.parse().unwrap_or(Decimal::MAX),
        forecast: forecast.and_then(Decimal::from_f64_retain).map(|forecast| forecast.round_dp(2)),
    })
}

/// Forecast for the end of the period: the spending so far, and the course of the days that are over and billed, continued
/// from there on. Purchases follow no course: those that were made count, and none is expected.
async fn forecast_of(
    connection: &mut PgConnection,
    tenant: &TenantId,
    (days, budget): (Days, &InForce),
    (today, at, spent): (NaiveDate, Timestamp, &str),
) -> sqlx::Result<Option<f64>> {
    let (start, end) = period_of(budget.period, today);
    let course = course(connection, tenant, (days, budget), (today, end), Some(at)).await?;
    let (over, running) = course.known();
    let Some((known_until, _)) = over.last().copied() else { return Ok(None) };
    let to_come = usize::try_from((end - known_until).num_days() - 1).unwrap_or_default();
    let Some(forecast) = forecast::forecast(&without_gaps(over), WEEK, to_come) else { return Ok(None) };
    // What the running days have cost so far is a part of what they will.
    let spent = spent.parse::<f64>().unwrap_or_default() - running.iter().map(|(_, cost)| cost).sum::<f64>();
    let in_period = (1..).zip(&forecast.points).filter(|(number, _)| {
        known_until.checked_add_days(chrono::Days::new(*number)).is_some_and(|day| day >= start)
    });
    Ok(Some(spent + in_period.map(|(_, point)| point.expected).sum::<f64>()))
}

/// Spending by day.
type DayCosts = [(NaiveDate, f64)];

/// Daily spending that counts against a budget.
pub(super) struct Course {
    days: Vec<(NaiveDate, f64)>,
    /// The first day whose costs are not known in full: it is not over, or not billed by everybody.
    running_from: NaiveDate,
}

impl Course {
    /// The days whose costs are known, and those that are running.
    pub(super) fn known(&self) -> (&DayCosts, &DayCosts) {
        self.days.split_at(self.days.partition_point(|(day, _)| *day < self.running_from))
    }
}

/// Daily spending that counts against a budget, up to before the end of a period, without purchases.
pub(super) async fn course(
    connection: &mut PgConnection,
    tenant: &TenantId,
    (days, budget): (Days, &InForce),
    (today, end): (NaiveDate, NaiveDate),
    known_at: Option<Timestamp>,
) -> sqlx::Result<Course> {
    let from = today.checked_sub_days(chrono::Days::new(HISTORY_DAYS));
    let mut query = QueryBuilder::new("SELECT d.day, sum(CASE WHEN ");
    query
        .push_bind(budget.cost.clone())
        .push(" = 'effective' THEN d.effective ELSE d.billed END + d.accrued)::double precision");
    let of_days = days.out_of(budget.sums_of_days());
    of_days.push(&mut query, tenant.as_str(), (from, Some(end)), known_at);
    push_scope(&mut query, budget);
    query.push(" AND s.charge_category <> 'Purchase' GROUP BY 1 ORDER BY 1");
    let of_days: Vec<(NaiveDate, f64)> = query.build_query_as().fetch_all(&mut *connection).await?;
    let mut asked = of_scope(tenant, today, known_at);
    push_scope(&mut asked, budget);
    let billed = billed_until(connection, asked).await?;
    let running_from = billed.get(&budget.currency).map_or(today, |until| today.min(*until));
    Ok(Course { days: of_days, running_from })
}

//! Budgets: what may be spent, what is, and which thresholds were reached.

use chrono::NaiveDate;
use costs::forecast;
use projections::cost::budget::period_of;
use schemas::{
    TenantId, Timestamp,
    changes::cost::{BudgetCost, BudgetPeriod, Enforcement},
};
use serde::{Deserialize, Serialize};
use sqlx::{PgPool, QueryBuilder, Row, postgres::PgRow};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    super::{
        budget::{IN_FORCE, InForce, decoded, push_scope},
        standing::course,
    },
    STAGE,
    filter::Days,
    forecast::{WEEK, without_gaps},
};
use crate::read_models::snapshot::{Page, ReadError, Snapshot};

/// One budget, in the requested period.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BudgetItem {
    /// Its name.
    pub budget: String,
    /// Event of the decision in force.
    pub set_by: Uuid,
    /// Actor who set the budget.
    pub actor: String,
    /// Time of the decision.
    #[schema(value_type = String, format = DateTime)]
    pub decided_at: Timestamp,
    /// Reason of the decision.
    pub reason: Option<String>,
    /// Reason for which the decision cannot be read; then there are no terms.
    pub fault: Option<String>,
    /// Terms of the budget, and what is spent of it.
    pub terms: Option<BudgetStanding>,
}

/// Terms of a budget, and its consumption.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BudgetStanding {
    /// The amount, a decimal.
    pub amount: String,
    /// ISO 4217.
    pub currency: String,
    /// Length of the period.
    pub period: BudgetPeriod,
    /// `tenant`, `project`, `team` or `tag`.
    pub scope: String,
    /// The project, the team, or the tag as `key=value`.
    pub scope_value: Option<String>,
    /// Cost that counts against the budget.
    pub cost: BudgetCost,
    /// Consequence of exceeding the budget.
    pub enforcement: Enforcement,
    /// Alert thresholds in percent of the amount.
    pub thresholds: Vec<i64>,
    /// First day of the period.
    #[schema(value_type = String, format = Date)]
    pub period_start: NaiveDate,
    /// The day after its last.
    #[schema(value_type = String, format = Date)]
    pub period_end: NaiveDate,
    /// Amount spent, a decimal: charges, and accrued costs without a charge.
    pub spent: String,
    /// The part of it that has accrued.
    #[serde(default)]
    pub accrued: String,
    /// Amount left; negative beyond the budget.
    pub remaining: String,
    /// Percent of the amount that is spent, to two places.
    pub spent_percent: String,
    /// The thresholds that were reached, and when.
    pub crossings: Vec<BudgetCrossing>,
    /// Forecast for the end of the period. Present if requested, while the period lasts and there is enough
    /// history.
    #[serde(default)]
    pub forecast: Option<BudgetForecast>,
}

/// Forecast of a budget at the end of its period. Forecasts are statistics, and rounded to two places.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BudgetForecast {
    /// Expected spending.
    pub spent: f64,
    /// Expected spending in percent of the amount.
    pub spent_percent: f64,
    /// The thresholds that will be reached, also those that were, each with the day on which it is expected.
    pub thresholds: Vec<BudgetForecastThreshold>,
}

/// A threshold that will be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BudgetForecastThreshold {
    /// Percent of the amount.
    pub percent: i64,
    /// The day on which it is expected; null where it is reached already.
    #[schema(value_type = Option<String>, format = Date)]
    pub day: Option<NaiveDate>,
}

/// A threshold that was reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BudgetCrossing {
    /// Percent of the amount.
    pub percent: i64,
    /// Time at which it became known.
    #[schema(value_type = String, format = DateTime)]
    pub known_at: Timestamp,
    /// Amount spent by then.
    pub spent: String,
}

/// Request for one page.
#[derive(Debug, Clone)]
pub struct BudgetsRequest {
    /// The period that this day lies in.
    pub day: NaiveDate,
    /// Instant of knowledge: only what was known and decided by then counts.
    pub known_at: Option<Timestamp>,
    /// Current day, if the end of the period is to be forecast: it is not over.
    pub forecast_from: Option<NaiveDate>,
    /// Only budgets after this one.
    pub after: Option<String>,
    /// Most budgets on the page.
    pub limit: u16,
}

/// A page of the tenant's budgets, by name.
pub async fn budgets(
    pool: &PgPool,
    tenant: &TenantId,
    request: &BudgetsRequest,
) -> Result<Page<BudgetItem, String>, ReadError> {
    let mut snapshot = Snapshot::open(pool, tenant, Some(STAGE)).await?;
    let mut query = QueryBuilder::new("SELECT * FROM (");
    query.push(IN_FORCE).push_bind(tenant.as_str().to_owned());
    if let Some(instant) = request.known_at {
        query.push(" AND decided_at <= ").push_bind(instant);
    }
    if let Some(after) = &request.after {
        query.push(" AND budget > ").push_bind(after.clone());
    }
    query.push(" ORDER BY budget, decided_at DESC, event_id DESC) AS b WHERE decision <> 'removed' ORDER BY budget LIMIT ");
    query.push_bind(i64::from(request.limit) + 1);
    let rows = query.build().fetch_all(snapshot.connection()).await?;
    let days = Days::of(&mut snapshot, tenant, request.known_at).await?;
    let mut items = Vec::with_capacity(rows.len());
    for row in rows.iter().take(usize::from(request.limit)) {
        items.push(item(&mut snapshot, tenant, (request, days), row).await?);
    }
    let more = rows.len() > items.len();
    let next = items.last().filter(|_| more).map(|item| item.budget.clone());
    Ok(Page { items, next, reached: None, positions: snapshot.positions })
}

async fn item(
    snapshot: &mut Snapshot,
    tenant: &TenantId,
    asked: (&BudgetsRequest, Days),
    row: &PgRow,
) -> Result<BudgetItem, ReadError> {
    let is_set = row.try_get::<&str, _>("decision")? == "set";
    let terms = if is_set { Some(standing(snapshot, tenant, asked, &decoded(row)?).await?) } else { None };
    Ok(BudgetItem {
        budget: row.try_get("budget")?,
        set_by: row.try_get("event_id")?,
        actor: row.try_get("actor")?,
        decided_at: row.try_get("decided_at")?,
        reason: row.try_get("reason")?,
        fault: row.try_get("fault")?,
        terms,
    })
}

async fn standing(
    snapshot: &mut Snapshot,
    tenant: &TenantId,
    (request, days): (&BudgetsRequest, Days),
    budget: &InForce,
) -> Result<BudgetStanding, ReadError> {
    let (start, end) = period_of(budget.period, request.day);
    let mut query = QueryBuilder::new(
        "SELECT trim_scale(spent)::text AS spent, trim_scale(accrued)::text AS accrued, trim_scale(",
    );
    query.push_bind(budget.amount).push(" - spent)::text AS remaining, round(spent * 100 / ");
    query.push_bind(budget.amount).push(", 2)::text AS percent FROM (SELECT coalesce(sum(CASE WHEN ");
    query
        .push_bind(budget.cost.clone())
        .push(" = 'effective' THEN d.effective ELSE d.billed END + d.accrued), 0) AS spent,")
        .push(" coalesce(sum(d.accrued), 0) AS accrued");
    let of_period = days.out_of(budget.sums());
    of_period.push(&mut query, tenant.as_str(), (Some(start), Some(end)), request.known_at);
    push_scope(&mut query, budget);
    query.push(") AS s");
    let row = query.build().fetch_one(snapshot.connection()).await?;
    let crossings = sqlx::query(
        "SELECT percent, known_at, trim_scale(spent)::text AS spent FROM cost_budget_crossing
          WHERE tenant_id = $1 AND budget = $2 AND period_start = $3 AND ($4::timestamptz IS NULL OR known_at <= $4)
          ORDER BY percent",
    )
    .bind(tenant.as_str())
    .bind(&budget.budget)
    .bind(start)
    .bind(request.known_at)
    .fetch_all(snapshot.connection())
    .await?;
    let crossing = |row: &PgRow| {
        Ok::<_, ReadError>(BudgetCrossing {
            percent: row.try_get("percent")?,
            known_at: row.try_get("known_at")?,
            spent: row.try_get("spent")?,
        })
    };
    let spent: String = row.try_get("spent")?;
    let forecast = match request.forecast_from.filter(|today| *today < end) {
        Some(today) => outlook(snapshot, tenant, days, budget, (today, request.known_at, &spent)).await?,
        None => None,
    };
    let cost = BudgetCost::from_name(&budget.cost);
    Ok(BudgetStanding {
        amount: budget.amount.normalize().to_string(),
        currency: budget.currency.clone(),
        period: budget.period,
        scope: budget.scope.clone(),
        scope_value: match budget.scope.as_str() {
            "tenant" => None,
            "tag" => Some(format!("{}={}", budget.scope_key, budget.scope_value)),
            _ => Some(budget.scope_value.clone()),
        },
        cost: cost.ok_or_else(|| ReadError::Unreadable(format!("cost {:?} is unknown", budget.cost)))?,
        enforcement: budget.enforcement,
        thresholds: budget.thresholds.clone(),
        period_start: start,
        period_end: end,
        spent,
        accrued: row.try_get("accrued")?,
        remaining: row.try_get("remaining")?,
        spent_percent: row.try_get("percent")?,
        crossings: crossings.iter().map(crossing).collect::<Result<_, _>>()?,
        forecast,
    })
}

/// Forecasts a budget at the end of today's period from the daily series of costs that count against it.
/// Purchases are not extrapolated: those made so far count, and none is expected.
async fn outlook(
    snapshot: &mut Snapshot,
    tenant: &TenantId,
    days: Days,
    budget: &InForce,
    (today, known_at, spent): (NaiveDate, Option<Timestamp>, &str),
) -> Result<Option<BudgetForecast>, ReadError> {
    let (start, end) = period_of(budget.period, today);
    let course = course(snapshot.connection(), tenant, (days, budget), (today, end), known_at).await?;
    let (over, running) = course.known();
    let Some((known_until, _)) = over.last().copied() else { return Ok(None) };
    let to_come = usize::try_from((end - known_until).num_days() - 1).unwrap_or_default();
    let Some(forecast) = forecast::forecast(&without_gaps(over), WEEK, to_come) else { return Ok(None) };
    let float = |text: &str| text.parse::<f64>().unwrap_or_default();
    // What the running days have cost so far is a part of what they will.
    let mut sum = float(spent) - running.iter().map(|(_, cost)| cost).sum::<f64>();
    let amount = float(&budget.amount.to_string());
    let mut thresholds = Vec::new();
    let mut open: Vec<i64> = budget.thresholds.clone();
    let mut reach = |sum: f64, day: Option<NaiveDate>| {
        open.retain(|percent| {
            let reached = float(&percent.to_string()) * amount / 100.0 <= sum;
            thresholds.extend(reached.then_some(BudgetForecastThreshold { percent: *percent, day }));
            !reached
        });
    };
    reach(float(spent), None);
    for (number, point) in (1..).zip(&forecast.points) {
        let day = known_until.checked_add_days(chrono::Days::new(number));
        // The days that are known may end before the period begins.
        if day.is_some_and(|day| day >= start) {
            sum += point.expected;
            // A running day may be over; a threshold that is not reached yet is not expected in the past.
            reach(sum, day.map(|day| day.max(today)));
        }
    }
    let rounded = |value: f64| (value * 100.0).round() / 100.0;
    let spent_percent = rounded(sum / amount * 100.0);
    Ok(Some(BudgetForecast { spent: rounded(sum), spent_percent, thresholds }))
}

//! Budgets: decisions as they are stored, and the thresholds that were reached, derived from all that was spent.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;
use projections::cost::{
    BudgetFinding, Crossing,
    budget::{CE_SOURCE, CE_TYPE, period_of},
};
use rust_decimal::Decimal;
use schemas::{
    TenantId, Timestamp,
    changes::cost::{BudgetFact, BudgetPeriod, BudgetScope, BudgetTerms, Enforcement},
};
use sqlx::{PgConnection, Postgres, QueryBuilder, Row, postgres::PgRow};
use uuid::Uuid;

use super::{
    read::Source,
    spend::{self, CoversByPeriod},
    table::BudgetRow,
};
use crate::{
    batch::TopicPartition,
    outbox::{Outgoing, PublishedFinding},
};

/// Most budgets of a tenant that are watched, hard ones first; further ones are stored and listed, by name, without alerts.
pub(super) const MAX_BUDGETS: i64 = 1_000;

/// The budgets in force, each by its newest decision.
pub(super) const IN_FORCE: &str =
    "SELECT DISTINCT ON (budget) budget, event_id, decided_at, decision, fault, amount, currency, period,
           scope, scope_key, scope_value, cost, enforcement, thresholds, actor, reason
      FROM cost_budget_fact WHERE tenant_id = ";

/// A budget as it is in force.
#[derive(Debug, Clone)]
pub(crate) struct InForce {
    pub(super) budget: String,
    pub(super) set_by: Uuid,
    pub(super) amount: Decimal,
    pub(super) currency: String,
    pub(super) period: BudgetPeriod,
    pub(super) scope: String,
    pub(super) scope_key: String,
    pub(super) scope_value: String,
    pub(super) cost: String,
    pub(super) enforcement: Enforcement,
    pub(super) thresholds: Vec<i64>,
}

impl InForce {
    /// Scope.
    pub(crate) fn scope(&self) -> BudgetScope {
        match self.scope.as_str() {
            "tenant" => BudgetScope::Tenant,
            "project" => BudgetScope::Project(self.scope_value.clone()),
            "team" => BudgetScope::Team(self.scope_value.clone()),
            _ => BudgetScope::Tag { key: self.scope_key.clone(), value: self.scope_value.clone() },
        }
    }

    /// Event of the decision that set it.
    pub(crate) fn set_by(&self) -> Uuid {
        self.set_by
    }

    /// Table of the sums of whole periods: groups of series have no tags.
    pub(super) fn sums(&self) -> Source {
        if self.scope == "tenant" { Source::Groups } else { Source::Monthly }
    }

    /// Table of the sums of single days.
    pub(super) fn sums_of_days(&self) -> Source {
        if self.scope == "tenant" { Source::Groups } else { Source::Daily }
    }
}

/// Days that a batch touched, by tenant; and budgets that it decided about.
#[derive(Debug, Default)]
pub(super) struct Touched<'a> {
    pub(super) days: BTreeMap<&'a str, BTreeSet<NaiveDate>>,
    pub(super) decided: BTreeMap<&'a str, BTreeSet<&'a str>>,
    /// Events about resources that accrue.
    pub(super) lives: BTreeMap<&'a str, Vec<Uuid>>,
}

pub(super) fn budget_row(fact: &BudgetFact) -> BudgetRow<'_> {
    let (decision, fault, limit) = match &fact.terms {
        BudgetTerms::Set(limit) => ("set", None, Some(limit)),
        BudgetTerms::Removed => ("removed", None, None),
        BudgetTerms::Unreadable(fault) => ("unreadable", Some(fault.as_str()), None),
    };
    let scope = limit.map(|limit| match &limit.scope {
        BudgetScope::Tenant => ("tenant", "", ""),
        BudgetScope::Project(project) => ("project", "project", project.as_str()),
        BudgetScope::Team(team) => ("team", "team", team.as_str()),
        BudgetScope::Tag { key, value } => ("tag", key.as_str(), value.as_str()),
    });
    BudgetRow {
        tenant_id: fact.tenant.as_str(),
        event_id: *fact.event_id.as_uuid(),
        decided_at: fact.decided_at,
        budget: &fact.budget,
        decision,
        fault,
        amount: limit.map(|limit| limit.amount),
        currency: limit.map(|limit| limit.currency.as_str()),
        period: limit.map(|limit| limit.period.name()),
        scope: scope.map(|scope| scope.0),
        scope_key: scope.map(|scope| scope.1),
        scope_value: scope.map(|scope| scope.2),
        cost: limit.map(|limit| limit.cost.name()),
        enforcement: limit.map(|limit| limit.enforcement.name()),
        thresholds: limit
            .map_or_else(Vec::new, |limit| limit.thresholds.iter().copied().map(i64::from).collect()),
        actor: &fact.actor,
        reason: fact.reason.as_deref(),
        content_sha256: &fact.content_sha256,
    }
}

/// Lets batches of charges of tenants without budgets run beside each other, and all others of a tenant one after the
/// other: who derives crossings must see everything that was spent. Returns the tenants' budgets.
pub(super) async fn lock<'a>(
    tx: &mut PgConnection,
    touched: &Touched<'a>,
) -> sqlx::Result<BTreeMap<&'a str, Vec<InForce>>> {
    let tenants: BTreeSet<&str> = touched.days.keys().chain(touched.decided.keys()).copied().collect();
    let mut budgets = BTreeMap::new();
    for tenant in &tenants {
        let lock = if touched.decided.contains_key(tenant) {
            "SELECT pg_advisory_xact_lock(hashtextextended('weir.cost.budgets/' || $1, 0))"
        } else {
            "SELECT pg_advisory_xact_lock_shared(hashtextextended('weir.cost.budgets/' || $1, 0))"
        };
        sqlx::query(lock).bind(tenant).execute(&mut *tx).await?;
    }
    for tenant in tenants {
        let in_force = in_force(tx, tenant).await?;
        if !in_force.is_empty() && !touched.decided.contains_key(tenant) {
            let lock = "SELECT pg_advisory_xact_lock(hashtextextended('weir.cost.spent/' || $1, 0))";
            sqlx::query(lock).bind(tenant).execute(&mut *tx).await?;
        }
        budgets.insert(tenant, in_force);
    }
    Ok(budgets)
}

/// A tenant's budgets that set a limit.
async fn in_force(tx: &mut PgConnection, tenant: &str) -> sqlx::Result<Vec<InForce>> {
    let mut query = QueryBuilder::new("SELECT * FROM (");
    query.push(IN_FORCE).push_bind(tenant.to_owned());
    query.push(" ORDER BY budget, decided_at DESC, event_id DESC) AS b WHERE decision = 'set' ORDER BY enforcement = 'hard' DESC, budget LIMIT ");
    query.push_bind(MAX_BUDGETS);
    query.build().fetch_all(tx).await?.iter().map(decoded).collect()
}

pub(super) fn decoded(row: &PgRow) -> sqlx::Result<InForce> {
    let unknown = |what: &'static str| sqlx::Error::Decode(what.into());
    let period: &str = row.try_get("period")?;
    let enforcement: &str = row.try_get("enforcement")?;
    Ok(InForce {
        budget: row.try_get("budget")?,
        set_by: row.try_get("event_id")?,
        amount: row.try_get("amount")?,
        currency: row.try_get("currency")?,
        period: BudgetPeriod::from_name(period).ok_or_else(|| unknown("an unknown period"))?,
        scope: row.try_get("scope")?,
        scope_key: row.try_get("scope_key")?,
        scope_value: row.try_get("scope_value")?,
        cost: row.try_get("cost")?,
        enforcement: Enforcement::from_name(enforcement).ok_or_else(|| unknown("an unknown enforcement"))?,
        thresholds: row.try_get("thresholds")?,
    })
}

/// Derives the threshold crossings of the budgets that a batch touched, and publishes the new ones.
pub(super) async fn derive(
    tx: &mut PgConnection,
    touched: &Touched<'_>,
    budgets: &BTreeMap<&str, Vec<InForce>>,
    from: TopicPartition,
) -> sqlx::Result<Vec<Outgoing>> {
    let mut told = Vec::new();
    for (tenant, in_force) in budgets {
        let decided = touched.decided.get(tenant);
        let mut covers = CoversByPeriod::new();
        let accrued = if in_force.is_empty() { None } else { spend::accrued_from_to(tx, tenant).await? };
        for name in decided.into_iter().flatten() {
            if !in_force.iter().any(|budget| budget.budget == *name) {
                forget(tx, tenant, name, &[]).await?;
            }
        }
        let mut days = touched.days.get(tenant).cloned().unwrap_or_default();
        if let Some(span) = accrued {
            // What happened on a day may be spent on every day after it, as far as time is known to have come; and that
            // may have come further with this batch.
            let lives = touched.lives.get(tenant).map(Vec::as_slice).unwrap_or_default();
            days.extend(spend::last_before(tx, tenant, lives).await?);
            days.extend(days.first().copied().into_iter().flat_map(|first| span.months_from(first)));
        }
        for budget in in_force {
            let is_new = decided.is_some_and(|names| names.contains(budget.budget.as_str()));
            let mut periods: BTreeSet<NaiveDate> =
                days.iter().map(|day| period_of(budget.period, *day).0).collect();
            if is_new {
                periods.extend(periods_with_charges(tx, tenant, budget).await?);
                let accruing = accrued.into_iter().flat_map(|span| span.months_from(span.first));
                periods.extend(accruing.map(|month| period_of(budget.period, month).0));
                let kept: Vec<NaiveDate> = periods.iter().copied().collect();
                forget(tx, tenant, &budget.budget, &kept).await?;
            }
            for period in periods {
                let reached = match accrued {
                    None => reached_by_charges(tx, tenant, budget, period).await?,
                    Some(span) => spend::reached(tx, tenant, budget, period, span.last, &mut covers).await?,
                };
                let crossings = store_reached(tx, tenant, budget, period, &reached).await?;
                told.extend(crossings.iter().map(|crossing| outgoing(from, tenant, crossing)));
            }
        }
    }
    Ok(told.into_iter().flatten().collect())
}

/// Removes the crossings of a budget in all other periods.
async fn forget(tx: &mut PgConnection, tenant: &str, budget: &str, kept: &[NaiveDate]) -> sqlx::Result<()> {
    sqlx::query(
        "DELETE FROM cost_budget_crossing WHERE tenant_id = $1 AND budget = $2 AND period_start <> ALL($3)",
    )
    .bind(tenant)
    .bind(budget)
    .bind(kept)
    .execute(tx)
    .await
    .map(drop)
}

/// The periods in which something was charged that counts against the budget.
async fn periods_with_charges(
    tx: &mut PgConnection,
    tenant: &str,
    budget: &InForce,
) -> sqlx::Result<BTreeSet<NaiveDate>> {
    let mut query = QueryBuilder::new("SELECT DISTINCT date_trunc('month', d.day::timestamp)::date");
    push_spent(&mut query, tenant, budget);
    let months: Vec<NaiveDate> = query.build_query_scalar().fetch_all(tx).await?;
    Ok(months.into_iter().map(|month| period_of(budget.period, month).0).collect())
}

/// A threshold that is reached: its percent, the instant at which it was known, and what was spent by then, a decimal.
pub(super) type Reached = (i64, Timestamp, String);

/// The thresholds that charges alone reach in one period; Postgres sums, for it has as many digits as it takes.
async fn reached_by_charges(
    tx: &mut PgConnection,
    tenant: &str,
    budget: &InForce,
    period: NaiveDate,
) -> sqlx::Result<Vec<Reached>> {
    let (start, end) = period_of(budget.period, period);
    let mut query = QueryBuilder::new("WITH step AS (SELECT d.known_at, sum(sum(CASE WHEN ");
    query
        .push_bind(budget.cost.clone())
        .push(" = 'effective' THEN d.effective ELSE d.billed END)) OVER (ORDER BY d.known_at) AS spent");
    push_spent(&mut query, tenant, budget);
    query.push(" AND d.day >= ").push_bind(start).push(" AND d.day < ").push_bind(end);
    query.push(" GROUP BY d.known_at) SELECT DISTINCT ON (t.percent) t.percent, s.known_at, trim_scale(s.spent)::text FROM unnest(");
    query
        .push_bind(budget.thresholds.clone())
        .push(") AS t(percent) JOIN step AS s ON s.spent * 100 >= t.percent * ");
    query.push_bind(budget.amount).push(" ORDER BY t.percent, s.known_at");
    query.build_query_as().fetch_all(tx).await
}

/// Stores the thresholds of one period that are reached, and removes the others; those that were not there before.
async fn store_reached(
    tx: &mut PgConnection,
    tenant: &str,
    budget: &InForce,
    period: NaiveDate,
    reached: &[Reached],
) -> sqlx::Result<Vec<Crossing>> {
    let (start, _) = period_of(budget.period, period);
    let percents: Vec<i64> = reached.iter().map(|(percent, ..)| *percent).collect();
    let known_at: Vec<Timestamp> = reached.iter().map(|(_, known_at, _)| *known_at).collect();
    let spent: Vec<&str> = reached.iter().map(|(.., spent)| spent.as_str()).collect();
    let rows = sqlx::query(
        "WITH reached AS (SELECT * FROM unnest($5::bigint[], $6::timestamptz[], $7::text[]) AS r(percent, known_at, spent)),
              gone AS (DELETE FROM cost_budget_crossing AS c
                        WHERE c.tenant_id = $1 AND c.budget = $2 AND c.period_start = $3 AND c.percent <> ALL($5))
         INSERT INTO cost_budget_crossing AS c (tenant_id, budget, period_start, percent, known_at, set_by, spent)
         SELECT $1, $2, $3, percent, known_at, $4, spent::numeric FROM reached ORDER BY percent
         ON CONFLICT (tenant_id, budget, period_start, percent) DO UPDATE
            SET known_at = excluded.known_at, set_by = excluded.set_by, spent = excluded.spent
         RETURNING c.percent, c.known_at, trim_scale(c.spent)::text AS spent, c.xmax = 0 AS is_new",
    )
    .bind(tenant)
    .bind(&budget.budget)
    .bind(start)
    .bind(budget.set_by)
    .bind(&percents)
    .bind(&known_at)
    .bind(&spent)
    .fetch_all(tx)
    .await?;
    let mut told = Vec::new();
    for row in &rows {
        if !row.try_get::<bool, _>("is_new")? {
            continue;
        }
        let percent: i64 = row.try_get("percent")?;
        told.push(Crossing {
            budget: budget.budget.clone(),
            set_by: budget.set_by,
            period_start: start,
            percent: u16::try_from(percent).unwrap_or(u16::MAX),
            known_at: row.try_get("known_at")?,
            spent: row.try_get("spent")?,
            amount: budget.amount.normalize().to_string(),
            currency: budget.currency.clone(),
            enforcement: budget.enforcement,
        });
    }
    Ok(told)
}

/// Sums of charges that count against a budget, in whole months: conditions on a table of sums `d` joined to
/// `cost_series AS s`.
pub(super) fn push_spent(query: &mut QueryBuilder<Postgres>, tenant: &str, budget: &InForce) {
    query.push(" FROM ").push(budget.sums().table());
    query.push(" AS d JOIN cost_series AS s USING (tenant_id, series_key) WHERE d.tenant_id = ");
    query.push_bind(tenant.to_owned());
    push_scope(query, budget);
}

/// Series that count against a budget: conditions on `cost_series AS s`.
pub(super) fn push_scope(query: &mut QueryBuilder<Postgres>, budget: &InForce) {
    query.push(" AND s.currency = ").push_bind(budget.currency.clone());
    if budget.scope == "tenant" {
        return;
    }
    query.push(" AND (s.tags ->> ").push_bind(budget.scope_key.clone());
    query.push(" = ").push_bind(budget.scope_value.clone());
    if budget.scope == "project" {
        query.push(" OR s.sub_account = ").push_bind(budget.scope_value.clone());
    }
    query.push(")");
}

/// The record of a finding; `None` for a tenant that cannot be one.
fn outgoing(from: TopicPartition, tenant: &str, crossing: &Crossing) -> Option<Outgoing> {
    let tenant = TenantId::new(tenant).ok()?;
    let finding = BudgetFinding::new(&tenant, crossing);
    metrics::counter!("weir_budget_crossings_total", "percent" => crossing.percent.to_string()).increment(1);
    let published = PublishedFinding {
        tenant: &tenant,
        about: &crossing.budget,
        id: finding.id,
        ce_source: CE_SOURCE,
        ce_type: CE_TYPE,
        ce_subject: &crossing.budget,
        time: finding.time,
        record: finding.record,
    };
    Some(published.caused_by(from))
}

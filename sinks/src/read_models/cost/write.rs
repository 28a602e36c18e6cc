//! Writing charges, and what follows from them for each day.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use chrono::NaiveDate;
use projections::cost::{Sign, entries, scope_key, series_key};
use rust_decimal::Decimal;
use schemas::{
    Timestamp,
    changes::cost::{
        AllocationDecision, AllocationFact, BudgetFact, ChargeFact, CostChange, CostSeries, LifecycleFact,
        RecommendationFact, UtilisationFact,
    },
};
use sqlx::{PgConnection, types::Json};
use uuid::Uuid;

use super::{
    accrual,
    budget::{self, Touched},
    table::{
        AllocationRow, BudgetRow, ChargeRow, EntryRow, RecommendationRow, ScopeKey, ScopeRow, SeriesRow,
        UtilisationRow,
    },
    utilisation,
};
use crate::{
    outbox::Outgoing,
    read_models::{Fact, ReadModel, WritePath, stored_content::fill_stored},
};

/// Series that are remembered as written, so that most batches write none.
const MAX_KNOWN_SERIES: usize = 100_000;

type Stated<'a> = Fact<'a, CostChange>;
/// Whether a fact is of a table.
type IsOf = fn(&CostChange) -> bool;

/// The tables of facts, and which facts are theirs.
const TABLES: [(&str, IsOf); 6] = [
    ("cost_charge", |change| matches!(change, CostChange::Charge(_))),
    ("cost_lifecycle", |change| matches!(change, CostChange::Lifecycle(_))),
    ("cost_budget_fact", |change| matches!(change, CostChange::Budget(_))),
    ("cost_allocation_fact", |change| matches!(change, CostChange::Allocation(_))),
    ("cost_utilisation", |change| matches!(change, CostChange::Utilisation(_))),
    ("cost_recommendation_fact", |change| matches!(change, CostChange::Recommendation(_))),
];
/// Times at which a scope was replaced.
type Replacements = BTreeSet<Timestamp>;

/// The read model of cost.
#[derive(Debug, Default)]
pub struct Charges {
    /// Tenants and keys of series whose rows are committed.
    known: HashSet<(String, Uuid)>,
    /// Those that the current batch writes.
    written: Vec<(String, Uuid)>,
}

impl ReadModel for Charges {
    type Change = CostChange;
    type Key<'a> = (&'a str, Uuid);

    const TABLE: &'static str = "cost_charge";

    fn key(change: &CostChange) -> Self::Key<'_> {
        let (tenant, event) = change.event();
        (tenant.as_str(), *event.as_uuid())
    }

    fn content_sha256(change: &CostChange) -> [u8; 32] {
        change.content_sha256()
    }

    async fn prepare(&mut self, _: &mut PgConnection, _: &[Stated<'_>]) -> sqlx::Result<()> {
        Ok(())
    }

    async fn stored_content(
        &mut self,
        tx: &mut PgConnection,
        facts: &[Stated<'_>],
    ) -> sqlx::Result<Vec<Option<[u8; 32]>>> {
        let mut stored = vec![None; facts.len()];
        for (table, is_of) in TABLES {
            let keys: HashMap<Self::Key<'_>, usize> = facts
                .iter()
                .map(|fact| fact.change)
                .zip(0..)
                .filter(|(change, _)| is_of(change))
                .map(|(change, place)| (Self::key(change), place))
                .collect();
            if keys.is_empty() {
                continue;
            }
            fill_stored(tx, table, &keys, &mut stored).await?;
        }
        Ok(stored)
    }

    async fn write(&mut self, tx: &mut PgConnection, facts: &[Stated<'_>], _: WritePath) -> sqlx::Result<()> {
        // An attempt before this one may have been rolled back.
        self.written.clear();
        let Told { charges, lives, budgets, rules, measured, decided } = told_apart(facts);
        ChargeRow::insert(tx, &charges.iter().map(|charge| charge_row(charge)).collect::<Vec<_>>()).await?;
        accrual::write(tx, &lives).await?;
        BudgetRow::insert(tx, &budgets.iter().map(|fact| budget::budget_row(fact)).collect::<Vec<_>>())
            .await?;
        AllocationRow::insert(tx, &rules.iter().map(|fact| allocation_row(fact)).collect::<Vec<_>>()).await?;
        UtilisationRow::insert(tx, &measured.iter().map(|fact| utilisation::row(fact)).collect::<Vec<_>>())
            .await?;
        RecommendationRow::insert(tx, &decided.iter().map(|fact| decision_row(fact)).collect::<Vec<_>>())
            .await
    }

    async fn fold(&mut self, tx: &mut PgConnection, new: &[Stated<'_>]) -> sqlx::Result<Vec<Outgoing>> {
        let Some(Fact { partition, .. }) = new.first() else { return Ok(Vec::new()) };
        let Told { charges, lives, budgets: decisions, measured, .. } = told_apart(new);
        let mut touched = Touched::default();
        for charge in &charges {
            let days = touched.days.entry(charge.tenant.as_str()).or_default();
            days.insert(charge.charge_period_start.date_naive());
        }
        for life in &lives {
            touched.days.entry(life.tenant.as_str()).or_default().insert(life.at.date_naive());
            touched.lives.entry(life.tenant.as_str()).or_default().push(*life.event_id.as_uuid());
        }
        for fact in &decisions {
            touched.decided.entry(fact.tenant.as_str()).or_default().insert(&fact.budget);
        }
        let budgets = budget::lock(tx, &touched).await?;
        let mut series: Vec<(&str, &CostSeries)> = Vec::with_capacity(charges.len() + lives.len());
        series.extend(charges.iter().map(|charge| (charge.tenant.as_str(), &charge.series)));
        for life in &lives {
            series.extend(life.resources.iter().map(|resource| (life.tenant.as_str(), &resource.series)));
        }
        self.write_series(tx, &series).await?;
        accrual::derive(tx, &lives).await?;
        utilisation::add(tx, &measured).await?;
        let replaced = write_days(tx, &charges).await?;
        for scope in replaced {
            if budgets.get(scope.tenant_id).is_some_and(|budgets| !budgets.is_empty()) {
                let days = days_of(tx, scope).await?;
                touched.days.entry(scope.tenant_id).or_default().extend(days);
            }
        }
        metrics::counter!("weir_cost_charges_total").increment(charges.len() as u64);
        metrics::counter!("weir_cost_lifecycle_events_total").increment(lives.len() as u64);
        budget::derive(tx, &touched, &budgets, *partition).await
    }

    fn committed(&mut self) {
        if self.known.len() + self.written.len() > MAX_KNOWN_SERIES {
            self.known.clear();
        }
        self.known.extend(self.written.drain(..));
    }

    fn forget(&mut self) {
        self.written.clear();
        self.known.clear();
    }
}

impl Charges {
    /// Writes the series that no committed batch of this model wrote.
    async fn write_series<'a>(
        &mut self,
        tx: &mut PgConnection,
        series: &[(&'a str, &'a CostSeries)],
    ) -> sqlx::Result<()> {
        let mut rows: BTreeMap<(&str, Uuid), SeriesRow<'_>> = BTreeMap::new();
        for &(tenant, series) in series {
            let key = series_key(series);
            if !self.known.contains(&(tenant.to_owned(), key)) {
                rows.entry((tenant, key)).or_insert_with(|| series_row(tenant, key, series));
            }
        }
        self.written.clear();
        if rows.is_empty() {
            return Ok(());
        }
        self.written.extend(rows.keys().map(|(tenant, key)| ((*tenant).to_owned(), *key)));
        SeriesRow::insert_missing(tx, &rows.into_values().collect::<Vec<_>>()).await
    }
}

/// Writes what follows from charges for each day; the scopes that were replaced.
async fn write_days<'a>(
    tx: &mut PgConnection,
    charges: &[&'a ChargeFact],
) -> sqlx::Result<BTreeSet<ScopeKey<'a>>> {
    if charges.is_empty() {
        return Ok(BTreeSet::new());
    }
    // All locks first, in their order; what is read afterwards is everything that others have committed.
    let mut replaced = lock_scopes(tx, charges).await?;
    let mut anew: BTreeSet<ScopeKey<'a>> = BTreeSet::new();
    for charge in charges.iter().filter(|charge| charge.replaces) {
        let scope = scope_of(charge);
        if replaced.entry(scope).or_default().insert(charge.known_at) {
            anew.insert(scope);
        }
    }
    for scope in &anew {
        derive_anew(tx, *scope, &replaced[scope]).await?;
    }
    let mut rows = Vec::with_capacity(charges.len());
    for charge in charges {
        let scope = scope_of(charge);
        if !anew.contains(&scope) {
            rows.extend(entry_rows(charge, &replaced[&scope]));
        }
    }
    add(tx, &rows).await?;
    metrics::counter!("weir_cost_scopes_replaced_total").increment(anew.len() as u64);
    Ok(anew)
}

/// Facts by what they are.
#[derive(Default)]
struct Told<'a> {
    charges: Vec<&'a ChargeFact>,
    lives: Vec<&'a LifecycleFact>,
    budgets: Vec<&'a BudgetFact>,
    rules: Vec<&'a AllocationFact>,
    measured: Vec<&'a UtilisationFact>,
    decided: Vec<&'a RecommendationFact>,
}

fn told_apart<'a>(facts: &[Stated<'a>]) -> Told<'a> {
    let mut told = Told { charges: Vec::with_capacity(facts.len()), ..Told::default() };
    for fact in facts {
        match fact.change {
            CostChange::Charge(charge) => told.charges.push(charge),
            CostChange::Lifecycle(life) => told.lives.push(life),
            CostChange::Budget(budget) => told.budgets.push(budget),
            CostChange::Allocation(rules) => told.rules.push(rules),
            CostChange::Utilisation(measured) => told.measured.push(measured),
            CostChange::Recommendation(decided) => told.decided.push(decided),
        }
    }
    told
}

/// The days of a scope.
async fn days_of(tx: &mut PgConnection, scope: ScopeKey<'_>) -> sqlx::Result<Vec<NaiveDate>> {
    sqlx::query_scalar(
        "SELECT DISTINCT d.day FROM cost_daily AS d JOIN cost_series AS s USING (tenant_id, series_key)
          WHERE s.tenant_id = $1 AND s.scope_key = $2",
    )
    .bind(scope.tenant_id)
    .bind(scope.scope_key)
    .fetch_all(tx)
    .await
}

fn scope_of(charge: &ChargeFact) -> ScopeKey<'_> {
    ScopeKey { tenant_id: charge.tenant.as_str(), scope_key: scope_key(&charge.series) }
}

fn charge_row(charge: &ChargeFact) -> ChargeRow<'_> {
    let amounts = &charge.amounts;
    let other = &charge.other_columns;
    ChargeRow {
        tenant_id: charge.tenant.as_str(),
        event_id: *charge.event_id.as_uuid(),
        known_at: charge.known_at,
        charge_period_start: charge.charge_period_start,
        charge_period_end: charge.charge_period_end,
        series_key: series_key(&charge.series),
        scope_key: scope_key(&charge.series),
        replaces: charge.replaces,
        billed: amounts.billed,
        effective: amounts.effective,
        list: amounts.list,
        contracted: amounts.contracted,
        consumed_quantity: amounts.consumed_quantity,
        pricing_quantity: amounts.pricing_quantity,
        description: charge.description.as_deref(),
        corrects: charge.corrects.as_deref(),
        other_columns: (!other.is_empty()).then(|| serde_json::json!(other).to_string()),
        content_sha256: &charge.content_sha256,
    }
}

fn allocation_row(fact: &AllocationFact) -> AllocationRow<'_> {
    let (decision, fault, rules) = match &fact.decision {
        AllocationDecision::Set(rules) => ("set", None, Some(serde_json::json!(rules).to_string())),
        AllocationDecision::Removed => ("removed", None, None),
        AllocationDecision::Unreadable(fault) => ("unreadable", Some(fault.as_str()), None),
    };
    AllocationRow {
        tenant_id: fact.tenant.as_str(),
        event_id: *fact.event_id.as_uuid(),
        decided_at: fact.decided_at,
        decision,
        fault,
        rules,
        actor: &fact.actor,
        reason: fact.reason.as_deref(),
        content_sha256: &fact.content_sha256,
    }
}

fn decision_row(fact: &RecommendationFact) -> RecommendationRow<'_> {
    let (decision, fault) = match &fact.decision {
        Ok(decision) => (decision.name(), None),
        Err(fault) => ("unreadable", Some(fault.as_str())),
    };
    RecommendationRow {
        tenant_id: fact.tenant.as_str(),
        event_id: *fact.event_id.as_uuid(),
        decided_at: fact.decided_at,
        recommendation: &fact.recommendation,
        decision,
        fault,
        actor: &fact.actor,
        reason: fact.reason.as_deref(),
        content_sha256: &fact.content_sha256,
    }
}

fn series_row<'a>(tenant_id: &'a str, series_key: Uuid, series: &'a CostSeries) -> SeriesRow<'a> {
    SeriesRow {
        tenant_id,
        series_key,
        scope_key: scope_key(series),
        billing_period: series.billing_period,
        provider: &series.provider,
        billing_account: &series.billing_account,
        sub_account: &series.sub_account,
        service: &series.service,
        service_category: &series.service_category,
        region: &series.region,
        resource: &series.resource,
        charge_category: &series.charge_category,
        charge_class: &series.charge_class,
        currency: &series.currency,
        sku: &series.sku,
        sku_price: &series.sku_price,
        consumed_unit: &series.consumed_unit,
        pricing_unit: &series.pricing_unit,
        tags: Json(&series.tags),
    }
}

/// Makes the scopes that are missing and locks all, in the order of the primary key; when each was replaced.
async fn lock_scopes<'a>(
    tx: &mut PgConnection,
    charges: &[&'a ChargeFact],
) -> sqlx::Result<BTreeMap<ScopeKey<'a>, Replacements>> {
    let mut scopes: BTreeMap<ScopeKey<'a>, &CostSeries> = BTreeMap::new();
    for charge in charges {
        scopes.entry(scope_of(charge)).or_insert(&charge.series);
    }
    let rows = scopes.iter().map(|(scope, series)| ScopeRow {
        tenant_id: scope.tenant_id,
        scope_key: scope.scope_key,
        provider: &series.provider,
        billing_account: &series.billing_account,
        billing_period: series.billing_period,
    });
    ScopeRow::insert_missing(tx, &rows.collect::<Vec<_>>()).await?;
    let keys: Vec<ScopeKey<'a>> = scopes.into_keys().collect();
    let replaced: Vec<Vec<Timestamp>> = sqlx::query_scalar(
        "SELECT s.replaced_at
           FROM unnest($1::cost_scope_key[]) WITH ORDINALITY AS a(tenant_id, scope_key, nth)
           JOIN cost_scope AS s USING (tenant_id, scope_key) ORDER BY a.nth FOR UPDATE OF s",
    )
    .bind(&keys)
    .fetch_all(tx)
    .await?;
    if replaced.len() != keys.len() {
        return Err(sqlx::Error::RowNotFound);
    }
    Ok(keys.into_iter().zip(replaced.into_iter().map(|instants| instants.into_iter().collect())).collect())
}

/// Notes when a scope was replaced, and derives its days again from all of its charges: what replaces may
/// have come before or after what it replaces.
async fn derive_anew(
    tx: &mut PgConnection,
    scope: ScopeKey<'_>,
    replaced: &Replacements,
) -> sqlx::Result<()> {
    let replaced: Vec<Timestamp> = replaced.iter().copied().collect();
    sqlx::query("UPDATE cost_scope SET replaced_at = $3 WHERE tenant_id = $1 AND scope_key = $2")
        .bind(scope.tenant_id)
        .bind(scope.scope_key)
        .bind(&replaced)
        .execute(&mut *tx)
        .await?;
    sqlx::query(
        "DELETE FROM cost_daily AS d USING cost_series AS s
          WHERE s.tenant_id = $1 AND s.scope_key = $2 AND d.tenant_id = s.tenant_id AND d.series_key = s.series_key",
    )
    .bind(scope.tenant_id)
    .bind(scope.scope_key)
    .execute(&mut *tx)
    .await?;
    // The rule of `projections::cost::entries`, where the charges are.
    sqlx::query(
        "INSERT INTO cost_daily (tenant_id, series_key, day, known_at, charges, billed, effective, list, contracted,
                                 consumed_quantity, pricing_quantity, covers_until)
         SELECT c.tenant_id, c.series_key, (c.charge_period_start AT TIME ZONE 'UTC')::date, e.known_at, sum(e.sign),
                sum(e.sign * c.billed), sum(e.sign * coalesce(c.effective, 0)), sum(e.sign * coalesce(c.list, 0)),
                sum(e.sign * coalesce(c.contracted, 0)), sum(e.sign * coalesce(c.consumed_quantity, 0)),
                sum(e.sign * coalesce(c.pricing_quantity, 0)), max(c.charge_period_end) FILTER (WHERE e.sign > 0)
           FROM cost_charge AS c
          CROSS JOIN LATERAL (
                SELECT c.known_at, 1 AS sign
                UNION ALL
                SELECT min(r.at), -1 FROM unnest($3::timestamptz[]) AS r(at)
                 WHERE r.at > c.known_at HAVING min(r.at) IS NOT NULL) AS e
          WHERE c.tenant_id = $1 AND c.scope_key = $2
          GROUP BY 1, 2, 3, 4 ORDER BY 2, 3, 4",
    )
    .bind(scope.tenant_id)
    .bind(scope.scope_key)
    .bind(&replaced)
    .execute(tx)
    .await
    .map(drop)
}

/// A charge's entries in the days of its series.
fn entry_rows<'a>(charge: &'a ChargeFact, replaced: &Replacements) -> Vec<EntryRow<'a>> {
    let (key, amounts) = (series_key(&charge.series), charge.amounts);
    let row = |entry: projections::cost::Entry| {
        let signed = |amount: Decimal| if entry.sign == Sign::Plus { amount } else { -amount };
        let optional = |amount: Option<Decimal>| signed(amount.unwrap_or_default());
        EntryRow {
            tenant_id: charge.tenant.as_str(),
            series_key: key,
            day: charge.charge_period_start.date_naive(),
            known_at: entry.known_at,
            charges: if entry.sign == Sign::Plus { 1 } else { -1 },
            billed: signed(amounts.billed),
            effective: optional(amounts.effective),
            list: optional(amounts.list),
            contracted: optional(amounts.contracted),
            consumed_quantity: optional(amounts.consumed_quantity),
            pricing_quantity: optional(amounts.pricing_quantity),
            covers_until: (entry.sign == Sign::Plus).then_some(charge.charge_period_end),
        }
    };
    entries(charge.known_at, replaced).map(row).collect()
}

/// Adds entries to the days; Postgres sums, for it has as many digits as it takes.
async fn add(tx: &mut PgConnection, rows: &[EntryRow<'_>]) -> sqlx::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO cost_daily AS d (tenant_id, series_key, day, known_at, charges, billed, effective, list, contracted,
                                      consumed_quantity, pricing_quantity, covers_until)
         SELECT tenant_id, series_key, day, known_at, sum(charges), sum(billed), sum(effective), sum(list),
                sum(contracted), sum(consumed_quantity), sum(pricing_quantity), max(covers_until)
           FROM unnest($1::cost_entry_row[]) GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
         ON CONFLICT (tenant_id, series_key, day, known_at) DO UPDATE SET
                charges = d.charges + excluded.charges, billed = d.billed + excluded.billed,
                effective = d.effective + excluded.effective, list = d.list + excluded.list,
                contracted = d.contracted + excluded.contracted,
                consumed_quantity = d.consumed_quantity + excluded.consumed_quantity,
                pricing_quantity = d.pricing_quantity + excluded.pricing_quantity,
                covers_until = greatest(d.covers_until, excluded.covers_until)",
    )
    .bind(rows)
    .execute(tx)
    .await
    .map(drop)
}

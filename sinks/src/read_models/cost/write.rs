//! Writing charges, and what follows from them for each day.

use std::collections::{BTreeMap, HashMap};

use projections::cost::{group_of, scope_key, series_key};
use schemas::changes::cost::{
    AllocationDecision, AllocationFact, BudgetFact, ChargeFact, CostChange, CostSeries, LifecycleFact,
    RecommendationFact, UtilisationFact,
};
use sqlx::{PgConnection, types::Json};
use uuid::Uuid;

use super::{
    accrual,
    budget::{self, Touched},
    charges::{self, Keyed, Keys},
    days,
    remembered::Remembered,
    table::{AllocationRow, BudgetRow, RecommendationRow, SeriesRow, UtilisationRow},
    utilisation, workload,
};
use crate::{
    outbox::Outgoing,
    postgres::copy::CopyRows,
    read_models::{Fact, ReadModel, WritePath, stored_content::fill_stored},
};

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

/// The read model of cost.
#[derive(Debug, Default)]
pub struct Charges {
    series: Remembered,
    columns: Remembered,
    workloads: Remembered,
    /// Keys of the charges of the current batch, in their order: written first, then folded.
    keys: Vec<Keys>,
    rows: CopyRows,
}

impl ReadModel for Charges {
    type Change = CostChange;
    type Key<'a> = (&'a str, Uuid);

    const TABLE: &'static str = "cost_charge";
    const JOINED: &'static [&'static str] = &[
        "cost_accrual",
        "cost_budget_fact",
        "cost_charge",
        "cost_daily",
        "cost_daily_group",
        "cost_lifecycle",
        "cost_lifecycle_resource",
        "cost_monthly",
        "cost_resource",
        "cost_series",
        "cost_utilisation",
        "cost_utilisation_hour",
    ];

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

    async fn write(
        &mut self,
        tx: &mut PgConnection,
        facts: &[Stated<'_>],
        path: WritePath,
    ) -> sqlx::Result<()> {
        let Told { charges, lives, budgets, rules, measured, decided } = told_apart(facts);
        let keyed = Keyed::all(charges);
        self.keys.clear();
        self.keys.extend(keyed.iter().map(|keyed| keyed.keys));
        charges::write(tx, &keyed, path, &mut self.columns, &mut self.rows).await?;
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
        assert_eq!(charges.len(), self.keys.len(), "facts are written before they are folded");
        let charges: Vec<Keyed<'_>> =
            charges.into_iter().zip(&self.keys).map(|(charge, keys)| Keyed { charge, keys: *keys }).collect();
        let mut touched = Touched::default();
        for charge in charges.iter().map(|keyed| keyed.charge) {
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
        self.write_series(tx, &charges, &lives).await?;
        accrual::derive(tx, &lives).await?;
        utilisation::add(tx, &measured).await?;
        workload::add(tx, &measured, &mut self.workloads).await?;
        let replaced = days::write(tx, &charges).await?;
        for scope in replaced {
            if budgets.get(scope.tenant_id).is_some_and(|budgets| !budgets.is_empty()) {
                let days = days::of_scope(tx, scope).await?;
                touched.days.entry(scope.tenant_id).or_default().extend(days);
            }
        }
        metrics::counter!("weir_cost_charges_total").increment(charges.len() as u64);
        metrics::counter!("weir_cost_lifecycle_events_total").increment(lives.len() as u64);
        budget::derive(tx, &touched, &budgets, *partition).await
    }

    fn committed(&mut self) {
        self.series.commit();
        self.columns.commit();
        self.workloads.commit();
    }

    fn forget(&mut self) {
        self.series.forget();
        self.columns.forget();
        self.workloads.forget();
    }
}

impl Charges {
    /// Writes the series that no committed batch of this model wrote, and their groups.
    async fn write_series(
        &mut self,
        tx: &mut PgConnection,
        charges: &[Keyed<'_>],
        lives: &[&LifecycleFact],
    ) -> sqlx::Result<()> {
        let mut new: BTreeMap<(&str, Uuid), &CostSeries> = BTreeMap::new();
        for Keyed { charge, keys } in charges {
            if !self.series.has(charge.tenant.as_str(), keys.series) {
                new.entry((charge.tenant.as_str(), keys.series)).or_insert(&charge.series);
            }
        }
        for life in lives {
            for resource in &life.resources {
                let key = series_key(&resource.series);
                if !self.series.has(life.tenant.as_str(), key) {
                    new.entry((life.tenant.as_str(), key)).or_insert(&resource.series);
                }
            }
        }
        self.series.writes(new.keys().copied());
        if new.is_empty() {
            return Ok(());
        }
        let mut groups: BTreeMap<(&str, Uuid), CostSeries> = BTreeMap::new();
        let mut rows: BTreeMap<(&str, Uuid), SeriesRow<'_>> = BTreeMap::new();
        for (&(tenant, key), series) in &new {
            let group = group_of(series);
            let group_key = series_key(&group);
            rows.insert((tenant, key), series_row(tenant, key, group_key, series));
            groups.entry((tenant, group_key)).or_insert(group);
        }
        for (&(tenant, key), group) in &groups {
            rows.entry((tenant, key)).or_insert_with(|| series_row(tenant, key, key, group));
        }
        SeriesRow::insert_missing(tx, &rows.into_values().collect::<Vec<_>>()).await
    }
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

fn series_row<'a>(
    tenant_id: &'a str,
    series_key: Uuid,
    group_key: Uuid,
    series: &'a CostSeries,
) -> SeriesRow<'a> {
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
        group_key,
    }
}

//! Standing of tenants' budgets, for decisions about plans: read on demand, and kept for half a minute.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use costs::{estimate::estimate, prices::PriceList};
use schemas::{
    TenantId, Timestamp,
    changes::budget_verdicts::{BudgetStand, BudgetVerdict},
};
use serde_json::Value;
use sqlx::{Executor as _, PgPool, Postgres, Transaction};
use uuid::Uuid;

use crate::{
    read_models::{
        ReadError,
        cost::{
            concerned::{Concerned, MAX_JUDGED, concerned},
            standing::{InForce, in_force_at, stand},
        },
        snapshot::begin,
    },
    session::decisions_pool,
};

/// Time for which a standing is fresh.
const GOOD_FOR: Duration = Duration::from_secs(30);
/// Time for which it is used where the database does not answer.
const GONE_BY_FOR: Duration = Duration::from_mins(15);
/// Most tenants that are kept.
const MAX_TENANTS: usize = 1_000;
/// Connections: decisions wait for one another rather than for the database.
const CONNECTIONS: u32 = 4;

/// Budgets of a tenant, and the standing of those that plans were held against.
#[derive(Debug)]
struct Known {
    in_force: Arc<Vec<InForce>>,
    read_at: Instant,
    /// By the decision that set the budget.
    stands: HashMap<Uuid, (Arc<BudgetStand>, Instant)>,
}

/// Standing of budgets, and their verdicts about plans.
#[derive(Debug)]
pub struct BudgetStanding {
    pool: PgPool,
    prices: Arc<PriceList>,
    known: Mutex<HashMap<TenantId, Known>>,
}

impl BudgetStanding {
    /// Connects when it is first asked. Plans are estimated by that price list.
    ///
    /// # Errors
    /// The URL is none of a database.
    pub fn new(database_url: &str, prices: Arc<PriceList>) -> sqlx::Result<Self> {
        let pool = decisions_pool(database_url, CONNECTIONS)?;
        Ok(Self { pool, prices, known: Mutex::default() })
    }

    /// The budgets that a plan of a project would go beyond, and hard ones that it cannot be held against. What was known half
    /// a minute ago is good enough; while the database does not answer, what was known a quarter of an hour ago.
    ///
    /// # Errors
    /// The database does not answer, and nothing is known.
    pub async fn judge(
        &self,
        tenant: &TenantId,
        (project, plan): (Option<&str>, &Value),
        at: Timestamp,
    ) -> Result<Vec<BudgetVerdict>, ReadError> {
        let in_force = self.in_force(tenant, at).await?;
        if in_force.is_empty() {
            return Ok(Vec::new());
        }
        let Some(estimate) = estimate(plan, &self.prices) else { return Ok(Vec::new()) };
        let concerned = concerned(&in_force, project, &estimate);
        let (judged, left_over) = concerned.split_at(concerned.len().min(MAX_JUDGED));
        let stands = self.stands(tenant, judged, at).await?;
        let today = at.date_naive();
        let verdicts = judged.iter().zip(&stands).filter_map(|(one, stand)| one.verdict(stand, today));
        Ok(verdicts.chain(left_over.iter().filter_map(|one| one.left_over(today))).collect())
    }

    async fn in_force(&self, tenant: &TenantId, at: Timestamp) -> Result<Arc<Vec<InForce>>, ReadError> {
        let known = self.known().get(tenant).map(|known| (Arc::clone(&known.in_force), known.read_at));
        if let Some((in_force, read_at)) = &known
            && read_at.elapsed() < GOOD_FOR
        {
            return Ok(Arc::clone(in_force));
        }
        match (self.read_in_force(tenant, at).await, known) {
            (Ok(in_force), _) => {
                let in_force = Arc::new(in_force);
                self.keep_in_force(tenant, Arc::clone(&in_force));
                Ok(in_force)
            }
            (Err(_), Some((in_force, read_at))) if read_at.elapsed() < GONE_BY_FOR => Ok(in_force),
            (Err(error), _) => Err(error),
        }
    }

    fn keep_in_force(&self, tenant: &TenantId, in_force: Arc<Vec<InForce>>) {
        let mut known = self.known();
        if known.len() >= MAX_TENANTS && !known.contains_key(tenant) {
            known.clear();
        }
        let mut stands = known.remove(tenant).map(|known| known.stands).unwrap_or_default();
        stands.retain(|_, (_, read_at)| read_at.elapsed() < GONE_BY_FOR);
        known.insert(tenant.clone(), Known { in_force, read_at: Instant::now(), stands });
    }

    /// The standing of each of these budgets, in their order.
    async fn stands(
        &self,
        tenant: &TenantId,
        asked: &[Concerned<'_>],
        at: Timestamp,
    ) -> Result<Vec<Arc<BudgetStand>>, ReadError> {
        let mut stands = self.known_stands(tenant, asked, GOOD_FOR);
        let missing: Vec<&InForce> = asked
            .iter()
            .map(|one| one.budget)
            .filter(|budget| !stands.contains_key(&budget.set_by()))
            .collect();
        if !missing.is_empty() {
            match self.read_stands(tenant, &missing, at).await {
                Ok(read) => {
                    if let Some(known) = self.known().get_mut(tenant) {
                        let now = Instant::now();
                        known.stands.extend(read.iter().map(|(id, stand)| (*id, (Arc::clone(stand), now))));
                    }
                    stands.extend(read);
                }
                Err(error) => {
                    stands = self.known_stands(tenant, asked, GONE_BY_FOR);
                    if asked.iter().any(|one| !stands.contains_key(&one.budget.set_by())) {
                        return Err(error);
                    }
                }
            }
        }
        Ok(asked.iter().filter_map(|one| stands.get(&one.budget.set_by()).map(Arc::clone)).collect())
    }

    /// The standing of those of the budgets of which it was read within that time.
    fn known_stands(
        &self,
        tenant: &TenantId,
        asked: &[Concerned<'_>],
        within: Duration,
    ) -> HashMap<Uuid, Arc<BudgetStand>> {
        let known = self.known();
        let Some(known) = known.get(tenant) else { return HashMap::new() };
        let stand = |one: &Concerned<'_>| {
            let id = one.budget.set_by();
            let (stand, read_at) = known.stands.get(&id)?;
            (read_at.elapsed() < within).then(|| (id, Arc::clone(stand)))
        };
        asked.iter().filter_map(stand).collect()
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<TenantId, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn read_in_force(&self, tenant: &TenantId, at: Timestamp) -> Result<Vec<InForce>, ReadError> {
        let mut tx = self.begin(tenant).await?;
        Ok(in_force_at(&mut tx, tenant, at).await?)
    }

    async fn read_stands(
        &self,
        tenant: &TenantId,
        budgets: &[&InForce],
        at: Timestamp,
    ) -> Result<Vec<(Uuid, Arc<BudgetStand>)>, ReadError> {
        let mut tx = self.begin(tenant).await?;
        let mut stands = Vec::with_capacity(budgets.len());
        for budget in budgets {
            stands.push((budget.set_by(), Arc::new(stand(&mut tx, tenant, budget, at).await?)));
        }
        Ok(stands)
    }

    async fn begin(&self, tenant: &TenantId) -> Result<Transaction<'static, Postgres>, ReadError> {
        let mut tx = begin(&self.pool).await?;
        tx.execute("SET LOCAL statement_timeout = '5s'").await?;
        sqlx::query("SELECT set_config('app.tenant_id', $1, true)")
            .bind(tenant.as_str())
            .execute(&mut *tx)
            .await?;
        Ok(tx)
    }
}

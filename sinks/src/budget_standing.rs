//! Standing of tenants' budgets, for decisions about plans: read on demand, and kept for half a minute.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use costs::{budget, estimate::estimate, prices::PriceList};
use schemas::{
    TenantId, Timestamp,
    changes::budget_verdicts::{BudgetStand, BudgetVerdict},
};
use serde_json::Value;
use sqlx::{Executor as _, PgPool};

use crate::{
    read_models::{
        ReadError,
        cost::standing::{in_force_at, stand},
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
/// Most budgets of a tenant, those by name first.
const MAX_BUDGETS: usize = 100;
/// Connections: decisions wait for one another rather than for the database.
const CONNECTIONS: u32 = 4;

type Known = HashMap<TenantId, (Arc<Vec<BudgetStand>>, Instant)>;

/// Standing of budgets, and their verdicts about plans.
#[derive(Debug)]
pub struct BudgetStanding {
    pool: PgPool,
    prices: Arc<PriceList>,
    known: Mutex<Known>,
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

    /// The budgets that a plan of a project would go beyond. What was known half a minute ago is good enough; while the
    /// database does not answer, what was known a quarter of an hour ago.
    ///
    /// # Errors
    /// The database does not answer, and nothing is known.
    pub async fn judge(
        &self,
        tenant: &TenantId,
        (project, plan): (Option<&str>, &Value),
        at: Timestamp,
    ) -> Result<Vec<BudgetVerdict>, ReadError> {
        let stands = self.stands(tenant, at).await?;
        if stands.is_empty() {
            return Ok(Vec::new());
        }
        let Some(estimate) = estimate(plan, &self.prices) else { return Ok(Vec::new()) };
        let of_currency = stands.iter().filter(|stand| stand.currency == estimate.currency);
        let verdict = |stand: &BudgetStand| {
            budget::judge(stand, budget::monthly_delta(&stand.scope, project, &estimate), at.date_naive())
        };
        Ok(of_currency.filter_map(verdict).collect())
    }

    async fn stands(&self, tenant: &TenantId, at: Timestamp) -> Result<Arc<Vec<BudgetStand>>, ReadError> {
        let known = self.known().get(tenant).cloned();
        if let Some((stands, read_at)) = &known
            && read_at.elapsed() < GOOD_FOR
        {
            return Ok(Arc::clone(stands));
        }
        match (self.read(tenant, at).await, known) {
            (Ok(stands), _) => {
                let stands = Arc::new(stands);
                let mut known = self.known();
                if known.len() >= MAX_TENANTS {
                    known.clear();
                }
                known.insert(tenant.clone(), (Arc::clone(&stands), Instant::now()));
                Ok(stands)
            }
            (Err(_), Some((stands, read_at))) if read_at.elapsed() < GONE_BY_FOR => Ok(stands),
            (Err(error), _) => Err(error),
        }
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn read(&self, tenant: &TenantId, at: Timestamp) -> Result<Vec<BudgetStand>, ReadError> {
        let mut tx = begin(&self.pool).await?;
        tx.execute("SET LOCAL statement_timeout = '5s'").await?;
        sqlx::query("SELECT set_config('app.tenant_id', $1, true)")
            .bind(tenant.as_str())
            .execute(&mut *tx)
            .await?;
        let mut stands = Vec::new();
        for budget in in_force_at(&mut tx, tenant, at).await?.iter().take(MAX_BUDGETS) {
            stands.push(stand(&mut tx, tenant, budget, at).await?);
        }
        Ok(stands)
    }
}

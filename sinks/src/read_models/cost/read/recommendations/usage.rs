//! Daily cost of services, and spending between days.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use costs::recommend::{COST_DAYS, STEADY_DAYS, SteadyUsage};
use rust_decimal::Decimal;
use schemas::{TenantId, Timestamp};
use sqlx::{Postgres, QueryBuilder, Row, postgres::PgRow};

use super::{Recommendation, before};
use crate::read_models::{
    cost::read::filter::{CostFilter, Days, Source},
    snapshot::{ReadError, Snapshot},
};

/// Most services, accounts and regions that are looked at.
const MAX_USAGES: i64 = 1_000;
/// Days in which something must have been known for anything to be said.
const LOOKED_BACK: i64 = 60;

/// Adds the cost of usage: effective cost where the bill tells one, and accruals. A bill that tells none has 0 in all of an
/// account's sums of a day; where another sum of it is not 0, 0 is an effective cost as well, as of what a savings plan takes off.
pub(super) fn push_cost(
    query: &mut QueryBuilder<Postgres>,
    tenant: &TenantId,
    (from, to): (NaiveDate, NaiveDate),
    at: Timestamp,
) {
    query.push(
        "(CASE WHEN (s.provider, s.billing_account, d.day) IN (
               SELECT g.provider, g.billing_account, t.day
                 FROM cost_daily_group AS t JOIN cost_series AS g USING (tenant_id, series_key)
                WHERE t.effective <> 0 AND t.tenant_id = ",
    );
    query.push_bind(tenant.as_str().to_owned()).push(" AND t.day >= ").push_bind(from);
    query.push(" AND t.day < ").push_bind(to).push(" AND t.known_at <= ").push_bind(at);
    query.push(") THEN d.effective ELSE d.billed END + d.accrued)");
}

/// The usage of a service in one account and region.
pub(super) struct Usage {
    pub(super) steady: SteadyUsage,
    pub(super) currency: String,
    pub(super) billing_account: String,
    pub(super) region: String,
    pub(super) charges: i64,
    pub(super) window: (NaiveDate, NaiveDate),
}

impl Usage {
    pub(super) fn key(&self) -> [&str; 5] {
        [&self.currency, &self.steady.provider, &self.billing_account, &self.steady.service, &self.region]
    }
}

/// The days that costs are known of: 30, up to the newest that is over; `None`: nothing was known.
pub(super) async fn window(
    snapshot: &mut Snapshot,
    tenant: &TenantId,
    days: Days,
    at: Timestamp,
) -> Result<Option<(NaiveDate, NaiveDate)>, ReadError> {
    let today = at.date_naive();
    let mut query = QueryBuilder::new("SELECT max(d.day)");
    days.out_of(Source::Groups).push(
        &mut query,
        tenant.as_str(),
        (Some(before(today, LOOKED_BACK)), Some(today)),
        Some(at),
    );
    let newest: Option<NaiveDate> = query.build_query_scalar().fetch_one(snapshot.connection()).await?;
    let to = newest.and_then(|newest| newest.succ_opt());
    Ok(to.map(|to| (before(to, COST_DAYS), to)))
}

/// Spending in each currency, without purchases.
pub(super) async fn spent(
    snapshot: &mut Snapshot,
    tenant: &TenantId,
    days: Days,
    (from, to): (NaiveDate, NaiveDate),
    at: Timestamp,
) -> Result<BTreeMap<String, Decimal>, ReadError> {
    let mut query = QueryBuilder::new("SELECT s.currency, sum(");
    push_cost(&mut query, tenant, (from, to), at);
    query.push(")::text");
    days.push(&mut query, tenant.as_str(), (Some(from), Some(to)), Some(at));
    query.push(" AND s.charge_category <> 'Purchase' GROUP BY 1");
    let rows: Vec<(String, String)> = query.build_query_as().fetch_all(snapshot.connection()).await?;
    Ok(rows.into_iter().map(|(currency, spent)| (currency, decimal(&spent))).collect())
}

/// Usage that is billed without a commitment, of the last 30 days with charges.
pub(super) async fn usages(
    snapshot: &mut Snapshot,
    tenant: &TenantId,
    filter: &CostFilter,
    (_, to): (NaiveDate, NaiveDate),
    at: Timestamp,
) -> Result<Vec<Usage>, ReadError> {
    let mut query = QueryBuilder::<Postgres>::new(
        "SELECT currency, provider, billing_account, service, service_category, region, sum(charges)::bigint AS charges,
                array_agg(day) AS days, array_agg(billed::text) AS billed
           FROM (SELECT s.currency, s.provider, s.billing_account, s.service, s.service_category, s.region, d.day,
                        sum(d.billed) AS billed, sum(d.charges) AS charges",
    );
    Days::of_charges().push(&mut query, tenant.as_str(), (Some(before(to, LOOKED_BACK)), Some(to)), Some(at));
    filter.push(&mut query);
    query.push(
        " AND s.charge_category = 'Usage' AND s.service_category IN ('Compute', 'Databases')
           GROUP BY 1, 2, 3, 4, 5, 6, 7) AS of_day
          GROUP BY 1, 2, 3, 4, 5, 6 HAVING sum(billed) >= 1 ORDER BY sum(billed) DESC, 1, 2, 3, 4, 5, 6 LIMIT ",
    );
    query.push_bind(MAX_USAGES);
    let rows = query.build().fetch_all(snapshot.connection()).await?;
    let mut found = Vec::with_capacity(rows.len());
    let mut newest: Option<NaiveDate> = None;
    for row in &rows {
        let (days, billed): (Vec<NaiveDate>, Vec<String>) = (row.try_get("days")?, row.try_get("billed")?);
        newest = newest.max(days.iter().max().copied());
        found.push((row, days.into_iter().zip(billed).collect::<BTreeMap<_, _>>()));
    }
    let Some(end) = newest.and_then(|newest| newest.succ_opt()) else { return Ok(Vec::new()) };
    let start = before(end, i64::try_from(STEADY_DAYS).unwrap_or(COST_DAYS));
    let usage = |(row, billed): (&PgRow, BTreeMap<NaiveDate, String>)| {
        let days = start.iter_days().take(STEADY_DAYS);
        let of_day = |day: NaiveDate| billed.get(&day).map(|text| decimal(text)).unwrap_or_default();
        let steady = SteadyUsage {
            provider: row.try_get("provider")?,
            service_category: row.try_get("service_category")?,
            service: row.try_get("service")?,
            days: days.map(of_day).collect(),
            saved_otherwise: Decimal::ZERO,
        };
        Ok(Usage {
            steady,
            currency: row.try_get("currency")?,
            billing_account: row.try_get("billing_account")?,
            region: row.try_get("region")?,
            charges: row.try_get("charges")?,
            window: (start, end),
        })
    };
    found.into_iter().map(usage).collect()
}

/// A sum that Postgres made. One beyond 28 digits is as good as nothing to a recommendation.
pub(super) fn decimal(text: &str) -> Decimal {
    text.parse().unwrap_or_default()
}

/// The cost of a resource or of a commitment's usage on days from one to before another.
pub(super) async fn cost_between(
    snapshot: &mut Snapshot,
    tenant: &TenantId,
    item: &Recommendation,
    (from, to): (NaiveDate, NaiveDate),
    at: Timestamp,
) -> Result<Decimal, ReadError> {
    let days = Days::of(snapshot, tenant, Some(at)).await?;
    let mut query = QueryBuilder::new("SELECT coalesce(sum(");
    push_cost(&mut query, tenant, (from, to), at);
    query.push("), 0)::text");
    days.push(&mut query, tenant.as_str(), (Some(from), Some(to)), Some(at));
    query.push(" AND s.charge_category = 'Usage' AND s.currency = ").push_bind(item.currency.clone());
    if let Some(resource) = &item.resource {
        query.push(" AND s.resource_ref = weir_resource_ref(").push_bind(resource.clone()).push(")");
    } else {
        query.push(" AND s.provider = ").push_bind(item.provider.clone());
        query.push(" AND s.billing_account = ").push_bind(item.account.clone());
        query.push(" AND s.service = ").push_bind(item.service.clone());
        query.push(" AND s.region = ").push_bind(item.region.clone());
    }
    let sum: String = query.build_query_scalar().fetch_one(snapshot.connection()).await?;
    Ok(decimal(&sum))
}

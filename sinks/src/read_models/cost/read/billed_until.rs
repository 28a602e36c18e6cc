//! The end of the days whose costs are known: bills come late, those of each provider by its own measure, and until then a day
//! costs nothing, a part, or accruals at list prices.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use schemas::{TenantId, Timestamp};
use sqlx::{PgConnection, Postgres, QueryBuilder};

use super::filter::{Days, Source};

/// Days within which an account was billed if further bills of it are to be expected.
const RECENT_DAYS: i32 = 7;

/// A query of [`billed_until`], which counts the series in a scope: its conditions on `cost_series AS s` are to be added.
pub(in crate::read_models::cost) fn of_scope(
    tenant: &TenantId,
    today: NaiveDate,
    known_at: Option<Timestamp>,
) -> QueryBuilder<Postgres> {
    let mut query = QueryBuilder::new(
        "SELECT currency, min(newest) + 1 FROM (SELECT s.currency, s.provider, s.billing_account, max(d.day) AS newest",
    );
    let groups = Days::of_charges().out_of(Source::Groups);
    groups.push(&mut query, tenant.as_str(), (None, Some(today)), known_at);
    // A day that is asked for may lie in the future.
    query.push(" AND d.day >= least(").push_bind(today).push("::date, (coalesce(").push_bind(known_at);
    query
        .push("::timestamptz, now()) AT TIME ZONE 'UTC')::date) - ")
        .push_bind(RECENT_DAYS)
        .push("::integer");
    query.push(
        " AND s.charge_category <> 'Purchase' GROUP BY 1, 2, 3) AS billed
          WHERE (currency, provider, billing_account) IN (
                SELECT s.currency, s.provider, s.billing_account FROM cost_series AS s WHERE s.tenant_id = ",
    );
    query.push_bind(tenant.as_str().to_owned());
    query
}

/// The day after the newest one for which every provider and billing account is billed, by currency: of those that were billed
/// within the week before today, for series in the scope. Without such the currency is missing: its costs are known until
/// today.
pub(in crate::read_models::cost) async fn billed_until(
    connection: &mut PgConnection,
    mut of_scope: QueryBuilder<Postgres>,
) -> sqlx::Result<BTreeMap<String, NaiveDate>> {
    of_scope.push(") GROUP BY 1");
    let rows: Vec<(String, NaiveDate)> = of_scope.build_query_as().fetch_all(connection).await?;
    Ok(rows.into_iter().collect())
}

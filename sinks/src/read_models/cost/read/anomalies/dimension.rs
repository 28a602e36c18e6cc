//! The dimension that makes up most of an anomaly.

use chrono::NaiveDate;
use schemas::TenantId;
use sqlx::QueryBuilder;

use super::{AnomaliesRequest, CostAnomaly, Series, amount};
use crate::read_models::snapshot::{ReadError, Snapshot};

/// A part of a series explains an anomaly if it makes up half of it.
const EXPLAINS: f64 = 0.5;

/// The SKU or the charge category that makes up most of each anomaly, if it makes up half of it.
pub(super) async fn explain_dimensions(
    snapshot: &mut Snapshot,
    tenant: &TenantId,
    request: &AnomaliesRequest,
    series: &[Series],
    found: &mut [(usize, CostAnomaly)],
) -> Result<(), ReadError> {
    let mut asked = Asked::default();
    for (number, (place, anomaly)) in found.iter().enumerate() {
        if let Some(one) = series.get(*place) {
            asked.push(number, one, anomaly.day);
        }
    }
    let amount = amount(request.cost);
    for (dimension, column) in [("charge_category", "s.charge_category"), ("sku", "s.sku")] {
        for (number, value, change) in asked.changes(snapshot, tenant, (amount, column), request).await? {
            let Some((_, anomaly)) = usize::try_from(number).ok().and_then(|number| found.get_mut(number))
            else {
                continue;
            };
            let whole = column == "s.charge_category" && value == "Usage";
            if !whole && !value.is_empty() && change / anomaly.impact >= EXPLAINS {
                (anomaly.dimension, anomaly.dimension_value) = (dimension.to_owned(), value);
            }
        }
    }
    Ok(())
}

/// Series and days whose parts are asked for.
#[derive(Default)]
struct Asked {
    numbers: Vec<i64>,
    currencies: Vec<String>,
    accounts: Vec<String>,
    services: Vec<String>,
    regions: Vec<String>,
    refs: Vec<String>,
    days: Vec<NaiveDate>,
}

impl Asked {
    fn push(&mut self, number: usize, series: &Series, day: NaiveDate) {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        self.numbers.push(i64::try_from(number).unwrap_or(i64::MAX));
        self.currencies.push(series.currency.clone());
        self.accounts.push(text(&series.key.account));
        self.services.push(text(&series.key.service));
        self.regions.push(text(&series.key.region));
        self.refs.push(series.resource_ref.clone());
        self.days.push(day);
    }

    /// By how much each value of a column cost more on the day than on the same day of the two weeks before; the largest
    /// change of each.
    async fn changes(
        &self,
        snapshot: &mut Snapshot,
        tenant: &TenantId,
        (amount, column): (&'static str, &'static str),
        request: &AnomaliesRequest,
    ) -> Result<Vec<(i64, String, f64)>, ReadError> {
        if self.numbers.is_empty() {
            return Ok(Vec::new());
        }
        let mut query =
            QueryBuilder::new("SELECT DISTINCT ON (number) number, value, change FROM (SELECT a.number, ");
        query.push(column).push(" AS value, (coalesce(sum(").push(amount);
        query.push(") FILTER (WHERE d.day = a.day), 0) - coalesce(sum(").push(amount);
        query.push(") FILTER (WHERE d.day < a.day), 0) / 2)::double precision AS change FROM unnest(");
        query.push_bind(&self.numbers).push("::bigint[], ").push_bind(&self.currencies).push("::text[], ");
        query.push_bind(&self.accounts).push("::text[], ").push_bind(&self.services).push("::text[], ");
        query.push_bind(&self.regions).push("::text[], ").push_bind(&self.refs).push("::text[], ");
        query.push_bind(&self.days).push(
            "::date[]) AS a(number, currency, account, service, region, resource_ref, day)
             JOIN cost_series AS s ON s.currency = a.currency AND s.sub_account = a.account AND s.service = a.service
                  AND s.region = a.region AND s.resource_ref = a.resource_ref
             JOIN cost_daily AS d ON d.tenant_id = s.tenant_id AND d.series_key = s.series_key
                  AND d.day IN (a.day, a.day - 7, a.day - 14)
            WHERE s.tenant_id = ",
        );
        query.push_bind(tenant.as_str().to_owned());
        if let Some(instant) = request.view.instant() {
            query.push(" AND d.known_at <= ").push_bind(instant);
        }
        query.push(" GROUP BY 1, 2) AS c ORDER BY number, abs(change) DESC, value");
        Ok(query.build_query_as().fetch_all(snapshot.connection()).await?)
    }
}

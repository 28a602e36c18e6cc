//! Costs before the examined days: a place that has spent before is not new.

use chrono::NaiveDate;
use costs::anomaly::{Dimension, FirstSpend};
use schemas::{TenantId, Timestamp};
use sqlx::{Postgres, QueryBuilder};

use crate::read_models::{
    cost::read::filter::{Days, Source},
    snapshot::{ReadError, Snapshot},
};

/// Costs of a tenant, as known at an instant.
#[derive(Clone, Copy)]
pub(super) struct Known<'a> {
    pub(super) tenant: &'a TenantId,
    pub(super) instant: Option<Timestamp>,
}

impl Known<'_> {
    /// The first day with a charge, or on which something accrued.
    pub(super) async fn first_day(self, snapshot: &mut Snapshot) -> Result<Option<NaiveDate>, ReadError> {
        let first = sqlx::query_scalar(
            "SELECT least(
                    (SELECT min(day) FROM cost_daily_group
                      WHERE tenant_id = $1 AND ($2::timestamptz IS NULL OR known_at <= $2)),
                    (SELECT (min(starts) AT TIME ZONE 'UTC')::date FROM cost_accrual
                      WHERE tenant_id = $1 AND hourly IS NOT NULL AND starts <= coalesce($2, now())))",
        )
        .bind(self.tenant.as_str())
        .bind(self.instant)
        .fetch_one(snapshot.connection())
        .await?;
        Ok(first)
    }

    /// Whether a place cost something before a day: it was charged, or something accrued in it.
    pub(super) async fn has_spent(
        self,
        snapshot: &mut Snapshot,
        currency: &str,
        place: &FirstSpend,
        before: NaiveDate,
    ) -> Result<bool, ReadError> {
        let mut query = QueryBuilder::new("SELECT EXISTS (SELECT 1");
        let charges = Days::of_charges().out_of(Source::Groups);
        charges.push(&mut query, self.tenant.as_str(), (None, Some(before)), self.instant);
        push_place(&mut query, currency, place);
        query.push(
            " AND d.billed <> 0) OR EXISTS (
              SELECT 1 FROM cost_accrual AS a JOIN cost_series AS s USING (tenant_id, series_key)
               WHERE (a.hourly <> 0 OR a.monthly <> 0) AND a.tenant_id = ",
        );
        query.push_bind(self.tenant.as_str().to_owned()).push(" AND a.starts < ").push_bind(before);
        query.push("::timestamp AT TIME ZONE 'UTC' AND a.starts <= coalesce(").push_bind(self.instant);
        query.push("::timestamptz, now())");
        push_place(&mut query, currency, place);
        query.push(")");
        Ok(query.build_query_scalar().fetch_one(snapshot.connection()).await?)
    }
}

/// Adds conditions on `cost_series AS s`.
fn push_place(query: &mut QueryBuilder<Postgres>, currency: &str, place: &FirstSpend) {
    query.push(" AND s.currency = ").push_bind(currency.to_owned());
    query.push(match place.dimension {
        Dimension::Account => " AND s.sub_account = ",
        Dimension::Service => " AND s.service = ",
        Dimension::Region => " AND s.region = ",
    });
    query.push_bind(place.value.clone());
}

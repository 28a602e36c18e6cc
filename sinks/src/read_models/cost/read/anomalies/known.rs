//! Costs before the examined days: a place that has spent before is not new.

use chrono::NaiveDate;
use costs::anomaly::{Dimension, FirstSpend};
use schemas::{TenantId, Timestamp};
use sqlx::QueryBuilder;

use crate::read_models::{
    cost::read::filter::{Days, Source},
    snapshot::{ReadError, Snapshot},
};

/// Costs of a tenant, as known at an instant.
#[derive(Clone, Copy)]
pub(super) struct Known<'a> {
    pub(super) tenant: &'a TenantId,
    pub(super) days: Days,
    pub(super) instant: Option<Timestamp>,
}

impl Known<'_> {
    /// The first day with a cost.
    pub(super) async fn first_day(self, snapshot: &mut Snapshot) -> Result<Option<NaiveDate>, ReadError> {
        let mut query = QueryBuilder::new("SELECT min(d.day)");
        let days = self.days.out_of(Source::Groups);
        days.push(&mut query, self.tenant.as_str(), (None, None), self.instant);
        Ok(query.build_query_scalar().fetch_one(snapshot.connection()).await?)
    }

    /// Whether a place cost something before a day.
    pub(super) async fn has_spent(
        self,
        snapshot: &mut Snapshot,
        currency: &str,
        place: &FirstSpend,
        before: NaiveDate,
    ) -> Result<bool, ReadError> {
        let mut query = QueryBuilder::new("SELECT EXISTS (SELECT 1");
        let days = self.days.out_of(Source::Groups);
        days.push(&mut query, self.tenant.as_str(), (None, Some(before)), self.instant);
        query.push(" AND s.currency = ").push_bind(currency.to_owned());
        query.push(match place.dimension {
            Dimension::Account => " AND s.sub_account = ",
            Dimension::Service => " AND s.service = ",
            Dimension::Region => " AND s.region = ",
        });
        query.push_bind(place.value.clone()).push(" AND (d.billed <> 0 OR d.accrued <> 0))");
        Ok(query.build_query_scalar().fetch_one(snapshot.connection()).await?)
    }
}

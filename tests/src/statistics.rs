//! The planner's statistics of tables that grow from nothing, with autovacuum out of the way.

use sinks::read_models::{
    ReadModel, change_review::ChangeReviews, compliance::Observations, cost::Charges, risk::RiskSignals,
};
use sqlx::{AssertSqlSafe, PgConnection};

use crate::cost::fixture::{Place, at, charge};

/// Charges of a batch.
const BATCH: u64 = 60;

async fn number(owner: &mut PgConnection, query: &'static str) -> i64 {
    sqlx::query_scalar(query).fetch_one(owner).await.expect("a number")
}

#[tokio::test]
async fn the_planner_knows_of_half_the_rows_however_fast_a_table_grows() {
    let mut place = Place::new().await;
    for table in Charges::JOINED {
        let off = format!("ALTER TABLE {table} SET (autovacuum_enabled = off)");
        sqlx::query(AssertSqlSafe(off)).execute(&mut place.owner).await.expect("the owner may");
    }
    let mut member = place.member(0).await;
    for batch in 0..20 {
        let charges: Vec<_> = (batch * BATCH..(batch + 1) * BATCH)
            .map(|n| charge(n, 100, i64::try_from(n).expect("small"), at("2025-06-01T00:00:00Z")))
            .collect();
        member.deliver(&charges).await;
        let rows = number(&mut place.owner, "SELECT count(*) FROM cost_charge").await;
        let planned = "SELECT reltuples::bigint FROM pg_class WHERE oid = 'cost_charge'::regclass";
        let planned = number(&mut place.owner, planned).await;
        assert!(rows < 100 || planned * 2 + 100 > rows, "{planned} of {rows} rows");
    }
}

#[tokio::test]
async fn read_models_name_tables_that_there_are() {
    let mut place = Place::new().await;
    let named = [ChangeReviews::JOINED, Observations::JOINED, Charges::JOINED, RiskSignals::JOINED].concat();
    let missing: Vec<String> =
        sqlx::query_scalar("SELECT name FROM unnest($1::text[]) AS name WHERE to_regclass(name) IS NULL")
            .bind(&named)
            .fetch_all(&mut place.owner)
            .await
            .expect("names");
    assert!(missing.is_empty() && named.len() > 30, "{missing:?}");
}

//! From Kafka to posture, over a member that goes away and a rebuild, and findings on their topic.

use std::sync::Arc;

use producers::kafka::Tally;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::fixture::{TABLES, events};
use crate::support::site::Site;

const SETTLED: &str = "SELECT coalesce(sum(applied + duplicate + ignored + parked), 0)::bigint FROM stage_position \
                       WHERE stage = 'compliance'";

async fn rows(site: &Site) -> Vec<Vec<String>> {
    let mut connection = PgConnection::connect(&site.endpoints.database_url).await.expect("Postgres answers");
    let mut all = Vec::new();
    for table in TABLES {
        let query = format!("SELECT t::text FROM {table} AS t ORDER BY t::text COLLATE \"C\"");
        all.push(sqlx::query_scalar(AssertSqlSafe(query)).fetch_all(&mut connection).await.expect("rows"));
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rebuild_from_the_topics_gives_the_same_tables() {
    let all = events(23, 300);
    let count = i64::try_from(all.len()).expect("small");
    let site = Site::new().await;
    let stage = site.run_stages(&["compliance"], 2);
    let tally = Arc::new(Tally::default());
    for event in &all {
        site.producer.send_tallied(event, &tally).await.expect("room in the queue");
    }
    tally.settled().await;
    // A member that goes away, and one that takes over.
    stage.stop().await;
    let stage = site.run_stages(&["compliance"], 1);
    site.await_count(SETTLED, count).await;
    stage.stop().await;
    let expected = rows(&site).await;
    assert!(expected.iter().all(|rows| !rows.is_empty()), "there is something to compare in each table");

    let mut owner = PgConnection::connect(&site.endpoints.database_url).await.expect("Postgres answers");
    let tables = TABLES.join(", ");
    sqlx::raw_sql(AssertSqlSafe(format!("TRUNCATE {tables}, stage_position")))
        .execute(&mut owner)
        .await
        .expect("emptied");
    let stage = site.run_stages(&["compliance"], 2);
    site.await_count(SETTLED, count).await;
    stage.stop().await;
    let rebuilt = rows(&site).await;
    for (table, (rebuilt, expected)) in TABLES.iter().zip(rebuilt.iter().zip(&expected)) {
        assert_eq!(rebuilt, expected, "{table}");
    }
    assert_eq!(site.count("SELECT count(*) FROM parked_record").await, 0);
}

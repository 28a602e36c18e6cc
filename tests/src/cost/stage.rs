//! From files through the topic to what each day cost.

use std::fs;

use serde_json::Value;
use sqlx::{Connection, PgConnection};

use crate::support::site::{Site, ended};

const SETTLED: &str =
    "SELECT coalesce(sum(applied + duplicate), 0)::bigint FROM stage_position WHERE stage = 'cost'";
const HEADER: &str = "BilledCost,BillingCurrency,BillingAccountId,ProviderName,BillingPeriodStart,ChargePeriodStart,ChargePeriodEnd,\
     ResourceId,x_ExportDateTime";

fn rows(account: usize, count: usize, known_at: &str) -> String {
    let row = |n: usize| {
        let day = 1 + n % 28;
        format!(
            "0.{n:05},EUR,A-{account},Nimbus,2025-05-01,2025-05-{day:02},2025-05-{day:02}T12:00:00Z,R-{},{known_at}\n",
            n % 7
        )
    };
    (1..=count).map(row).collect()
}

/// Every row of the ledger's days and of their sums.
async fn days(site: &Site) -> Vec<String> {
    let mut connection = PgConnection::connect(&site.endpoints.database_url).await.expect("Postgres answers");
    let mut rows = Vec::new();
    for table in ["cost_daily", "cost_monthly", "cost_daily_group"] {
        let all = format!("SELECT t::text FROM {table} AS t ORDER BY t::text COLLATE \"C\"");
        let found =
            sqlx::query_scalar::<_, String>(sqlx::AssertSqlSafe(all)).fetch_all(&mut connection).await;
        rows.extend(found.expect("rows"));
    }
    rows
}

async fn sum_of(site: &Site, condition: &str) -> String {
    let mut connection = PgConnection::connect(&site.endpoints.database_url).await.expect("Postgres answers");
    let sum = format!("SELECT coalesce(sum(billed), 0)::text FROM cost_daily WHERE {condition}");
    sqlx::query_scalar(sqlx::AssertSqlSafe(sum)).fetch_one(&mut connection).await.expect("a sum")
}

/// `weir import focus`; whether it exits with 0, and what it says.
async fn import(site: &Site, args: &[&str]) -> (bool, Value) {
    let args = [&["import", "focus", "--tenant", "acme", "--output", "json"], args].concat();
    let output = ended(site.command(&args)).await;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let told = serde_json::from_str(&text)
        .unwrap_or_else(|error| panic!("{error}: {text}{}", String::from_utf8_lossy(&output.stderr)));
    (output.status.success(), told)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn imported_charges_survive_killed_members_and_a_rebuild_gives_the_same_days() {
    let site = Site::new().await;
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).to_str().expect("a path").to_owned();
    for account in 0..4 {
        let text = format!("{HEADER}\n{}", rows(account, 1_500, "2025-06-01"));
        fs::write(path(&format!("{account}.csv")), text).expect("written");
    }
    let stage = site.run_stages(&["cost"], 2);
    let (clean, told) = import(&site, &[folder.path().to_str().expect("a path")]).await;
    assert!(clean, "{told}");
    assert_eq!(told["published"], 6_000);
    // A member that goes away in the middle, and one that takes over.
    stage.stop().await;
    let stage = site.run_stages(&["cost"], 1);
    site.await_count(SETTLED, 6_000).await;
    assert_eq!(sum_of(&site, "true").await, "45.03000");

    // A bad row is told and exits with 1; the good ones of the file, of which it is a replacement, are in force.
    let replacement = format!(
        "{HEADER}\n{}NaN,EUR,A-0,Nimbus,2025-05-01,2025-05-01,2025-05-02,R-1,2025-07-01\n",
        rows(0, 10, "2025-07-01")
    );
    let single = tempfile::tempdir().expect("a folder");
    let file = single.path().join("late.csv");
    fs::write(&file, replacement).expect("written");
    let file = file.to_str().expect("a path");
    for (published, settled) in [(10, 6_010), (10, 6_020)] {
        let (clean, told) = import(&site, &["--replace", file]).await;
        assert!(!clean);
        assert_eq!((&told["published"], &told["rejected"]), (&published.into(), &1.into()), "{told}");
        let reason = told["rejections"][0]["reason"].as_str().expect("a reason");
        assert!(reason.starts_with("line 12: column BilledCost"), "{reason}");
        site.await_count(SETTLED, settled).await;
    }
    assert_eq!(sum_of(&site, "known_at < '2025-07-01'").await, "45.03000");
    assert_eq!(sum_of(&site, "true").await, "33.77305", "three accounts as they were, one replaced");
    stage.stop().await;

    let expected = days(&site).await;
    let mut owner = PgConnection::connect(&site.endpoints.database_url).await.expect("Postgres answers");
    sqlx::raw_sql("TRUNCATE cost_scope, cost_series, cost_charge, cost_columns, cost_daily, cost_monthly, cost_daily_group, cost_lifecycle, cost_lifecycle_resource, cost_resource, cost_accrual, cost_allocation_fact, cost_budget_fact, cost_budget_crossing, stage_position")
        .execute(&mut owner)
        .await
        .expect("emptied");
    let stage = site.run_stages(&["cost"], 2);
    site.await_count(SETTLED, 6_020).await;
    stage.stop().await;
    assert_eq!(days(&site).await, expected);
    assert_eq!(site.count("SELECT count(*) FROM parked_record").await, 0);
}

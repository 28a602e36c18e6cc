//! Grafana's dashboards: their queries run on the real schema, and the metrics they name are exported.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;
use sqlx::{Connection as _, PgConnection, Row as _};

use crate::{compose, support};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").join("compose/grafana")
}

/// Every dashboard, by its file's name.
fn dashboards() -> Vec<(String, Value)> {
    let mut found: Vec<(String, Value)> = fs::read_dir(folder().join("dashboards"))
        .expect("the dashboards")
        .map(|entry| {
            let path = entry.expect("an entry").path();
            let text = fs::read_to_string(&path).expect("a file");
            let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
            (name, serde_json::from_str(&text).expect("JSON"))
        })
        .collect();
    found.sort_by(|a, b| a.0.cmp(&b.0));
    assert!(found.len() >= 4, "{}", found.len());
    found
}

/// The queries of one language in all panels, with the panel's place for messages.
fn queries(member: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (name, dashboard) in dashboards() {
        for panel in dashboard["panels"].as_array().expect("panels") {
            for target in panel["targets"].as_array().expect("targets") {
                if let Some(query) = target[member].as_str() {
                    found.push((format!("{name}: {}", panel["title"]), query.to_owned()));
                }
            }
        }
    }
    assert!(found.len() > 5, "{member}");
    found
}

/// The SQL of a panel.
pub(crate) fn sql_of(dashboard: &str, panel: &str) -> String {
    let place = format!("{dashboard}: \"{panel}\"");
    let found = queries("rawSql").into_iter().find(|(at, _)| *at == place);
    found.unwrap_or_else(|| panic!("no panel {place}")).1
}

/// The macros of Grafana's PostgreSQL source, as it expands them.
fn expanded(sql: &str) -> String {
    sql.replace(
        "$__timeGroupAlias(occurred_at, $__interval)",
        "date_bin('5 minutes', occurred_at, 'epoch') AS \"time\"",
    )
    .replace(
        "$__timeFilter(occurred_at)",
        "occurred_at BETWEEN '2026-01-01T00:00:00Z' AND '2026-02-01T00:00:00Z'",
    )
    .replace("$__timeFilter(day)", "day BETWEEN '2026-01-01T00:00:00Z' AND '2026-02-01T00:00:00Z'")
}

#[test]
fn every_dashboard_is_one_that_grafana_loads() {
    let mut uids = BTreeSet::new();
    for (name, dashboard) in dashboards() {
        assert_eq!(dashboard["uid"], name.as_str(), "a fixed uid, the file's name");
        assert_eq!(dashboard["schemaVersion"], 42, "{name}");
        assert!(uids.insert(name.clone()));
        let mut ids = BTreeSet::new();
        for panel in dashboard["panels"].as_array().expect("panels") {
            assert!(ids.insert(panel["id"].as_u64().expect("an id")), "{name}: {}", panel["title"]);
            let source = &panel["datasource"]["uid"];
            assert!(source == "weir-prometheus" || source == "weir-postgres", "{name}: {source}");
            let place = &panel["gridPos"];
            let right = place["x"].as_u64().expect("x") + place["w"].as_u64().expect("w");
            assert!(right <= 24, "{name}: {} is wider than the grid", panel["title"]);
        }
    }
}

#[test]
fn every_metric_of_a_dashboard_is_one_that_weir_exports() {
    let sources = compose::sources();
    for (place, query) in queries("expr") {
        let metrics = compose::metrics_in(&query);
        assert!(!metrics.is_empty(), "{place}");
        for metric in metrics {
            assert!(
                sources.contains(&format!("\"{metric}\"")),
                "{place} uses {metric}, which nothing exports"
            );
        }
    }
}

/// Counters that a process shows before their first count. `increase` misses the count that begins a series.
const BEGIN_WITH_ZERO: [&str; 3] =
    ["weir_records_total", "weir_rebalances_total", "weir_cost_scopes_replaced_total"];

#[test]
fn an_increase_is_one_of_a_counter_that_begins_with_zero() {
    let increases: Vec<_> =
        queries("expr").into_iter().filter(|(_, query)| query.contains("increase(")).collect();
    assert!(increases.len() >= 3, "{increases:?}");
    for (place, query) in increases {
        let metrics = compose::metrics_in(&query);
        assert!(metrics.iter().all(|metric| BEGIN_WITH_ZERO.contains(&metric.as_str())), "{place}: {query}");
    }
}

#[tokio::test]
async fn every_query_of_a_dashboard_runs_on_the_real_schema() {
    let url = support::database().await;
    let mut connection = PgConnection::connect(&url).await.expect("a connection");
    sqlx::raw_sql("SET ROLE grafana_reader").execute(&mut connection).await.expect("the role");
    for (place, query) in queries("rawSql") {
        let sql = format!("EXPLAIN {}", expanded(&query));
        let plan = sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).fetch_all(&mut connection).await;
        let plan = plan.unwrap_or_else(|error| panic!("{place}: {error}\n{query}"));
        assert!(!plan.is_empty() && !plan[0].get::<String, _>(0).is_empty(), "{place}");
    }
}

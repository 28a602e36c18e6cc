//! A database that is slow or restarted, and readers that hang up.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::Value;
use sqlx::{Connection, Executor};

use super::fixture::{Api, READERS, entry};

#[tokio::test]
async fn readiness_follows_the_database() {
    let mut api = Api::start().await;
    assert_eq!(api.ask("acme", "/readyz").await.0, StatusCode::OK);
    api.owner.execute("REVOKE SELECT ON audit_entry FROM weir_reader").await.expect("revoked");
    // The last answer is good for a second.
    while api.ask("acme", "/readyz").await.0 == StatusCode::OK {
        tokio::task::yield_now().await;
    }
    assert_eq!(api.refused("acme", "/readyz").await, "not-ready");
    assert_eq!(api.refused("acme", "/api/v1/audit").await, "internal");
}

#[tokio::test]
async fn a_database_that_dropped_its_connections_is_asked_again() {
    let mut api = Api::start().await;
    api.insert(&entry(1, "Read")).await;
    assert_eq!(api.actions("").await, ["Read"]);
    let ended: i64 = sqlx::query_scalar(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
          WHERE datname = current_database() AND application_name = 'weir-query'",
    )
    .fetch_one(&mut api.owner)
    .await
    .expect("ended");
    assert!(ended > 0);
    assert_eq!(api.actions("").await, ["Read"]);
}

#[tokio::test]
async fn a_question_that_takes_too_long_is_cut_off() {
    let mut api = Api::start().await;
    api.insert(&entry(1, "Read")).await;
    assert_eq!(api.actions("").await, ["Read"]);
    let request = api.request("acme", "/api/v1/audit");
    let mut tx = api.owner.begin().await.expect("begun");
    tx.execute("LOCK TABLE audit_entry IN ACCESS EXCLUSIVE MODE").await.expect("locked");
    let problem: Value = request.send().await.expect("answered").json().await.expect("a problem");
    assert_eq!(problem["type"], "/problems/query-too-slow");
    assert!(!problem.to_string().contains("audit_entry"), "no SQL in an answer: {problem}");
    tx.rollback().await.expect("unlocked");
    assert_eq!(api.actions("").await, ["Read"]);
}

/// Clients that go away at any moment leave no transaction and no connection behind.
#[tokio::test]
async fn readers_that_hang_up_leave_nothing_behind() {
    let mut api = Api::start().await;
    for n in 0..50 {
        api.insert(&entry(n, "Read")).await;
    }
    for micros in (0..6000).step_by(150) {
        let request = api.request("acme", "/api/v1/audit?include=record").send();
        // Whether it was answered in time is of no interest here.
        drop(tokio::time::timeout(Duration::from_micros(micros), request).await);
    }
    // On a busy machine the abandoned questions may hold every connection for a while.
    while api.ask("acme", "/api/v1/audit").await.0 == StatusCode::SERVICE_UNAVAILABLE {
        tokio::task::yield_now().await;
    }
    assert_eq!(api.actions("limit=1000").await.len(), 50);
    loop {
        let busy: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pg_stat_activity
              WHERE datname = current_database() AND application_name = 'weir-query' AND state <> 'idle'",
        )
        .fetch_one(&mut api.owner)
        .await
        .expect("asked");
        if busy == 0 {
            break;
        }
        tokio::task::yield_now().await;
    }
    assert!(api.readers.size() <= READERS);
}

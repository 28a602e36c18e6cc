//! Exports: every entry, once, line by line, and on from where a connection broke.

use sinks::read_models::audit_entry::read::AuditItem;
use uuid::Uuid;

use super::fixture::{Api, Entry, entry};

/// More than fit on one page.
const ENTRIES: i64 = 1_030;

async fn filled() -> (Api, Vec<Uuid>) {
    let mut api = Api::start().await;
    let mut entries: Vec<Entry> =
        (0..ENTRIES).map(|n| entry(n / 3, if n % 2 == 0 { "Read" } else { "Write, \"all\"\r\n" })).collect();
    sqlx::query("BEGIN").execute(&mut api.owner).await.expect("begun");
    for entry in &entries {
        api.insert(entry).await;
    }
    sqlx::query("COMMIT").execute(&mut api.owner).await.expect("committed");
    entries.sort_by_key(|entry| std::cmp::Reverse((entry.occurred_at, entry.event_id)));
    (api, entries.into_iter().map(|entry| entry.event_id).collect())
}

fn ids(lines: &str) -> Vec<Uuid> {
    let id = |line: &str| serde_json::from_str::<AuditItem>(line).expect("an entry").event_id;
    lines.lines().map(id).collect()
}

#[tokio::test]
async fn an_export_holds_every_entry_once_and_goes_on_after_any_of_them() {
    let (api, expected) = filled().await;
    let answer = api.request("acme", "/api/v1/audit/export").send().await.expect("an answer");
    assert_eq!(answer.headers()["content-type"], "application/x-ndjson");
    assert_eq!(answer.headers()["content-disposition"], "attachment; filename=\"audit.ndjson\"");
    assert_eq!(ids(&answer.text().await.expect("a body")), expected);

    for broken_after in [0, 999, 1_000, expected.len() - 1] {
        let after = expected[broken_after];
        let (status, rest) = api.ask("acme", &format!("/api/v1/audit/export?after={after}")).await;
        assert_eq!(status, 200, "{rest}");
        assert_eq!(ids(&rest), expected[broken_after + 1..], "after line {broken_after}");
    }

    let (_, some) = api.ask("acme", "/api/v1/audit/export?action=Read&include=record").await;
    assert_eq!(some.lines().count(), usize::try_from(ENTRIES / 2).expect("small"));
    assert!(some.lines().all(|line| line.contains("\"record\":{")));
    assert_eq!(api.ask("other", "/api/v1/audit/export").await.1, "", "another tenant has none");
}

#[tokio::test]
async fn cells_hold_what_entries_do() {
    let (api, expected) = filled().await;
    let answer = api.request("acme", "/api/v1/audit/export?format=csv").send().await.expect("an answer");
    assert_eq!(answer.headers()["content-type"], "text/csv; charset=utf-8; header=present");
    let text = answer.text().await.expect("a body");
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    assert_eq!(&reader.headers().expect("a line of names")[0], "event_id");
    let rows: Vec<csv::StringRecord> = reader.records().map(|row| row.expect("a row")).collect();
    let found: Vec<Uuid> = rows.iter().map(|row| row[0].parse().expect("an id")).collect();
    assert_eq!(found, expected);
    assert!(rows.iter().all(|row| ["Read", "Write, \"all\"\r\n"].contains(&&row[8])));
    let (_, rest) = api.ask("acme", &format!("/api/v1/audit/export?format=csv&after={}", expected[0])).await;
    assert!(rest.starts_with(&expected[1].to_string()), "what goes on has no line of names: {rest:.100}");
}

#[tokio::test]
async fn an_export_waits_for_its_turn_and_refuses_what_it_cannot_read() {
    let (api, expected) = filled().await;
    // A question takes what is left of the share between two pages.
    let mut answer = api.request("acme", "/api/v1/audit/export").send().await.expect("an answer");
    let mut body = answer.chunk().await.expect("a piece").expect("the first page").to_vec();
    let busy =
        futures_util::future::join_all((0..12).map(|_| api.ask("acme", "/api/v1/audit?limit=1000"))).await;
    assert!(!busy.is_empty());
    while let Some(piece) = answer.chunk().await.expect("it is not cut off") {
        body.extend_from_slice(&piece);
    }
    assert_eq!(ids(std::str::from_utf8(&body).expect("UTF-8")), expected);

    for (query, slug) in [
        ("after=01890000-0000-7000-8000-000000000001", "not-found"),
        ("after=x", "invalid-query"),
        ("format=xlsx", "invalid-query"),
        ("limit=5", "invalid-query"),
        ("from=2026-02-01T00:00:00Z&to=2026-01-01T00:00:00Z", "invalid-query"),
    ] {
        assert_eq!(api.refused("acme", &format!("/api/v1/audit/export?{query}")).await, slug, "{query}");
    }
    let foreign = format!("/api/v1/audit/export?after={}", expected[0]);
    assert_eq!(api.refused("other", &foreign).await, "not-found", "another tenant's entry is none");
}

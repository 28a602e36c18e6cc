//! Saved searches: lists of them, and the audit log by their names.

use reqwest::StatusCode;
use sinks::query_api::{AuditPage, HistogramAnswer, SearchAnswer, SearchesPage};

use super::fixture::{Api, entry};

async fn filled() -> Api {
    let mut api = Api::start().await;
    for n in 0..12 {
        let mut row = entry(n, if n % 2 == 0 { "Read" } else { "Write" });
        row.actor = if n % 3 == 0 { "root" } else { "bob" };
        api.insert(&row).await;
    }
    sqlx::raw_sql(
        "INSERT INTO saved_search (tenant_id, name, filter, saved_at, saved_event, saved_by, removed_at, removed_event)
         VALUES ('acme', 'root reads', '{\"actor\": \"root\", \"action\": \"Read\"}', '2026-01-02', gen_random_uuid(), 'ada',
                 NULL, NULL),
                ('acme', 'all', '{}', '2026-01-02', gen_random_uuid(), 'ada', NULL, NULL),
                ('acme', 'gone', '{\"actor\": \"root\"}', '2026-01-02', gen_random_uuid(), 'ada', '2026-01-03',
                 gen_random_uuid()),
                ('acme', 'odd', '{\"outcome\": \"maybe\"}', '2026-01-02', gen_random_uuid(), 'ada', NULL, NULL),
                ('other', 'theirs', '{}', '2026-01-02', gen_random_uuid(), 'eve', NULL, NULL)",
    )
    .execute(&mut api.owner)
    .await
    .expect("searches");
    api
}

#[tokio::test]
async fn searches_are_listed_and_one_is_found_by_its_name() {
    let api = filled().await;
    let (mut names, mut cursor) = (Vec::new(), String::new());
    loop {
        let page: SearchesPage = api.get("acme", &format!("/api/v1/audit/searches?limit=2{cursor}")).await;
        names.extend(page.items.into_iter().map(|item| item.name));
        let Some(next) = page.next_cursor else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(names, ["all", "odd", "root reads"]);
    let found: SearchAnswer = api.get("acme", "/api/v1/audit/searches/root%20reads").await;
    assert_eq!((found.item.filter["actor"].as_str(), found.item.saved_by.as_str()), ("root", "ada"));
    for name in ["gone", "theirs", "none"] {
        assert_eq!(
            api.refused("acme", &format!("/api/v1/audit/searches/{name}")).await,
            "not-found",
            "{name}"
        );
    }
}

#[tokio::test]
async fn the_log_is_asked_by_a_saved_filter() {
    let api = filled().await;
    assert_eq!(api.actions("saved=root%20reads").await, ["Read", "Read"]);
    assert_eq!(api.actions("saved=all").await.len(), 12);
    // A filter of the request's own takes the place of the saved one.
    assert_eq!(api.actions("saved=root%20reads&action=Write").await, ["Write", "Write"]);
    let page: AuditPage = api.get("acme", "/api/v1/audit?saved=root%20reads&limit=1").await;
    let cursor = page.next_cursor.expect("there is another");
    let rest: AuditPage =
        api.get("acme", &format!("/api/v1/audit?saved=root%20reads&limit=1&cursor={cursor}")).await;
    assert_ne!(rest.items[0].event_id, page.items[0].event_id);
    let other = format!("/api/v1/audit?saved=all&limit=1&cursor={cursor}");
    assert_eq!(api.refused("acme", &other).await, "invalid-cursor", "of another filter");
    let counted: HistogramAnswer = api.get("acme", "/api/v1/audit/histogram?saved=root%20reads").await;
    assert_eq!(counted.points.iter().map(|point| point.entries).sum::<i64>(), 2);
    let (status, lines) = api.ask("acme", "/api/v1/audit/export?saved=root%20reads").await;
    assert_eq!((status, lines.lines().count()), (StatusCode::OK, 2));
}

#[tokio::test]
async fn a_search_that_is_not_there_or_finds_nothing_sensible_is_told() {
    let api = filled().await;
    for route in ["audit", "audit/histogram", "audit/export"] {
        for name in ["gone", "theirs", "none"] {
            assert_eq!(api.refused("acme", &format!("/api/v1/{route}?saved={name}")).await, "not-found");
        }
        assert_eq!(api.refused("acme", &format!("/api/v1/{route}?saved=odd")).await, "invalid-query");
        assert_eq!(api.refused("acme", &format!("/api/v1/{route}?saved=")).await, "invalid-query");
    }
}

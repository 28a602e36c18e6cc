//! The column of an entry's other resources: edits are named, and rows that never had it are told.

use audit_log::verify::{Kind, SomeEntries};
use sinks::log_store::Kept;

use super::{LOG, Logged};

#[tokio::test]
async fn edited_resources_behind_the_first_are_named() {
    let mut logged = Logged::new().await;
    let first: i64 =
        sqlx::query_scalar("SELECT min(log_index) FROM audit_entry WHERE other_resources IS NOT NULL")
            .fetch_one(&mut logged.connection)
            .await
            .expect("generated calls have several resources");
    let index = u64::try_from(first).expect("an index");
    for edit in [
        "NULL",
        "array_append(other_resources, 'x')",
        "array_append(other_resources, NULL)",
        "ARRAY['x']",
        "ARRAY[other_resources]",
        "('[0:0]={x}')::text[]",
    ] {
        let edit = format!("UPDATE audit_entry SET other_resources = {edit} WHERE log_index = {first}");
        let found = logged.after(std::slice::from_ref(&edit), &Kept::default()).await;
        assert_eq!(found, Some((index, Kind::Edited)), "{edit}");
    }
    let added = "UPDATE audit_entry SET other_resources = ARRAY['x'] WHERE other_resources IS NULL";
    let found = logged.after(&[added.to_owned()], &Kept::default()).await;
    assert!(matches!(found, Some((_, Kind::Edited))), "{found:?}");
}

/// An empty list is what a version left that knew no other resources.
#[tokio::test]
async fn entries_that_are_found_by_their_first_resource_alone_are_told() {
    let mut logged = Logged::new().await;
    let (entries, first): (i64, i64) =
        sqlx::query_as("SELECT count(*), min(log_index) FROM audit_entry WHERE other_resources IS NOT NULL")
            .fetch_one(&mut logged.connection)
            .await
            .expect("counted");
    assert!(entries > 0, "generated calls have several resources");
    let none = Kept::default();
    assert_eq!(logged.report_after(&[], &none).await.first_resource_only, []);
    let emptied = "UPDATE audit_entry SET other_resources = '{}'".to_owned();
    let report = logged.report_after(&[emptied], &none).await;
    let told =
        SomeEntries { log: LOG.to_owned(), entries: entries.unsigned_abs(), first: first.unsigned_abs() };
    assert_eq!((report.first_fault, report.first_resource_only), (None, vec![told]));
}

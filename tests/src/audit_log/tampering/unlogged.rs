//! Rows without a place in a log: those from before the log, as far as checkpoints say so, and inserted ones.

use audit_log::verify::Kind;
use sinks::log_store::Kept;

use super::{ENTRIES, Logged, stored_checkpoint};

/// A copy of the first entry in that place.
fn inserted(partition: i32, offset: i64, index: &str) -> String {
    format!(
        "INSERT INTO audit_entry (occurred_at, record_offset, event_id, partition, class_uid, activity_id,
           severity_id, record_dictionary, topic, tenant_id, kind, actor_kind, actor, action, outcome, source,
           content_sha256, record, log_index, leaf_hash)
         SELECT occurred_at, {offset}, gen_random_uuid(), {partition}, class_uid, activity_id, severity_id,
                record_dictionary, topic, tenant_id, kind, actor_kind, actor, action, outcome, source,
                content_sha256, record, {index}::bigint, leaf_hash
           FROM audit_entry WHERE log_index = 0"
    )
}

#[tokio::test]
async fn rows_without_a_place_are_inserted() {
    let mut logged = Logged::new().await;
    let raised = "UPDATE audit_log SET first_offset = 1000".to_owned();
    for (statements, at) in [
        (vec![inserted(0, -1, "NULL")], ENTRIES),
        (vec![inserted(0, 500, "NULL")], ENTRIES),
        (vec![raised, inserted(0, 500, "NULL")], ENTRIES),
        (vec![inserted(0, 500, "-1")], ENTRIES),
        (vec![inserted(999, 0, "NULL")], 0),
    ] {
        let found = logged.after(&statements, &Kept::default()).await;
        assert_eq!(found, Some((at, Kind::Inserted)), "{statements:?}");
    }
    let foreign = [inserted(999, 0, "0")];
    assert_eq!(
        logged.after(&foreign, &Kept::default()).await,
        Some((0, Kind::Cut)),
        "a log that is not there"
    );
}

#[tokio::test]
async fn rows_from_before_the_log_are_those_that_its_checkpoints_tell_of() {
    let mut logged = Logged::new().await;
    let late = logged.cosign(&logged.checkpoint.clone().beginning_at(7));
    let signed = ["DELETE FROM audit_checkpoint".to_owned(), stored_checkpoint(&late)];
    let column = "UPDATE audit_log SET first_offset = 7".to_owned();
    let whole =
        [signed.to_vec(), vec![column.clone(), inserted(0, 3, "NULL"), inserted(0, 6, "NULL")]].concat();
    let report = logged.report_after(&whole, &Kept::default()).await;
    assert_eq!((report.ok, report.unlogged, report.entries), (true, 2, ENTRIES));

    let behind = [whole, vec![inserted(0, 7, "NULL")]].concat();
    assert_eq!(logged.after(&behind, &Kept::default()).await, Some((ENTRIES, Kind::Inserted)));
    assert_eq!(
        logged.after(&signed, &Kept::default()).await,
        Some((0, Kind::Edited)),
        "the row says otherwise"
    );
    let raised =
        [signed.to_vec(), vec!["UPDATE audit_log SET first_offset = 9".to_owned(), inserted(0, 8, "NULL")]];
    assert_eq!(logged.after(&raised.concat(), &Kept::default()).await, Some((ENTRIES, Kind::Inserted)));
    // A checkpoint that somebody keeps says that there was nothing before the log.
    let kept = Kept { notes: vec![logged.cosigned(100)], ..Kept::default() };
    let all = [signed.to_vec(), vec![column, inserted(0, 3, "NULL")]].concat();
    assert_eq!(logged.after(&all, &kept).await, Some((ENTRIES, Kind::Inserted)));
}

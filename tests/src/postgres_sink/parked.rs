//! Parked records and the outbox.

use schemas::{ParkReason, TenantId, Topic};
use sinks::{
    KeptBytes, Settlement, Sink,
    outbox::{OutboxRecord, Relay},
    parking::{self, ParkedKey, Resolution, Selection, Settling, Status},
    positions::Operator,
    postgres::operator_pool,
};

use super::fixture::{Place, STAGE, apply, batch_of, config, counts, entry, partition, record};

fn park(detail: &str) -> Settlement<schemas::changes::AuditEntry> {
    Settlement::Park { reason: ParkReason::Undecodable, detail: detail.into() }
}

#[tokio::test]
async fn a_parked_record_keeps_its_bytes_and_a_copy_leaves() {
    let mut place = Place::new().await;
    let long = "x".repeat(5_000);
    let settlements = vec![park("not\0a\nrecord"), Settlement::Apply(vec![entry(1)]), park(&long)];
    assert_eq!(place.deliver(settlements).await, [1, 0, 0, 2]);

    let pool = operator_pool(&place.url, 1).expect("an address");
    let of = |stage: &str| Selection { stage: Some(stage.into()), ..Selection::default() };
    let listed = parking::list(&pool, &of(STAGE), (&[Status::Parked], 10)).await.expect("listed");
    assert_eq!(listed.len(), 2);
    for (stage, status) in [("other", Status::Parked), (STAGE, Status::Discarded)] {
        assert!(parking::list(&pool, &of(stage), (&[status], 10)).await.expect("listed").is_empty());
    }
    let key = ParkedKey { stage: STAGE.into(), partition: partition(0), offset: 0 };
    let shown = parking::show(&pool, &key).await.expect("read").expect("there");
    let original = record(0, 0, park("")).raw;
    assert_eq!(
        (shown.key.as_deref(), shown.value.as_deref(), shown.headers),
        (original.key.as_deref(), original.value.as_deref(), original.headers.to_headers())
    );
    assert_eq!(shown.summary.recorded_at, original.recorded_at());
    assert_eq!(
        (shown.summary.reason.as_str(), shown.summary.detail.as_str()),
        ("undecodable", "not a record")
    );
    assert_eq!((shown.summary.value_size, shown.summary.status.as_str()), (7, "parked"));
    assert_eq!(listed.iter().map(|parked| parked.detail.len()).max(), Some(2048));

    let mut relay = Relay::new(config(&place.url, "relay"));
    let waiting = relay.next(Topic::DeadLetter, 10).await.expect("read");
    assert_eq!(waiting.iter().map(|r| r.number).collect::<Vec<_>>(), [0, 1]);
    assert!(waiting.iter().all(|r| r.outgoing.to == Topic::DeadLetter && r.outgoing.from == partition(0)));
    assert_eq!(waiting[0].outgoing.value.as_deref(), original.value.as_deref());
}

#[tokio::test]
async fn the_outbox_is_read_in_order_by_one_relay_at_a_time_until_it_is_acknowledged() {
    let mut place = Place::new().await;
    for _ in 0..3 {
        place.deliver(vec![park("a"), park("b")]).await;
    }
    let numbers = |records: &[OutboxRecord]| records.iter().map(|r| r.number).collect::<Vec<_>>();
    let mut relay = Relay::new(config(&place.url, "relay"));
    let mut second = Relay::new(config(&place.url, "second"));
    let first = relay.next(Topic::DeadLetter, 4).await.expect("read");
    assert_eq!(numbers(&first), [0, 1, 2, 3]);
    assert_eq!(
        numbers(&second.next(Topic::DeadLetter, 4).await.expect("read")),
        [] as [i64; 0],
        "one at a time"
    );
    relay.acknowledge(&first[..3].iter().collect::<Vec<_>>()).await.expect("removed");
    assert_eq!(numbers(&relay.next(Topic::DeadLetter, 10).await.expect("read")), [3, 4, 5]);
    drop(relay);
    // The server lets the lock go once it has seen the connection close.
    let mut taken_over = Vec::new();
    while taken_over.is_empty() {
        taken_over = second.next(Topic::DeadLetter, 10).await.expect("read");
        tokio::task::yield_now().await;
    }
    assert_eq!(numbers(&taken_over), [3, 4, 5]);
    second.acknowledge(&taken_over.iter().collect::<Vec<_>>()).await.expect("removed");
    // Numbers go on where they were, though the rows are gone.
    place.deliver(vec![park("c")]).await;
    assert_eq!(numbers(&second.next(Topic::DeadLetter, 10).await.expect("read")), [6]);
}

/// After a fail-over positions may go back: the record is met again, and stays as somebody may have settled it.
#[tokio::test]
async fn a_record_parked_again_stays_as_it_stands() {
    let mut place = Place::new().await;
    place.deliver(vec![park("first")]).await;
    sqlx::query("UPDATE stage_position SET position = 0, last_offset = NULL")
        .execute(&mut place.owner)
        .await
        .expect("back");
    sqlx::query("UPDATE parked_record SET status = 'discarded'")
        .execute(&mut place.owner)
        .await
        .expect("settled");
    let claim = place.claim().await;
    let batch = batch_of(&claim, vec![park("second")]);
    assert_eq!(counts(&place.sink.deliver(&batch).await.expect("delivered")), [0, 0, 0, 1]);
    let stands: (String, String) = sqlx::query_as("SELECT status, detail FROM parked_record")
        .fetch_one(&mut place.owner)
        .await
        .expect("one");
    assert_eq!(stands, ("discarded".into(), "first".into()));
}

#[tokio::test]
async fn a_value_above_one_mebibyte_is_parked_without_its_bytes() {
    let mut place = Place::new().await;
    let claim = place.claim().await;
    let mut batch = batch_of(&claim, vec![park("too large"), park("a tombstone"), park("just fits")]);
    batch.records[0].raw.value = Some(vec![7; 1024 * 1024 + 1].into());
    batch.records[1].raw.value = None;
    batch.records[2].raw.value = Some(vec![7; 1024 * 1024].into());
    place.sink.deliver(&batch).await.expect("delivered");
    let kept: Vec<(Option<i32>, i64)> =
        sqlx::query_as("SELECT length(value), value_size FROM parked_record ORDER BY record_offset")
            .fetch_all(&mut place.owner)
            .await
            .expect("read");
    assert_eq!(kept, [(None, 1_048_577), (None, 0), (Some(1_048_576), 1_048_576)]);
    // The good ones that follow are applied.
    assert_eq!(place.deliver(apply([entry(1)])).await, [1, 0, 0, 0]);
}

/// A rebuild begins with positions of its own, while copies of before still wait to leave.
#[tokio::test]
async fn a_rebuild_numbers_on_behind_what_waits_in_the_outbox() {
    let mut place = Place::new().await;
    place.deliver(vec![park("a"), park("b")]).await;
    let removed = sqlx::query("DELETE FROM stage_position").execute(&mut place.owner).await.expect("removed");
    assert_eq!(removed.rows_affected(), 1);
    assert_eq!(place.deliver(vec![park("a"), park("b")]).await, [0, 0, 0, 2]);
    let waiting = Relay::new(config(&place.url, "relay")).next(Topic::DeadLetter, 10).await.expect("read");
    assert_eq!(waiting.iter().map(|record| record.number).collect::<Vec<_>>(), [0, 1, 2, 3]);
}

/// Of a tenant that is far over its limit.
#[tokio::test]
async fn a_reference_is_parked_without_bytes_and_without_a_copy() {
    let mut place = Place::new().await;
    let claim = place.claim().await;
    let mut batch = batch_of(&claim, vec![park("one of many"), park("without data"), park("empty")]);
    for record in &mut batch.records {
        record.kept = KeptBytes::Reference;
    }
    (batch.records[1].raw.value, batch.records[2].raw.value) = (None, Some("".into()));
    place.sink.deliver(&batch).await.expect("delivered");
    let pool = operator_pool(&place.url, 1).expect("an address");
    let key = ParkedKey { stage: STAGE.into(), partition: partition(0), offset: 0 };
    let shown = parking::show(&pool, &key).await.expect("read").expect("there");
    assert_eq!((shown.value.as_deref(), shown.headers.len(), shown.summary.value_size), (None, 0, 7));
    assert!(shown.value_was_left_out() && shown.may_lack_bytes(), "so a replay reads it from its topic");
    for offset in [1, 2] {
        let key = ParkedKey { offset, ..key.clone() };
        let shown = parking::show(&pool, &key).await.expect("read").expect("there");
        assert!(!shown.value_was_left_out() && shown.may_lack_bytes(), "its headers are there alone");
    }
    assert_eq!(place.number("SELECT count(*) FROM outbox").await, 0);
}

/// The waiting records are the parked ones less those decided about; a repeated decision counts once.
#[tokio::test]
async fn what_waits_is_known_without_counting_rows() {
    let mut place = Place::new().await;
    place.deliver(vec![park("a"), park("b"), park("c"), park("d"), Settlement::Apply(vec![entry(1)])]).await;
    let pool = operator_pool(&place.url, 3).expect("an address");
    let mut settling = Settling::begin(&pool).await.expect("asked").expect("nobody else");
    assert!(Settling::begin(&pool).await.expect("asked").is_none(), "one at a time");
    let all = Selection::default();
    let waiting = [Status::Parked];
    let places = settling.places(&all, &waiting, (None, 2)).await.expect("read");
    assert_eq!(places.iter().map(|place| place.offset).collect::<Vec<_>>(), [0, 1]);
    let rest = settling.places(&all, &waiting, (places.last(), 10)).await.expect("read");
    assert_eq!(rest.iter().map(|place| (place.offset, place.replays)).collect::<Vec<_>>(), [(2, 0), (3, 0)]);
    for _ in 0..2 {
        settling.replayed(&places[0], "ada").await.expect("marked");
    }
    let one = Selection { offset: Some(1), ..Selection::default() };
    let by = Operator { name: "ada".into(), tenant: TenantId::new("acme").expect("valid") };
    for resolution in [Resolution::Replay, Resolution::Discard { reason: "old" }] {
        settling.announce((&all, &waiting), resolution, &by).await.expect("told");
        settling.announce((&one, &[Status::Discarded]), resolution, &by).await.expect("nothing to tell");
    }
    let told: Vec<String> =
        sqlx::query_scalar("SELECT encode(value, 'escape') FROM event_outbox ORDER BY number")
            .fetch_all(&mut place.owner)
            .await
            .expect("read");
    let [replay, discard] = told.as_slice() else { panic!("one event each: {told:?}") };
    assert!(replay.contains("ReplayParkedRecords") && replay.contains("3 parked records to be replayed"));
    assert!(
        discard.contains("DiscardParkedRecords") && discard.contains("3 parked records to be discarded: old")
    );
    assert_eq!(settling.discard(&one, ("ada", "old")).await.expect("given up"), 1);
    assert_eq!(settling.discard(&one, ("ada", "old")).await.expect("nothing left"), 0);
    // What was given up stays given up.
    settling.replayed(&places[1], "ada").await.expect("nothing to mark");
    assert_eq!(settling.count(&all, &waiting).await.expect("counted"), 2);
    let counts: (i64, i64, i64) = sqlx::query_as("SELECT parked, replayed, discarded FROM stage_position")
        .fetch_one(&mut place.owner)
        .await
        .expect("read");
    assert_eq!(counts, (4, 1, 1));
    let stands: Vec<(String, i16, Option<String>, Option<String>)> = sqlx::query_as(
        "SELECT status, replays, settled_by, settled_reason FROM parked_record ORDER BY record_offset LIMIT 3",
    )
    .fetch_all(&mut place.owner)
    .await
    .expect("read");
    let ada = || Some("ada".to_owned());
    assert_eq!(
        stands,
        [
            ("replayed".into(), 1, ada(), None),
            ("discarded".into(), 0, ada(), Some("old".into())),
            ("parked".into(), 0, None, None),
        ]
    );
    // What is parked after the right was taken is another's business: it may be what was just published anew.
    place.deliver(vec![park("later")]).await;
    assert_eq!(settling.count(&all, &waiting).await.expect("counted"), 2);
    drop(settling);
    let again = loop {
        // The server lets the lock go once it has seen the connection close.
        if let Some(settling) = Settling::begin(&pool).await.expect("asked") {
            break settling;
        }
        tokio::task::yield_now().await;
    };
    let mut again = again;
    assert_eq!(again.count(&all, &waiting).await.expect("counted"), 3);
}

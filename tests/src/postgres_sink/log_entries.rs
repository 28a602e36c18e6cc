//! Entries get their places in the logs in the transaction that applies them.

use audit_log::{
    Hash,
    integrity::{Personal, leaf_of},
    record::Splitter,
    tree::{Frontier, OpenLog, TILE_WIDTH, subtree},
};
use schemas::{ParkReason, changes::AuditEntry};
use sinks::{
    Batch, OffsetRange, Settlement, Sink, log_store::handover, postgres::PostgresSink,
    read_models::audit_entry::AuditEntries,
};
use sqlx::Row as _;

use super::fixture::{Place, apply, batch_of, claim, config, counts, entry, last, partition, record, sink};
use crate::support;

/// Stored state of one log.
#[derive(Debug, PartialEq)]
struct Stored {
    leaves: Vec<Hash>,
    root: Hash,
    tiles: Vec<(i16, i64, Vec<u8>)>,
    part: Vec<u8>,
}

/// The log of a partition as it is stored; everything that is stored of it is checked against its entries.
async fn stored(place: &mut Place, number: i32) -> Stored {
    let log = format!("weir.activity.v1/{number}");
    let rows = sqlx::query(
        "SELECT log_index, leaf_hash, record, record_dictionary, tenant_id, actor, event_id FROM audit_entry
          WHERE partition = $1 ORDER BY record_offset",
    )
    .bind(number)
    .fetch_all(&mut place.owner)
    .await
    .expect("rows");
    let mut splitter = Splitter::default();
    let mut open = OpenLog::default();
    let mut leaves = Vec::new();
    for (index, row) in (0_i64..).zip(&rows) {
        assert_eq!(row.get::<i64, _>(0), index, "indices in the order of offsets, without a gap");
        let record = sinks::compress::decompress(row.get(3), row.get(2)).expect("readable");
        let key = support::subject_secret().key(row.get(4), row.get(5));
        let salt = Personal::Salted(key.salt(&row.get(6)));
        let leaf = leaf_of(&mut splitter, &record, &salt).expect("a record");
        assert_eq!(row.get::<Vec<u8>, _>(1), leaf.0, "the leaf is that of the stored record");
        open.push(leaf);
        leaves.push(leaf);
    }
    let row = sqlx::query("SELECT size, frontier, last_leaf FROM audit_log WHERE log = $1")
        .bind(&log)
        .fetch_one(&mut place.owner)
        .await
        .expect("the log");
    let roots = Hash::list(&row.get::<Vec<u8>, _>(1)).expect("hashes");
    let size = u64::try_from(row.get::<i64, _>(0)).expect("a size");
    let frontier = Frontier::new(size, roots).expect("of that size");
    assert_eq!((frontier.size(), frontier.root()), (leaves.len() as u64, open.frontier().root()));
    assert_eq!(Some(row.get::<Vec<u8>, _>(2)), leaves.last().map(|leaf| leaf.0.to_vec()));
    let stored: Vec<(i16, i64, Vec<u8>, Vec<u8>)> =
        sqlx::query_as("SELECT level, index, hashes, root FROM audit_tile WHERE log = $1 ORDER BY 1, 2")
            .bind(&log)
            .fetch_all(&mut place.owner)
            .await
            .expect("tiles");
    let (tiles, roots): (Vec<_>, Vec<_>) =
        stored.into_iter().map(|(level, index, hashes, root)| ((level, index, hashes), root)).unzip();
    let part: Vec<Vec<u8>> =
        sqlx::query_scalar("SELECT hashes FROM audit_tile_part WHERE log = $1 ORDER BY first_index")
            .bind(&log)
            .fetch_all(&mut place.owner)
            .await
            .expect("parts");
    let full: Vec<Vec<u8>> = leaves.chunks_exact(TILE_WIDTH).map(Hash::concat).collect();
    assert_eq!(tiles.iter().map(|(_, _, hashes)| hashes.clone()).collect::<Vec<_>>(), full);
    let of_tiles: Vec<Vec<u8>> =
        leaves.chunks_exact(TILE_WIDTH).map(|tile| subtree(tile).0.to_vec()).collect();
    assert_eq!(roots, of_tiles, "each tile is stored with its root");
    let part = part.concat();
    assert_eq!(part, Hash::concat(open.open_leaves()));
    Stored { leaves, root: frontier.root(), tiles, part }
}

/// Delivers entries in batches of these sizes, each after the other.
async fn deliver(place: &mut Place, entries: &[AuditEntry], sizes: &[usize]) {
    let mut claim = place.claim().await;
    let mut rest = entries;
    for size in sizes.iter().cycle() {
        let (now, later) = rest.split_at((*size).min(rest.len()));
        if now.is_empty() {
            break;
        }
        let batch = batch_of(&claim, apply(now.iter().cloned()));
        place.sink.deliver(&batch).await.expect("delivered");
        claim.position = batch.ranges[0].upto;
        rest = later;
    }
}

#[tokio::test]
async fn whatever_the_batches_the_log_is_the_same() {
    let entries: Vec<AuditEntry> = (0..700).map(entry).collect();
    let mut logs = Vec::new();
    for sizes in [[1, 7].as_slice(), &[300], &[50, 60, 3], &[700]] {
        let mut place = Place::new().await;
        deliver(&mut place, &entries, sizes).await;
        let log = stored(&mut place, 0).await;
        assert_eq!(log.leaves.len(), 700);
        logs.push(log);
    }
    assert!(logs.windows(2).all(|pair| pair[0] == pair[1]));
}

#[tokio::test]
async fn duplicates_and_parked_records_take_no_index() {
    let mut place = Place::new().await;
    let mut settlements = apply((0..4).map(entry));
    settlements.insert(2, Settlement::Park { reason: ParkReason::Undecodable, detail: "no event".into() });
    settlements.insert(1, Settlement::Ignore("tombstone"));
    assert_eq!(place.deliver(settlements).await, [4, 0, 1, 1]);
    // Two of three are there already, one of them with other content.
    let other = AuditEntry { content_sha256: [0xff; 32], ..entry(3) };
    assert_eq!(place.deliver(apply([entry(1), other, entry(9)])).await, [1, 1, 0, 1]);
    assert_eq!(place.deliver(apply([entry(9), entry(10)])).await, [1, 1, 0, 0]);
    assert_eq!(stored(&mut place, 0).await.leaves.len(), 6);
}

/// Only committed entries are handed over: none of a batch of which nothing was new.
#[tokio::test]
async fn a_batch_of_duplicates_hands_nothing_over() {
    let mut place = Place::new().await;
    let (to, mut from) = handover();
    let model = AuditEntries::new(support::subject_secret()).expect("zstd").handing_over(Some(to));
    place.sink = PostgresSink::new(config(&place.url, "one"), model);
    let many = || (0..60).map(entry);
    assert_eq!(place.deliver(apply(many())).await, [60, 0, 0, 0]);
    assert_eq!(place.deliver(apply([entry(1)])).await, [0, 1, 0, 0]);
    assert_eq!(place.deliver(apply([entry(60)])).await, [1, 0, 0, 0]);
    assert_eq!(place.deliver(apply(many())).await, [0, 60, 0, 0]);
    assert_eq!(place.deliver(apply([entry(61)])).await, [1, 0, 0, 0]);
    let leaves = stored(&mut place, 0).await.leaves;
    let mut handed = Vec::new();
    while let Some(appended) = from.try_recv() {
        handed.extend(appended.entries.iter().map(|entry| (entry.index, entry.leaf)));
    }
    assert_eq!(handed, (0..).zip(leaves).collect::<Vec<_>>());
    assert!(!from.has_overflowed());
}

/// A batch of several partitions: each has a log of its own, and each log its own order.
#[tokio::test]
async fn partitions_have_logs_of_their_own() {
    let mut place = Place::new().await;
    let claims = [claim(&mut place.sink, 0).await, claim(&mut place.sink, 1).await];
    let records = (0..120_i64).map(|n| {
        let range = usize::from(n % 3 == 0);
        // The keys' order is another than that of offsets.
        let entry = entry(u64::try_from(119 - n).expect("small"));
        record(range, n, Settlement::Apply(vec![entry]))
    });
    let range = |number: usize| OffsetRange {
        partition: partition(i32::try_from(number).expect("small")),
        start: 0,
        upto: 120,
        last: Some(last(119)),
        owner_epoch: claims[number].owner_epoch,
    };
    let batch = Batch { records: records.collect(), ranges: vec![range(0), range(1)], rule_set: None };
    place.sink.deliver(&batch).await.expect("delivered");
    assert_eq!(stored(&mut place, 0).await.leaves.len(), 80);
    assert_eq!(stored(&mut place, 1).await.leaves.len(), 40);
}

/// A new owner of a partition continues its log, and so does a former owner that gets it back.
#[tokio::test]
async fn a_log_changes_hands() {
    let mut place = Place::new().await;
    let mut other = sink(&place.url, "two");
    for turn in 0..6_u64 {
        let own = claim(if turn % 2 == 0 { &mut place.sink } else { &mut other }, 0).await;
        for half in 0..2 {
            let first = turn * 200 + half * 100;
            let mut own = own.clone();
            own.position += i64::try_from(half * 100).expect("small");
            let batch = batch_of(&own, apply((first..first + 100).map(entry)));
            let by = if turn % 2 == 0 { &mut place.sink } else { &mut other };
            assert_eq!(counts(&by.deliver(&batch).await.expect("delivered")), [100, 0, 0, 0]);
        }
        // Few enough for the single statement, too.
        let late = claim(if turn % 2 == 0 { &mut other } else { &mut place.sink }, 0).await;
        let by = if turn % 2 == 0 { &mut other } else { &mut place.sink };
        let batch = batch_of(&late, apply([entry(10_000 + turn)]));
        assert_eq!(counts(&by.deliver(&batch).await.expect("delivered")), [1, 0, 0, 0]);
    }
    assert_eq!(stored(&mut place, 0).await.leaves.len(), 1206);
}

/// A log that somebody has tampered with goes on: entries flow, and it is for whoever signs to refuse.
#[tokio::test]
async fn entries_flow_into_a_log_that_was_tampered_with() {
    let mut place = Place::new().await;
    place.deliver(apply((0..300).map(entry))).await;
    sqlx::query("UPDATE audit_log SET frontier = decode(repeat('00', 32), 'hex')")
        .execute(&mut place.owner)
        .await
        .expect("tampered with");
    place.sink = sink(&place.url, "two");
    assert_eq!(place.deliver(apply((300..600).map(entry))).await, [300, 0, 0, 0]);
    assert_eq!(place.number("SELECT size FROM audit_log").await, 600);
}

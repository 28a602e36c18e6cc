//! Batches of audit entries, and what became of them.

use schemas::{
    EventId, TenantId, Timestamp, Topic,
    changes::{AuditEntry, OcsfRecord},
    events::{ActorKind, OutcomeStatus},
};
use sinks::{
    Batch, Claim, ClaimRequest, KeptBytes, LastRecord, OffsetRange, RawRecord, RecordChanges, Settled,
    Settlement, Sink, TopicPartition,
    postgres::{PostgresSink, SinkConfig},
    read_models::audit_entry::AuditEntries,
};
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use crate::support;

pub(super) const STAGE: &str = "audit";

pub(super) fn partition(number: i32) -> TopicPartition {
    TopicPartition { topic: Topic::Activity, partition: number }
}

pub(super) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_timestamp(1_800_000_000 + seconds, 0).expect("a time")
}

/// The entry of the n-th event; equal numbers give equal entries.
pub(super) fn entry(n: u64) -> AuditEntry {
    AuditEntry {
        event_id: EventId::new(Uuid::from_u128(u128::from(n) + 1)).expect("not nil"),
        tenant: TenantId::new(if n.is_multiple_of(3) { "acme" } else { "other" }).expect("valid"),
        occurred_at: at(i64::try_from(n % 1000).expect("small")),
        class_uid: 6003,
        activity_id: 2,
        severity_id: 1,
        kind: "ApiCalled",
        actor_kind: ActorKind::User,
        actor: format!("ada-{}", n % 7),
        actor_name: n.is_multiple_of(2).then(|| "Ada".into()),
        actor_ip: None,
        action: "s3:GetObject".into(),
        resource_type: Some("bucket".into()),
        resource: Some(format!("bucket-{n}")),
        other_resources: (0..n % 3).map(|nth| format!("key-{nth}-of-{n}")).collect(),
        project: None,
        outcome: OutcomeStatus::Success,
        outcome_code: None,
        source: "/test".into(),
        correlation_id: Some("c".into()),
        content_sha256: [u8::try_from(n % 251).expect("small"); 32],
        record: OcsfRecord::new(format!(r#"{{"class_uid":6003,"n":{n}}}"#).into_bytes(), None),
    }
}

/// One record of a batch.
pub(super) fn record(
    range: usize,
    offset: i64,
    settlement: Settlement<AuditEntry>,
) -> RecordChanges<AuditEntry> {
    let identity = match &settlement {
        Settlement::Apply(changes) => changes.first().map(|entry| (entry.tenant.clone(), entry.event_id)),
        _ => None,
    };
    let raw = RawRecord {
        key: Some("key".into()),
        value: Some(format!("value {offset}").into()),
        headers: [("ce_id".to_owned(), Some(vec![0xff])), ("null".to_owned(), None)].into_iter().collect(),
        timestamp_ms: 1_800_000_000_000,
    };
    RecordChanges { range, offset, settlement, raw, identity, kept: KeptBytes::All }
}

pub(super) fn last(offset: i64) -> LastRecord {
    LastRecord { offset, print: [u8::try_from(offset % 256).expect("small"); 32] }
}

/// A batch on one partition that follows the claim and has a record per settlement.
pub(super) fn batch_of(claim: &Claim, settlements: Vec<Settlement<AuditEntry>>) -> Batch<AuditEntry> {
    let start = claim.position;
    let upto = start + i64::try_from(settlements.len()).expect("small");
    let records = settlements.into_iter().zip(start..).map(|(s, offset)| record(0, offset, s)).collect();
    let range = OffsetRange {
        partition: claim.partition,
        start,
        upto,
        last: Some(last(upto - 1)),
        owner_epoch: claim.owner_epoch,
    };
    Batch { records, ranges: vec![range], rule_set: None }
}

pub(super) fn apply(entries: impl IntoIterator<Item = AuditEntry>) -> Vec<Settlement<AuditEntry>> {
    entries.into_iter().map(|entry| Settlement::Apply(vec![entry])).collect()
}

/// The counts of the only range: applied, duplicate, ignored, parked.
pub(super) fn counts(settled: &Settled) -> [i64; 4] {
    let [one] = settled.ranges.as_slice() else { panic!("one range: {settled:?}") };
    [one.applied, one.duplicate, one.ignored, one.parked]
}

/// A database of its own, a sink on it, and an owner's connection that looks.
pub(super) struct Place {
    pub(super) url: String,
    pub(super) sink: PostgresSink<AuditEntries>,
    pub(super) owner: PgConnection,
}

impl Place {
    pub(super) async fn new() -> Self {
        let url = support::database().await;
        let owner = PgConnection::connect(&url).await.expect("the database takes connections");
        Self { sink: sink(&url, "one"), url, owner }
    }

    /// Claims partition 0.
    pub(super) async fn claim(&mut self) -> Claim {
        claim(&mut self.sink, 0).await
    }

    /// Delivers on partition 0 after a fresh claim; the counts of that batch.
    pub(super) async fn deliver(&mut self, settlements: Vec<Settlement<AuditEntry>>) -> [i64; 4] {
        let claim = self.claim().await;
        let batch = batch_of(&claim, settlements);
        counts(&self.sink.deliver(&batch).await.expect("delivered"))
    }

    pub(super) async fn number(&mut self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(&mut self.owner).await.expect(sql)
    }

    /// Rows of the audit log, and distinct events among them.
    pub(super) async fn rows(&mut self) -> (i64, i64) {
        sqlx::query_as("SELECT count(*), count(DISTINCT (tenant_id, event_id)) FROM audit_entry")
            .fetch_one(&mut self.owner)
            .await
            .expect("counted")
    }

    /// Position and counts of partition 0, as stored.
    pub(super) async fn stored(&mut self) -> (i64, [i64; 4]) {
        let row: (i64, i64, i64, i64, i64) = sqlx::query_as(
            "SELECT position, applied, duplicate, ignored, parked FROM stage_position WHERE partition = 0",
        )
        .fetch_one(&mut self.owner)
        .await
        .expect("claimed");
        (row.0, [row.1, row.2, row.3, row.4])
    }
}

pub(super) fn config(url: &str, owner: &str) -> SinkConfig {
    SinkConfig {
        stage: STAGE.into(),
        url: url.into(),
        owner: owner.into(),
        cluster_id: "cluster".into(),
        version: "1.2.3".into(),
    }
}

pub(super) fn sink(url: &str, owner: &str) -> PostgresSink<AuditEntries> {
    PostgresSink::new(config(url, owner), AuditEntries::new(support::subject_secret()).expect("zstd"))
}

pub(super) async fn claim(sink: &mut PostgresSink<AuditEntries>, number: i32) -> Claim {
    let request = ClaimRequest { partition: partition(number), low: 0, partitions: None };
    sink.claim(&[request]).await.expect("claimed").remove(0)
}

//! A database with a signed log, decisions about its data, and whoever carries them out.

use std::collections::BTreeMap;

use audit_log::{
    checkpoint::Checkpoint,
    keys::{PrivateKey, Purpose},
    verify::{Report, Trust},
};
use processors::{Processor as _, audit::Audit, retention::Retention};
use producers::generate::{Generator, GeneratorConfig};
use schemas::{
    Envelope, Event, EventId, Source, TenantId, Timestamp, Topic,
    changes::{AuditEntry, retention::HOLD_NAME},
    events::{Actor, ActorKind, Governance, GovernanceKind},
};
use sinks::{
    Batch, ClaimRequest, KeptBytes, OffsetRange, RawRecord, ReadModel, RecordChanges, Settlement, Sink,
    TopicPartition,
    log_store::{self, Kept, SigningStore},
    postgres::{PostgresSink, SinkConfig},
    read_models::{audit_entry::AuditEntries, retention::RetentionDecisions},
    retention::{self, RetentionConfig, RetentionPolicy},
};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use uuid::Uuid;

use crate::support;

pub(super) const LOG: &str = "weir.activity.v1/0";

/// Generated entries of one tenant's activity, the same ones each time.
pub(super) fn entries(count: usize) -> Vec<AuditEntry> {
    entries_of("acme", 14, count)
}

/// The same of any tenant.
pub(super) fn entries_of(tenant: &str, seed: u64, count: usize) -> Vec<AuditEntry> {
    let tenant = TenantId::new(tenant).expect("valid");
    let now: Timestamp = "2026-03-01T00:00:00Z".parse().expect("a time");
    let events = Generator::new(seed, GeneratorConfig::ending_at(now, count as u64 * 4, tenant));
    let entries =
        events.filter(|event| event.event.topic() == Topic::Activity).flat_map(|event| Audit.process(&event));
    entries.take(count).collect()
}

/// Whoever has most of these entries.
pub(super) fn busiest(entries: &[AuditEntry]) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for entry in entries {
        *counts.entry(&entry.actor).or_default() += 1;
    }
    let busiest = counts.into_iter().filter(|(actor, _)| !actor.is_empty()).max_by_key(|(_, count)| *count);
    busiest.expect("an actor").0.to_owned()
}

/// A stage's writer of partition 0 of a topic.
pub(super) struct Writer<M: ReadModel> {
    sink: PostgresSink<M>,
    partition: TopicPartition,
    position: i64,
    owner_epoch: i64,
}

impl<M: ReadModel> Writer<M> {
    async fn new(url: &str, (stage, topic): (&str, Topic), model: M) -> Self {
        let config = SinkConfig {
            stage: stage.into(),
            url: url.into(),
            owner: "test".into(),
            cluster_id: "test".into(),
            version: "test".into(),
        };
        let mut sink = PostgresSink::new(config, model);
        let partition = TopicPartition { topic, partition: 0 };
        let claims = sink.claim(&[ClaimRequest { partition, low: 0, partitions: None }]).await;
        let claim = claims.expect("claimed").remove(0);
        Self { sink, partition, position: claim.position, owner_epoch: claim.owner_epoch }
    }

    /// Delivers changes as one batch; applied, duplicate, ignored, parked.
    async fn deliver(&mut self, changes: Vec<M::Change>) -> [i64; 4] {
        let start = self.position;
        let upto = start + i64::try_from(changes.len()).expect("small");
        let records = (start..).zip(changes).map(|(offset, change)| RecordChanges {
            range: 0,
            offset,
            settlement: Settlement::Apply(vec![change]),
            raw: RawRecord::default(),
            identity: None,
            kept: KeptBytes::All,
        });
        let range =
            OffsetRange { partition: self.partition, start, upto, last: None, owner_epoch: self.owner_epoch };
        let batch = Batch { records: records.collect(), ranges: vec![range], rule_set: None };
        let settled = self.sink.deliver(&batch).await.expect("delivered");
        self.position = upto;
        let counts = &settled.ranges[0];
        [counts.applied, counts.duplicate, counts.ignored, counts.parked]
    }
}

/// A database with one log, and all who work on it.
pub(super) struct Place {
    pub(super) url: String,
    pub(super) owner: PgConnection,
    pub(super) key: PrivateKey,
    audit: Writer<AuditEntries>,
    decisions: Writer<RetentionDecisions>,
    decided: u64,
}

impl Place {
    pub(super) async fn new() -> Self {
        let url = support::database().await;
        let owner = PgConnection::connect(&url).await.expect("connected");
        let key = PrivateKey::new("audit.example.com", &[1; 32]).expect("a name");
        let model = AuditEntries::new(support::subject_secret()).expect("zstd");
        let audit = Writer::new(&url, ("audit", Topic::Activity), model).await;
        let decisions = Writer::new(&url, ("retention", Topic::Governance), RetentionDecisions).await;
        Self { url, owner, key, audit, decisions, decided: 0 }
    }

    /// Appends entries in batches of that size and signs the log.
    pub(super) async fn append(&mut self, entries: &[AuditEntry], batch: usize) {
        for some in entries.chunks(batch) {
            let all = i64::try_from(some.len()).expect("small");
            assert_eq!(self.audit.deliver(some.to_vec()).await, [all, 0, 0, 0]);
        }
        self.sign().await;
    }

    /// Appends entries to the log of another topic, and signs the logs.
    pub(super) async fn append_to(&mut self, topic: Topic, entries: &[AuditEntry]) {
        let model = AuditEntries::new(support::subject_secret()).expect("zstd");
        let mut writer = Writer::new(&self.url, ("audit", topic), model).await;
        let all = i64::try_from(entries.len()).expect("small");
        assert_eq!(writer.deliver(entries.to_vec()).await, [all, 0, 0, 0]);
        self.sign().await;
    }

    pub(super) async fn sign(&mut self) {
        let mut store = SigningStore::claim(&self.url).await.expect("connected").expect("nobody else signs");
        for log in store.unsigned().await.expect("logs") {
            let log = log.expect("whole");
            let checkpoint = Checkpoint {
                origin: format!("audit.example.com/{}", log.log),
                size: log.frontier.size(),
                root: log.frontier.root(),
                extensions: Vec::new(),
            };
            let now = chrono::Utc::now();
            let checkpoint = checkpoint.at(u64::try_from(now.timestamp()).expect("after 1970"));
            let note = checkpoint.sign(std::slice::from_ref(&self.key)).expect("signed");
            store.store(&log.log, &checkpoint, &note, now).await.expect("stored");
        }
    }

    pub(super) fn trust(&self) -> Trust {
        Trust { keys: vec![self.key.public(Purpose::Log)], witnesses: Vec::new() }
    }

    pub(super) async fn verify(&self) -> Report {
        log_store::verify(&self.url, &self.trust(), &Kept::default()).await.expect("readable")
    }

    /// A decision as an event, by way of the processor; each a second later than the one before.
    pub(super) async fn decide(&mut self, kind: GovernanceKind, subject: (&str, &str), name: &str) {
        self.decided += 1;
        let (subject_kind, subject_id) = subject;
        let event = Governance {
            kind,
            subject_kind: subject_kind.into(),
            subject_id: subject_id.into(),
            actor: Actor { kind: ActorKind::User, id: "hanna".into(), ..Actor::default() },
            decision: None,
            reason: Some("file 14".into()),
            expires_at: None,
            attributes: [(HOLD_NAME.to_owned(), name.to_owned())].into(),
        };
        let seconds = i64::try_from(self.decided).expect("small");
        let envelope = Envelope {
            id: EventId::new(Uuid::from_u128(u128::from(self.decided) + 1)).expect("not nil"),
            tenant: TenantId::new("acme").expect("valid"),
            source: Source::new("/test").expect("valid"),
            subject: None,
            occurred_at: Timestamp::from_timestamp(1_800_000_000 + seconds, 0).expect("a time"),
            skewed: false,
            time_assumed: false,
            original_id: None,
            correlation_id: None,
            causation_id: None,
            trace: None,
            event: Event::Governance(event),
            native: None,
        };
        assert_eq!(self.decisions.deliver(Retention.process(&envelope)).await, [1, 0, 0, 0]);
    }

    pub(super) fn retention(&self) -> RetentionConfig {
        RetentionConfig {
            database_url: self.url.clone(),
            secret: support::subject_secret(),
            policy: RetentionPolicy::default(),
        }
    }

    /// A round of whoever erases.
    pub(super) async fn round(&self) -> retention::Erasures {
        self.round_of(&self.retention()).await
    }

    pub(super) async fn round_of(&self, config: &RetentionConfig) -> retention::Erasures {
        loop {
            // The server may not have let go of the lock of the round before.
            if let Some(standing) = retention::round(config).await.expect("a round") {
                return standing;
            }
            tokio::task::yield_now().await;
        }
    }

    pub(super) async fn number(&mut self, sql: &str) -> i64 {
        sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_one(&mut self.owner).await.expect(sql)
    }

    /// Every row of a table, in order.
    pub(super) async fn dump(&mut self, table: &str) -> Vec<String> {
        let rows = format!("SELECT t::text FROM {table} AS t ORDER BY t::text COLLATE \"C\"");
        sqlx::query_scalar(AssertSqlSafe(rows)).fetch_all(&mut self.owner).await.expect("rows")
    }
}

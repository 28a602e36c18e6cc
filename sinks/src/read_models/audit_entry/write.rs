//! Writing the audit log.

use std::{collections::HashMap, sync::LazyLock, time::Instant};

use audit_log::{Hash, SubjectSecret, integrity::Personal};
use chrono::Utc;
use schemas::{Timestamp, changes::AuditEntry};
use sqlx::{Arguments, PgConnection, postgres::PgArguments};
use uuid::Uuid;

use super::{
    append::{Advance, Logbook, as_bigint},
    copies::{CONTENT_BYTES, Copies, Place, content_of, encode, padded},
    erased::ErasedEntry,
    handover::Handover,
    partitions::Partitions,
    terms::Terms,
};
use crate::{
    compress::{self, CompressError, Compressor},
    log_store::{HandoverSender, LogEntry},
    postgres::{copy::CopyRows, row_type::row_type},
    read_models::{Fact, ReadModel, WritePath},
};

/// Most rows for which one INSERT is quicker than COPY, which takes another round trip.
const MAX_INSERTED_ROWS: usize = 50;

/// The columns in the order in which rows are written: that of the type `audit_full_entry`.
const COLUMNS: [&str; 29] = [
    "occurred_at",
    "record_offset",
    "event_id",
    "log_index",
    "partition",
    "class_uid",
    "activity_id",
    "severity_id",
    "record_dictionary",
    "topic",
    "tenant_id",
    "kind",
    "actor_kind",
    "actor",
    "actor_name",
    "actor_ip",
    "action",
    "resource_type",
    "resource",
    "project",
    "outcome",
    "outcome_code",
    "source",
    "correlation_id",
    "content_sha256",
    "leaf_hash",
    "record",
    "personal_digest",
    "other_resources",
];

static INSERT: LazyLock<String> = LazyLock::new(|| format!("WITH {} SELECT FROM inserted", insert_parts(1)));
const ADVANCE: &str = "SELECT audit_log_grow($1, $2, $3, $4, $5)";

pub(super) fn column_names() -> String {
    COLUMNS.join(", ")
}

/// The parts of a WITH whose six parameters are numbered from `first` on: what `audit_log_grow` takes, and an array of
/// rows. The logs move once, before the rows.
fn insert_parts(first: usize) -> String {
    let [epoch, moves, tiles, parts, keys, rows] = [0, 1, 2, 3, 4, 5].map(|nth| first + nth);
    format!(
        "advanced AS MATERIALIZED (
           SELECT audit_log_grow(${epoch}, ${moves}, ${tiles}, ${parts}, ${keys}) AS done),
         identified AS (
           INSERT INTO audit_event (occurred_at, event_id, tenant_id, content)
           SELECT occurred_at, event_id, tenant_id, substr(content_sha256, 1, {CONTENT_BYTES})
             FROM unnest(${rows}::audit_full_entry[])),
         inserted AS (
           INSERT INTO audit_entry ({})
           SELECT r.* FROM advanced, unnest(${rows}::audit_full_entry[]) AS r WHERE advanced.done RETURNING 1)",
        column_names()
    )
}

#[derive(sqlx::Encode)]
struct Row<'a> {
    occurred_at: Timestamp,
    record_offset: i64,
    event_id: Uuid,
    log_index: i64,
    partition: i32,
    class_uid: i32,
    activity_id: i32,
    severity_id: i32,
    record_dictionary: i16,
    topic: &'a str,
    tenant_id: &'a str,
    kind: &'a str,
    actor_kind: &'a str,
    actor: &'a str,
    actor_name: Option<&'a str>,
    actor_ip: Option<&'a str>,
    action: &'a str,
    resource_type: Option<&'a str>,
    resource: Option<&'a str>,
    project: Option<&'a str>,
    outcome: &'a str,
    outcome_code: Option<&'a str>,
    source: &'a str,
    correlation_id: Option<&'a str>,
    content_sha256: &'a [u8],
    leaf_hash: Vec<u8>,
    record: Vec<u8>,
    personal_digest: Option<Vec<u8>>,
    other_resources: Option<&'a [String]>,
}

row_type!(Row, "audit_full_entry");

pub(super) type AuditFact<'a> = Fact<'a, AuditEntry>;

/// The audit log's read model: every event, once, and the log that proves it.
pub struct AuditEntries {
    packer: Packer,
    copies: Copies,
    partitions: Partitions,
    terms: Terms,
}

/// Makes of a record what is stored of it. Serialises once: the same bytes are hashed and compressed.
struct Packer {
    compressor: Compressor,
    logbook: Logbook,
    record: Vec<u8>,
    handover: Option<Handover>,
}

/// Stored form of a record.
struct Packed<'a> {
    leaf: Hash,
    frame: &'a [u8],
    /// Of an entry without its personal part.
    digest: Option<Hash>,
}

impl Packer {
    /// The indices of a batch that is written now, and those of its entries that are written without their personal part.
    fn begin(&mut self, facts: &[AuditFact<'_>]) -> sqlx::Result<(Vec<u64>, HashMap<usize, ErasedEntry>)> {
        if let Some(handover) = &mut self.handover {
            handover.begin();
        }
        let erased = self.logbook.erased(facts).map_err(|error| sqlx::Error::Encode(error.into()))?;
        metrics::counter!("weir_audit_erased_subject_entries_total").increment(erased.len() as u64);
        Ok((self.logbook.indices(facts), erased))
    }

    fn pack(
        &mut self,
        fact: &AuditFact<'_>,
        index: u64,
        erased: Option<&ErasedEntry>,
    ) -> sqlx::Result<Packed<'_>> {
        let mut record = std::mem::take(&mut self.record);
        record.clear();
        fact.change.record.write(&mut record);
        let (leaf, personal) = if let Some(erased) = erased {
            (erased.leaf, Personal::Erased(erased.digest))
        } else {
            let leaf = self.logbook.leaf(fact.change, &record);
            let (leaf, salt) = leaf.map_err(|error| sqlx::Error::Encode(error.into()))?;
            (leaf, Personal::Salted(salt))
        };
        let frame = self.compressor.compress_bytes(&record);
        let frame = frame.map_err(|error| sqlx::Error::Encode(error.into()))?;
        self.record = match &mut self.handover {
            Some(handover) => {
                let entry = LogEntry { index, leaf, personal, record };
                handover.keep(fact.partition, entry).map_or_else(Vec::new, |unkept| unkept.record)
            }
            None => record,
        };
        Ok(Packed { leaf, frame, digest: erased.map(|erased| erased.digest) })
    }
}

impl AuditEntries {
    /// A read model whose subjects' keys come from this secret. Fails only if zstd cannot be set up.
    pub fn new(secret: SubjectSecret) -> Result<Self, CompressError> {
        let logbook = Logbook::new(secret);
        let packer = Packer { compressor: Compressor::new()?, logbook, record: Vec::new(), handover: None };
        Ok(Self {
            packer,
            copies: Copies::default(),
            partitions: Partitions::default(),
            terms: Terms::default(),
        })
    }

    /// Hands what is committed to a follower. One that is slower than the writer finds the rest in the table.
    #[must_use]
    pub fn handing_over(mut self, to: Option<HandoverSender>) -> Self {
        self.packer.handover = to.map(Handover::new);
        self
    }

    async fn copy(&mut self, tx: &mut PgConnection, facts: &[AuditFact<'_>]) -> sqlx::Result<()> {
        let (indices, erased) = self.packer.begin(facts)?;
        let mut leaves = Vec::with_capacity(facts.len());
        let own = &mut self.packer;
        let encode = |position: usize, rows: &mut CopyRows| {
            let (index, erased) = (indices[position], erased.get(&position));
            let fact = stated(&facts[position], erased);
            let packed = own.pack(&fact, index, erased)?;
            leaves.push(packed.leaf);
            let place = Place { index: Some(index), leaf: Some(packed.leaf), digest: packed.digest };
            encode(rows, &fact, packed.frame, place);
            Ok(())
        };
        self.copies.copy(tx, facts, encode).await?;
        let mut arguments = PgArguments::default();
        add_advance(self.packer.logbook.advance(facts, &leaves), &mut arguments)?;
        sqlx::query_with(ADVANCE, arguments).execute(tx).await.map(drop)
    }

    async fn insert(&mut self, tx: &mut PgConnection, facts: &[AuditFact<'_>]) -> sqlx::Result<()> {
        let mut arguments = PgArguments::default();
        self.insert_arguments(facts, &mut arguments)?;
        sqlx::query_with(INSERT.as_str(), arguments).execute(tx).await.map(drop)
    }
}

fn add_advance(advance: Advance, arguments: &mut PgArguments) -> sqlx::Result<()> {
    let Advance { epoch, moves, tiles, parts, keys } = advance;
    arguments
        .add(epoch)
        .and_then(|()| arguments.add(moves))
        .and_then(|()| arguments.add(tiles))
        .and_then(|()| arguments.add(parts))
        .and_then(|()| arguments.add(keys))
        .map_err(sqlx::Error::Encode)
}

fn row<'a>(fact: &AuditFact<'a>, index: u64, packed: &Packed<'_>) -> Row<'a> {
    let entry = fact.change;
    Row {
        occurred_at: entry.occurred_at,
        record_offset: fact.offset,
        event_id: *entry.event_id.as_uuid(),
        log_index: as_bigint(index),
        partition: fact.partition.partition,
        class_uid: entry.class_uid,
        activity_id: entry.activity_id,
        severity_id: entry.severity_id,
        record_dictionary: compress::CURRENT,
        topic: fact.partition.topic.name(),
        tenant_id: entry.tenant.as_str(),
        kind: entry.kind,
        actor_kind: entry.actor_kind.name(),
        actor: &entry.actor,
        actor_name: entry.actor_name.as_deref(),
        actor_ip: entry.actor_ip.as_deref(),
        action: &entry.action,
        resource_type: entry.resource_type.as_deref(),
        resource: entry.resource.as_deref(),
        project: entry.project.as_deref(),
        outcome: entry.outcome.name(),
        outcome_code: entry.outcome_code.as_deref(),
        source: &entry.source,
        correlation_id: entry.correlation_id.as_deref(),
        content_sha256: &entry.content_sha256,
        leaf_hash: packed.leaf.0.to_vec(),
        record: packed.frame.to_vec(),
        personal_digest: packed.digest.map(|digest| digest.0.to_vec()),
        other_resources: Some(entry.other_resources.as_slice()).filter(|others| !others.is_empty()),
    }
}

/// The fact as it is written: without its personal part, if its actor was erased.
fn stated<'a>(fact: &AuditFact<'a>, erased: Option<&'a ErasedEntry>) -> AuditFact<'a> {
    match erased {
        Some(erased) => Fact { change: &erased.entry, ..*fact },
        None => *fact,
    }
}

impl ReadModel for AuditEntries {
    type Change = AuditEntry;
    type Key<'a> = (&'a str, Uuid);

    const TABLE: &'static str = "audit_entry";

    fn key(entry: &AuditEntry) -> Self::Key<'_> {
        (entry.tenant.as_str(), *entry.event_id.as_uuid())
    }

    fn content_sha256(entry: &AuditEntry) -> [u8; 32] {
        padded(content_of(entry))
    }

    async fn prepare(&mut self, connection: &mut PgConnection, facts: &[AuditFact<'_>]) -> sqlx::Result<()> {
        let instants = facts.iter().map(|fact| fact.change.occurred_at);
        let now = (Instant::now(), Utc::now().date_naive());
        self.partitions.make(connection, instants, now).await?;
        self.packer.logbook.look_up(connection, facts).await?;
        let erased = self.packer.logbook.erased(facts).map_err(|error| sqlx::Error::Encode(error.into()))?;
        // Before the rows, for a search believes the dictionary: a batch whose terms cannot be noted is not written.
        if erased.is_empty() {
            return self.terms.learn(connection, facts).await;
        }
        let stated: Vec<AuditFact<'_>> =
            facts.iter().enumerate().map(|(position, fact)| stated(fact, erased.get(&position))).collect();
        self.terms.learn(connection, &stated).await
    }

    async fn stored_content(
        &mut self,
        tx: &mut PgConnection,
        facts: &[AuditFact<'_>],
    ) -> sqlx::Result<Vec<Option<[u8; 32]>>> {
        stored_content(tx, facts).await
    }

    fn insert_parts(first: usize) -> Option<String> {
        Some(insert_parts(first))
    }

    fn insert_arguments(&mut self, facts: &[AuditFact<'_>], arguments: &mut PgArguments) -> sqlx::Result<()> {
        let (indices, erased) = self.packer.begin(facts)?;
        let (mut rows, mut leaves) = (Vec::with_capacity(facts.len()), Vec::with_capacity(facts.len()));
        for (position, index) in indices.into_iter().enumerate() {
            let erased = erased.get(&position);
            let fact = stated(&facts[position], erased);
            let packed = self.packer.pack(&fact, index, erased)?;
            leaves.push(packed.leaf);
            rows.push(row(&fact, index, &packed));
        }
        add_advance(self.packer.logbook.advance(facts, &leaves), arguments)?;
        arguments.add(rows).map_err(sqlx::Error::Encode)
    }

    fn committed(&mut self) {
        self.packer.logbook.committed();
        if let Some(handover) = &mut self.packer.handover {
            handover.committed();
        }
    }

    fn undone(&mut self) {
        self.packer.logbook.undone();
        if let Some(handover) = &mut self.packer.handover {
            handover.undone();
        }
    }

    fn forget(&mut self) {
        self.undone();
        self.packer.logbook.forget();
        self.terms = Terms::default();
    }

    async fn write(
        &mut self,
        tx: &mut PgConnection,
        facts: &[AuditFact<'_>],
        path: WritePath,
    ) -> sqlx::Result<()> {
        match path {
            WritePath::Any if facts.len() > MAX_INSERTED_ROWS => self.copy(tx, facts).await,
            _ => self.insert(tx, facts).await,
        }
    }
}

/// The content of the events that are stored under these facts' keys.
pub(super) async fn stored_content(
    tx: &mut PgConnection,
    facts: &[AuditFact<'_>],
) -> sqlx::Result<Vec<Option<[u8; 32]>>> {
    let rows: Vec<(i64, Vec<u8>)> = sqlx::query_as(
        "SELECT a.nth, e.content
           FROM unnest($1::text[], $2::uuid[]) WITH ORDINALITY AS a(tenant_id, event_id, nth)
           JOIN audit_event AS e USING (tenant_id, event_id)",
    )
    .bind(facts.iter().map(|f| f.change.tenant.as_str()).collect::<Vec<_>>())
    .bind(facts.iter().map(|f| *f.change.event_id.as_uuid()).collect::<Vec<_>>())
    .fetch_all(tx)
    .await?;
    let mut stored = vec![None; facts.len()];
    for (nth, content) in rows {
        let index = usize::try_from(nth - 1).ok().filter(|index| *index < stored.len());
        let content = <[u8; CONTENT_BYTES]>::try_from(content);
        let (Some(index), Ok(content)) = (index, content) else {
            return Err(sqlx::Error::Decode("an event's content is not 16 bytes long".into()));
        };
        stored[index] = Some(padded(content));
    }
    Ok(stored)
}

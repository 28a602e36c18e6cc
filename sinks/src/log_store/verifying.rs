//! Verification of the log in the database: tiles against checkpoints, entries against tiles, columns against records, and all
//! of it against what others have kept.

mod roots;
mod stored;

use std::collections::{BTreeMap, BTreeSet};

use audit_log::{
    Hash,
    checkpoint::CheckpointError,
    columns::Columns,
    integrity::leaf_of,
    record::Splitter,
    retired::Retired,
    verify::{Entries, Fault, Kind, Observed, Report, RetiredEntries, SomeEntries, Trust},
};
use futures_util::TryStreamExt as _;
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use self::stored::{Stored, read_logs};
use super::{connect, proofs::personal_of};
use crate::{
    compress,
    postgres::copy::read::{Malformed, Reader, RowReader, texts},
};

/// Error that prevented a verification; it does not tell whether the log is intact.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// Postgres cannot be reached or refuses the query.
    #[error("the database cannot be read")]
    Database(#[from] sqlx::Error),
    /// The rows are not in COPY's binary format.
    #[error("the rows read are not in PGCOPY binary format")]
    Format,
    /// A checkpoint that others have kept is not signed by a given key.
    #[error("a checkpoint from elsewhere cannot be compared with the log")]
    Note(#[from] CheckpointError),
}

/// What others have kept of the logs, which whoever writes the database cannot change: a witness, for example, or an
/// auditor.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Kept {
    /// Leaves, by log.
    pub leaves: BTreeMap<String, Vec<Hash>>,
    /// Checkpoints, as signed notes. The log's own signature is enough for these.
    pub notes: Vec<String>,
}

/// Verifies all logs of a database, each as the continuation of what others have kept of it.
///
/// Takes memory of 32 bytes an entry, and one snapshot.
pub async fn verify(database_url: &str, trust: &Trust, kept: &Kept) -> Result<Report, VerifyError> {
    let mut connection = connect(database_url).await?;
    let mut tx = connection.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    let report = verify_on(&mut tx, trust, kept).await?;
    tx.rollback().await?;
    Ok(report)
}

/// The same inside a transaction, which sees one snapshot.
pub async fn verify_on(
    connection: &mut PgConnection,
    trust: &Trust,
    kept: &Kept,
) -> Result<Report, VerifyError> {
    let checkpoints = trust.kept(&kept.notes)?;
    let stored = read_logs(connection, trust, kept, &checkpoints).await?;
    let mut checks: BTreeMap<&str, Check<'_>> =
        stored.iter().map(|(log, stored)| (log.as_str(), Check::new(log, stored))).collect();
    let beside = read_entries(connection, &mut checks).await?;
    let mut details = Report::default();
    let mut found: BTreeMap<String, (u64, Option<Fault>)> = BTreeMap::new();
    for (log, check) in checks {
        check.tell(log, &mut details);
        found.insert(log.to_owned(), (check.entries.count(), check.finish(log)));
    }
    let kept_leaves = kept.leaves.iter().filter(|(_, leaves)| !leaves.is_empty()).map(|(log, _)| log);
    let mut gone = named_beside(connection).await?;
    gone.extend(kept_leaves.chain(checkpoints.keys()).cloned());
    gone.extend(beside.with_index);
    for (log, kind) in gone
        .into_iter()
        .map(|log| (log, Kind::Cut))
        .chain(beside.without.into_iter().map(|log| (log, Kind::Inserted)))
    {
        let fault = || (0, Some(Fault { log: log.clone(), index: 0, kind }));
        found.entry(log.clone()).or_insert_with(fault);
    }
    let Report { logs, entries, ok, first_fault, .. } = Report::of(found.into_values());
    Ok(Report { logs, entries, ok, first_fault, ..details })
}

/// Count and range of the entries of a log that retention removed, if there are any.
fn retired_entries(log: &str, retired: &[Retired]) -> Option<RetiredEntries> {
    let (mut entries, mut from) = (0, 0);
    for index in retired.iter().flat_map(Retired::indices) {
        entries += 1;
        from += u64::from(index == from);
    }
    (entries > 0).then(|| RetiredEntries { log: log.to_owned(), entries, from })
}

/// The check of one log under way.
struct Check<'a> {
    entries: Entries<'a>,
    stored: &'a Stored,
    /// A row without an index that ought to have one: the index of the entry that follows it.
    stray: Option<u64>,
    /// Rows from before the log.
    unlogged: u64,
    /// Entries without their personal part.
    erased: Counted,
    /// Entries of several resources whose rows name the first alone.
    first_resource_only: Counted,
}

/// A number of entries, and the first of them.
#[derive(Default)]
struct Counted {
    entries: u64,
    first: Option<u64>,
}

impl Counted {
    fn add(&mut self, index: u64) {
        self.entries += 1;
        self.first = Some(self.first.map_or(index, |first| first.min(index)));
    }
}

impl<'a> Check<'a> {
    fn new(log: &'a str, stored: &'a Stored) -> Self {
        let mut entries = Entries::new(log, &stored.leaves);
        stored.retired.iter().flat_map(Retired::indices).for_each(|index| entries.retire(index));
        let (erased, first_resource_only) = (Counted::default(), Counted::default());
        Self { entries, stored, stray: None, unlogged: 0, erased, first_resource_only }
    }

    /// Adds what is no fault and worth knowing.
    fn tell(&self, log: &str, report: &mut Report) {
        let some = |entries: u64, first: u64| {
            (entries > 0).then(|| SomeEntries { log: log.to_owned(), entries, first })
        };
        let (covered, length) = (self.stored.covered, self.stored.leaves.len() as u64);
        report.retired.extend(retired_entries(log, &self.stored.retired));
        report.unlogged += self.unlogged;
        let counted = |counted: &Counted| some(counted.entries, counted.first.unwrap_or(0));
        report.erased.extend(counted(&self.erased));
        report.first_resource_only.extend(counted(&self.first_resource_only));
        report.uncovered.extend(some(length.saturating_sub(covered), covered));
        let rewritten = self.stored.rewritten.as_ref();
        report.rewritten.extend(rewritten.and_then(|range| some(range.end - range.start, range.start)));
    }

    fn finish(&self, log: &str) -> Option<Fault> {
        let fault = |index, kind| Some(Fault { log: log.to_owned(), index, kind });
        let stored = self.stored;
        let end = stored.leaves.len() as u64;
        let (rewritten, uncosigned) = match &stored.rewritten {
            Some(range) if range.end <= stored.covered => (Some(range.start), None),
            other => (None, other.as_ref().map(|range| range.start)),
        };
        let found = [
            self.entries.finish(),
            self.stray.and_then(|index| fault(index, Kind::Inserted)),
            stored.edited_tile.and_then(|index| fault(index, Kind::Edited)),
            rewritten.and_then(|index| fault(index, Kind::Rewritten)),
            stored.is_cut().then(|| fault(end, Kind::Cut)).flatten(),
            stored.edited_end.and_then(|index| fault(index, Kind::Rewritten)),
            stored.backdated.and_then(|size| fault(size, Kind::Backdated)),
        ];
        // The first entry; of several faults of one entry, what the entry itself shows.
        let first = found.into_iter().flatten().min_by_key(|fault| fault.index);
        // A leaf that was edited says more than the roots above it, and than checkpoints that no witness has seen.
        let first = first
            .or_else(|| stored.edited_root.and_then(|index| fault(index, Kind::Edited)))
            .or_else(|| uncosigned.and_then(|index| fault(index, Kind::Rewritten)))
            .or_else(|| stored.cut_uncosigned.then(|| fault(end, Kind::Cut)).flatten())
            .or_else(|| stored.beginning.is_disputed.then(|| fault(0, Kind::Edited)).flatten());
        match (stored.unsigned, stored.is_kept) {
            (false, _) => first,
            (true, true) => first.or_else(|| fault(0, Kind::Checkpoint)),
            (true, false) => fault(0, Kind::Checkpoint),
        }
    }
}

/// The columns that the check looks at, in the order in which [`Row::read`] takes them.
const ENTRIES: &str = "COPY (
    SELECT e.topic, e.partition, e.record_offset, e.log_index, e.leaf_hash, e.personal_digest, k.key,
           e.record_dictionary, e.record, e.occurred_at, e.event_id, e.class_uid, e.activity_id, e.severity_id,
           e.tenant_id, e.kind, e.actor_kind, e.actor, e.actor_name, e.actor_ip, e.action, e.resource_type,
           e.resource, e.project, e.outcome, e.outcome_code, e.source, e.correlation_id, e.other_resources
      FROM audit_entry AS e LEFT JOIN subject_key AS k ON k.tenant_id = e.tenant_id AND k.actor = weir_subject_name(e.actor)
  ) TO STDOUT (FORMAT binary)";

/// The logs that tiles, checkpoints and retired entries belong to: one whose own row is gone is named there still.
async fn named_beside(connection: &mut PgConnection) -> Result<Vec<String>, VerifyError> {
    let logs = sqlx::query_scalar(
        "SELECT log FROM audit_checkpoint UNION SELECT log FROM audit_tile UNION SELECT log FROM audit_tile_part
          UNION SELECT log FROM audit_retired",
    )
    .fetch_all(connection)
    .await?;
    Ok(logs)
}

/// Tenants that have erased somebody: their entries may lack personal parts.
async fn erasing_tenants(connection: &mut PgConnection) -> Result<BTreeSet<String>, VerifyError> {
    let tenants: Vec<String> =
        sqlx::query_scalar("SELECT DISTINCT tenant_id FROM erasure_progress WHERE began_at IS NOT NULL")
            .fetch_all(connection)
            .await?;
    Ok(tenants.into_iter().collect())
}

/// Logs that rows name and that are not there.
#[derive(Default)]
struct Beside {
    /// Those of rows with an index.
    with_index: BTreeSet<String>,
    /// Those of rows without one.
    without: BTreeSet<String>,
}

/// Checks all entries; returns the logs of those that no check is of.
async fn read_entries(
    connection: &mut PgConnection,
    checks: &mut BTreeMap<&str, Check<'_>>,
) -> Result<Beside, VerifyError> {
    let mut beside = Beside::default();
    let erasing = erasing_tenants(connection).await?;
    let mut stream = connection.copy_out_raw(ENTRIES).await?;
    let mut reader = Reader::default();
    let mut splitter = Splitter::default();
    let mut log = String::new();
    while let Some(chunk) = stream.try_next().await? {
        reader.push(&chunk);
        while let Some(row) = reader.next().map_err(|Malformed| VerifyError::Format)? {
            let row = Row::read(row).map_err(|Malformed| VerifyError::Format)?;
            log.clear();
            log.push_str(row.topic);
            log.push('/');
            log.push_str(&row.partition.to_string());
            if let Some(check) = checks.get_mut(log.as_str()) {
                check.observe(&row, &erasing, &mut splitter);
                continue;
            }
            let unknown = if row.log_index.is_some() { &mut beside.with_index } else { &mut beside.without };
            if !unknown.contains(&log) {
                unknown.insert(log.clone());
            }
        }
    }
    Ok(beside)
}

/// One row, borrowed from what was read.
struct Row<'a> {
    topic: &'a str,
    partition: i32,
    record_offset: i64,
    log_index: Option<i64>,
    leaf_hash: Option<&'a [u8]>,
    personal_digest: Option<&'a [u8]>,
    key: Option<&'a [u8]>,
    record_dictionary: i16,
    record: &'a [u8],
    /// All columns but the next one.
    columns: Columns,
    /// Ids of the other resources; empty if the version that wrote the row did not tell any.
    other_resources: Option<Result<Vec<&'a str>, Malformed>>,
}

/// How the columns of a row compare with its record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Agreement {
    /// They differ.
    None,
    /// They are the record's, but name the first of several resources alone.
    WithFirstResource,
    /// They are the record's.
    Whole,
}

impl<'a> Row<'a> {
    fn read(mut row: RowReader<'a>) -> Result<Self, Malformed> {
        let topic = row.text()?;
        let (partition, record_offset, log_index) = (row.integer()?, row.bigint()?, row.optional_bigint()?);
        let (leaf_hash, personal_digest, key) = (row.optional()?, row.optional()?, row.optional()?);
        let (record_dictionary, record) = (row.smallint()?, row.bytes()?);
        let columns = read_columns(topic, &mut row)?;
        let other_resources = row.optional()?.map(texts);
        Ok(Self {
            topic,
            partition,
            record_offset,
            log_index,
            leaf_hash,
            personal_digest,
            key,
            record_dictionary,
            record,
            columns,
            other_resources,
        })
    }

    fn leaf(&self, record: &[u8], splitter: &mut Splitter) -> Option<Hash> {
        let personal = personal_of(self.personal_digest, self.key, &self.columns.event_id)?;
        leaf_of(splitter, record, &personal).ok()
    }

    /// Compares the columns with the record; those of an erased one with what is left of it.
    fn agreement(&self, record: &[u8]) -> Agreement {
        let Ok(mut columns) = Columns::of(record) else {
            return if self.personal_digest.is_some() { Agreement::Whole } else { Agreement::None };
        };
        let others = std::mem::take(&mut columns.other_resources);
        if columns != self.columns {
            return Agreement::None;
        }
        match &self.other_resources {
            None if others.is_empty() => Agreement::Whole,
            Some(Ok(stored)) if *stored == others => Agreement::Whole,
            Some(Ok(stored)) if stored.is_empty() => Agreement::WithFirstResource,
            _ => Agreement::None,
        }
    }
}

fn read_columns(topic: &str, row: &mut RowReader<'_>) -> Result<Columns, Malformed> {
    let text = |row: &mut RowReader<'_>| row.text().map(ToOwned::to_owned);
    let optional = |row: &mut RowReader<'_>| Ok(row.optional_text()?.map(ToOwned::to_owned));
    Ok(Columns {
        topic: topic.to_owned(),
        occurred_at: row.timestamptz()?,
        event_id: Uuid::from_slice(row.bytes()?).map_err(|_| Malformed)?,
        class_uid: row.integer()?,
        activity_id: row.integer()?,
        severity_id: row.integer()?,
        tenant_id: text(row)?,
        kind: text(row)?,
        actor_kind: text(row)?,
        actor: text(row)?,
        actor_name: optional(row)?,
        actor_ip: optional(row)?,
        action: text(row)?,
        resource_type: optional(row)?,
        resource: optional(row)?,
        project: optional(row)?,
        outcome: text(row)?,
        outcome_code: optional(row)?,
        source: text(row)?,
        correlation_id: optional(row)?,
        ..Columns::default()
    })
}

impl Check<'_> {
    fn observe(&mut self, row: &Row<'_>, erasing: &BTreeSet<String>, splitter: &mut Splitter) {
        let below = self.stored.beginning.unlogged_below;
        let Some(index) = row.log_index else {
            if u64::try_from(row.record_offset).is_ok_and(|offset| offset < below) {
                self.unlogged += 1;
            } else {
                self.add_stray();
            }
            return;
        };
        let Ok(index) = u64::try_from(index) else {
            self.add_stray();
            return;
        };
        let record = compress::decompress(row.record_dictionary, row.record).ok();
        let leaf = record.as_deref().and_then(|record| row.leaf(record, splitter));
        let states_it = leaf.is_some_and(|leaf| row.leaf_hash == Some(leaf.0.as_slice()));
        let agreement =
            record.as_deref().filter(|_| states_it).map_or(Agreement::None, |record| row.agreement(record));
        if agreement == Agreement::WithFirstResource {
            self.first_resource_only.add(index);
        }
        let is_erased = row.personal_digest.is_some();
        if is_erased {
            self.erased.add(index);
        }
        let is_asked_for = !is_erased || erasing.contains(&row.columns.tenant_id);
        self.entries.observe(index, Observed { leaf, agrees: agreement != Agreement::None && is_asked_for });
    }

    /// Nobody knows which entry it would follow: it is named as one behind all.
    fn add_stray(&mut self) {
        self.stray = Some(self.stored.leaves.len() as u64);
    }
}
